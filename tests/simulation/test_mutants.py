"""The simulation catches each mutant, and every mutant still finds the code that it changes."""

import ast

import pytest

from simulation.edit import Edit
from simulation.mutants import MUTANTS, Mutant
from simulation.program import Program
from simulation.runs import seeds_for, seeds_until_caught

_MAX_SEEDS = 600


@pytest.mark.thorough
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_simulation_catches(mutant: Mutant) -> None:
    assert seeds_until_caught(mutant, seeds_for(mutant, range(_MAX_SEEDS))) > 0


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_still_applies(mutant: Mutant) -> None:
    try:
        Program(*mutant.edits)
    except ValueError as error:
        pytest.fail(f"mutant {mutant.name!r}: {error}", pytrace=False)
    for edit in mutant.edits:
        source = edit.path().read_text("utf-8")
        changed = edit.apply(source)

        assert changed != source
        ast.parse(changed)


def test_every_mutant_has_a_name_of_its_own() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize(
    ("source", "old", "new", "expected"),
    [
        ("f(\n    a,  # why\n    b,\n)", "f(a, b)", "g()", "g()"),
        ("if a:\n    b()\n    c()\n", "b() c()", "d()\ne()", "if a:\n    d()\n    e()\n"),
        ("unread = read\n", "read", "x", "unread = x\n"),
        ('f(a="b c")', 'a="b c"', "", "f()"),
        ("return x", "return x", "\n        if y:\n            z", "if y:\n    z"),
    ],
)
def test_an_edit_matches_tokens_and_keeps_the_indentation(
    source: str, old: str, new: str, expected: str
) -> None:
    assert Edit(folder="", old=old, new=new).apply(source) == expected


@pytest.mark.parametrize("fragment", ["a fragment that no file contains", "import json"])
def test_an_edit_without_exactly_one_place_is_an_error(fragment: str) -> None:
    with pytest.raises(ValueError, match="functions: expected one place"):
        Edit(folder="functions", old=fragment, new="").path()
