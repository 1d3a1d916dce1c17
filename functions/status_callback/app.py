"""Verifies Twilio's status callbacks and records them.

Trigger: POST /twilio/status on CallbackApi; messages of CallbackQueue.
Effect: a status that Twilio signed is in the MessagesTable, or else in CallbackQueue, before Twilio
gets 204 (promise I1). If neither accepts it the response is 503, so that Twilio retries. Updates in
CallbackQueue are replayed into the table.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config

from delivery.domain.messages import StatusUpdate, Timings
from delivery.metrics import CountedByFacts, count_recorded
from delivery.runtime import aws
from delivery.runtime.http_event import HttpEvent, body_of, header_of, query_of
from delivery.runtime.reports import Level, Report, log_and_count
from delivery.runtime.responses import Response, problem_response
from delivery.storage.callback_queue import CallbackQueue, QueueUnavailable, UpdateUnreadable
from delivery.storage.messages import MessageStore, Recorded
from delivery.storage.table import StoreUnavailable
from delivery.twilio.callback import MAX_BODY_BYTES, Callback, ParameterMissing, parse_form
from delivery.twilio.credentials import SecretInvalid, SecretUnavailable, TwilioSecrets
from delivery.twilio.signature import SignatureInvalid

from . import reports
from .limit import OncePerMinute
from .verification import CallbackVerifier

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient

# Twilio waits five seconds (`rt` in the callback URL), so the function answers within 4.5 s or
# fails. The secret gets one attempt, because a cached one stays in use. If the table hangs for as
# long as it can, there is time for one failed attempt of the queue, but not for two.
FAST_CONFIG: Final = Config(connect_timeout=1, read_timeout=1, retries={"total_max_attempts": 2})
SECRET_CONFIG: Final = FAST_CONFIG.merge(Config(retries={"total_max_attempts": 1}))

_STORED: Final[Response] = {"statusCode": 204}

logger = Logger()
metrics = Metrics(provider=CountedByFacts())
utc_now = partial(datetime.now, UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """The AWS clients of the function."""

    dynamodb: "DynamoDBClient"
    secrets_manager: "SecretsManagerClient"
    sqs: "SQSClient"


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusCallback:
    """The function, with everything that it works with."""

    verifier: CallbackVerifier
    store: MessageStore
    queue: CallbackQueue
    log_limit: OncePerMinute
    now: Callable[[], datetime]

    def receive(self, event: HttpEvent) -> Response:
        """Verify a status callback and store its update."""
        body, signature = body_of(event), header_of(event, "x-twilio-signature")
        if rejection := self._reject_early(event, body, signature):
            return rejection
        parameters = parse_form(body)
        try:
            self.verifier.verify(event, signature, parameters)
            callback = Callback.parse(parameters, raw_query=query_of(event), at=self.now())
        except SignatureInvalid as error:
            self._report_limited(reports.signature_invalid(error), error.cause)
            if reports.has_key_id(error):
                _report(reports.SHARED_KEY_UNKNOWN)
            return _forbidden()
        except ParameterMissing as error:
            _report(reports.malformed(f"no_{error.parameter}"))
            return problem_response(400, str(error))
        except (SecretUnavailable, SecretInvalid) as error:
            self._report_limited(reports.not_stored(error), type(error).__name__)
            return _try_again()
        if callback.is_inbound:
            _report(reports.INBOUND)
            return _STORED
        if callback.dropped_names:
            _report(reports.context_truncated(callback))
        return self.store_update(callback.update)

    def store_update(self, update: StatusUpdate) -> Response:
        """Record a verified update, or else queue it: after a 204 it is durable."""
        try:
            recorded = self.store.record(update)
        except StoreUnavailable as unavailable:
            try:
                self.queue.put(update)
            except QueueUnavailable as error:
                _report(reports.not_stored(error))
                return _try_again()
            _report(reports.queued(update, unavailable))
        else:
            _report_recorded(recorded)
        return _STORED

    def replay_batch(
        self, event: dict[str, Any], context: LambdaContext
    ) -> "PartialItemFailureResponse":
        """Record queued updates; those that fail return to the queue."""
        # Imported on first use: it takes an eighth of a cold start, and callbacks do not need it.
        from aws_lambda_powertools.utilities.batch import (  # noqa: PLC0415 -- only batches need it
            BatchProcessor,
            EventType,
            process_partial_response,
        )

        processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
        return process_partial_response(event, self.replay, processor, context)

    def replay(self, record: "SQSRecord") -> None:
        """Record a queued update; it stays in the queue until that succeeds.

        Raises:
            StoreUnavailable: the queue delivers it again in five minutes.
            UpdateUnreadable: likewise, and at last it moves to the dead-letter queue.
        """
        try:
            update = CallbackQueue.read(record.body)
            recorded = self.store.record(update)
        except (StoreUnavailable, UpdateUnreadable) as error:
            _report(reports.replay_failed(record.message_id, error))
            raise
        _report_recorded(recorded)
        _report(reports.REPLAYED)

    def handle(
        self, event: dict[str, Any], context: LambdaContext
    ) -> "Response | PartialItemFailureResponse":
        """Handle a request of CallbackApi, or a batch of CallbackQueue."""
        match event:
            case {"Records": [{"eventSource": "aws:sqs"}, *_]}:
                return self.replay_batch(event, context)
            case _:
                response = self.receive(event)
                if _is_rejection(response):
                    _report(reports.REJECTED)
                return response

    def _reject_early(self, event: HttpEvent, body: bytes, signature: str) -> Response | None:
        """Return the response to a request that needs no look-up to be rejected."""
        if len(body) > MAX_BODY_BYTES:
            self._report_limited(reports.malformed("too_large"), "too_large")
            return problem_response(413, "A status callback has at most 64 KiB.")
        if not _is_form(event):
            self._report_limited(reports.malformed("not_a_form"), "not_a_form")
            return problem_response(415, "Send application/x-www-form-urlencoded, as Twilio does.")
        if not signature:
            _report(reports.SIGNATURE_MISSING)
            return _forbidden()
        return None

    def _report_limited(self, report: Report, cause: str) -> None:
        """Report what anyone can cause: count it each time, log it once a minute for each cause."""
        _report(report if self.log_limit.take(cause) else replace(report, level=Level.DEBUG))


def _is_form(event: HttpEvent) -> bool:
    media_type, _, _ = header_of(event, "content-type").partition(";")
    return media_type.strip().lower() == "application/x-www-form-urlencoded"


def _is_rejection(response: Response) -> bool:
    return 400 <= int(response["statusCode"]) < 500  # noqa: PLR2004 -- HTTP's client errors


def _forbidden() -> Response:
    return problem_response(403, "The request is not signed by Twilio for this endpoint.")


def _try_again() -> Response:
    return problem_response(503, "The status could not be stored; send it again.")


def _report_recorded(recorded: Recorded) -> None:
    count_recorded(metrics, recorded)
    for report in reports.of_recorded(recorded):
        _report(report)


def _report(report: Report) -> None:
    log_and_count(report, logger, metrics)


def build(
    environ: Mapping[str, str], clients: Clients, *, now: Callable[[], datetime] = utc_now
) -> StatusCallback:
    """Return the function as these environment variables configure it."""
    timings = Timings.of(
        retention_days=environ["MESSAGE_RETENTION_DAYS"],
        reconcile_after_minutes=environ["RECONCILE_AFTER_MINUTES"],
    )
    secrets = TwilioSecrets(
        clients.secrets_manager,
        environ["TWILIO_SECRET_NAME"],
        clock=lambda: now().timestamp(),
        on_invalid=lambda error: _report(reports.secret_invalid(error)),
    )
    log_limit = OncePerMinute(now)
    return StatusCallback(
        verifier=CallbackVerifier(
            secrets=secrets,
            public_base_url=environ["PUBLIC_BASE_URL"].rstrip("/"),
            log_limit=log_limit,
            refresh_limit=OncePerMinute(now),
        ),
        store=MessageStore(clients.dynamodb, environ["MESSAGES_TABLE"], timings),
        queue=CallbackQueue(clients.sqs, environ["CALLBACK_QUEUE_URL"]),
        log_limit=log_limit,
        now=now,
    )


function = build(
    os.environ,
    Clients(
        dynamodb=aws.client("dynamodb", config=FAST_CONFIG),
        secrets_manager=aws.client("secretsmanager", config=SECRET_CONFIG),
        sqs=aws.client("sqs", config=FAST_CONFIG),
    ),
)


@metrics.log_metrics
def lambda_handler(
    event: dict[str, Any], context: LambdaContext
) -> "Response | PartialItemFailureResponse":
    """API Gateway invokes this with a request, and SQS with a batch of CallbackQueue."""
    return function.handle(event, context)
