"""Makes the examples of answers, by the code that answers."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from delivery.domain.audits import AuditResult, AuditState, Correction
from delivery.domain.messages import Message, Source, StatusUpdate, Timings
from delivery.domain.records import Record
from delivery.domain.send_requests import RequestState, SendRequest
from delivery.runtime.responses import Problem, Response, bad_request, problem_response
from delivery.twilio.error_codes import explain
from functions.query_messages.summary import Bounds, Lists, summarize
from functions.send_message import responses
from functions.send_message.results import (
    Batch,
    IdempotencyConflict,
    Invalid,
    MessageNotFound,
    Queued,
    Rejected,
    ServiceUnavailable,
    Unresolved,
)

from .inputs import NEXT_PAGE, NUMBER, SENDER

_ACCOUNT_SID: Final = "AC" + "0" * 32
_MESSAGE_SID: Final = "SM" + "1" * 32
_OTHER_SID: Final = "SM" + "2" * 32
_REQUEST_ID: Final = "rq_" + "3" * 32
_OTHER_REQUEST_ID: Final = "rq_" + "4" * 32
_NOON: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)
_DAY: Final = date(2026, 11, 23)

type Samples = Mapping[str, Any]
"""Bodies by the names of the examples."""


def answer_samples() -> Mapping[str, Mapping[int, Samples]]:
    """Return the bodies of answers by the operation and the HTTP status."""
    unavailable = ServiceUnavailable(reason="Twilio throttles requests")
    not_readable = {
        "table_unavailable": _body(problem_response(503, "The table could not be read. Retry."))
    }
    rejected = Rejected(code=21211, request_id=_REQUEST_ID)
    conflict = IdempotencyConflict(request_id=_REQUEST_ID)
    unsent = Unresolved(request_id=_REQUEST_ID, state=RequestState.PRESUMED_UNSENT)
    in_doubt = Unresolved(request_id=_REQUEST_ID, state=RequestState.IN_DOUBT)
    too_late = {"invalid_day": _body(bad_request([_invalid("date", "must be a day in UTC")]))}
    return {
        "sendMessage": {
            200: {"duplicate_request": _sent().as_record()},
            201: {"accepted": _sent().as_record()},
            202: {"in_doubt": _body(responses.send_response(in_doubt))},
            400: {"invalid": _body(responses.send_response(_invalid_request()))},
            409: {
                "other_content": _body(responses.send_response(conflict)),
                "presumed_unsent": _body(responses.send_response(unsent)),
            },
            422: {"rejected": _body(responses.send_response(rejected))},
            503: {"throttled": _body(responses.send_response(unavailable))},
        },
        "queueMessages": {
            202: {"queued": _body(responses.batch_response(_batch(confirmed=True)))},
            400: {"not_a_batch": _body(responses.batch_response(_not_a_batch()))},
            413: {"too_large": _body(responses.batch_too_large())},
            503: {"not_queued": _body(responses.batch_response(_batch(confirmed=False)))},
        },
        "cancelMessage": {
            200: {"canceled": _canceled().as_record()},
            404: {"unknown": _body(responses.cancel_response(MessageNotFound()))},
            422: {"too_late": _body(responses.cancel_response(Rejected(code=30409)))},
            503: {"throttled": _body(responses.cancel_response(unavailable))},
        },
        "getMessage": {
            200: {"delivered": _delivered().as_record(), "failed": _explained(failed_message())},
            404: {"unknown": _body(problem_response(404, "Message not found."))},
            503: not_readable,
        },
        "listMessages": {
            200: {
                "page": {
                    "filter": {"to": NUMBER},
                    "messages": [_delivered().as_record()],
                    "next_token": NEXT_PAGE,
                }
            },
            400: {
                "two_filters": _body(
                    bad_request([_invalid("failed_on", "cannot be combined with to")])
                )
            },
            503: not_readable,
        },
        "getRequest": {
            200: {
                "sent": {
                    "request_id": _REQUEST_ID,
                    "state": str(RequestState.SENT),
                    "message_sid": _MESSAGE_SID,
                    "reference": "order-4711",
                },
                "in_doubt": {"request_id": _REQUEST_ID, "state": str(RequestState.IN_DOUBT)},
            },
            404: {"unknown": _body(problem_response(404, "Request not found."))},
            503: not_readable,
        },
        "getSummary": {200: {"day": _summary()}, 400: too_late, 503: not_readable},
        "getAudits": {
            200: {"day": {"on": _DAY.isoformat(), "audits": [_audit().as_record()]}},
            400: {"invalid_day": _body(bad_request([_invalid("on", "must be a day in UTC")]))},
            503: not_readable,
        },
    }


def failed_message() -> Message:
    """Return a message that failed."""
    return _sent().apply(_update("undelivered", seconds=2, error_code=30003), Timings())


def _update(status: str, *, seconds: float = 0, **facts: Any) -> StatusUpdate:
    return StatusUpdate(
        message_sid=_MESSAGE_SID,
        status=status,
        at=_NOON + timedelta(seconds=seconds),
        source=Source.CALLBACK if seconds else Source.SEND,
        **facts,
    )


def _sent(**facts: Any) -> Message:
    update = _update(
        "queued",
        account_sid=_ACCOUNT_SID,
        to=NUMBER,
        from_=SENDER,
        request_id=_REQUEST_ID,
        reference="order-4711",
        context={"shop": "7"},
        num_segments="1",
    )
    return Message.from_first_update(replace(update, **facts), Timings())


def _delivered() -> Message:
    delivered = _update("delivered", seconds=2, price="-0.00790", price_unit="USD")
    return _sent().apply(_update("sent", seconds=1), Timings()).apply(delivered, Timings())


def _canceled() -> Message:
    scheduled = _sent(status="scheduled", send_at=_NOON + timedelta(hours=6))
    return scheduled.apply(_update("canceled", seconds=60), Timings())


def _explained(message: Message) -> Record:
    return {**message.as_record(), "explanation": explain(message.error_code).as_record()}


def _invalid_request() -> Invalid:
    return Invalid(problems=(_invalid("to", "must be a number in E.164 form"),))


def _not_a_batch() -> Invalid:
    return Invalid(problems=(_invalid("messages", "must be a list of 1 to 1000 messages"),))


def _batch(*, confirmed: bool) -> Batch:
    first = Queued(request_id=_REQUEST_ID, key="campaign-7:0", confirmed=True)
    second = Queued(request_id=_OTHER_REQUEST_ID, key="campaign-7:1", confirmed=confirmed)
    return Batch(results=(first, second, _invalid_request()))


def _summary() -> Record:
    pending = replace(_sent(), message_sid=_OTHER_SID)
    in_doubt = SendRequest(
        request_id=_OTHER_REQUEST_ID,
        claim_id="",
        state=RequestState.IN_DOUBT,
        claimed_at=_NOON,
        lease_until=_NOON + timedelta(seconds=29),
    )
    lists = Lists(
        failed=[failed_message()], unconfirmed=[], pending=[pending], unresolved=[in_doubt]
    )
    bounds = Bounds(max_count=10_000, out_of_time=lambda: False)
    return summarize(_DAY, lists, now=_NOON + timedelta(minutes=5), bounds=bounds)


def _audit() -> AuditResult:
    return AuditResult(
        account_sid=_ACCOUNT_SID,
        day=_DAY,
        state=AuditState.FIRST,
        messages=1200,
        known=1198,
        corrected={Correction.STATUS: 2, Correction.PRICE: 1190},
        corrected_messages=1190,
        priced=1190,
        unknown=2,
        spend={"USD": Decimal("9.40100")},
        updated_at=_NOON + timedelta(hours=18),
    )


def _invalid(field: str, problem: str) -> Problem:
    return Problem(field=field, problem=problem)


def _body(response: Response) -> Any:
    return json.loads(response["body"])
