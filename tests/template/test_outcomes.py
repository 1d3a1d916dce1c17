"""Outcome events: their resources exist only with an event bus, and no outcome change is missed."""

import json
from typing import Any

import pytest

from tests.support.cloudformation import Template
from tests.support.stream import LIVES, Image, records
from tests.template.deployment import function_of, of_type, references

CONDITION = "PublishesOutcomes"
OPTIONAL_RESOURCES = {
    "PublishOutcomesFunction",
    "PublishOutcomesFunctionAliaslive",
    "PublishOutcomesFunctionRole",
    "PublishOutcomesFunctionOutcomeChanged",
    "PublishOutcomesLogs",
    "PublishOutcomesDeadLetterQueue",
    "PublishOutcomesDeadLetterAlarm",
    "OutcomeStreamAgeAlarm",
}


def test_the_resources_exist_only_if_an_event_bus_is_named(stack: Template) -> None:
    conditional = {
        name.partition("Version")[0]
        for name, it in stack["Resources"].items()
        if it.get("Condition") == CONDITION
    }

    assert conditional == OPTIONAL_RESOURCES
    assert stack["Conditions"][CONDITION] == {
        "Fn::Not": [{"Fn::Equals": [{"Ref": "OutcomeEventBusName"}, ""]}]
    }


def test_no_other_resource_depends_on_the_optional_ones(stack: Template) -> None:
    others = [it for it in stack["Resources"].values() if it.get("Condition") != CONDITION]

    referred = references(without_event_bus([others, stack["Outputs"]]))

    assert OPTIONAL_RESOURCES.isdisjoint(referred)


def without_event_bus(value: Any) -> Any:
    """Return a value of the template as it is in a stack without an event bus."""
    match value:
        case {"Fn::If": [name, _, otherwise]} if name == CONDITION:
            return without_event_bus(otherwise)
        case dict():
            return {key: without_event_bus(inner) for key, inner in value.items()}
        case list():
            return [without_event_bus(inner) for inner in value]
        case _:
            return value


@pytest.mark.parametrize(("writes", "changes"), LIVES.values(), ids=LIVES)
def test_the_stream_filter_passes_every_outcome_change_and_no_deletion(
    writes: list[Image], changes: list[tuple[str, str]], stack: Template
) -> None:
    (reader,) = (
        it
        for it in of_type(stack, "AWS::Lambda::EventSourceMapping").values()
        if function_of(it["FunctionName"]) == "PublishOutcomesFunction"
    )
    patterns = [json.loads(it["Pattern"]) for it in reader["FilterCriteria"]["Filters"]]

    passed = [
        (outcome_of(record, "OldImage"), outcome_of(record, "NewImage"))
        for record in records(*writes)
        if any(matches(pattern, record) for pattern in patterns)
    ]

    assert [pair for pair in passed if pair[0] != pair[1]] == changes
    assert all(new is not None for _, new in passed)


def matches(pattern: Any, content: Any) -> bool:
    """Return whether a record matches an event filter pattern; ours test equality only."""
    if isinstance(pattern, list):
        assert all(isinstance(it, str) for it in pattern)
        return content in pattern
    return all(matches(inner, (content or {}).get(name)) for name, inner in pattern.items())


def outcome_of(record: dict[str, Any], which: str) -> str | None:
    """Return the outcome in an image of a record; a message without an old image was pending."""
    before = {"outcome": {"S": "pending"}} if which == "OldImage" else {}
    found: str | None = record["dynamodb"].get(which, before).get("outcome", {}).get("S")
    return found
