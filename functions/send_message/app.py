"""Sends messages through Twilio, and cancels scheduled ones.

Trigger: POST /messages, POST /messages/batch and POST /messages/{message_sid}/cancel on
MessagesApi; messages on SendQueue; direct invocations with the JSON of one request.
Effect: a message at Twilio whose status callbacks come to this stack, and its first status in the
MessagesTable. A request that may have been sent is never sent again (promise I5). A batch is put
into SendQueue.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import requests
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config

from delivery.domain.messages import Timings
from delivery.domain.send_requests import RequestState
from delivery.metrics import CountedByFacts, count_apart
from delivery.runtime import aws
from delivery.runtime.deadline import TimeLeft, time_left_of
from delivery.runtime.http_event import HttpEvent, body_of, optional_header_of, path_parameter_of
from delivery.runtime.reports import Report, log_and_count
from delivery.runtime.responses import Response
from delivery.storage.callback_queue import CallbackQueue
from delivery.storage.messages import MessageStore
from delivery.storage.send_requests import SendRequestStore
from delivery.storage.table import StoreUnavailable
from delivery.twilio.client import TwilioClient
from delivery.twilio.credentials import SecretError, TwilioSecrets

from . import reports, responses
from .batch import MAX_BATCH_BYTES, RequestQueuer
from .cancellation import MessageCanceler
from .context import SendContext
from .rate_limit_store import RateLimitStore
from .rate_limiter import Reservations, SenderRateLimiter
from .recorder import MessageRecorder
from .request import valid_facts
from .request_ids import unsent_request_id
from .results import (
    Accepted,
    Batch,
    CancelResult,
    IdempotencyConflict,
    Invalid,
    Rejected,
    SendResult,
    ServiceUnavailable,
    Unresolved,
    Unsent,
)
from .send_queue import SendQueue
from .sending import MessageSender

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch import BatchProcessor
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient

# What follows Twilio's answer must fit into the seconds that TwilioClient reserves for it.
_CONFIG: Final = Config(connect_timeout=1, read_timeout=1, retries={"total_max_attempts": 2})

logger = Logger()
metrics = Metrics(provider=CountedByFacts())
outcome_metrics = Metrics(provider=CountedByFacts())  # one line for each message
utc_now = partial(datetime.now, UTC)


class RequestNotSent(Exception):
    """Nothing was sent: SQS delivers the queue message again."""


class RequestFailed(Exception):
    """A direct invocation that sent nothing: an asynchronous one goes to its failure destination.

    The text holds the status, and the detail or the invalid fields with their problems.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """The AWS clients of the function, and Twilio's."""

    dynamodb: "DynamoDBClient"
    sqs: "SQSClient"
    secrets_manager: "SecretsManagerClient"
    twilio: TwilioClient


@dataclass(frozen=True, slots=True, kw_only=True)
class SendMessage:
    """The function, with everything that it works with."""

    sender: MessageSender
    canceler: MessageCanceler
    queuer: RequestQueuer
    recorder: MessageRecorder
    rate_limiter: "SenderRateLimiter | None"
    twilio: TwilioClient

    def handle(
        self, event: Any, context: LambdaContext
    ) -> "Response | dict[str, Any] | PartialItemFailureResponse":
        """Handle an event of API Gateway, of SQS, or of a direct invocation."""
        self.twilio.new_invocation()
        match event:
            case {"version": "2.0", "routeKey": str()}:
                return self.answer_request(event, time_left_of(context))
            case {"Records": [{"eventSource": "aws:sqs"}, *_]}:
                return self.send_queued(event, context)
            case _:
                return self.send_directly(event, context)

    def answer_request(self, event: HttpEvent, time_left: TimeLeft) -> Response:
        """Return the response to a request of MessagesApi."""
        match event["routeKey"]:
            case "POST /messages":
                sent = self.sender.send_json(body_of(event), key=_key(event), time_left=time_left)
                _report(sent, reports.of_send(sent))
                return responses.send_response(sent)
            case "POST /messages/batch":
                return self.queue_batch(event, time_left)
            case "POST /messages/{message_sid}/cancel":
                message_sid = path_parameter_of(event, "message_sid")
                canceled = self.canceler.cancel(message_sid, time_left=time_left)
                _report(canceled, [reports.of_cancel(canceled, message_sid)])
                return responses.cancel_response(canceled)
            case _:
                log_and_count(reports.invalid_request(["route"]), logger, metrics)
                return responses.route_not_found()

    def queue_batch(self, event: HttpEvent, time_left: TimeLeft) -> Response:
        """Put the valid messages of `{"messages": [...]}` into SendQueue.

        Returns 202 with `{"results": [...], "queued": n, "invalid": m, "not_queued": 0}`. The
        results are in the order of the messages: `{"request_id", "queued": true}` or
        `{"problems": [{"field", "problem"}, ...]}`. If SQS did not confirm some messages, returns
        the same with 503, and `not_queued` counts them: their results have `"queued": false`, and
        the `idempotency_key` under which it is safe to send them again.
        """
        body = body_of(event)
        if len(body) > MAX_BATCH_BYTES:
            log_and_count(reports.invalid_request(["request"]), logger, metrics)
            return responses.batch_too_large()
        queued = self.queuer.queue_json(body, key=_key(event), time_left=time_left)
        found = reports.of_batch(queued) if isinstance(queued, Batch) else reports.of_send(queued)
        for report in found:
            log_and_count(report, logger, metrics)
        return responses.batch_response(queued)

    def send_directly(self, document: object, context: LambdaContext) -> dict[str, Any]:
        """Return the response to a direct invocation.

        Raises:
            RequestFailed: nothing was sent, and the document has `raise_on_error`.
        """
        raises = False
        if isinstance(document, dict) and "raise_on_error" in document:
            raises = document["raise_on_error"] not in (None, False)
            document = {name: it for name, it in document.items() if name != "raise_on_error"}
        # Lambda retries a failed asynchronous invocation under the same request id.
        key = context.aws_request_id
        sent = self.sender.send(document, key=key, time_left=time_left_of(context))
        _report(sent, reports.of_send(sent))
        response = responses.direct_response(responses.send_response(sent))
        if raises and response["status_code"] >= HTTPStatus.BAD_REQUEST:
            raise RequestFailed(responses.failure_of(response))
        return response

    def send_queued(
        self, event: dict[str, Any], context: LambdaContext
    ) -> "PartialItemFailureResponse":
        """Send the messages of a batch of SendQueue; return those that stay in the queue."""
        # Imported when first needed: callers of the API should not wait for it.
        from aws_lambda_powertools.utilities.batch import (  # noqa: PLC0415 -- only batches need it
            BatchProcessor,
            EventType,
            process_partial_response,
        )
        from aws_lambda_powertools.utilities.data_classes import SQSEvent  # noqa: PLC0415 -- only batches need it

        reservations = None
        records = event["Records"]
        if self.rate_limiter is not None:
            try:
                reservations = self.rate_limiter.reserve(
                    SQSEvent(event).records, time_left=time_left_of(context)
                )
            except (StoreUnavailable, SecretError) as error:
                report = reports.queue_batch_unavailable(len(records), str(error))
                log_and_count(report, logger, metrics)
                return {
                    "batchItemFailures": [{"itemIdentifier": it["messageId"]} for it in records]
                }
            records = reservations.in_order(records)
        processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
        send = partial(self.send_queue_message, reservations=reservations)
        failures = process_partial_response({"Records": records}, send, processor, context)
        _log_unexpected(processor)
        return failures

    def send_queue_message(
        self,
        record: "SQSRecord",
        lambda_context: LambdaContext,
        *,
        reservations: Reservations | None,
    ) -> None:
        """Send the message that an entry of SendQueue describes, at its slot.

        Raises:
            RequestNotSent: nothing was sent, or the request is in progress; it can be tried again.
            StoreUnavailable: it was rejected, and the rejection is not known to be stored.
        """
        key = record.message_id
        if reservations and not reservations.wait_for_slot(key):
            log_and_count(reports.deferred(key), logger, metrics)
            raise RequestNotSent("the rate limiter deferred it")
        sent = self.sender.send_json(record.body, key=key, time_left=time_left_of(lambda_context))
        fields = {"queue_message_id": key}
        if isinstance(sent, Invalid | IdempotencyConflict | Rejected):
            fields["request_id"] = unsent_request_id(sent, valid_facts(record.body), key)
        _report(sent, reports.of_send(sent, **fields))
        match sent:
            case ServiceUnavailable():
                if sent.throttled and reservations:
                    reservations.pause_sender_of(key, sent.retry_after)
                raise RequestNotSent(sent.reason)
            case Unresolved(state=RequestState.IN_PROGRESS):
                raise RequestNotSent("another invocation is sending it")
            case Invalid() | IdempotencyConflict() | Rejected():
                self._record_unsent(sent, record)

    def _record_unsent(self, unsent: Unsent, record: "SQSRecord") -> None:
        # The same each time that the queue delivers the message.
        queued_at = datetime.fromtimestamp(int(record.attributes.sent_timestamp) / 1000, UTC)
        recorded = self.recorder.record_unsent_request(
            unsent, record.body, key=record.message_id, requested_at=queued_at
        )
        count_apart(outcome_metrics, recorded)


def _key(event: HttpEvent) -> str | None:
    key = optional_header_of(event, "idempotency-key")
    return None if key is None else key.strip()


def _report(result: SendResult | CancelResult, found: Iterable[Report]) -> None:
    for report in found:
        log_and_count(report, logger, metrics)
    # A message may reach its outcome with Twilio's answer; otherwise callbacks bring it.
    if isinstance(result, Accepted) and result.recorded and result.recorded.outcome_changed:
        count_apart(outcome_metrics, result.recorded)


def _log_unexpected(processor: "BatchProcessor") -> None:
    """Log unexpected errors, which Powertools does not: their messages stay in the queue."""
    for kind, _, _ in processor.exceptions:
        if kind not in {RequestNotSent, StoreUnavailable}:
            logger.error("Queue message not handled", error=str(kind))


def build(
    environ: Mapping[str, str], clients: Clients, *, now: Callable[[], datetime] = utc_now
) -> SendMessage:
    """Return the function as these environment variables configure it."""
    timings = Timings.of(
        retention_days=environ["MESSAGE_RETENTION_DAYS"],
        reconcile_after_minutes=environ["RECONCILE_AFTER_MINUTES"],
    )
    context = SendContext(
        secrets=TwilioSecrets(clients.secrets_manager, environ["TWILIO_SECRET_NAME"]),
        twilio=clients.twilio,
        messages=MessageStore(clients.dynamodb, environ["MESSAGES_TABLE"], timings),
        requests=SendRequestStore(clients.dynamodb, environ["SEND_REQUESTS_TABLE"]),
        backlog=CallbackQueue(clients.sqs, environ["CALLBACK_QUEUE_URL"]),
        timings=timings,
        requests_kept_for=timedelta(days=float(environ["IDEMPOTENCY_KEY_RETENTION_DAYS"])),
        stores_body=environ["STORE_MESSAGE_BODY"] == "true",
        now=now,
    )
    recorder = MessageRecorder(context)
    queue = SendQueue(clients.sqs, environ["SEND_QUEUE_URL"])
    per_second = float(environ["SENDER_SEGMENTS_PER_SECOND"])
    rate_limiter = SenderRateLimiter(
        store=RateLimitStore(clients.dynamodb, environ["CONTROL_TABLE"]),
        queue=queue,
        secrets=context.secrets,
        per_second=per_second,
        now=now,
    )
    return SendMessage(
        sender=MessageSender(context, recorder, status_callback_url=environ["STATUS_CALLBACK_URL"]),
        canceler=MessageCanceler(context, recorder),
        queuer=RequestQueuer(context, queue),
        recorder=recorder,
        rate_limiter=rate_limiter if per_second else None,
        twilio=clients.twilio,
    )


function = build(
    os.environ,
    Clients(
        dynamodb=aws.client("dynamodb", config=_CONFIG),
        sqs=aws.client("sqs", config=_CONFIG),
        secrets_manager=aws.client("secretsmanager", config=_CONFIG),
        twilio=TwilioClient(requests.Session(), os.environ["TWILIO_API_BASE_URL"]),
    ),
)


@metrics.log_metrics(raise_on_empty_metrics=False)
def lambda_handler(
    event: Any, context: LambdaContext
) -> "Response | dict[str, Any] | PartialItemFailureResponse":
    """API Gateway, SQS, and direct invocations call this."""
    return function.handle(event, context)
