"""Notifies people of failed messages, and of failed ones that were delivered after all.

Trigger: the stream of the MessagesTable, filtered to messages whose notice is due; and a schedule,
which sweeps the notices that the stream dropped and advances the incidents.
Effect: the first failure of an account and an error code is published to the FailureTopic and opens
an incident in the IncidentsTable. Further failures are counted in it and published as a summary
every NoticeIntervalMinutes. Every failed message is published alone, or in the count of exactly one
incident, or counted only because its category is muted (promise I4).
"""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import batched
from typing import TYPE_CHECKING, Any, Final

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config

from delivery.metrics import CountedByFacts
from delivery.runtime import aws
from delivery.runtime.deadline import TimeLeft, time_left_of
from delivery.runtime.reports import log_and_count
from delivery.storage.messages import MessageStore
from delivery.storage.table import StoreUnavailable
from delivery.twilio.error_codes import Category, categories_in

from .incident_store import IncidentStore
from .notice import Links
from .notifier import Limits, Notifier
from .policy import NoticePolicy
from .publisher import NoticePublisher
from .reports import failed, sweep_interrupted

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sns import SNSClient

# The function runs for a minute at most: a notifier that claimed a notice longer ago has died.
LEASE: Final = timedelta(minutes=5)
_SWEEP_BATCH_SIZE: Final = 100

# A notice that SNS publishes twice has the same id. A claim in DynamoDB whose answer was lost would
# look like the claim of another notifier, so it is not repeated: the sweep finds the message again.
# Reads are repeated.
_SNS_CONFIG: Final = Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 3})
_DYNAMODB_CONFIG: Final = _SNS_CONFIG.merge(Config(retries={"total_max_attempts": 1}))
_READER_CONFIG: Final = Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 3})

logger = Logger()
metrics = Metrics(provider=CountedByFacts())
utc_now = partial(datetime.now, UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """The AWS clients of the function. `dynamodb` writes, and never repeats a write by itself."""

    dynamodb: "DynamoDBClient"
    dynamodb_reader: "DynamoDBClient"
    sns: "SNSClient"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyFailure:
    """The function, with everything that it works with."""

    notifier: Notifier
    messages: MessageStore
    now: Callable[[], datetime]

    def notify(self, records: Iterable[dict[str, Any]], time_left: TimeLeft) -> list[str]:
        """Publish the notices of the messages of stream records.

        Returns the sequence numbers of the records that have to come again.
        """
        unhandled: list[str] = []
        numbers: dict[str, list[str]] = {}
        for record in records:
            change = record.get("dynamodb") or {}
            number = str(change.get("SequenceNumber", ""))
            match change:
                case {"Keys": {"message_sid": {"S": str(message_sid)}}}:
                    numbers.setdefault(message_sid, []).append(number)
                case _:
                    unhandled.append(number)
                    log_and_count(failed([], "a stream record without a key"), logger, metrics)
        limits = Limits(abandoned_before=self.now() - LEASE, time_left=time_left)
        for report in self.notifier.notify(numbers, limits):
            log_and_count(report, logger, metrics)
            unhandled += [number for sid in report.unhandled for number in numbers[sid]]
        return unhandled

    def sweep(self, limits: Limits) -> None:
        """Publish the notices that the stream or a notifier dropped.

        A list that cannot be read is reported and left to the next sweep.
        """
        swept = 0
        try:
            due = self.messages.notices_due(limits.abandoned_before)
            for message_sids in batched(due, _SWEEP_BATCH_SIZE, strict=False):
                for report in self.notifier.notify(message_sids, limits):
                    log_and_count(report, logger, metrics)
                    swept += report.steps
                if not limits.allow_notice():
                    break
        except StoreUnavailable as error:
            log_and_count(sweep_interrupted(str(error)), logger, metrics)
        finally:
            if swept:  # a metric with values in every hour costs 0.30 dollars a month
                metrics.add_metric("NoticeSwept", MetricUnit.Count, swept)

    def advance_incidents(self, limits: Limits) -> None:
        """Publish the summaries that are due, and close the incidents that are over."""
        for report in self.notifier.advance_incidents(limits):
            log_and_count(report, logger, metrics)

    def handle(self, event: dict[str, Any], context: LambdaContext) -> dict[str, Any] | None:
        """Handle the event of the schedule, which has an age in seconds, or of the stream."""
        time_left = time_left_of(context)
        match event:
            case {"sweep_notices_older_than_seconds": int() | float() as seconds}:
                before = self.now() - timedelta(seconds=seconds)
                limits = Limits(abandoned_before=before, time_left=time_left)
                try:
                    self.sweep(limits)
                finally:
                    self.advance_incidents(limits)
                return None
            case _:
                unhandled = self.notify(event["Records"], time_left)
                return {"batchItemFailures": [{"itemIdentifier": number} for number in unhandled]}


def build(
    environ: Mapping[str, str], clients: Clients, *, now: Callable[[], datetime] = utc_now
) -> NotifyFailure:
    """Return the function as these environment variables configure it.

    Unknown names in MutedCategories are logged and ignored.
    """
    muted, unknown = categories_in(environ["MUTED_CATEGORIES"])
    if unknown:
        known = [str(category) for category in Category]
        logger.error("MutedCategories has unknown names", unknown=unknown, known=known)
    policy = NoticePolicy(
        interval=timedelta(minutes=float(environ["NOTICE_INTERVAL_MINUTES"])),
        muted=muted,
        shows_full_numbers=environ["NOTICES_SHOW_FULL_NUMBERS"] == "true",
    )
    links = Links(
        messages_api_url=environ["MESSAGES_API_URL"], dashboard_url=environ["DASHBOARD_URL"]
    )
    topic_arn, messages_table = environ["FAILURE_TOPIC_ARN"], environ["MESSAGES_TABLE"]
    dynamodb, reader = clients.dynamodb, clients.dynamodb_reader
    messages = MessageStore(dynamodb, messages_table, reader=reader)
    notifier = Notifier(
        messages=messages,
        incidents=IncidentStore(
            dynamodb, environ["INCIDENTS_TABLE"], messages_table, reader=reader
        ),
        publisher=NoticePublisher(clients.sns, topic_arn, links=links, policy=policy),
        policy=policy,
        now=now,
    )
    return NotifyFailure(notifier=notifier, messages=messages, now=now)


function = build(
    os.environ,
    Clients(
        dynamodb=aws.client("dynamodb", config=_DYNAMODB_CONFIG),
        dynamodb_reader=aws.client("dynamodb", config=_READER_CONFIG),
        sns=aws.client("sns", config=_SNS_CONFIG),
    ),
)


@metrics.log_metrics
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any] | None:
    """Lambda invokes this with a batch of the stream, or with the event of the schedule."""
    return function.handle(event, context)
