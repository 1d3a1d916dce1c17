"""The simulation can fail: each of many small deliberate faults breaks a promise in it."""

import pytest

from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.program import Edit
from tests.simulation.runs import seeds_until_caught

pytestmark = pytest.mark.thorough

_MOST_SEEDS = 300


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_simulation_catches(mutant: Mutant) -> None:
    assert seeds_until_caught(mutant, range(_MOST_SEEDS)) > 0


def test_an_edit_that_fits_no_place_is_refused() -> None:
    edit = Edit(path="somewhere.py", old="what is not there", new="")

    with pytest.raises(ValueError, match="somewhere"):
        edit.apply("what is there")
