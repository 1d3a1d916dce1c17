"""Tells people when a message fails, and when a failed one was delivered after all.

Trigger: the MessagesTable's stream, filtered to messages whose notice is due; and a schedule, which
sweeps up what the stream dropped.
Effect: one notice on the FailureTopic; the message's `notice` remembers how far that got.
"""

import json
import os
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    process_partial_response,
)
from aws_lambda_powertools.utilities.data_classes.dynamo_db_stream_event import DynamoDBRecord
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from delivery import aws
from delivery.message import Message, Notice, Outcome, iso
from delivery.store import MessageStore, StoreUnavailable

from .notice import FailureNotice, Places, compose

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse

FAILURE_TOPIC_ARN = os.environ["FAILURE_TOPIC_ARN"]
NOTICE_SHOWS_NUMBERS = os.environ["NOTICE_SHOWS_NUMBERS"] == "true"
PLACES = Places(
    messages_api_url=os.environ["MESSAGES_API_URL"], dashboard_url=os.environ["DASHBOARD_URL"]
)

METRIC_OF: dict[Notice | None, str] = {
    Notice.SENT: "NoticePublished",
    Notice.WITHDRAWN: "NoticeWithdrawn",
    Notice.RECOVERY_DUE: "RecoveryOwed",
    Notice.RECOVERED: "RecoveryPublished",
}

# Whoever claimed a notice longer ago than this is dead: the function lives for a minute.
ABANDONED_AFTER = timedelta(minutes=5)
# What telling one message can take while SNS hangs and the table does not.
SECONDS_TO_TELL = 20

# SNS may be asked again: a notice that comes twice has the same id. DynamoDB may not: a claim whose
# answer was lost would look like somebody else's. The sweep brings the message again instead.
PATIENT = Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 3})
ONE_TRY = PATIENT.merge(Config(retries={"total_max_attempts": 1}))

now = partial(datetime.now, UTC)
logger = Logger()
metrics = Metrics()
processor = BatchProcessor(
    event_type=EventType.DynamoDBStreams, raise_on_entire_batch_failure=False
)
topic = aws.client("sns", config=PATIENT)
dynamodb = aws.client("dynamodb", config=ONE_TRY)
store = MessageStore(dynamodb, os.environ["MESSAGES_TABLE"])

# The claims of the stream's events that failed since: Lambda brings an event again only when its
# invocation is over, so such a claim is nobody's any more. Elsewhere the sweep will find it.
_unfinished: dict[str | None, str] = {}


def tell(
    message_sid: str, *, abandoned_before: datetime, event_id: str | None = None
) -> Message | None:
    """Take the message's notice as far as it goes: the message after it, None if it went nowhere.

    What the stream and the index showed may be old, so the message is read again. The notice is
    claimed before it is published and marked after: of several who tell it at once, one does. A
    claim that is older than `abandoned_before` is taken over, as is one that this very event of the
    stream made before it failed; the notice is then told again under the same `notice_id`, because
    nobody knows whether it went out.
    """
    message = _claimed(store.get(message_sid), abandoned_before, event_id)
    if message is not None and message.notice is Notice.TELLING:
        if message.outcome is Outcome.FAILED or message.tells_recovery:
            publish(compose(message, PLACES, shows_numbers=NOTICE_SHOWS_NUMBERS))
        message = store.advance_notice(message, now())
    _unfinished.pop(event_id, None)
    _count(message)
    return message


def sweep(*, before: datetime, context: LambdaContext) -> None:
    """Tell what people should have been told of before: the stream or a notifier dropped it.

    One message that fails does not stop the others; it is swept again when its claim is old.
    """
    swept = 0
    try:
        for message_sid in store.notices_due(before):
            if context.get_remaining_time_in_millis() < SECONDS_TO_TELL * 1000:
                logger.warning("Notices left for the next sweep")
                break
            try:
                swept += tell(message_sid, abandoned_before=before) is not None
            except (StoreUnavailable, ClientError, BotoCoreError) as error:
                _report_delay(message_sid, error)
    finally:
        metrics.add_metric("NoticeSwept", MetricUnit.Count, swept)


def publish(notice: FailureNotice) -> None:
    """Hand the notice to the topic; it is durable there when this returns."""
    topic.publish(
        TopicArn=FAILURE_TOPIC_ARN,
        Subject=notice.subject,
        MessageStructure="json",
        Message=json.dumps({"default": notice.default, "email": notice.email}),
        MessageAttributes={
            name: {
                "DataType": "Number" if isinstance(value, int) else "String",
                "StringValue": str(value),
            }
            for name, value in notice.attributes.items()
        },
    )


def record_handler(record: DynamoDBRecord) -> None:
    """One message whose notice is due; an error leaves it to be tried again."""
    keys = record.dynamodb.keys if record.dynamodb else None
    message_sid = (keys or {})["message_sid"]
    try:
        tell(message_sid, abandoned_before=now() - ABANDONED_AFTER, event_id=record.event_id)
    except (StoreUnavailable, ClientError, BotoCoreError) as error:
        _report_delay(message_sid, error)
        raise


def _claimed(
    message: Message | None, abandoned_before: datetime, event_id: str | None
) -> Message | None:
    """The message after the claim of its notice; None where there is nothing for us to tell."""
    if message is None:
        return None
    at = max(now(), message.updated_at + timedelta(milliseconds=1))  # each claim has its own time
    match message:
        case Message(notice=Notice.DUE | Notice.RECOVERY_DUE):
            claim = store.advance_notice
        case Message(notice=Notice.TELLING) if message.updated_at < abandoned_before:
            claim = store.take_over_notice
        case Message(notice=Notice.TELLING) if iso(message.updated_at) == _unfinished.get(event_id):
            claim = store.take_over_notice
        case _:
            return None
    if event_id is not None:
        _unfinished[event_id] = iso(at)
    return claim(message, at)


def _report_delay(message_sid: str, error: Exception) -> None:
    logger.error("Notice not settled", message_sid=message_sid, reason=type(error).__name__)
    metrics.add_metric("NoticeDelayed", MetricUnit.Count, 1)


def _count(message: Message | None) -> None:
    """Count how far the notice got; somebody else took the step where it is not one of ours."""
    notice = message.notice if message else None
    metrics.add_metric(METRIC_OF.get(notice, "NoticeAlreadySettled"), MetricUnit.Count, 1)
    if message is not None:
        logger.info(
            "Notice settled",
            message_sid=message.message_sid,
            notice=notice,
            notice_id=message.notice_id,
            status=message.status,
            error_code=message.error_code,
        )


@metrics.log_metrics
def lambda_handler(
    event: dict[str, Any], context: LambdaContext
) -> "PartialItemFailureResponse | None":
    """Lambda calls this with a batch of the stream, and the schedule with an age in seconds."""
    match event:
        case {"sweep_notices_older_than_seconds": int() | float() as seconds}:
            sweep(before=now() - timedelta(seconds=seconds), context=context)
            return None
        case _:
            return process_partial_response(event, record_handler, processor, context)
