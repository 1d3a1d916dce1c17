"""The canary is off until somebody wants it, and then it is a request like any other."""

from datetime import UTC, datetime

import pytest

from delivery.metrics import CANARY
from functions.send_message.request import parse
from tests.cloudformation import Template
from tests.template.canary import canary_request

NOW = datetime(2026, 11, 24, tzinfo=UTC)
TO = "+15558675310"
SERVICE = "MG" + "5" * 32


def test_nothing_of_the_canary_exists_until_somebody_wants_it(template: Template) -> None:
    conditional = {
        name for name, it in template["Resources"].items() if it.get("Condition") == "HasCanary"
    }

    assert conditional == {"CanarySchedule", "CanaryScheduleRole", "CanaryAlarm"}
    assert template["Conditions"]["HasCanary"] == {
        "Fn::Not": [{"Fn::Equals": [{"Ref": "CanaryTo"}, ""]}]
    }


def test_a_canary_without_a_sender_cannot_be_deployed(stack: Template) -> None:
    rule = stack["Rules"]["CanaryHasSender"]

    assert rule["RuleCondition"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "CanaryTo"}, ""]}]}
    (assertion,) = rule["Assertions"]
    # They can only be the same if both are empty.
    senders = [{"Ref": "CanaryFrom"}, {"Ref": "CanaryMessagingServiceSid"}]
    assert assertion["Assert"] == {"Fn::Not": [{"Fn::Equals": senders}]}


@pytest.mark.parametrize(
    ("sender", "service", "parameter"),
    [
        ("+15005550006", "", ("From", "+15005550006")),
        ("Acme", "", ("From", "Acme")),
        ("", SERVICE, ("MessagingServiceSid", SERVICE)),
        ("Acme", SERVICE, ("MessagingServiceSid", SERVICE)),
    ],
)
def test_the_schedule_hands_over_a_request_that_can_be_sent(
    sender: str, service: str, parameter: tuple[str, str]
) -> None:
    document = canary_request(
        to=TO, sender=sender, service=service, scheduled_time="2026-11-24T08:00:00Z"
    )

    request = parse(document, now=NOW)

    assert request.to == TO
    assert request.reference == CANARY
    assert parameter in request.parameters


def test_every_canary_has_a_key_of_its_own_that_no_retry_changes() -> None:
    times = ["2026-11-24T08:00:00Z", "2026-11-24T08:00:00Z", "2026-11-24T12:00:00Z"]

    keys = [
        canary_request(to=TO, sender="Acme", scheduled_time=time)["idempotency_key"]
        for time in times
    ]

    assert keys[0] == keys[1] != keys[2]


def test_the_alarm_waits_for_longer_than_until_the_next_canary(template: Template) -> None:
    schedule = template["Resources"]["CanarySchedule"]["Properties"]
    alarm = template["Resources"]["CanaryAlarm"]["Properties"]
    hours = template["Parameters"]["CanaryEveryHours"]

    assert schedule["ScheduleExpression"] == {"Fn::Sub": "rate(${CanaryEveryHours} hours)"}
    assert alarm["EvaluationPeriods"] == {"Ref": "CanaryEveryHours"}
    assert alarm["Period"] == 1.5 * 60 * 60
    # CloudWatch looks back for a week at the most; and `rate(1 hours)` is not how one is written.
    assert alarm["Period"] * hours["MaxValue"] <= 7 * 24 * 60 * 60
    assert hours["MinValue"] > 1
