"""Programs on the team's event bus are told what became of messages."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sandbox.lifecycle import Sandbox
from sandbox.polling import wait_for
from tests.e2e.outside import WITHIN_SECONDS, OutsideProgram, a_message_sid

type Json = Any


class Subscriber:
    """A queue that a rule fills with our events; it remembers them all."""

    def __init__(self, take: Callable[[], list[str]]) -> None:
        self._take = take
        self._events: list[Json] = []

    def about(self, message_sid: str) -> list[Json]:
        """The details of the events about a message, each change once."""
        self._events += [json.loads(body) for body in self._take()]
        details = [event["detail"] for event in self._events]
        about = {it["event_id"]: it for it in details if it["message_sid"] == message_sid}
        return sorted(about.values(), key=lambda it: str(it["changed_at"]))

    def wait_for(self, message_sid: str, *, count: int = 1) -> list[Json]:
        """The same, when there are as many."""

        def look() -> list[Json] | None:
            found = self.about(message_sid)
            return found if len(found) >= count else None

        return wait_for(look, timeout=WITHIN_SECONDS, what=f"{count} events about {message_sid}")


@pytest.fixture(scope="module")
def subscriber(sandbox: Sandbox, program: OutsideProgram) -> Iterator[Subscriber]:
    sqs, bus = program.client("sqs"), program.client("events")
    url = sqs.create_queue(QueueName="outcomes")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    pattern = {"source": ["delivery"], "detail-type": ["Message Outcome Changed"]}
    bus.put_rule(Name="outcomes", EventPattern=json.dumps(pattern))
    bus.put_targets(Rule="outcomes", Targets=[{"Id": "queue", "Arn": arn["QueueArn"]}])
    yield Subscriber(lambda: sandbox.account.receive_messages(url))
    bus.remove_targets(Rule="outcomes", Ids=["queue"])
    bus.delete_rule(Name="outcomes")


def test_a_message_that_arrives_is_one_event_with_its_reference(
    program: OutsideProgram, subscriber: Subscriber
) -> None:
    message_sid = program.sent("+15558675310", reference="order-4711")

    (event,) = subscriber.wait_for(message_sid)

    assert (event["previous_outcome"], event["outcome"]) == ("pending", "delivered")
    assert (event["reference"], event["to"]) == ("order-4711", "…5310")
    assert "body" not in event


def test_a_message_that_fails_and_arrives_after_all_is_two_events(
    program: OutsideProgram, subscriber: Subscriber
) -> None:
    message_sid = a_message_sid()

    program.call_back(message_sid, "undelivered", ErrorCode="30003")
    subscriber.wait_for(message_sid)
    program.call_back(message_sid, "delivered")
    failed, delivered = subscriber.wait_for(message_sid, count=2)

    assert (failed["outcome"], failed["category"]) == ("failed", "recipient_unreachable")
    assert (delivered["previous_outcome"], delivered["outcome"]) == ("failed", "delivered")


def test_a_message_that_is_still_under_way_is_no_event(
    program: OutsideProgram, subscriber: Subscriber
) -> None:
    under_way, delivered = a_message_sid(), a_message_sid()

    program.call_back(under_way, "sent")
    program.call_back(delivered, "delivered")
    subscriber.wait_for(delivered)

    assert subscriber.about(under_way) == []
