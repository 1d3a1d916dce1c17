"""Publishes every change of a message's outcome as an event, for programs that want to know.

Trigger: the MessagesTable's stream, filtered to messages that have an outcome, or lost it again.
Effect: a `Message Outcome Changed` on the team's event bus, at least once, and for one message in
the order of its changes. What erasing leaves of a message, and its end, are no changes.
"""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import batched
from typing import TYPE_CHECKING, Any, Final

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config

from delivery.domain.messages import Message, Outcome
from delivery.runtime import aws
from delivery.runtime.aws_errors import AWS_ERRORS, reason
from delivery.storage.table import as_record

from .outcome_event import changed, detail_of

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from mypy_boto3_events.type_defs import PutEventsRequestEntryTypeDef

OUTCOME_EVENT_BUS_NAME = os.environ["OUTCOME_EVENT_BUS_NAME"]
SOURCE: Final = "delivery"
DETAIL_TYPE: Final = "Message Outcome Changed"
_MAX_ENTRIES: Final = 10  # of one PutEvents

logger = Logger()
metrics = Metrics()
bus = aws.client(
    "events",
    config=Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 3}),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of an outcome, and where in the stream it stands."""

    sequence_number: str
    message: Message
    before: Outcome | None


class Unreadable(Exception):
    """A record of the stream is of no message of ours."""


def publish(changes: Sequence[Change]) -> str | None:
    """Publish them in their order; where the stream has to be repeated from, if not all went out.

    What came after a change that failed may have gone out as well. It comes again, with its id.
    """
    published = 0
    failed = None
    for some in batched(changes, _MAX_ENTRIES, strict=False):
        failed = _first_failed(some)
        if failed is not None:
            break
        published += len(some)
    metrics.add_metric("OutcomePublished", MetricUnit.Count, published)
    return failed


def changes_in(records: Iterable[dict[str, Any]]) -> tuple[list[Change], str | None]:
    """The changes up to a record that shows no message of ours, and where that one stands."""
    changes: list[Change] = []
    for record in records:
        try:
            change = change_of(record)
        except Unreadable as error:
            unreadable: str = record["dynamodb"]["SequenceNumber"]
            logger.error("Not a message", sequence_number=unreadable, reason=str(error))
            return changes, unreadable
        if change is not None:
            changes.append(change)
    return changes, None


def change_of(record: dict[str, Any]) -> Change | None:
    """The change that a record shows; None where the outcome is as it was.

    Raises:
        Unreadable: it shows no message.
    """
    images = record["dynamodb"]
    old, new = (as_record(images.get(image, {})) for image in ("OldImage", "NewImage"))
    if "outcome" not in new:  # it expired, or its data was erased
        return None
    try:
        message = Message.from_record(new)
        before = Outcome(old["outcome"]) if "outcome" in old else None
    except (KeyError, TypeError, ValueError) as error:
        raise Unreadable(type(error).__name__) from error
    if not changed(before, message):
        return None
    return Change(sequence_number=images["SequenceNumber"], message=message, before=before)


def _first_failed(changes: Sequence[Change]) -> str | None:
    """Put them on the bus; the place of the first that it did not take."""
    try:
        answer = bus.put_events(Entries=[_entry(change) for change in changes])
    except AWS_ERRORS as error:
        return _delayed(changes[0], reason=reason(error))
    for change, entry in zip(changes, answer["Entries"], strict=True):
        if "ErrorCode" in entry:
            return _delayed(change, reason=entry["ErrorCode"])
    return None


def _entry(change: Change) -> "PutEventsRequestEntryTypeDef":
    return {
        "EventBusName": OUTCOME_EVENT_BUS_NAME,
        "Source": SOURCE,
        "DetailType": DETAIL_TYPE,
        "Time": change.message.final_at or change.message.updated_at,
        "Detail": json.dumps(detail_of(change.before, change.message)),
    }


def _delayed(change: Change, *, reason: str) -> str:
    metrics.add_metric("OutcomePublishFailed", MetricUnit.Count, 1)
    logger.error("Outcome not published", message_sid=change.message.message_sid, reason=reason)
    return change.sequence_number


@metrics.log_metrics
def lambda_handler(event: dict[str, Any], _context: LambdaContext) -> "PartialItemFailureResponse":
    """Lambda calls this with a batch of the stream, and repeats it from where this says."""
    changes, unreadable = changes_in(event["Records"])
    failed = publish(changes) or unreadable
    return {"batchItemFailures": [{"itemIdentifier": failed}] if failed else []}
