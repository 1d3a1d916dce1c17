"""Publishes every change of a message's outcome as an event.

Trigger: the stream of the MessagesTable, filtered to messages that have an outcome or lost it.
Effect: a `Message Outcome Changed` on the event bus of the team, at least once, and for one message
in the order of its changes. The expiry or erasure of a message does not change its outcome.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config

from delivery.domain.messages import Message
from delivery.domain.statuses import Outcome
from delivery.runtime import aws
from delivery.runtime.reports import Level, Report, log_and_count
from delivery.storage.items import as_record

from .event_bus import EventBus
from .outcome_event import OutcomeChange, OutcomeEvent, outcome_event

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from mypy_boto3_events import EventBridgeClient

_CONFIG: Final = Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 3})

logger = Logger()
metrics = Metrics()


class UnreadableImage(Exception):
    """A record of the stream does not show a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """The AWS clients of the function."""

    events: "EventBridgeClient"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishOutcomes:
    """The function, with everything that it works with."""

    bus: EventBus

    def handle(self, event: dict[str, Any]) -> "PartialItemFailureResponse":
        """Publish the changes of a batch; returns the record that the stream continues from."""
        published = self.bus.publish(events_in(event["Records"]))
        counted = Report(metric="OutcomePublished", level=Level.DEBUG, count=published.accepted)
        log_and_count(counted, logger, metrics)
        retry_from = None
        if published.rejected is not None:
            retry_from = published.rejected.sequence_number
            fields = {
                "message_sid": published.rejected.message_sid,
                "reason": published.reason,
            }
            failed = Report(metric="OutcomePublishFailed", level=Level.ERROR, fields=fields)
            log_and_count(failed, logger, metrics)
        return {"batchItemFailures": [{"itemIdentifier": retry_from}] if retry_from else []}


def events_in(records: Iterable[dict[str, Any]]) -> list[OutcomeEvent]:
    """Return the events of the changes that the records show.

    An unreadable record is reported and skipped: Lambda would repeat it together with all records
    after it, which would hold up its shard for as long as this version runs.
    """
    events: list[OutcomeEvent] = []
    for record in records:
        try:
            event = event_of(record)
        except UnreadableImage as error:
            image = record["dynamodb"]
            fields = {
                "key": image.get("Keys", {}).get("message_sid", {}).get("S"),
                "sequence_number": image["SequenceNumber"],
                "reason": str(error),
            }
            unreadable = Report(metric="ItemUnreadable", level=Level.ERROR, fields=fields)
            log_and_count(unreadable, logger, metrics)
            continue
        if event is not None:
            events.append(event)
    return events


def event_of(record: dict[str, Any]) -> OutcomeEvent | None:
    """Return the event of a record of the stream; None if the outcome is the same.

    Raises:
        UnreadableImage: the record does not show a message.
    """
    images = record["dynamodb"]
    old, new = (as_record(images.get(image, {})) for image in ("OldImage", "NewImage"))
    if "outcome" not in new:  # it expired, or its data was erased
        return None
    try:
        message = Message.from_record(new)
        previous = Outcome(old.get("outcome", Outcome.PENDING))
        if message.outcome is previous:
            return None
        change = OutcomeChange(message=message, previous=previous)
        return outcome_event(change, sequence_number=images["SequenceNumber"])
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableImage(type(error).__name__) from error


def build(environ: Mapping[str, str], clients: Clients) -> PublishOutcomes:
    """Wire the function."""
    return PublishOutcomes(bus=EventBus(clients.events, environ["OUTCOME_EVENT_BUS_NAME"]))


function = build(os.environ, Clients(events=aws.client("events", config=_CONFIG)))


@metrics.log_metrics
def lambda_handler(event: dict[str, Any], _context: LambdaContext) -> "PartialItemFailureResponse":
    """Lambda invokes this with a batch of the stream, and repeats it from the record returned."""
    return function.handle(event)
