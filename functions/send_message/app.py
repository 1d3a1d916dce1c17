"""Sends messages through Twilio, and cancels scheduled ones.

Trigger: POST /messages, POST /messages/batch and POST /messages/{message_sid}/cancel on
MessagesApi; messages on SendQueue; direct invocation with the bare request.
Effect: a message at Twilio, whose status callbacks come to this stack, and its first status in the
MessagesTable. What may have been sent is never sent again. A batch is only put into SendQueue.
"""

import os
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import requests
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config

from delivery.domain.messages import Timings
from delivery.domain.send_requests import RequestState
from delivery.metrics import CountedByFacts, count_apart
from delivery.runtime import aws
from delivery.runtime.deadline import TimeLeft, time_left_of
from delivery.runtime.http_event import HttpEvent, body_of, header_of, path_parameter_of
from delivery.runtime.responses import Response, problem_response
from delivery.storage.callback_queue import CallbackQueue
from delivery.storage.messages import MessageStore
from delivery.storage.send_requests import SendRequestStore
from delivery.storage.table import StoreUnavailable
from delivery.twilio.client import TwilioClient
from delivery.twilio.credentials import SecretError, TwilioSecrets

from .batch import MAX_BATCH_BYTES, RequestQueuer
from .rate_limit_store import RateLimitStore
from .rate_limiter import Reservations, SenderRateLimiter
from .reports import Report, report_of, report_of_batch, report_of_cancel
from .responses import answer_for, answer_for_batch, answer_for_cancel, direct_answer
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
)
from .send_queue import SendQueue
from .sending import MessageSender, unsent_request_id

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch import BatchProcessor
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

TIMINGS = Timings.of(
    retention_days=os.environ["MESSAGE_RETENTION_DAYS"],
    reconcile_after_minutes=os.environ["RECONCILE_AFTER_MINUTES"],
)
SENDER_SEGMENTS_PER_SECOND = float(os.environ["SENDER_SEGMENTS_PER_SECOND"])
# What follows Twilio's answer must fit into the seconds that TwilioClient reserves for it.
BRIEF = Config(connect_timeout=1, read_timeout=1, retries={"total_max_attempts": 2})

now = partial(datetime.now, UTC)
logger = Logger()
metrics = Metrics()
outcomes = Metrics(provider=CountedByFacts())  # a line of its own for each message
dynamodb = aws.client("dynamodb", config=BRIEF)
sqs = aws.client("sqs", config=BRIEF)
twilio = TwilioClient(requests.Session(), os.environ["TWILIO_API_BASE_URL"])
secrets = TwilioSecrets(
    aws.client("secretsmanager", config=BRIEF), os.environ["TWILIO_SECRET_NAME"]
)
sender = MessageSender(
    secrets=secrets,
    twilio=twilio,
    store=MessageStore(dynamodb, os.environ["MESSAGES_TABLE"], TIMINGS),
    requests=SendRequestStore(dynamodb, os.environ["SEND_REQUESTS_TABLE"]),
    backlog=CallbackQueue(sqs, os.environ["CALLBACK_QUEUE_URL"]),
    timings=TIMINGS,
    requests_kept_for=timedelta(days=float(os.environ["IDEMPOTENCY_KEY_RETENTION_DAYS"])),
    status_callback_url=os.environ["STATUS_CALLBACK_URL"],
    stores_body=os.environ["STORE_MESSAGE_BODY"] == "true",
    now=now,
)
send_queue = SendQueue(sqs, os.environ["SEND_QUEUE_URL"])
queuer = RequestQueuer(secrets=secrets, queue=send_queue, now=now)
pacer = (
    SenderRateLimiter(
        store=RateLimitStore(dynamodb, os.environ["CONTROL_TABLE"]),
        queue=send_queue,
        secrets=secrets,
        per_second=SENDER_SEGMENTS_PER_SECOND,
        now=now,
    )
    if SENDER_SEGMENTS_PER_SECOND
    else None
)


class StaysQueued(Exception):
    """Nothing was sent: SQS delivers the queue's message again."""


def answer_request(event: HttpEvent, time_left: TimeLeft) -> Response:
    """Do what a request of MessagesApi asks for."""
    match event["routeKey"]:
        case "POST /messages":
            sent = sender.send_json(body_of(event), key=_key(event), time_left=time_left)
            _report_sent(sent)
            return answer_for(sent)
        case "POST /messages/batch":
            return answer_batch(event, time_left)
        case "POST /messages/{message_sid}/cancel":
            message_sid = path_parameter_of(event, "message_sid")
            canceled = sender.cancel(message_sid, time_left=time_left)
            _report(report_of_cancel(canceled, message_sid))
            _count_end(canceled)
            return answer_for_cancel(canceled)
        case _:
            _count("RequestInvalid")
            return problem_response(
                404,
                "There is POST /messages, POST /messages/batch and "
                "POST /messages/{message_sid}/cancel.",
            )


def answer_batch(event: HttpEvent, time_left: TimeLeft) -> Response:
    """Put each message of `{"messages": [...]}` into SendQueue that can be sent.

    202 with `{"results": [...], "queued": n, "invalid": m}`; for each message, in their order,
    `{"request_id", "queued": true}` or `{"problems": [{"field", "problem"}, ...]}`. 503 with the
    same and `not_queued` where some may not be in the queue: their results have `queued` false, and
    the `idempotency_key` under which it is safe to ask for them again.
    """
    body = body_of(event)
    if len(body) > MAX_BATCH_BYTES:
        _count("RequestInvalid")
        most = f"{MAX_BATCH_BYTES // 1024**2} MiB"
        return problem_response(
            413, f"The batch is too large: {most} is the most. Make several of it."
        )
    queued = queuer.queue_json(body, key=_key(event), time_left=time_left)
    if isinstance(queued, Batch):
        _report(report_of_batch(queued))
        _count("RequestInvalid", queued.invalid)
        _count("RequestNotQueued", queued.not_queued)
    else:
        _report_sent(queued)
    return answer_for_batch(queued)


def answer_directly(document: object, context: LambdaContext) -> dict[str, Any]:
    """Do what somebody asks who invoked the function, without an API between."""
    # Lambda repeats a failed asynchronous invocation under the same request id.
    key = context.aws_request_id
    sent = sender.send(document, key=key, time_left=time_left_of(context))
    _report_sent(sent)
    return direct_answer(answer_for(sent))


def take_batch(event: dict[str, Any], context: LambdaContext) -> "PartialItemFailureResponse":
    """Send what the messages of SendQueue ask for; those that were not sent stay there."""
    # Loaded when first needed: no caller of the API should wait for it.
    from aws_lambda_powertools.utilities.batch import (  # noqa: PLC0415 -- only batches need it
        BatchProcessor,
        EventType,
        process_partial_response,
    )
    from aws_lambda_powertools.utilities.data_classes import SQSEvent  # noqa: PLC0415 -- only batches need it

    turns = None
    records = event["Records"]
    if pacer is not None:
        try:
            turns = pacer.turns(SQSEvent(event).records, time_left=time_left_of(context))
        except (StoreUnavailable, SecretError) as error:
            _count("SendUnavailable", len(records))
            logger.warning("SendUnavailable", reason=str(error))
            return {"batchItemFailures": [{"itemIdentifier": it["messageId"]} for it in records]}
        records = turns.in_order(records)
    processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
    take = partial(take_from_queue, turns=turns)
    failures = process_partial_response({"Records": records}, take, processor, context)
    _report_unforeseen(processor)
    return failures


def take_from_queue(
    record: "SQSRecord", lambda_context: LambdaContext, *, turns: Reservations | None
) -> None:
    """Send what a message of SendQueue asks for, when it is its turn.

    It stays there only if nothing was sent.

    Raises:
        StaysQueued: it may be tried again, or somebody is posting it right now.
        StoreUnavailable: it was refused, and nobody would ever learn of that.
    """
    key = record.message_id
    if turns and not turns.wait_for(key):
        _count("SendDeferred")
        raise StaysQueued("it waits for its turn")
    sent = sender.send_json(record.body, key=key, time_left=time_left_of(lambda_context))
    facts = {"queue_message_id": key}
    if isinstance(sent, Invalid | IdempotencyConflict | Rejected):
        facts["request_id"] = unsent_request_id(sent, key)
    _report_sent(sent, **facts)
    match sent:
        case ServiceUnavailable():
            if sent.throttled and turns:
                turns.throttled(key, sent.retry_after)
            raise StaysQueued(sent.reason)
        case Unresolved(state=RequestState.IN_PROGRESS):
            raise StaysQueued("it is being sent right now")
        case Invalid() | IdempotencyConflict() | Rejected():
            count_apart(outcomes, sender.record_unsent_request(sent, key=key))


def _key(event: HttpEvent) -> str | None:
    return header_of(event, "idempotency-key").strip() or None


def _report_sent(sent: SendResult, **facts: object) -> None:
    report = report_of(sent)
    if isinstance(sent, Accepted) and not (sent.stored or sent.queued):
        _count("MessageNotStored")
        logger.error("Message sent, but not stored", extra=dict(report.facts))
    _report(report, **facts)
    _count_end(sent)


def _report(report: Report, **facts: object) -> None:
    """A line for each unit of work, and a count."""
    log = logger.info if report.is_good else logger.warning
    _count(report.metric, report.number)
    log(report.metric, extra={**report.facts, **facts})


def _report_unforeseen(processor: "BatchProcessor") -> None:
    """Say what Powertools keeps to itself: an error of ours, by whose fault a message stays."""
    for kind, _, _ in processor.exceptions:
        if kind not in {StaysQueued, StoreUnavailable}:
            logger.error("Queue message not handled", error=str(kind))


def _count_end(result: SendResult | CancelResult) -> None:
    """Count a message that ends with Twilio's answer; callbacks tell what becomes of the others."""
    if isinstance(result, Accepted) and result.recorded and result.recorded.outcome_changed:
        count_apart(outcomes, result.recorded)


def _count(metric: str, number: int = 1) -> None:
    if number:
        metrics.add_metric(metric, MetricUnit.Count, number)


@metrics.log_metrics(raise_on_empty_metrics=False)
def lambda_handler(
    event: Any, context: LambdaContext
) -> "Response | dict[str, Any] | PartialItemFailureResponse":
    """API Gateway calls this, SQS with a batch, and whoever invokes the function itself."""
    twilio.new_invocation()
    match event:
        case {"version": "2.0", "routeKey": str()}:
            return answer_request(event, time_left_of(context))
        case {"Records": [{"eventSource": "aws:sqs"}, *_]}:
            return take_batch(event, context)
        case _:
            return answer_directly(event, context)
