"""Audits finished days: compares the table with Twilio's own list, and corrects the table.

Trigger: a schedule, every hour; or an invocation with `{"on": "2026-11-27"}`, which audits that day
now, whatever its age. Until six hours after its end it is audited only in part.
Effect: after the second audit of a day, every outbound message that Twilio listed and the table
knows has the listed status, error code, segments and price, or is counted as a difference with its
reason (promise I11). The ControlTable has the result of each account and day. A run that ends early
is continued by the next one.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import requests
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config

from delivery.domain.messages import Timings
from delivery.metrics import CountedByFacts, count_corrections
from delivery.runtime import aws
from delivery.runtime.deadline import TimeLeft, time_left_of
from delivery.runtime.reports import log_and_count
from delivery.storage.audits import AuditStore
from delivery.storage.messages import MessageStore
from delivery.storage.table import StoreUnavailable
from delivery.twilio.client import TwilioClient
from delivery.twilio.credentials import SecretError, TwilioSecrets

from . import reports
from .auditor import AuditMode, Auditor
from .reports import AuditReport

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

_CONFIG: Final = Config(
    connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 3}, max_pool_connections=16
)

logger = Logger()
metrics = Metrics(provider=CountedByFacts())
correction_metrics = Metrics(provider=CountedByFacts())  # one line for each kind
utc_now = partial(datetime.now, UTC)


class InvalidDay(ValueError):
    """The event does not name a day that can be audited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """The AWS clients of the function, and the HTTP session for Twilio."""

    dynamodb: "DynamoDBClient"
    secrets_manager: "SecretsManagerClient"
    http: requests.Session


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditMessages:
    """The function, with everything that it works with."""

    secrets: TwilioSecrets
    twilio: TwilioClient
    auditor: Auditor
    now: Callable[[], datetime]

    def audit(self, on: date | None, time_left: TimeLeft) -> bool:
        """Audit the days that are due, or the day `on`, and report each step.

        Returns False if Twilio rejected the list of a day.
        """
        accepted = True
        try:
            secret = self.secrets.refresh()  # it may have been rotated since the last run
            audits = (
                self.auditor.audit_due_days(secret, time_left)
                if on is None
                else self.auditor.audit_day(secret, on, time_left)
            )
            for report in audits:
                _report(report)
                accepted = accepted and report.accepted
        except SecretError as error:
            _report(reports.credentials_refused(error))
        except StoreUnavailable as error:
            _report(reports.interrupted(error))
        return accepted

    def handle(self, event: Mapping[str, Any], context: LambdaContext) -> None:
        """Audit once, for the schedule or for the day that the event names.

        Raises:
            InvalidDay: the event names no day, or one in the future.
        """
        on = day_of(event, self.now())
        self.twilio.new_invocation()
        accepted = self.audit(on, time_left_of(context))
        metrics.add_metric("AuditRun", MetricUnit.Count, int(accepted))  # also if no day was due


def day_of(event: Mapping[str, Any], now: datetime) -> date | None:
    """Return the day that an event names in `on`; None for the event of the schedule.

    Raises:
        InvalidDay: it is not a day, or one in the future.
    """
    if "on" not in event:
        return None
    try:
        day = date.fromisoformat(event["on"])
    except (TypeError, ValueError):
        raise InvalidDay("invalid 'on': expected a day as YYYY-MM-DD") from None
    if day > now.date():
        raise InvalidDay("invalid 'on': expected today or an earlier day in UTC")
    return day


def build(
    environ: Mapping[str, str], clients: Clients, *, now: Callable[[], datetime] = utc_now
) -> AuditMessages:
    """Return the function as these environment variables configure it."""
    timings = Timings.of(
        retention_days=environ["MESSAGE_RETENTION_DAYS"],
        reconcile_after_minutes=environ["RECONCILE_AFTER_MINUTES"],
    )
    twilio = TwilioClient(clients.http, environ["TWILIO_API_BASE_URL"])
    auditor = Auditor(
        twilio=twilio,
        messages=MessageStore(clients.dynamodb, environ["MESSAGES_TABLE"], timings),
        audits=AuditStore(clients.dynamodb, environ["CONTROL_TABLE"]),
        mode=AuditMode(environ["AUDIT_MODE"]),
        retention=timings.retention,
        stores_body=environ["STORE_MESSAGE_BODY"] == "true",
        now=now,
    )
    return AuditMessages(
        secrets=TwilioSecrets(clients.secrets_manager, environ["TWILIO_SECRET_NAME"]),
        twilio=twilio,
        auditor=auditor,
        now=now,
    )


def _report(report: AuditReport) -> None:
    log_and_count(report, logger, metrics)
    if report.status_corrected_percent is not None:
        metrics.add_metric(
            "AuditCorrectedPercent", MetricUnit.Percent, report.status_corrected_percent
        )
    count_corrections(correction_metrics, report.corrections)


function = build(
    os.environ,
    Clients(
        dynamodb=aws.client("dynamodb", config=_CONFIG),
        secrets_manager=aws.client("secretsmanager", config=_CONFIG),
        http=requests.Session(),
    ),
)


@metrics.log_metrics
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> None:
    """EventBridge Scheduler invokes this every hour; an operator may invoke it with a day."""
    function.handle(event, context)
