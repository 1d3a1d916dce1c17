"""The demo's own checks: it succeeds only if every message ended as its scenario says."""

from dataclasses import replace
from typing import Any

import pytest

from sandbox.aws.mailbox import Email
from sandbox.demo import SCENARIOS, Scenario, check_emails
from tests.support.builders import MESSAGE_SID

EXPECTED = [it for it in SCENARIOS if it.rejected_with is None]
BY_TITLE = {it.title: it for it in SCENARIOS}
OUT_OF_ORDER = BY_TITLE["The callbacks arrive out of order"]
TWICE = BY_TITLE["Every callback arrives twice"]
OTHER_SID = "SM" + "9" * 32


def a_result(scenario: Scenario) -> dict[str, Any]:
    """A message that ended as the scenario says."""
    transitions = [{"status": "queued", "source": "send"}]
    transitions += [{"status": it, "source": "callback"} for it in scenario.reported]
    return {
        "status": scenario.status,
        "outcome": scenario.outcome,
        "error_code": scenario.error_code,
        "transitions": transitions,
    }


@pytest.mark.parametrize("scenario", EXPECTED, ids=lambda it: it.title)
def test_a_message_that_ended_as_its_scenario_says_is_as_expected(scenario: Scenario) -> None:
    message = a_result(scenario)

    assert scenario.matches(message, acknowledged=scenario.callbacks)
    assert not scenario.matches(message, acknowledged=scenario.callbacks + 1)
    for changed in ({"status": "failed"}, {"outcome": "canceled"}, {"error_code": 30008}):
        assert not scenario.matches(message | changed, acknowledged=scenario.callbacks)


def test_callbacks_in_order_are_no_proof_of_the_scenario_out_of_order() -> None:
    message = a_result(replace(OUT_OF_ORDER, reported=("sent", "delivered")))

    assert not OUT_OF_ORDER.matches(message, acknowledged=2)


def test_a_status_that_is_recorded_twice_or_whose_copies_did_not_arrive_is_a_problem() -> None:
    twice = a_result(replace(TWICE, reported=("sent", "sent", "delivered")))

    assert not TWICE.matches(twice, acknowledged=4)
    assert not TWICE.matches(a_result(TWICE), acknowledged=2)


@pytest.mark.parametrize(
    ("texts", "is_right"),
    [
        ([f"About {MESSAGE_SID}"], True),
        ([], False),
        ([f"About {MESSAGE_SID}"] * 2, False),
        ([f"About {MESSAGE_SID}", f"About {OTHER_SID}"], False),
        (["About a day"], False),
    ],
)
def test_each_failed_message_has_one_email_and_no_other_message_has_one(
    texts: list[str], *, is_right: bool
) -> None:
    messages = [
        {"message_sid": MESSAGE_SID, "outcome": "failed"},
        {"message_sid": OTHER_SID, "outcome": "delivered"},
    ]
    emails = [Email(subject="A message failed", text=it) for it in texts]

    assert (check_emails(messages, emails) == []) is is_right
