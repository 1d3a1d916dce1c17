"""Alarms are published to the alarm topic. The emulator has no metrics: the test sets the state."""

import json

import pytest

from sandbox.lifecycle import Sandbox
from sandbox.polling import wait_for
from tests.e2e.external_client import TIMEOUT_SECONDS, ExternalClient


@pytest.fixture(scope="module")
def operators(sandbox: Sandbox) -> str:
    """The URL of a queue that is subscribed to the alarm topic."""
    return sandbox.account.subscribe_queue(sandbox.stack.resources["AlarmTopic"], "operators")


@pytest.mark.parametrize("alarm", ["SendDeadLetterAlarm", "SendThrottlesAlarm"])
def test_an_alarm_and_its_end_are_published_with_a_link_to_its_meaning(
    sandbox: Sandbox, client: ExternalClient, operators: str, alarm: str
) -> None:
    cloudwatch = client.aws("cloudwatch")
    name = sandbox.stack.resources[alarm]
    published = []

    for state in ("ALARM", "OK"):
        cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason="a test")
        (message,) = wait_for(
            lambda: sandbox.account.receive_messages(operators),
            timeout=TIMEOUT_SECONDS,
            what="The alarm",
        )
        published.append(json.loads(message))

    assert [it["NewStateValue"] for it in published] == ["ALARM", "OK"]
    assert {it["AlarmName"] for it in published} == {name}
    (described,) = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    assert f"docs/operations.md#{alarm.lower()}" in described["AlarmDescription"]
