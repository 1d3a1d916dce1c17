"""Alarms reach the operators' topic. The emulator has no metrics: the test says that one rings."""

import json

import pytest

from sandbox.lifecycle import Sandbox
from sandbox.polling import wait_for
from tests.e2e.outside import WITHIN_SECONDS, OutsideProgram


@pytest.fixture(scope="module")
def operators(sandbox: Sandbox) -> str:
    """The URL of a queue of theirs that is subscribed to the topic."""
    return sandbox.account.subscribe_queue(sandbox.stack.resources["AlarmTopic"], "operators")


@pytest.mark.parametrize("alarm", ["SendDeadLetterAlarm", "InvalidSignaturesAlarm"])
def test_an_alarm_and_its_end_are_told_with_what_it_means(
    sandbox: Sandbox, program: OutsideProgram, operators: str, alarm: str
) -> None:
    cloudwatch = program.client("cloudwatch")
    name = sandbox.stack.resources[alarm]
    told = []

    for state in ("ALARM", "OK"):
        cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason="a test")
        (message,) = wait_for(
            lambda: sandbox.account.receive_messages(operators),
            timeout=WITHIN_SECONDS,
            what="The alarm",
        )
        told.append(json.loads(message))

    assert [it["NewStateValue"] for it in told] == ["ALARM", "OK"]
    assert {it["AlarmName"] for it in told} == {name}
    (described,) = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    assert f"docs/operations.md#{alarm.lower()}" in described["AlarmDescription"]
