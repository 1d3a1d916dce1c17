"""Finds out what nobody told: asks Twilio about quiet messages, and settles requests in doubt.

Trigger: a schedule; its event says nothing.
Effect: what Twilio knows is in the MessagesTable as if a callback had brought it; every message
ends, as `unconfirmed` at the latest; requests in doubt are settled by evidence. Two runs at once do
no harm, and what a run does not reach is left to the next one.
"""

import os
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import requests
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config

from delivery.domain.messages import Timings
from delivery.metrics import CountedByFacts, count_apart
from delivery.runtime import aws
from delivery.runtime.deadline import TimeLeft, time_left_of
from delivery.storage.control import ControlStore
from delivery.storage.messages import MessageStore
from delivery.storage.send_requests import SendRequestStore
from delivery.storage.table import StoreUnavailable
from delivery.twilio.client import TwilioClient
from delivery.twilio.credentials import SecretError, TwilioSecrets

from .in_doubt import InDoubtResolver
from .reconcile import Reconciler
from .reports import Finding, What

RECONCILE_UNKNOWN_MESSAGES = os.environ["RECONCILE_UNKNOWN_MESSAGES"] == "true"
STORE_MESSAGE_BODY = os.environ["STORE_MESSAGE_BODY"] == "true"
TIMINGS = Timings.of(
    retention_days=os.environ["MESSAGE_RETENTION_DAYS"],
    reconcile_after_minutes=os.environ["RECONCILE_AFTER_MINUTES"],
    unconfirmed_after_hours=os.environ["UNCONFIRMED_AFTER_HOURS"],
)
DOUBT = timedelta(minutes=float(os.environ["IN_DOUBT_TIMEOUT_MINUTES"]))
REQUESTS_KEPT_FOR = timedelta(days=float(os.environ["IDEMPOTENCY_KEY_RETENTION_DAYS"]))

METRIC_OF = {
    What.RECONCILED: "MessageReconciled",
    What.DISCOVERED: "MessageImported",
    What.UNCONFIRMED: "MessageUnconfirmed",
    What.SETTLED: "InDoubtResolved",
    What.NOT_FOUND: "InDoubtPresumedUnsent",
    What.AMBIGUOUS: "InDoubtAmbiguous",
    What.TROUBLE: "ReconcileError",
    What.STOPPED: "ReconcileInterrupted",
    What.BLOCKED: "CredentialsRefused",
}
# Nobody waits, but what follows Twilio's answer must fit into the seconds reserved for it.
BRIEF = Config(connect_timeout=1, read_timeout=1, retries={"total_max_attempts": 2})

now = partial(datetime.now, UTC)
logger = Logger()
metrics = Metrics(provider=CountedByFacts())
outcomes = Metrics(provider=CountedByFacts())  # a line of its own for each message
secrets = TwilioSecrets(
    aws.client("secretsmanager", config=BRIEF), os.environ["TWILIO_SECRET_NAME"]
)
twilio = TwilioClient(requests.Session(), os.environ["TWILIO_API_BASE_URL"])
dynamodb = aws.client("dynamodb", config=BRIEF)
store = MessageStore(dynamodb, os.environ["MESSAGES_TABLE"], TIMINGS)
request_store = SendRequestStore(dynamodb, os.environ["SEND_REQUESTS_TABLE"])
control = ControlStore(dynamodb, os.environ["CONTROL_TABLE"])


def reconcile(time_left: TimeLeft) -> None:
    """Find out what there is to be found out, and count it."""
    resolver = InDoubtResolver(
        twilio=twilio,
        store=store,
        requests=request_store,
        doubt=DOUBT,
        search=TIMINGS.unconfirmed_after,
        kept_for=REQUESTS_KEPT_FOR,
        stores_body=STORE_MESSAGE_BODY,
        now=now,
    )
    reconciler = Reconciler(
        twilio=twilio,
        store=store,
        control=control,
        timings=TIMINGS,
        stores_body=STORE_MESSAGE_BODY,
        now=now,
    )
    try:
        secret = secrets.read_again()  # each run as the secret is by then: it may be rotated
    except SecretError as error:
        _report(Finding(what=What.BLOCKED, facts={"reason": str(error)}))
        return
    tasks = [resolver.resolve_requests, reconciler.reconcile_stale_messages]
    if RECONCILE_UNKNOWN_MESSAGES:
        tasks.append(reconciler.import_untracked_messages)
    for task in tasks:
        try:
            for finding in task(secret, time_left):
                _report(finding)
        except StoreUnavailable as error:
            _report(Finding(what=What.STOPPED, facts={"reason": str(error)}))


def _report(finding: Finding) -> None:
    """A line and a count for each finding; the line has the ids."""
    metric = METRIC_OF[finding.what]
    metrics.add_metric(metric, MetricUnit.Count, 1)
    if finding.recorded is not None:
        count_apart(outcomes, finding.recorded)
    match finding.what:
        case What.BLOCKED | What.AMBIGUOUS:
            log = logger.error
        case What.NOT_FOUND | What.UNCONFIRMED | What.TROUBLE | What.STOPPED:
            log = logger.warning
        case _:
            log = logger.info
    log(metric, extra=dict(finding.facts))


@metrics.log_metrics
def lambda_handler(_event: Any, context: LambdaContext) -> None:
    """EventBridge Scheduler calls this every few minutes."""
    twilio.new_invocation()
    metrics.add_metric("ReconcileRun", MetricUnit.Count, 1)  # also where nothing is found
    reconcile(time_left_of(context))
