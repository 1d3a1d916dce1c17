"""Twilio's status-callback target, and what brings a status into the table when that was down.

Trigger: POST /twilio/status on CallbackApi; messages on CallbackQueue.
Effect: a status that Twilio signed is in the MessagesTable, or else in CallbackQueue, before Twilio
gets its 204. What neither takes is answered 503, so that Twilio sends it again.
"""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from time import time
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config

from delivery.domain.messages import Effect, StatusUpdate, Timings
from delivery.metrics import CountedByFacts, count_recorded
from delivery.runtime import aws
from delivery.runtime.http_event import HttpEvent, body_of, header_of, query_of
from delivery.runtime.responses import Response, problem_response
from delivery.storage.callback_queue import CallbackQueue, QueueUnavailable, UpdateUnreadable
from delivery.storage.messages import MessageStore, Recorded
from delivery.storage.table import StoreUnavailable
from delivery.twilio.callback import (
    MAX_BODY_BYTES,
    ParameterMissing,
    account_of,
    parse_form,
    status_update,
)
from delivery.twilio.credentials import SecretInvalid, SecretUnavailable, TwilioSecrets
from delivery.twilio.signature import SignatureFault, SignatureInvalid, verify

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

PATH = "/twilio/status"
PUBLIC_BASE_URL = os.environ["PUBLIC_BASE_URL"].rstrip("/")
LOG_A_CAUSE_EVERY_SECONDS = 60

METRIC_OF = {
    Effect.OUT_OF_ORDER: "OutOfOrderStatusRecorded",
    Effect.ENRICHED: "MessageEnriched",
    Effect.DUPLICATE: "DuplicateReceived",
    Effect.ERASED: "ErasedIgnored",
}

# Twilio waits five seconds for us (`rt` in the callback URL): answer within 4.5, or die. The secret
# gets one try, since an older one serves as well. Where the table hangs for as long as it can, the
# queue may fail once; only if it hangs twice are we late, and then there is nothing good to answer.
IMPATIENT = Config(connect_timeout=1, read_timeout=1, retries={"total_max_attempts": 2})
ONE_TRY = IMPATIENT.merge(Config(retries={"total_max_attempts": 1}))

now = partial(datetime.now, UTC)
logger = Logger()
metrics = Metrics(provider=CountedByFacts())
secrets = TwilioSecrets(
    aws.client("secretsmanager", config=ONE_TRY), os.environ["TWILIO_SECRET_NAME"]
)
store = MessageStore(
    aws.client("dynamodb", config=IMPATIENT),
    os.environ["MESSAGES_TABLE"],
    Timings.of(
        retention_days=os.environ["MESSAGE_RETENTION_DAYS"],
        reconcile_after_minutes=os.environ["RECONCILE_AFTER_MINUTES"],
    ),
)
queue = CallbackQueue(aws.client("sqs", config=IMPATIENT), os.environ["CALLBACK_QUEUE_URL"])
_logged_at: dict[SignatureFault, float] = {}


def receive_status(event: HttpEvent) -> Response:
    """Verify a status callback and keep what it says."""
    body, given = body_of(event), header_of(event, "x-twilio-signature")
    if turned_away := _turned_away(event, body, given):
        return turned_away
    parameters = parse_form(body)
    try:
        auth_tokens = secrets.current().signing_tokens(account_of(parameters))
        verify(given, auth_tokens=auth_tokens, urls=_urls(event), parameters=parameters)
        update = status_update(parameters, raw_query=query_of(event), at=now())
    except SignatureInvalid as wrong:
        _log_refusal(wrong.cause)
        _count("SignatureInvalid")
        return _refused()
    except ParameterMissing as missing:
        _count("CallbackMalformed", cause=f"no_{missing.parameter}")
        return problem_response(400, str(missing))
    except (SecretUnavailable, SecretInvalid) as error:
        return _not_kept(error)
    return keep(update)


def keep(update: StatusUpdate) -> Response:
    """Record a verified update, or have it wait in the queue: with a 204 it is durable."""
    try:
        recorded = store.record(update)
    except StoreUnavailable as error:
        logger.warning("Status not stored", message_sid=update.message_sid, reason=str(error))
    else:
        _count_recorded(recorded)
        return {"statusCode": 204}
    try:
        queue.put(update)
    except QueueUnavailable as error:
        return _not_kept(error)
    _count("CallbackQueued", message_sid=update.message_sid, status=update.status)
    return {"statusCode": 204}


def replay_batch(event: dict[str, Any], context: LambdaContext) -> "PartialItemFailureResponse":
    """Record what waited; each update that cannot be recorded is given back to the queue."""
    # Loaded when first needed: an eighth of a start, for which no callback should wait.
    from aws_lambda_powertools.utilities.batch import (  # noqa: PLC0415 -- only batches need it
        BatchProcessor,
        EventType,
        process_partial_response,
    )

    processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
    return process_partial_response(event, replay, processor, context)


def replay(record: "SQSRecord") -> None:
    """Record an update that waited in the queue; it stays there until that succeeds.

    Raises:
        StoreUnavailable: it comes again in five minutes.
        UpdateUnreadable: it comes again too, and ends among the dead letters.
    """
    try:
        update = CallbackQueue.read(record.body)
        recorded = store.record(update)
    except (StoreUnavailable, UpdateUnreadable) as error:
        logger.error("Status stays queued", queue_message_id=record.message_id, reason=str(error))
        _count("ReplayFailed")
        raise
    _count_recorded(recorded)
    _count("CallbackReplayed")


def _turned_away(event: HttpEvent, body: bytes, given: str) -> Response | None:
    """The answer to what cannot be a status callback of Twilio's, before anything is looked up."""
    if len(body) > MAX_BODY_BYTES:
        _count("CallbackMalformed", cause="too_large")
        return problem_response(413, "A status callback has at most 64 KiB.")
    if not _is_form(event):
        _count("CallbackMalformed", cause="not_a_form")
        return problem_response(415, "Send application/x-www-form-urlencoded, as Twilio does.")
    if not given:
        _count("SignatureMissing")  # Twilio always signs: a stranger, and no news
        return _refused()
    return None


def _is_form(event: HttpEvent) -> bool:
    media_type, _, _ = header_of(event, "content-type").partition(";")
    return media_type.strip().lower() == "application/x-www-form-urlencoded"


def _urls(event: HttpEvent) -> Sequence[str]:
    """Every URL that Twilio may have been given for this endpoint."""
    query = f"?{query_of(event)}" if query_of(event) else ""
    domain = (event.get("requestContext") or {}).get("domainName")
    bases = (PUBLIC_BASE_URL, f"https://{domain}" if domain else "")
    return [f"{base}{PATH}{query}" for base in bases if base]


def _refused() -> Response:
    return problem_response(403, "The request is not signed by Twilio for this endpoint.")


def _log_refusal(cause: SignatureFault) -> None:
    """Say why, but not to everybody who knocks: strangers must not fill the log."""
    now = time()  # a monotonic clock may stand still while the environment is frozen
    if abs(now - _logged_at.get(cause, 0)) >= LOG_A_CAUSE_EVERY_SECONDS:
        _logged_at[cause] = now
        logger.warning("Signature invalid", cause=cause)


def _not_kept(error: Exception) -> Response:
    logger.error("Status not kept", reason=str(error), caused_by=type(error.__cause__).__name__)
    _count("CallbackNotStored")
    return problem_response(503, "The status could not be stored; send it again.")


def _count_recorded(recorded: Recorded) -> None:
    count_recorded(metrics, recorded)
    if recorded.effect in METRIC_OF:
        _count(METRIC_OF[recorded.effect])
    if recorded.error_code_conflict:
        logger.warning(
            "Another error code for a status that has one; the first stays",
            message_sid=recorded.message.message_sid,
            status=recorded.update.status,
            error_code=recorded.update.error_code,
        )
        _count("ErrorCodeConflict")


def _count(metric: str, **facts: object) -> None:
    """Count, with the facts beside it in the same line of the log."""
    metrics.add_metric(metric, MetricUnit.Count, 1)
    for name, fact in facts.items():
        if fact is not None:
            metrics.add_metadata(name, fact)


@metrics.log_metrics
def lambda_handler(
    event: dict[str, Any], context: LambdaContext
) -> "Response | PartialItemFailureResponse":
    """API Gateway calls this for each request of CallbackApi, and SQS with what waited."""
    match event:
        case {"Records": [{"eventSource": "aws:sqs"}, *_]}:
            return replay_batch(event, context)
        case _:
            return receive_status(event)
