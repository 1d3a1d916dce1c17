"""The values of the end-to-end test that deploys the stack with every parameter set."""

import re

import pytest

from tests.support.cloudformation import load_template
from tests.support.every_parameter import EVERY_PARAMETER, SET_BY_THE_SANDBOX

PARAMETERS = load_template()["Parameters"]


@pytest.mark.parametrize("name", sorted(PARAMETERS.keys() - SET_BY_THE_SANDBOX))
def test_every_parameter_has_a_valid_value_that_is_not_its_default(name: str) -> None:
    parameter, value = PARAMETERS[name], EVERY_PARAMETER[name]

    assert value != str(parameter.get("Default"))
    if allowed := parameter.get("AllowedValues"):
        assert value in map(str, allowed)
    if pattern := parameter.get("AllowedPattern"):
        assert re.fullmatch(pattern, value)
    if parameter["Type"] == "Number" and "MinValue" in parameter:
        assert parameter["MinValue"] <= float(value) <= parameter["MaxValue"]


def test_the_sandbox_sets_the_other_parameters() -> None:
    assert EVERY_PARAMETER.keys() == PARAMETERS.keys() - SET_BY_THE_SANDBOX
    assert PARAMETERS.keys() > SET_BY_THE_SANDBOX
