"""Twilio's REST API for messages, version 2010-04-01: the routes, and what each does."""

import random
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sandbox.http_server import Request, Response
from sandbox.twilio.accounts import Account, Accounts
from sandbox.twilio.create_request import parse_create_request
from sandbox.twilio.engine import Engine
from sandbox.twilio.errors import ApiError
from sandbox.twilio.listing import DATE_FILTERS, page_document
from sandbox.twilio.parameters import Parameters
from sandbox.twilio.resource import (
    API_VERSION,
    Document,
    Message,
    as_json,
    as_xml,
    message_document,
)
from sandbox.twilio.scenarios import Reply, scenario_for

_INCOMPLETE = frozenset({"accepted", "scheduled", "queued", "sending"})
_REJECTIONS_BEFORE_ACCEPTED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """A request with a known route and valid credentials for its account."""

    request: Request
    account: Account
    sids: Mapping[str, str]
    """The SIDs in the path except the account's, by their names in the route."""
    hex_id: str
    now: datetime

    @property
    def path(self) -> str:
        return self.request.path

    @property
    def form(self) -> Parameters:
        return Parameters.parse(self.request.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldResponse(Response):
    """A response that may leave only when the callback `after_callback` is finished."""

    after_callback: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Result:
    """A document and the XML element that wraps it; without a document, an empty body."""

    status: int = 200
    element: str = "Message"
    document: Document | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    after_callback: int | None = None


type _Endpoint = Callable[[_Call], _Result | None]


class RestApi:
    """Answers requests about messages; the engine runs the scenarios that they start."""

    def __init__(self, accounts: Accounts, engine: Engine, ids: random.Random) -> None:
        self._accounts = accounts
        self._engine = engine
        self._ids = ids
        self._throttled: Counter[tuple[str, ...]] = Counter()
        self._routes: dict[re.Pattern[str], dict[str, _Endpoint]] = {
            _route("Messages"): {"GET": self._list, "POST": self._create},
            _route("Messages/{sid}"): {
                "GET": self._fetch,
                "POST": self._update,
                "DELETE": self._delete,
            },
        }

    def handle(self, request: Request, now: datetime) -> Response | None:
        """Answer a request, in JSON if its path ends in .json, else in XML; None drops it."""
        hex_id = f"{self._ids.getrandbits(128):032x}"
        try:
            result = self._result(request, hex_id, now)
        except ApiError as error:
            result = _error_result(error)
        return None if result is None else _response(result, request, hex_id)

    def _result(self, request: Request, hex_id: str, now: datetime) -> _Result | None:
        self._throttle(request)
        sids, endpoints = self._find_route(request.path)
        account = self._accounts.authenticate(
            sids.pop("account_sid"), request.header("Authorization")
        )
        endpoint = endpoints.get(request.method)
        if endpoint is None:
            raise ApiError(20004, f"Method {request.method} is not allowed on this resource")
        return endpoint(_Call(request=request, account=account, sids=sids, hex_id=hex_id, now=now))

    def _find_route(self, path: str) -> tuple[dict[str, str], Mapping[str, _Endpoint]]:
        for route, endpoints in self._routes.items():
            if found := route.fullmatch(path):
                return found.groupdict(), endpoints
        raise _not_found(path)

    def _throttle(self, request: Request) -> None:
        settings = self._engine.settings
        limit = settings.concurrency_limit
        if settings.throttle_next:
            self._engine.settings = replace(settings, throttle_next=settings.throttle_next - 1)
        if settings.throttle_next or (limit and request.concurrent > limit):
            raise _too_many_requests()

    def _create(self, call: _Call) -> _Result | None:
        try:
            message = parse_create_request(
                call.form,
                account_sid=call.account.sid,
                settings=self._engine.settings,
                sid_hex=call.hex_id,
                now=call.now,
            )
        except ApiError as error:
            self._engine.add_rejected(_rejected_creation(call, error.code))
            raise
        created = _Result(status=201, document=message_document(message))
        scenario = scenario_for(message.to)
        if scenario.reply is Reply.NEVER_ACCEPTED:
            return None
        if scenario.reply is Reply.THROTTLED_TWICE:
            self._throttle_twice(message)
        after_callback = self._engine.start(message, scenario)
        match scenario.reply:
            case Reply.DROPPED:
                return None
            case Reply.ERROR:
                raise ApiError(20500, "An internal server error has occurred")
            case _:
                return replace(created, after_callback=after_callback)

    def _throttle_twice(self, message: Message) -> None:
        sender = message.sender or message.messaging_service_sid or ""
        request = (message.account_sid, message.to, sender, message.body)
        if self._throttled[request] < _REJECTIONS_BEFORE_ACCEPTED:
            self._throttled[request] += 1
            raise _too_many_requests()
        del self._throttled[request]

    def _list(self, call: _Call) -> _Result:
        visible_since = call.now - timedelta(seconds=self._engine.settings.list_lag_seconds)
        parameters = Parameters.parse(call.request.query)
        by_date = any(parameters.one(name) for name in DATE_FILTERS)
        listed = self._engine.listed_by_date if by_date else self._engine.listed
        messages = [
            message
            for message in reversed(listed(call.account.sid))
            if message.created <= visible_since
        ]
        page = page_document(messages, parameters, uri=call.path)
        return _Result(element="Messages", document=page)

    def _fetch(self, call: _Call) -> _Result:
        return _Result(document=message_document(self._message(call)))

    def _update(self, call: _Call) -> _Result:
        message = self._message(call)
        form = call.form
        if form.one("Body"):
            raise ApiError(20422, "Body can only be emptied.")
        if "Status" in form:
            message = self._cancel(message, call)
        if "Body" in form:
            message = replace(message, body="", updated=call.now)
            self._engine.update(message)
        return _Result(document=message_document(message))

    def _cancel(self, message: Message, call: _Call) -> Message:
        if call.form.one("Status") != "canceled":
            raise ApiError(20422, "Status can only be set to canceled.")
        if message.status != "scheduled":
            raise ApiError(30409, f"Message cannot be canceled: it is {message.status}.")
        return self._engine.cancel(message, call.now)

    def _delete(self, call: _Call) -> _Result:
        message = self._message(call)
        if message.status in _INCOMPLETE:
            raise ApiError(20009, "Cannot delete this resource before it is complete.")
        self._engine.delete(message.sid)
        return _Result(status=204)

    def _message(self, call: _Call) -> Message:
        message = self._engine.message(call.sids["sid"])
        if message is None or message.account_sid != call.account.sid:
            raise _not_found(call.path)
        return message


def _route(path: str) -> re.Pattern[str]:
    """Compile a path below an account; names in braces match SIDs, and it may end in a format."""
    sids = re.sub(r"{(\w+)}", r"(?P<\1>[^/.]+)", f"Accounts/{{account_sid}}/{path}")
    return re.compile(rf"/{re.escape(API_VERSION)}/{sids}(\.json|\.xml)?")


def _not_found(path: str) -> ApiError:
    return ApiError(20404, f"The requested resource {path} was not found")


def _rejected_creation(call: _Call, code: int) -> Message:
    """Return a request that was answered with HTTP 400 as Twilio lists it: as a failed message.

    Source: https://support.twilio.com/hc/en-us/articles/21923437804315 (since April 2024)
    """
    form = call.form
    return Message(
        sid=f"SM{call.hex_id}",
        account_sid=call.account.sid,
        to=form.one("To") or "",
        sender=form.one("From"),
        messaging_service_sid=form.one("MessagingServiceSid"),
        body=form.one("Body") or "",
        status="failed",
        created=call.now,
        updated=call.now,
        num_segments=0,
        error_code=code,
    )


def _too_many_requests() -> ApiError:
    return ApiError(20429, "Too Many Requests")


def _error_result(error: ApiError) -> _Result:
    challenge = {"WWW-Authenticate": 'Basic realm="Twilio API"'} if error.code == 20003 else {}  # noqa: PLR2004 -- Twilio's code for invalid credentials
    return _Result(
        status=error.status,
        element="RestException",
        document=error.document,
        headers=challenge,
    )


def _response(result: _Result, request: Request, hex_id: str) -> Response:
    """Build the response, with the headers of public captures."""
    headers = {
        "Twilio-Concurrent-Requests": str(request.concurrent),
        "Twilio-Request-Id": "RQ" + hex_id,
        "Twilio-Request-Duration": "0.143",
        "X-Home-Region": "us1",
        "X-API-Domain": "api.twilio.com",
        "X-Powered-By": "AT-5000",
        "X-Shenanigans": "none",
        "Strict-Transport-Security": "max-age=31536000",
        "Access-Control-Allow-Origin": "*",
        **result.headers,
    }
    body = b""
    is_json = request.path.endswith(".json")
    if result.document is not None:
        headers["Content-Type"] = "application/json" if is_json else "application/xml"
        body = as_json(result.document) if is_json else as_xml(result.element, result.document)
    response = Response(status=result.status, headers=list(headers.items()), body=body)
    if result.after_callback is None:
        return response
    return HeldResponse(
        status=response.status,
        headers=response.headers,
        body=body,
        after_callback=result.after_callback,
    )
