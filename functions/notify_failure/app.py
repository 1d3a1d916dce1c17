"""Tells people when messages fail, and when failed ones were delivered after all.

Trigger: the MessagesTable's stream, filtered to messages whose notice is due; and a schedule, which
sweeps up what the stream dropped, and looks after the episodes.
Effect: the first failure of an account and an error code is one notice on the FailureTopic, and
opens an episode in the IncidentsTable; those that follow are in its count, and in a summary after
NoticeIntervalMinutes. The message's `notice` remembers how far that got. (I4: every failed message
is told alone, or in the count of an episode, or counted only because its category is muted.)
"""

import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import batched
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config

from delivery.domain.messages import Message
from delivery.runtime import aws
from delivery.runtime.deadline import TimeLeft, time_left_of
from delivery.storage.messages import MessageStore
from delivery.text.formatting import mask_number
from delivery.twilio.error_codes import Category, categories_in

from .episode import EpisodeKey, Telling
from .episode_notice import compose_range
from .episode_store import EpisodeStore
from .findings import Finding, What
from .message_notice import compose
from .notice import FailureNotice, Places
from .telling import Teller

FAILURE_TOPIC_ARN = os.environ["FAILURE_TOPIC_ARN"]
NOTICES_SHOW_FULL_NUMBERS = os.environ["NOTICES_SHOW_FULL_NUMBERS"] == "true"
QUIET = timedelta(minutes=float(os.environ["NOTICE_INTERVAL_MINUTES"]))
PLACES = Places(
    messages_api_url=os.environ["MESSAGES_API_URL"], dashboard_url=os.environ["DASHBOARD_URL"]
)
MUTED, UNKNOWN_CATEGORIES = categories_in(os.environ["MUTED_CATEGORIES"])

METRIC_OF = {
    What.PUBLISHED: "NoticePublished",
    What.WITHDRAWN: "NoticeWithdrawn",
    What.RECOVERY_OWED: "RecoveryDue",
    What.RECOVERY_PUBLISHED: "RecoveryPublished",
    What.OPENED: "IncidentOpened",
    What.COUNTED: "NoticeGrouped",
    What.MUTED: "NoticeMuted",
    What.RECOVERY_COUNTED: "RecoveryGrouped",
    What.SUMMARY_PUBLISHED: "SummaryPublished",
    What.CLOSED: "IncidentClosed",
    What.ALREADY_SETTLED: "NoticeAlreadyHandled",
    What.LEFT: "NoticeSkippedNoTime",
    What.DELAYED: "NoticeFailed",
}
_NOT_SWEPT = {What.ALREADY_SETTLED, What.LEFT, What.DELAYED, What.OPENED, What.CLOSED}
_NOT_SETTLED = {What.LEFT, What.DELAYED}

# Whoever claimed a notice longer ago than this is dead: the function lives for a minute.
ABANDONED_AFTER = timedelta(minutes=5)
_SWEPT_AT_ONCE = 100

# SNS may be asked again: a notice that comes twice has the same id. DynamoDB may not: a claim whose
# answer was lost would look like somebody else's. The sweep brings the message again instead.
PATIENT = Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 3})
ONE_TRY = PATIENT.merge(Config(retries={"total_max_attempts": 1}))

now = partial(datetime.now, UTC)
logger = Logger()
metrics = Metrics()
topic = aws.client("sns", config=PATIENT)
dynamodb = aws.client("dynamodb", config=ONE_TRY)
store = MessageStore(dynamodb, os.environ["MESSAGES_TABLE"])
episodes = EpisodeStore(dynamodb, os.environ["INCIDENTS_TABLE"], os.environ["MESSAGES_TABLE"])

if UNKNOWN_CATEGORIES:
    # Whoever mistyped one gets notices that they did not want, and not none.
    logger.error(
        "MutedCategories names categories that do not exist",
        unknown=UNKNOWN_CATEGORIES,
        known=[str(category) for category in Category],
    )


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


def publish_message(message: Message) -> None:
    """Tell people that a message failed, or was delivered after all."""
    publish(compose(message, PLACES, quiet=QUIET, shows_numbers=NOTICES_SHOW_FULL_NUMBERS))


def publish_range(key: EpisodeKey, telling: Telling) -> None:
    """Tell people what an episode has counted."""
    publish(compose_range(key, telling, PLACES, quiet=QUIET))


teller = Teller(
    messages=store,
    episodes=episodes,
    publish_message=publish_message,
    publish_range=publish_range,
    shown=partial(mask_number, whole=NOTICES_SHOW_FULL_NUMBERS),
    quiet=QUIET,
    muted=MUTED,
    now=now,
)


def settle(records: Iterable[dict[str, Any]], time_left: TimeLeft) -> list[str]:
    """Tell of the messages of a batch of the stream; the sequence numbers of what is to come again.

    One that fails does not stop the others.
    """
    numbers: dict[str, list[str]] = {}
    failed: set[str] = set()
    order = []
    for record in records:
        change = record.get("dynamodb") or {}
        order.append(str(change.get("SequenceNumber", "")))
        match change:
            case {"Keys": {"message_sid": {"S": str(message_sid)}}}:
                numbers.setdefault(message_sid, []).append(order[-1])
            case _:
                failed.add(order[-1])
                _report(Finding(what=What.DELAYED, facts={"reason": "a record without a key"}))
    abandoned_before = now() - ABANDONED_AFTER
    for finding in teller.settle(numbers, abandoned_before=abandoned_before, time_left=time_left):
        _report(finding)
        if finding.what in _NOT_SETTLED:
            failed.update(it for sid in finding.message_sids for it in numbers[sid])
    return [number for number in order if number in failed]


def sweep(*, before: datetime, time_left: TimeLeft) -> None:
    """Tell what people should have been told of before: the stream or a notifier dropped it."""
    swept = 0
    try:
        for message_sids in batched(store.notices_due(before), _SWEPT_AT_ONCE, strict=False):
            findings = list(_swept(message_sids, before, time_left))
            swept += sum(it.count for it in findings if it.what not in _NOT_SWEPT)
            if any(it.what is What.LEFT for it in findings):
                break
    finally:
        metrics.add_metric("NoticeSwept", MetricUnit.Count, swept)


def look_after_episodes(*, before: datetime, time_left: TimeLeft) -> None:
    """Tell what episodes have counted, and close those that are over."""
    for finding in teller.tell_episodes(abandoned_before=before, time_left=time_left):
        _report(finding)


def _swept(message_sids: Iterable[str], before: datetime, time_left: TimeLeft) -> Iterable[Finding]:
    for finding in teller.settle(message_sids, abandoned_before=before, time_left=time_left):
        _report(finding)
        yield finding


def _report(finding: Finding) -> None:
    """A count and a line for each finding; the line has the ids."""
    metric = METRIC_OF[finding.what]
    metrics.add_metric(metric, MetricUnit.Count, finding.count)
    match finding.what:
        case What.ALREADY_SETTLED:
            return
        case What.DELAYED:
            log = logger.error
        case What.LEFT:
            log = logger.warning
        case _:
            log = logger.info
    log(
        metric,
        extra={"message_sids": finding.message_sids, "count": finding.count, **finding.facts},
    )


@metrics.log_metrics
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any] | None:
    """Lambda calls this with a batch of the stream, and the schedule with an age in seconds."""
    time_left = time_left_of(context)
    match event:
        case {"sweep_notices_older_than_seconds": int() | float() as seconds}:
            before = now() - timedelta(seconds=seconds)
            try:
                sweep(before=before, time_left=time_left)
            finally:
                look_after_episodes(before=before, time_left=time_left)
            return None
        case _:
            failed = settle(event["Records"], time_left)
            return {"batchItemFailures": [{"itemIdentifier": number} for number in failed]}
