"""The canary exists only if a recipient is given, and sends a normal, valid request."""

from datetime import UTC, datetime

import pytest

from delivery.domain.canary import CANARY_REFERENCE
from functions.send_message.request import parse
from tests.support.cloudformation import Template
from tests.template.canary import canary_request

NOW = datetime(2026, 11, 24, tzinfo=UTC)
TO = "+15558675310"
SERVICE = "MG" + "5" * 32


def test_the_canary_exists_only_if_a_recipient_is_given(template: Template) -> None:
    conditional = {
        name for name, it in template["Resources"].items() if it.get("Condition") == "HasCanary"
    }

    assert conditional == {"CanarySchedule", "CanaryScheduleRole", "CanaryAlarm"}
    assert template["Conditions"]["HasCanary"] == {
        "Fn::Not": [{"Fn::Equals": [{"Ref": "CanaryTo"}, ""]}]
    }


def test_a_canary_requires_a_sender(stack: Template) -> None:
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
def test_the_schedule_sends_a_valid_request(
    sender: str, service: str, parameter: tuple[str, str]
) -> None:
    document = canary_request(
        to=TO, sender=sender, service=service, scheduled_time="2026-11-24T08:00:00Z"
    )

    request = parse(document, now=NOW)

    assert request.to == TO
    assert request.reference == CANARY_REFERENCE
    assert parameter in request.parameters


def test_each_scheduled_time_has_its_own_idempotency_key() -> None:
    times = ["2026-11-24T08:00:00Z", "2026-11-24T08:00:00Z", "2026-11-24T12:00:00Z"]

    keys = [
        canary_request(to=TO, sender="Acme", scheduled_time=time)["idempotency_key"]
        for time in times
    ]

    assert keys[0] == keys[1] != keys[2]


def test_the_window_of_the_canary_alarm_is_longer_than_the_interval(template: Template) -> None:
    schedule = template["Resources"]["CanarySchedule"]["Properties"]
    alarm = template["Resources"]["CanaryAlarm"]["Properties"]
    hours = template["Parameters"]["CanaryIntervalHours"]

    assert schedule["ScheduleExpression"] == {"Fn::Sub": "rate(${CanaryIntervalHours} hours)"}
    assert alarm["EvaluationPeriods"] == {"Ref": "CanaryIntervalHours"}
    assert alarm["Period"] == 1.5 * 60 * 60
    # CloudWatch evaluates at most a week. `rate(1 hours)` is invalid (`rate(1 hour)` is valid).
    assert alarm["Period"] * hours["MaxValue"] <= 7 * 24 * 60 * 60
    assert hours["MinValue"] > 1
