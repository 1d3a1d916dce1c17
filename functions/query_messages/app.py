"""The truth about a message, about many, or about a request to send one, in one request.

Trigger: GET /messages/{message_sid}, GET /messages?…, GET /requests/{request_id} and
GET /summary?date=… on MessagesApi.
Effect: none; it only reads.
"""

import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config

from delivery.domain.messages import Message
from delivery.domain.records import Record
from delivery.domain.send_requests import RequestState, SendRequest
from delivery.domain.statuses import Outcome
from delivery.runtime import aws
from delivery.runtime.deadline import TimeLeft, time_left_of
from delivery.runtime.http_event import HttpEvent, path_parameter_of, query_of
from delivery.runtime.responses import (
    Problem,
    Response,
    bad_request,
    json_response,
    problem_response,
)
from delivery.storage.cursor import TokenInvalid
from delivery.storage.message_lists import MessageList
from delivery.storage.messages import MessageStore
from delivery.storage.send_requests import SendRequestStore
from delivery.storage.table import StoreUnavailable
from delivery.text.identifiers import normalize_message_id
from delivery.twilio.error_codes import explain

from .list_query import InvalidQuery, parse_day, parse_list
from .summary import Bounds, Lists, summarize

# What people ask for may be a phone number: it is in no error answer and no line of the log.
_MAY_BE_A_KEY = re.compile(r"\w{1,128}")

MAX_COUNTED = 10_000
# What is left for reading on to the end of a batch, and for the answer.
ANSWERS_WITHIN_SECONDS = 5

now = partial(datetime.now, UTC)
logger = Logger()
dynamodb = aws.client(
    "dynamodb", config=Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 3})
)
store = MessageStore(dynamodb, os.environ["MESSAGES_TABLE"])
requests = SendRequestStore(dynamodb, os.environ["SEND_REQUESTS_TABLE"])


def show_message(message_sid: str) -> Response:
    """The message as it is now; one that failed is explained."""
    message = store.get(message_sid)
    if message is None:
        return problem_response(
            404, "No such message is known here; ask by its SID, or GET /messages?to= a number."
        )
    return json_response(200, _shown(message))


def list_messages(raw_query: str) -> Response:
    """The messages that answer one question, page by page.

    {"question": the one that was understood, e.g. {"to": "+15558675310"}; "messages": each as
    GET /messages/{message_sid} shows it; "next_token": leads to the next page, absent on the last}
    """
    try:
        question = parse_list(raw_query)
        page = question.ask(store)
    except InvalidQuery as invalid:
        return bad_request(invalid.problems)
    except TokenInvalid as invalid:
        return bad_request([Problem(field="next_token", problem=str(invalid))])
    listed: Record = {
        "question": {question.about: question.value},
        "messages": [_shown(message) for message in page.messages],
    }
    return json_response(200, listed | ({"next_token": page.next_token} if page.next_token else {}))


def show_summary(raw_query: str, time_left: TimeLeft) -> Response:
    """A day in UTC, today where none is named, in numbers, and what is open right now.

    {"date", "at": when it was counted, "complete",
    "failed": on that day and still, {"count", "complete", "by_category": {category: count},
    "by_error_code": [{"error_code" (null where there is none), "count", "category", "title"}],
    "by_sender": {number or messaging service: count}}, all with the most first,
    "unconfirmed": given up on that day, {"count", "complete", "by_sender"},
    "pending": right now, {"count", "complete", "by_age": {"scheduled", "under_1_hour",
    "1_to_24_hours", "over_24_hours"}},
    "in_doubt": requests, right now, {"count", "complete", "oldest_at" if there is one}}

    Where `complete` is false there is more than was counted: each list is counted up to
    `MAX_COUNTED`, and all of them for as long as the invocation lasts.
    """
    try:
        day = parse_day(raw_query) or now().date()
    except InvalidQuery as invalid:
        return bad_request(invalid.problems)
    lists = Lists(
        failed=store.lists.every(MessageList.failed_on(day)),
        unconfirmed=store.lists.every(MessageList.unconfirmed_on(day)),
        pending=store.lists.every(MessageList.pending()),
        unresolved=requests.unresolved(),
    )
    bounds = Bounds(most=MAX_COUNTED, out_of_time=lambda: time_left() < ANSWERS_WITHIN_SECONDS)
    return json_response(200, summarize(day, lists, now=now(), bounds=bounds))


def show_request(request_id: str) -> Response:
    """What became of a request: also of one whose function died, as far as callbacks tell."""
    request = requests.get(request_id)
    if request is not None:
        return json_response(200, _state_of(request))
    # Bad input on the queue claims nothing; and what became no message outlives its request.
    kept = store.get(request_id)
    if kept is None or not kept.is_request:
        return problem_response(
            404,
            "No such request is known here: it may still wait in SendQueue, or have ended so long "
            "ago that it is forgotten.",
        )
    return json_response(200, _kept(kept))


def _shown(message: Message) -> Record:
    record = message.as_record()
    if message.outcome is Outcome.FAILED:
        record["explanation"] = explain(message.error_code, message.status).as_record()
    return record


def _state_of(request: SendRequest) -> Record:
    state, message_sid = request.state_at(now()), request.message_sid
    if state in {RequestState.IN_DOUBT, RequestState.PRESUMED_UNSENT}:
        message = store.sent_under(request.request_id, request.to, request.sent_since)
        if message is not None:
            state, message_sid = RequestState.SENT, message.message_sid
    return _request_shown(
        request.request_id, state, request.error_code, request.reference, message_sid=message_sid
    )


def _kept(message: Message) -> Record:
    """What is known of a request by what became no message; which one it was sent as is not."""
    state = RequestState.SENT if message.is_superseded else RequestState(message.status)
    return _request_shown(message.message_sid, state, message.error_code, message.reference)


def _request_shown(
    request_id: str,
    state: RequestState,
    error_code: int | None,
    reference: str | None,
    *,
    message_sid: str | None = None,
) -> Record:
    ended = state in {RequestState.REJECTED, RequestState.PRESUMED_UNSENT}
    shown: Record = {
        "request_id": request_id,
        "state": str(state),
        "message_sid": message_sid,
        "reference": reference,
        "problem": _problem(error_code, state) if ended else None,
    }
    return {name: fact for name, fact in shown.items() if fact is not None}


def _problem(error_code: int | None, state: RequestState) -> Record:
    explained = explain(error_code, state)
    return {
        "detail": f"{explained.title}. {explained.action}",
        "explanation": explained.as_record(),
    } | ({"error_code": error_code} if error_code else {})


def _by_id(show: Callable[[str], Response], asked: str) -> Response:
    """What is shown of an id as it is asked for, or else of what Twilio would spell so."""
    shown = problem_response(404, "That is no id; messages are known by their SID.")
    for spelled in dict.fromkeys((asked, normalize_message_id(asked) or "")):
        if _MAY_BE_A_KEY.fullmatch(spelled):
            shown = show(spelled)
        if shown["statusCode"] == HTTPStatus.OK:
            break
    return shown


def lambda_handler(event: HttpEvent, context: LambdaContext) -> Response:
    """API Gateway calls this for each GET of MessagesApi."""
    try:
        match event["routeKey"]:
            case "GET /messages/{message_sid}":
                return _by_id(show_message, path_parameter_of(event, "message_sid"))
            case "GET /requests/{request_id}":
                return _by_id(show_request, path_parameter_of(event, "request_id"))
            case "GET /summary":
                return show_summary(query_of(event), time_left_of(context))
            case _:
                return list_messages(query_of(event))
    except StoreUnavailable as error:
        logger.error("Not read", reason=str(error))
        return problem_response(
            503, "It could not be read; ask again.", headers={"retry-after": "5"}
        )
