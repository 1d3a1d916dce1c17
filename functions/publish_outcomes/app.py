"""Publishes every change of a message's outcome, and archives what reports need.

Trigger: the stream of the MessagesTable, filtered to messages that have an outcome or lost it;
without that filter if the stack has an archive.
Effect: a `Message Outcome Changed` on the event bus of the team, and a row in the archive for each
change that a report can show. Both come at least once, and for one message in the order of its
changes. The stack may have either, both or neither. The expiry or erasure of a message does not
change its outcome.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config

from delivery.metrics import CountedByFacts
from delivery.runtime import aws
from delivery.runtime.reports import Level, Report, log_and_count
from delivery.storage.archive import Archive
from delivery.storage.table import ItemUnreadable

from .change_row import ChangeRow, change_row
from .changes import change_in
from .event_bus import EventBus
from .outcome_event import OutcomeEvent, outcome_event

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_firehose import FirehoseClient

_CONFIG: Final = Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 3})

# Errors of a record that shows no message, or one in which a fact has an unexpected type.
_UNREADABLE: Final = (ItemUnreadable, AttributeError, TypeError, ValueError)

logger = Logger()
metrics = Metrics(provider=CountedByFacts())


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """The AWS clients of the function."""

    events: "EventBridgeClient"
    firehose: "FirehoseClient"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishOutcomes:
    """The function, with everything that it works with.

    `dimensions` are the names in the context of messages that the archive keeps.
    """

    bus: EventBus | None
    archive: Archive | None
    dimensions: Sequence[str]

    def handle(self, event: dict[str, Any]) -> "PartialItemFailureResponse":
        """Publish and archive a batch; returns the record that the stream continues from.

        Each sink takes all that it accepts. The stream continues from the first change that either
        did not accept, so the other one receives the changes after it again.
        """
        events, rows = self._read(event["Records"])
        not_accepted = {*self._publish(events), *self._archive(rows)}
        numbers = (record["dynamodb"]["SequenceNumber"] for record in event["Records"])
        retry_from = next((it for it in numbers if it in not_accepted), None)
        return {"batchItemFailures": [{"itemIdentifier": retry_from}] if retry_from else []}

    def _read(
        self, records: Iterable[dict[str, Any]]
    ) -> tuple[list[OutcomeEvent], list[ChangeRow]]:
        """Return the events and rows of the changes that the records show, in their order.

        An unreadable record is reported and skipped: Lambda would repeat it together with all
        records after it, which would hold up its shard for as long as this version runs.
        """
        events: list[OutcomeEvent] = []
        rows: list[ChangeRow] = []
        for record in records:
            try:
                change = change_in(record)
                event = outcome_event(change) if change and self.bus else None
                row = change_row(change, self.dimensions) if change and self.archive else None
            except _UNREADABLE as error:
                _report_unreadable(record["dynamodb"], error)
                continue
            if event:
                events.append(event)
            if row:
                rows.append(row)
        return events, rows

    def _publish(self, events: Sequence[OutcomeEvent]) -> Iterator[str]:
        """Publish the events; yields the sequence number of the first that was rejected."""
        if not self.bus:
            return
        published = self.bus.publish(events)
        _count("OutcomePublished", published.accepted)
        if published.rejected is not None:
            fields = {
                "message_sid": published.rejected.message_sid,
                "reason": published.reason,
            }
            _report_failure("OutcomePublishFailed", fields)
            yield published.rejected.sequence_number

    def _archive(self, rows: Sequence[ChangeRow]) -> Iterator[str]:
        """Archive the rows; yields the sequence number of the first that was rejected."""
        if not self.archive:
            return
        archived = self.archive.write([it.row for it in rows])
        _count("OutcomeArchived", archived.accepted)
        if left_out := sum(it.left_out for it in rows[: archived.accepted]):
            _count("DimensionLeftOut", left_out)
        if archived.reason:
            rejected = rows[archived.accepted]
            fields = {"message_sid": rejected.row["message_sid"], "reason": archived.reason}
            _report_failure("OutcomeArchiveFailed", fields)
            yield rejected.sequence_number


def _count(metric: str, count: int) -> None:
    log_and_count(Report(metric=metric, level=Level.DEBUG, count=count), logger, metrics)


def _report_failure(metric: str, fields: Mapping[str, Any]) -> None:
    log_and_count(Report(metric=metric, level=Level.ERROR, fields=fields), logger, metrics)


def _report_unreadable(image: Mapping[str, Any], error: Exception) -> None:
    fields = {
        "key": image.get("Keys", {}).get("message_sid", {}).get("S"),
        "sequence_number": image["SequenceNumber"],
        "reason": type(error.__cause__ or error).__name__,
    }
    _report_failure("ItemUnreadable", fields)


def build(environ: Mapping[str, str], clients: Clients) -> PublishOutcomes:
    """Return the function as these environment variables configure it."""
    bus_name, stream_name = environ["OUTCOME_EVENT_BUS_NAME"], environ["ARCHIVE_STREAM_NAME"]
    names = (it.strip() for it in environ["REPORT_DIMENSIONS"].split(","))
    return PublishOutcomes(
        bus=EventBus(clients.events, bus_name) if bus_name else None,
        archive=Archive(clients.firehose, stream_name) if stream_name else None,
        dimensions=tuple(dict.fromkeys(it for it in names if it)),
    )


function = build(
    os.environ,
    Clients(
        events=aws.client("events", config=_CONFIG),
        firehose=aws.client("firehose", config=_CONFIG),
    ),
)


@metrics.log_metrics
def lambda_handler(event: dict[str, Any], _context: LambdaContext) -> "PartialItemFailureResponse":
    """Lambda invokes this with a batch of the stream, and repeats it from the record returned."""
    return function.handle(event)
