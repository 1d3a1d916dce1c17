"""Tells people when a message fails, and when a failed one was delivered after all.

Trigger: the MessagesTable's stream, filtered to messages whose notice is due.
Effect: one notice on the FailureTopic; the message's `notice` remembers how far that got.
"""

import json
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
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

from delivery.message import Message, Notice, Outcome
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

# SNS may be asked again: a notice that comes twice has the same id. DynamoDB may not: a claim whose
# answer was lost would look like somebody else's. Lambda brings the record again instead.
PATIENT = Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 3})
ONE_TRY = PATIENT.merge(Config(retries={"total_max_attempts": 1}))

logger = Logger()
metrics = Metrics()
processor = BatchProcessor(
    event_type=EventType.DynamoDBStreams, raise_on_entire_batch_failure=False
)
topic = boto3.client("sns", config=PATIENT)
dynamodb = boto3.client("dynamodb", config=ONE_TRY)
store = MessageStore(dynamodb, os.environ["MESSAGES_TABLE"])


def tell(message_sid: str) -> None:
    """Take the message's notice as far as it goes.

    What the stream showed may be old, so the message is read again. The notice is marked as being
    told before it is published and as sent after: whoever finds it half told tells it again, under
    the same `notice_id`, because nobody knows whether it went out.
    """
    message = store.get(message_sid)
    if message is not None and message.notice is Notice.DUE:
        message = store.advance_notice(message, datetime.now(UTC))
    if message is None or message.notice not in {Notice.TELLING, Notice.RECOVERY_DUE}:
        _count(message)
        return
    if message.notice is Notice.RECOVERY_DUE or message.outcome is Outcome.FAILED:
        publish(compose(message, PLACES, shows_numbers=NOTICE_SHOWS_NUMBERS))
    _count(store.advance_notice(message, datetime.now(UTC)))


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
        tell(message_sid)
    except (StoreUnavailable, ClientError, BotoCoreError) as error:
        logger.error("Notice not settled", message_sid=message_sid, reason=type(error).__name__)
        metrics.add_metric("NoticeDelayed", MetricUnit.Count, 1)
        raise


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
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> "PartialItemFailureResponse":
    """Lambda calls this with a batch of the stream."""
    return process_partial_response(
        event=event, record_handler=record_handler, processor=processor, context=context
    )
