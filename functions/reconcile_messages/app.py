"""Reconciles stale messages with Twilio, and resolves requests in doubt.

Trigger: a schedule; its event holds nothing.
Effect: the MessagesTable has what Twilio knows, as if callbacks had reported it. Every message gets
a final outcome, `unconfirmed` at the latest (promise I7), and requests in doubt are resolved by
evidence (promise I6). Concurrent runs are safe, and the next run does what a run does not reach.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import requests
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config

from delivery.domain.messages import Timings
from delivery.metrics import CountedByFacts, count_apart
from delivery.runtime import aws
from delivery.runtime.deadline import TimeLeft, time_left_of
from delivery.runtime.reports import log_and_count
from delivery.storage.messages import MessageStore
from delivery.storage.send_requests import SendRequestStore
from delivery.storage.table import StoreUnavailable
from delivery.twilio.client import NEEDED_SECONDS, TwilioClient
from delivery.twilio.credentials import SecretError, TwilioSecrets

from . import reports
from .context import ReconcileContext
from .in_doubt import InDoubtResolver
from .reconcile import Reconciler
from .reports import ReconcileReport

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

# What follows Twilio's answer must fit into the seconds reserved for it.
_CONFIG: Final = Config(connect_timeout=1, read_timeout=1, retries={"total_max_attempts": 2})

logger = Logger()
metrics = Metrics(provider=CountedByFacts())
outcome_metrics = Metrics(provider=CountedByFacts())  # one line for each message
utc_now = partial(datetime.now, UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """The AWS clients of the function, and the HTTP session for Twilio."""

    dynamodb: "DynamoDBClient"
    secrets_manager: "SecretsManagerClient"
    http: requests.Session


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileMessages:
    """The function, with everything that it works with."""

    secrets: TwilioSecrets
    twilio: TwilioClient
    resolver: InDoubtResolver
    reconciler: Reconciler

    def reconcile(self, time_left: TimeLeft) -> None:
        """Do the work that is due, and report each step."""
        try:
            secret = self.secrets.refresh()  # it may have been rotated since the last run
        except SecretError as error:
            _report(reports.credentials_refused(error))
            return
        tasks = [
            self.resolver.resolve_requests,
            self.reconciler.reconcile_stale_messages,
            self.resolver.recheck_presumed_unsent,
        ]
        for number, task in enumerate(tasks):
            share = share_of(time_left, 1 / (len(tasks) - number))
            is_interrupted = False
            try:
                for report in task(secret, share):
                    _report(report)
                    is_interrupted |= report.is_interruption
            except StoreUnavailable as error:
                _report(reports.interrupted(error))
            if is_interrupted and share() <= NEEDED_SECONDS:
                _report(reports.work_left_over(task.__name__))

    def handle(self, _event: Any, context: LambdaContext) -> None:
        """Run once; the event holds nothing."""
        self.twilio.new_invocation()
        metrics.add_metric("ReconcileRun", MetricUnit.Count, 1)  # also if there was nothing to do
        self.reconcile(time_left_of(context))


def share_of(time_left: TimeLeft, share: float) -> TimeLeft:
    """Return the time that one task may use, so that no worklist starves another one.

    What a task does not use is shared by the tasks after it. A request to Twilio may still begin at
    the end of the share: the invocation itself has the time for it.
    """
    rest = time_left() * (1 - share)
    return lambda: min(time_left(), time_left() - rest + NEEDED_SECONDS)


def build(
    environ: Mapping[str, str], clients: Clients, *, now: Callable[[], datetime] = utc_now
) -> ReconcileMessages:
    """Return the function as these environment variables configure it."""
    timings = Timings.of(
        retention_days=environ["MESSAGE_RETENTION_DAYS"],
        reconcile_after_minutes=environ["RECONCILE_AFTER_MINUTES"],
        unconfirmed_after_hours=environ["UNCONFIRMED_AFTER_HOURS"],
    )
    twilio = TwilioClient(clients.http, environ["TWILIO_API_BASE_URL"])
    context = ReconcileContext(
        twilio=twilio,
        messages=MessageStore(
            clients.dynamodb, environ["MESSAGES_TABLE"], timings, unreadable=_report_unreadable
        ),
        timings=timings,
        stores_body=environ["STORE_MESSAGE_BODY"] == "true",
        now=now,
    )
    return ReconcileMessages(
        secrets=TwilioSecrets(
            clients.secrets_manager,
            environ["TWILIO_SECRET_NAME"],
            on_invalid=lambda error: log_and_count(reports.secret_invalid(error), logger, metrics),
        ),
        twilio=twilio,
        resolver=InDoubtResolver(
            context,
            SendRequestStore(
                clients.dynamodb, environ["SEND_REQUESTS_TABLE"], unreadable=_report_unreadable
            ),
            timeout=timedelta(minutes=float(environ["IN_DOUBT_TIMEOUT_MINUTES"])),
            key_retention=timedelta(days=float(environ["IDEMPOTENCY_KEY_RETENTION_DAYS"])),
        ),
        reconciler=Reconciler(context),
    )


def _report(report: ReconcileReport) -> None:
    if report.recorded is not None:
        count_apart(outcome_metrics, report.recorded)
    log_and_count(report, logger, metrics)


def _report_unreadable(key: str) -> None:
    _report(reports.unreadable(key))


function = build(
    os.environ,
    Clients(
        dynamodb=aws.client("dynamodb", config=_CONFIG),
        secrets_manager=aws.client("secretsmanager", config=_CONFIG),
        http=requests.Session(),
    ),
)


@metrics.log_metrics
def lambda_handler(event: Any, context: LambdaContext) -> None:
    """EventBridge Scheduler invokes this every few minutes."""
    function.handle(event, context)
