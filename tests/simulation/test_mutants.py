"""The simulation can fail: each of many small deliberate faults breaks a promise in it."""

import re

import pytest

from simulation.deployment import PROJECT
from simulation.mutants import MUTANTS, Mutant
from simulation.program import Edit
from simulation.runs import seeds_until_caught

_MAX_SEEDS = 600


@pytest.mark.thorough
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_simulation_catches(mutant: Mutant) -> None:
    assert seeds_until_caught(mutant, range(_MAX_SEEDS)) > 0


def test_the_page_says_of_each_mutant_what_it_breaks_and_when_it_was_caught() -> None:
    page = (PROJECT / "docs/reliability.md").read_text("utf-8").partition("\n### Mutants\n")[2]
    rows = re.findall(r"^\| (.+) \| (.+) \| ([1-9]\d*) \|$", page, re.MULTILINE)

    told = [(name, frozenset(promises.split(", "))) for name, promises, _ in rows]

    assert told == [(mutant.name, mutant.breaks) for mutant in MUTANTS]
    assert max(int(lives) for *_, lives in rows) <= _MAX_SEEDS


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_code_that_a_mutant_changes_is_there(mutant: Mutant) -> None:
    for edit in mutant.edits:
        source = (PROJECT / edit.path).read_text("utf-8")

        assert edit.apply(source) != source


def test_an_edit_that_fits_no_place_is_refused() -> None:
    edit = Edit(path="somewhere.py", old="what is not there", new="")

    with pytest.raises(ValueError, match="somewhere"):
        edit.apply("what is there")
