"""Describes what MessagesApi answers: the schemas by their names in the document."""

from collections.abc import Mapping
from typing import Final

from delivery.domain import audits, messages
from delivery.domain.audits import AuditResult, Correction, Difference
from delivery.domain.messages import Message, Transition
from delivery.domain.send_requests import RequestState
from delivery.domain.statuses import MessageStatus
from delivery.runtime.responses import Problem
from delivery.twilio.error_codes import Category
from functions.query_messages.list_query import FILTERS
from functions.send_message.batch import MAX_MESSAGES

from .inputs import batch_request, send_request
from .schema import Schema, Texts, of_dataclass, of_object, of_words, reference

_TEXT: Final[Schema] = {"type": "string"}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_FLAG: Final[Schema] = {"type": "boolean"}
_TIME: Final[Schema] = {"type": "string", "format": "date-time"}
_DAY: Final[Schema] = {"type": "string", "format": "date"}
_COUNTS: Final[Schema] = {"type": "object", "additionalProperties": _COUNT}

_MESSAGE: Final[Texts] = {
    "message_sid": "Twilio's SID of the message; of a queued request that became no message, its "
    "`request_id`.",
    "account_sid": "The Twilio account.",
    "messaging_service_sid": "The messaging service.",
    "request_id": "The id of the send request.",
    "to": "The recipient.",
    "from": "The sender.",
    "reference": "Your own id, as sent.",
    "context": "Your own name-value pairs: as sent, and from the query of status callbacks.",
    "body": "The text, only if the parameter `StoreMessageBody` is on.",
    "send_at": "When the message is to be sent, as sent.",
    "status": "Twilio's status with the highest rank so far; or `rejected` or `presumed_unsent` "
    "for a request that became no message.",
    "outcome": "What the status means. `superseded`: a request that was kept as `rejected` or "
    "`presumed_unsent` and was sent after all; its message has the rest.",
    "error_code": "Twilio's error code, while `outcome` is `failed`.",
    "error_detail": "What Twilio or the channel reported with the failure, numbers and email "
    "addresses masked. For a `rejected` request without `error_code`: the invalid fields with "
    "their problems, or that its key was used with other content.",
    "transitions": "Every distinct status once, in the order of arrival.",
    "created_at": "When the message was created, or else the time of the first update.",
    "updated_at": "The time of the last update.",
    "final_at": "When the outcome was reached.",
    "num_segments": "The number of segments, as Twilio's API last returned it.",
    "price": "The price, as Twilio's API last returned it: negative for a charge.",
    "price_unit": "The currency of the price.",
    "notice": "The state of the failure notice.",
    "notice_id": "The id of the failure notice; one that begins with `inc_` is the incident that "
    "counts the message.",
    "expires_at": "When the message is deleted, in seconds since 1970.",
}
_TRANSITION: Final[Texts] = {
    "status": "Twilio's word, also one that this version does not know.",
    "at": "When it arrived.",
    "source": "Where it was learned: the response to a send, a callback, Twilio's API, an audit.",
    "error_code": "The error code that came with it.",
    "carrier_time": "Twilio's RawDlrDoneDate, unchanged: YYMMDDhhmm without a time zone.",
}
_EXPLANATION: Final[Texts] = {
    "title": "What went wrong.",
    "category": "What kind of failure it is, and thereby who has to act.",
    "retryable": "Whether sending the same message again later, once or twice, can succeed.",
    "action": "What to do.",
}
_AUDIT: Final[Texts] = {
    "account_sid": "The Twilio account.",
    "day": "The day (UTC).",
    "state": "`partial`: audited by hand less than 6 hours after the end of the day; `first`: 6 "
    "hours after it; `final`: 4 days after it; `running`: not read to its end yet; `failed`: "
    "Twilio rejected the list, and the next run tries again.",
    "messages": "Outbound messages in Twilio's list.",
    "known": "Those that the table has.",
    "corrected": "Corrections of this audit by kind: " + ", ".join(f"`{it}`" for it in Correction),
    "corrected_messages": "Messages that have a correction.",
    "priced": "Listed messages with a price.",
    "imported": "Messages that were imported.",
    "rejected_creations": "Listed requests that Twilio answered with HTTP 400.",
    "unknown": "Messages that the table does not know.",
    "differences": "What differs and was not written, by reason: "
    + ", ".join(f"`{it}`" for it in Difference),
    "difference_sids": f"Up to {audits.MAX_DIFFERENCE_SIDS} SIDs for each reason.",
    "spend": "The sum of the listed prices by currency; a charge is positive.",
    "updated_at": "When the result was stored.",
}
_PROBLEM: Final[Texts] = {
    "title": "The phrase of the status.",
    "status": "The HTTP status.",
    "detail": "What is wrong, and how to fix it.",
}
_PROBLEM_MEMBERS: Final[Mapping[str, Schema]] = {
    "title": _TEXT,
    "status": {"type": "integer"},
    "detail": _TEXT,
}
_REQUEST_ID: Final = "The id of the send request."
_NO_MESSAGE: Final = frozenset({RequestState.REJECTED, RequestState.PRESUMED_UNSENT})


def answer_schemas() -> dict[str, Schema]:
    """Return the schemas of the document by their names."""
    return {
        "SendRequest": send_request(),
        "BatchRequest": batch_request(),
        "Message": _message(),
        "Transition": of_dataclass(Transition, _TRANSITION, types={}),
        "Explanation": _explanation(),
        "SentMessage": of_object(
            {"message_sid": _TEXT, "request_id": _TEXT},
            {"message_sid": "Twilio's SID of the message.", "request_id": _REQUEST_ID},
            required=["message_sid", "request_id"],
        ),
        "UnresolvedRequest": of_object(
            {
                "request_id": _TEXT,
                "state": of_words([RequestState.IN_PROGRESS, RequestState.IN_DOUBT]),
            },
            {"request_id": _REQUEST_ID, "state": "`in_doubt`: the message may have been sent."},
            required=["request_id", "state"],
        ),
        "RequestState": _request_state(),
        "MessagePage": _message_page(),
        "BatchResult": _batch_result(),
        "BatchResults": _batch_results(
            {},
            {},
            not_queued={"type": "integer", "enum": [0]},
            not_queued_text="How many messages SQS did not confirm.",
        ),
        "Summary": _summary(),
        "AuditResults": of_object(
            {"on": _DAY, "audits": {"type": "array", "items": reference("AuditResult")}},
            {"on": "The day (UTC).", "audits": "One result for each account."},
            required=["on", "audits"],
        ),
        "AuditResult": of_dataclass(AuditResult, _AUDIT, without=audits.INTERNAL_FIELDS, types={}),
        "FieldProblem": of_dataclass(
            Problem,
            {
                "field": "The field, parameter, or header; `?` if its name may be a value.",
                "problem": "A text that continues the name, and holds the fix. It quotes no value.",
            },
            types={},
        ),
        "Problem": _problem({}, {}),
        "InvalidRequest": _problem(
            {"problems": {"type": "array", "items": reference("FieldProblem"), "minItems": 1}},
            {"problems": "Every problem of the request."},
            required=["problems"],
        ),
        "KeyConflict": _problem(
            {"request_id": _TEXT, "state": of_words([RequestState.PRESUMED_UNSENT])},
            {
                "request_id": "The id of the send request that holds the key.",
                "state": "Present if the key was used with the same content: its request is "
                "presumed unsent, and is never sent again under the key.",
            },
            required=["request_id"],
        ),
        "Rejection": _problem(
            {
                "error_code": {"type": "integer"},
                "explanation": reference("Explanation"),
                "request_id": _TEXT,
            },
            {
                "error_code": "Twilio's error code.",
                "explanation": "Why Twilio rejected it, and whether a retry makes sense.",
                "request_id": _REQUEST_ID,
            },
            required=["explanation"],
        ),
        "BatchNotQueued": _batch_results(
            _PROBLEM_MEMBERS,
            _PROBLEM,
            not_queued={"type": "integer", "minimum": 1},
            not_queued_text="How many messages SQS did not confirm. They may be queued all the "
            "same, so retry them under their keys only.",
        ),
        "GatewayError": of_object(
            {"message": {"type": ["string", "null"]}},
            {"message": "What API Gateway reports. The function did not answer."},
            required=["message"],
        ),
    }


def _message() -> Schema:
    message = of_dataclass(
        Message,
        _MESSAGE,
        without=messages.INTERNAL_FIELDS,
        optional={"context"},
        types={
            "status": of_words(MessageStatus),
            "transitions": {"type": "array", "items": reference("Transition"), "minItems": 1},
        },
    )
    explanation = {
        **reference("Explanation"),
        "description": "Why it failed. In responses of `GET` routes, while `outcome` is `failed`.",
    }
    return {**message, "properties": {**message["properties"], "explanation": explanation}}


def _explanation() -> Schema:
    schemas = {"title": _TEXT, "category": of_words(Category), "retryable": _FLAG, "action": _TEXT}
    return of_object(schemas, _EXPLANATION, required=list(schemas))


def _request_state() -> Schema:
    problem = of_object(
        {
            "detail": _TEXT,
            "explanation": reference("Explanation"),
            "error_code": {"type": "integer"},
        },
        {
            "detail": "Why no message was sent, and what to do.",
            "explanation": "The same for programs.",
            "error_code": "Twilio's error code.",
        },
        required=["detail", "explanation"],
    )
    return of_object(
        {
            "request_id": _TEXT,
            "state": of_words(RequestState),
            "message_sid": _TEXT,
            "reference": _TEXT,
            "problem": problem,
        },
        {
            "request_id": _REQUEST_ID,
            "state": "`in_doubt`: the outcome is unknown, and the stack looks for evidence; "
            "`presumed_unsent`: no evidence was found in time.",
            "message_sid": "Twilio's SID of the message, once it is known.",
            "reference": "Your own id, as sent.",
            "problem": "Present in the states "
            + " and ".join(f"`{state}`" for state in RequestState if state in _NO_MESSAGE)
            + ".",
        },
        required=["request_id", "state"],
    )


def _message_page() -> Schema:
    filters = {"type": "object", "properties": dict.fromkeys(FILTERS, _TEXT)}
    return of_object(
        {
            "filter": {**filters, "minProperties": 1, "maxProperties": 1},
            "messages": {"type": "array", "items": reference("Message")},
            "next_token": _TEXT,
        },
        {
            "filter": "The filter with its normalized value.",
            "messages": "The messages of the page.",
            "next_token": "Leads to the next page. The last page has none.",
        },
        required=["filter", "messages"],
    )


def _batch_result() -> Schema:
    queued = of_object(
        {"request_id": _TEXT, "queued": {"type": "boolean", "enum": [True]}},
        {"request_id": _REQUEST_ID, "queued": "The message is in the queue."},
        required=["request_id", "queued"],
    )
    unconfirmed = of_object(
        {
            "request_id": _TEXT,
            "queued": {"type": "boolean", "enum": [False]},
            "idempotency_key": _TEXT,
        },
        {
            "request_id": _REQUEST_ID,
            "queued": "SQS did not confirm that the message is in the queue.",
            "idempotency_key": "The key under which it is safe to send the message again.",
        },
        required=["request_id", "queued", "idempotency_key"],
    )
    invalid = of_object(
        {
            "problems": {
                "type": "array",
                "items": reference("FieldProblem"),
                "minItems": 1,
                "maxItems": 10,
            }
        },
        {"problems": "The first problems of an invalid message."},
        required=["problems"],
    )
    return {"oneOf": [queued, unconfirmed, invalid]}


def _batch_results(
    more: Mapping[str, Schema], texts: Texts, *, not_queued: Schema, not_queued_text: str
) -> Schema:
    results = {
        "type": "array",
        "items": reference("BatchResult"),
        "minItems": 1,
        "maxItems": MAX_MESSAGES,
    }
    counts = {"queued": _COUNT, "invalid": _COUNT, "not_queued": not_queued}
    schemas = {**more, "results": results, **counts}
    return of_object(
        schemas,
        {
            **texts,
            "results": "The result of each message, in their order.",
            "queued": "How many messages are in the queue.",
            "invalid": "How many messages are invalid.",
            "not_queued": not_queued_text,
        },
        required=list(schemas),
    )


def _summary() -> Schema:
    reason = of_object(
        {
            "error_code": {"type": ["integer", "null"]},
            "count": _COUNT,
            "category": of_words(Category),
            "title": _TEXT,
        },
        {
            "error_code": "Twilio's error code; null without one.",
            "count": "How many messages failed with it.",
            "category": "The category of the failure.",
            "title": "What went wrong.",
        },
        required=["error_code", "count", "category", "title"],
    )
    parts: Mapping[str, tuple[str, Mapping[str, Schema], Texts, set[str]]] = {
        "failed": (
            "Messages that failed on the day and are still failed.",
            {
                "by_category": {
                    "type": "object",
                    "propertyNames": {"enum": list(map(str, Category))},
                    "additionalProperties": _COUNT,
                },
                "by_error_code": {"type": "array", "items": reason},
                "by_sender": _COUNTS,
            },
            {
                "by_category": "Counts by category.",
                "by_error_code": "Counts by error code, the most frequent first.",
                "by_sender": "Counts by number or messaging service; `others` has the rest.",
            },
            set(),
        ),
        "unconfirmed": (
            "Messages that became unconfirmed on the day and still are.",
            {"by_sender": _COUNTS},
            {"by_sender": "Counts by number or messaging service; `others` has the rest."},
            set(),
        ),
        "pending": (
            "Messages without an outcome now.",
            {"by_age": _COUNTS},
            {"by_age": "Counts by age."},
            set(),
        ),
        "in_doubt": (
            "Send requests whose outcome is unknown now.",
            {"oldest_at": _TIME},
            {"oldest_at": "When the oldest one was sent."},
            {"oldest_at"},
        ),
    }
    counted: dict[str, Schema] = {
        name: of_object(
            {"count": _COUNT, "complete": _FLAG, **schemas},
            {"count": "How many.", "complete": "Whether all were counted.", **texts},
            required=["count", "complete", *(it for it in schemas if it not in optional)],
        )
        for name, (_, schemas, texts, optional) in parts.items()
    }
    return of_object(
        {"date": _DAY, "at": _TIME, "complete": _FLAG, **counted},
        {
            "date": "The day (UTC).",
            "at": "When it was counted.",
            "complete": "Whether all lists were counted to their ends.",
            **{name: text for name, (text, *_) in parts.items()},
        },
        required=["date", "at", "complete", *parts],
    )


def _problem(
    more: Mapping[str, Schema], texts: Texts, *, required: list[str] | None = None
) -> Schema:
    return of_object(
        {**_PROBLEM_MEMBERS, **more},
        {**_PROBLEM, **texts},
        required=[*_PROBLEM_MEMBERS, *(required or [])],
    )
