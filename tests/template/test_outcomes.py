"""Outcomes as events: nothing of it exists until somebody wants them, and then none is missed."""

import json
from typing import Any

import pytest

from tests.cloudformation import Template
from tests.stream import LIVES, Image, records
from tests.template.deployment import of_type, references, target_of

CONDITION = "PublishesOutcomes"
MADE_FOR_EVENTS = {
    "PublishOutcomesFunction",
    "PublishOutcomesFunctionRole",
    "PublishOutcomesFunctionOutcomeChanged",
    "PublishOutcomesLogs",
    "PublishOutcomesDeadLetterQueue",
    "PublishOutcomesDeadLetterAlarm",
    "OutcomeStreamAgeAlarm",
}


def test_nothing_of_it_exists_until_somebody_names_a_bus(stack: Template) -> None:
    conditional = {
        name for name, it in stack["Resources"].items() if it.get("Condition") == CONDITION
    }

    assert conditional == MADE_FOR_EVENTS
    assert stack["Conditions"][CONDITION] == {
        "Fn::Not": [{"Fn::Equals": [{"Ref": "OutcomeBusName"}, ""]}]
    }


def test_nothing_else_needs_what_may_not_exist(stack: Template) -> None:
    others = [it for name, it in stack["Resources"].items() if name not in MADE_FOR_EVENTS]

    needed = references(without_events([others, stack["Outputs"]]))

    assert MADE_FOR_EVENTS.isdisjoint(needed)


def without_events(value: Any) -> Any:
    """What is left of a value in a stack that nobody named a bus for."""
    match value:
        case {"Fn::If": [name, _, otherwise]} if name == CONDITION:
            return without_events(otherwise)
        case dict():
            return {key: without_events(inner) for key, inner in value.items()}
        case list():
            return [without_events(inner) for inner in value]
        case _:
            return value


@pytest.mark.parametrize(("writes", "changes"), LIVES.values(), ids=LIVES)
def test_the_filter_lets_every_change_of_an_outcome_through_and_no_end(
    writes: list[Image], changes: list[tuple[str, str]], stack: Template
) -> None:
    (reader,) = (
        it
        for it in of_type(stack, "AWS::Lambda::EventSourceMapping").values()
        if target_of(it["FunctionName"]) == "PublishOutcomesFunction"
    )
    patterns = [json.loads(it["Pattern"]) for it in reader["FilterCriteria"]["Filters"]]

    shown = [
        (outcome_of(record, "OldImage"), outcome_of(record, "NewImage"))
        for record in records(*writes)
        if any(fits(pattern, record) for pattern in patterns)
    ]

    assert [pair for pair in shown if pair[0] != pair[1]] == changes
    assert all(new is not None for _, new in shown)


def fits(pattern: Any, content: Any) -> bool:
    """Whether a record fits a pattern, of which ours only say what something may be equal to."""
    if isinstance(pattern, list):
        assert all(isinstance(it, str) for it in pattern)
        return content in pattern
    return all(fits(inner, (content or {}).get(name)) for name, inner in pattern.items())


def outcome_of(record: dict[str, Any], which: str) -> str | None:
    """Before its first write, a message is as good as pending."""
    before = {"outcome": {"S": "pending"}} if which == "OldImage" else {}
    found: str | None = record["dynamodb"].get(which, before).get("outcome", {}).get("S")
    return found
