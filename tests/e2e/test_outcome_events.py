"""Outcome events on the team's event bus."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sandbox.lifecycle import Sandbox
from sandbox.polling import wait_for
from tests.e2e.external_client import TIMEOUT_SECONDS, ExternalClient, a_message_sid

type Json = Any


class Subscriber:
    """Receives the events from a queue, and keeps all of them."""

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

        return wait_for(look, timeout=TIMEOUT_SECONDS, what=f"{count} events about {message_sid}")


@pytest.fixture(scope="module")
def subscriber(sandbox: Sandbox, client: ExternalClient) -> Iterator[Subscriber]:
    sqs, bus = client.aws("sqs"), client.aws("events")
    url = sqs.create_queue(QueueName="outcomes")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    pattern = {"source": ["delivery"], "detail-type": ["Message Outcome Changed"]}
    bus.put_rule(Name="outcomes", EventPattern=json.dumps(pattern))
    bus.put_targets(Rule="outcomes", Targets=[{"Id": "queue", "Arn": arn["QueueArn"]}])
    yield Subscriber(lambda: sandbox.account.receive_messages(url))
    bus.remove_targets(Rule="outcomes", Ids=["queue"])
    bus.delete_rule(Name="outcomes")


def test_a_delivered_message_is_one_event_with_its_reference(
    client: ExternalClient, subscriber: Subscriber
) -> None:
    message_sid = client.send_accepted("+15558675310", reference="order-4711")

    (event,) = subscriber.wait_for(message_sid)

    assert (event["previous_outcome"], event["outcome"]) == ("pending", "delivered")
    assert (event["reference"], event["to"]) == ("order-4711", "…5310")
    assert "body" not in event


def test_a_failed_message_that_is_delivered_later_is_two_events(
    client: ExternalClient, subscriber: Subscriber
) -> None:
    message_sid = a_message_sid()

    client.post_callback(message_sid, "undelivered", ErrorCode="30003")
    subscriber.wait_for(message_sid)
    client.post_callback(message_sid, "delivered")
    failed, delivered = subscriber.wait_for(message_sid, count=2)

    assert (failed["outcome"], failed["category"]) == ("failed", "recipient_unreachable")
    assert (delivered["previous_outcome"], delivered["outcome"]) == ("failed", "delivered")
