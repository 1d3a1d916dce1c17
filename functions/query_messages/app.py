"""Returns a message, a list of messages, a send request, the summary or the audit of a day.

Trigger: GET /messages/{message_sid}, GET /messages?…, GET /requests/{request_id},
GET /summary?date=… and GET /audits?on=… on MessagesApi.
Effect: none; it only reads. openapi.yaml describes the responses.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config

from delivery.domain.messages import Message
from delivery.domain.records import Record
from delivery.domain.send_requests import RequestState, SendRequest
from delivery.domain.statuses import Outcome
from delivery.metrics import CountedByFacts
from delivery.runtime import aws
from delivery.runtime.deadline import TimeLeft, time_left_of
from delivery.runtime.http_event import HttpEvent, path_parameter_of, query_of
from delivery.runtime.reports import Level, Report, log_and_count
from delivery.runtime.responses import (
    Problem,
    Response,
    bad_request,
    json_response,
    problem_response,
)
from delivery.storage.audits import AuditStore
from delivery.storage.cursor import TokenInvalid
from delivery.storage.message_lists import MessageList
from delivery.storage.messages import MessageStore
from delivery.storage.send_requests import SendRequestStore
from delivery.storage.table import StoreUnavailable
from delivery.text.identifiers import normalize_message_id
from delivery.twilio.error_codes import Explanation, explain

from .list_query import InvalidQuery, parse_day, parse_list
from .summary import Bounds, Lists, summarize

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# An id in the path may be a phone number, so no error response and no log line quotes it.
_POSSIBLE_KEY: Final = re.compile(r"\w{1,128}")
_MAX_COUNT: Final = 10_000
# Enough to finish a batch of reads and to respond.
_RESERVED_SECONDS: Final = 5
_CONFIG: Final = Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 3})

logger = Logger()
metrics = Metrics(provider=CountedByFacts())
utc_now = partial(datetime.now, UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryMessages:
    """The function, with everything that it works with.

    The summary counts at most `max_count` of each list.
    """

    messages: MessageStore
    send_requests: SendRequestStore
    audits: AuditStore
    now: Callable[[], datetime]
    max_count: int = _MAX_COUNT

    def show_message(self, message_sid: str) -> Response:
        """Return the message; a failed one with the explanation of its failure."""
        message = self.messages.get(message_sid)
        if message is None:
            return problem_response(
                404, "Message not found. Use its SID, or GET /messages?to= with a number."
            )
        return json_response(200, _with_explanation(message))

    def list_messages(self, raw_query: str) -> Response:
        """Return a page of the messages that match one filter, and the filter normalized."""
        try:
            query = parse_list(raw_query)
            page = query.page(self.messages)
        except InvalidQuery as error:
            return bad_request(error.problems)
        except TokenInvalid as error:
            return bad_request([Problem(field="next_token", problem=str(error))])
        body: Record = {
            "filter": {query.filter: query.value},
            "messages": [_with_explanation(message) for message in page.messages],
        }
        return json_response(
            200, body | ({"next_token": page.next_token} if page.next_token else {})
        )

    def show_summary(self, raw_query: str, time_left: TimeLeft) -> Response:
        """Return the counts of a day in UTC (by default today), and of what is unfinished now.

        `complete` is false where a list goes on: each is counted up to `max_count`, and all of them
        as long as the invocation lasts.
        """
        try:
            day = parse_day(raw_query) or self.now().date()
        except InvalidQuery as error:
            return bad_request(error.problems)
        every = self.messages.lists.every
        lists = Lists(
            failed=every(MessageList.failed_on(day)),
            unconfirmed=every(MessageList.unconfirmed_on(day)),
            pending=every(MessageList.pending()),
            unresolved=self.send_requests.unresolved(),
        )
        bounds = Bounds(
            max_count=self.max_count, out_of_time=lambda: time_left() < _RESERVED_SECONDS
        )
        return json_response(200, summarize(day, lists, now=self.now(), bounds=bounds))

    def show_audits(self, raw_query: str) -> Response:
        """Return the results of a day's audit (by default of yesterday), one for each account."""
        try:
            day = parse_day(raw_query, "on") or self.now().date() - timedelta(days=1)
        except InvalidQuery as error:
            return bad_request(error.problems)
        audits = [result.as_record() for result in self.audits.results([day])]
        return json_response(200, {"on": day.isoformat(), "audits": audits})

    def show_request(self, request_id: str) -> Response:
        """Return the state of a request; a callback may show it before the request is resolved."""
        request = self.send_requests.get(request_id)
        if request is not None:
            return json_response(200, self._state_of(request))
        # Invalid input on the queue claims no key; and a failed message outlives its request.
        unsent = self.messages.get(request_id)
        if unsent is None or not unsent.is_request:
            return problem_response(
                404,
                "Request not found. It may still wait in SendQueue, or have ended longer ago than "
                "requests are kept.",
            )
        return json_response(200, _state_of_unsent(unsent))

    def handle(self, event: HttpEvent, context: LambdaContext) -> Response:
        """Handle a request of MessagesApi."""
        try:
            match event["routeKey"]:
                case "GET /messages/{message_sid}":
                    return _by_id(self.show_message, path_parameter_of(event, "message_sid"))
                case "GET /requests/{request_id}":
                    return _by_id(self.show_request, path_parameter_of(event, "request_id"))
                case "GET /summary":
                    return self.show_summary(query_of(event), time_left_of(context))
                case "GET /audits":
                    return self.show_audits(query_of(event))
                case _:
                    return self.list_messages(query_of(event))
        except StoreUnavailable as error:
            logger.error("Table not readable", reason=str(error))
            return problem_response(
                503, "The table could not be read. Retry.", headers={"retry-after": "5"}
            )

    def _state_of(self, request: SendRequest) -> Record:
        state, message_sid = request.state_at(self.now()), request.message_sid
        detail = None
        if state in {RequestState.IN_DOUBT, RequestState.PRESUMED_UNSENT}:
            message = self.messages.sent_under(request)
            if message is not None:
                state, message_sid = RequestState.SENT, message.message_sid
        elif state is RequestState.REJECTED and request.error_code is None:
            unsent = self.messages.get(request.request_id)
            detail = unsent.error_detail if unsent else None
        explanation = explain(request.error_code, state, detail)
        return _request_record(
            request.request_id, state, explanation, request.reference, message_sid
        )


def build(
    environ: Mapping[str, str], dynamodb: "DynamoDBClient", *, now: Callable[[], datetime] = utc_now
) -> QueryMessages:
    """Return the function as these environment variables configure it."""
    return QueryMessages(
        messages=MessageStore(dynamodb, environ["MESSAGES_TABLE"], unreadable=_report_unreadable),
        send_requests=SendRequestStore(
            dynamodb, environ["SEND_REQUESTS_TABLE"], unreadable=_report_unreadable
        ),
        audits=AuditStore(dynamodb, environ["CONTROL_TABLE"], unreadable=_report_unreadable),
        now=now,
    )


def _with_explanation(message: Message) -> Record:
    record = message.as_record()
    if message.outcome is Outcome.FAILED:
        explanation = explain(message.error_code, message.status, message.error_detail)
        record["explanation"] = explanation.as_record()
    return record


def _state_of_unsent(unsent: Message) -> Record:
    """Return the state of a request of which only its failed message is left."""
    state = RequestState.SENT if unsent.is_superseded else RequestState(unsent.status)
    explanation = explain(unsent.error_code, state, unsent.error_detail)
    return _request_record(unsent.message_sid, state, explanation, unsent.reference)


def _request_record(
    request_id: str,
    state: RequestState,
    explanation: Explanation,
    reference: str | None,
    message_sid: str | None = None,
) -> Record:
    is_unsent = state in {RequestState.REJECTED, RequestState.PRESUMED_UNSENT}
    record: Record = {
        "request_id": request_id,
        "state": str(state),
        "message_sid": message_sid,
        "reference": reference,
        "problem": _problem(explanation) if is_unsent else None,
    }
    return {name: fact for name, fact in record.items() if fact is not None}


def _problem(explanation: Explanation) -> Record:
    return {
        "detail": f"{explanation.title}. {explanation.action}",
        "explanation": explanation.as_record(),
    } | ({"error_code": explanation.code} if explanation.code else {})


def _by_id(show: Callable[[str], Response], typed: str) -> Response:
    """Return what has the id as it was typed, or else as Twilio writes it."""
    response = problem_response(404, "Invalid id: expected the SID of a message or a request id.")
    for key in dict.fromkeys((typed, normalize_message_id(typed) or "")):
        if _POSSIBLE_KEY.fullmatch(key):
            response = show(key)
        if response["statusCode"] == HTTPStatus.OK:
            break
    return response


def _report_unreadable(key: str) -> None:
    """Log and count an item that a list skips because this version cannot read it."""
    report = Report(metric="ItemUnreadable", level=Level.ERROR, fields={"key": key})
    log_and_count(report, logger, metrics)
    metrics.flush_metrics()


function = build(os.environ, aws.client("dynamodb", config=_CONFIG))


def lambda_handler(event: HttpEvent, context: LambdaContext) -> Response:
    """API Gateway invokes this for each GET request of MessagesApi."""
    return function.handle(event, context)
