"""Twilio in virtual time: the sandbox's simulator, its callbacks, and the requests to it."""

import base64
import json
import random
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import requests
from urllib3.exceptions import (
    ConnectTimeoutError,
    MaxRetryError,
    NewConnectionError,
    ProtocolError,
)

from delivery.twilio.signature import signature
from sandbox.http_server import Request, Response
from sandbox.twilio.accounts import Account
from sandbox.twilio.callbacks import CallbackAttempt, CallbackResult, Failure
from sandbox.twilio.rest import HeldResponse
from sandbox.twilio.settings import Settings
from sandbox.twilio.simulator import TwilioSimulator
from simulation.calls import CallRejected, Calls, CallTimedOut
from simulation.engine import Engine
from simulation.faults import CALLBACKS, CallFault, TransportFault
from simulation.gateway import Gateway, HttpRequest, HttpResponse

if TYPE_CHECKING:
    from sandbox.twilio.resource import Message

ACCOUNT_SID: Final = "AC" + "1" * 32
AUTH_TOKEN: Final = "the-auth-token"
SUBACCOUNT_SID: Final = "AC" + "2" * 32
SUBACCOUNT_TOKEN: Final = "the-subaccount-token"
_TOKENS: Final = {ACCOUNT_SID: AUTH_TOKEN, SUBACCOUNT_SID: SUBACCOUNT_TOKEN}
_MAX_REPEAT_DELAY: Final = 900.0
_NO_RESPONSE: Final = CallbackResult(failure=Failure.NO_RESPONSE)
_FULL_PAGE: Final = "PageSize=1000"
_EXPIRED_TOKEN: Final = Response(status=400, body=b'{"code": 21481}')


class Twilio:
    """Twilio with an account and its subaccount, and the network between it and the gateway.

    `page_size`: the messages on a page of a day's list. `search_page_size`: those on a page of a
    recipient's list.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        page_size: int,
        search_page_size: int,
        gateway: Gateway,
        calls: Calls,
        engine: Engine,
        draws: random.Random,
    ) -> None:
        self.simulator = TwilioSimulator(
            [
                Account(sid=ACCOUNT_SID, auth_token=AUTH_TOKEN),
                Account(sid=SUBACCOUNT_SID, auth_token=SUBACCOUNT_TOKEN, parent_sid=ACCOUNT_SID),
            ],
            ids=draws,
            settings=settings,
        )
        self.deleted: list[Message] = []
        """Messages that were deleted over the API, as they were before that."""
        self.deletions = 0
        """How many messages were deleted, rejected creations included."""
        self.callbacks = 0
        """How many callbacks Twilio attempted."""
        self._gateway = gateway
        self._calls = calls
        self._engine = engine
        self._wakes_at: float | None = None
        self._page_size = page_size
        self.search_page_size = search_page_size
        self.searches: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        """By invocation and list, the pages of a recipient's list that were requested."""

    def session(self) -> "TwilioSession":
        """Return a substitute for a `requests.Session`."""
        return TwilioSession(self, self._calls, self._engine)

    def create_message(self, form: Mapping[str, str], account_sid: str = ACCOUNT_SID) -> None:
        """Create a message as another program does, not as a call of a function."""
        request = Request(
            method="POST",
            target=f"/2010-04-01/Accounts/{account_sid}/Messages.json",
            headers=[("Authorization", _basic(account_sid, _TOKENS[account_sid]))],
            body=urlencode(form).encode(),
        )
        self.handle(request)

    def handle(self, request: Request) -> Response | None:
        """Handle a request that reached Twilio; None where Twilio breaks the connection."""
        if "DateSent=" in request.query:
            request = _with_page_size(request, self._page_size)
            has_token, faults = "PageToken=" in request.query, self._engine.faults
            if has_token and faults.occurs(TransportFault.EXPIRED, "page token"):
                return _EXPIRED_TOKEN
        elif recipient := dict(parse_qsl(request.query)).get("To"):
            request = _with_page_size(request, self.search_page_size)
            searched = self._engine.loop.running_name, f"{request.path} {recipient}"
            self.searches[searched].add(request.target)
        before = self.simulator.messages() if request.method == "DELETE" else []
        response = self.simulator.handle(request, self._engine.loop.now)
        self.deletions += request.method == "DELETE" and response is not None
        if before:
            left = {message.sid for message in self.simulator.messages()}
            self.deleted += [message for message in before if message.sid not in left]
        event = f"handles {request.method} {request.path.partition('/Accounts/')[2][35:]}"
        answer = "no response" if response is None else (response.status, _summary(response.body))
        self._engine.trace.add("Twilio", event, (request.query, request.body, "->", answer))
        self._wake()
        return response

    def list_of_day(self, account_sid: str, day: date) -> list[dict[str, Any]]:
        """Return what Twilio's list of a day shows now."""
        path = f"/2010-04-01/Accounts/{account_sid}/Messages.json"
        request = Request(
            method="GET",
            target=f"{path}?DateSent={day.isoformat()}&{_FULL_PAGE}",
            headers=[("Authorization", _basic(ACCOUNT_SID, AUTH_TOKEN))],
            body=b"",
        )
        response = self.simulator.handle(request, self._engine.loop.now)
        if response is None or response.status != HTTPStatus.OK:
            raise RuntimeError(f"the simulator does not list {day}: {response}")
        messages: list[dict[str, Any]] = json.loads(response.body)["messages"]
        return messages

    def call_back_late(self, message_sid: str, *, at: float) -> None:
        """Deliver a message's callbacks at a time, lost ones included; responses are discarded."""
        loop, faults = self._engine.loop, self._engine.faults
        for callback in self.simulator.callbacks(message_sid):
            attempt = callback.attempt(_TOKENS[callback.account_sid], loop.now)
            delay = at - loop.seconds + faults.uniform(0, 0.5)
            self._deliver(attempt, delay, lambda _: None)

    def _wake(self) -> None:
        """Schedule the simulator's next step."""
        loop, due = self._engine.loop, self.simulator.next_due()
        if due is None:
            return
        seconds = max(loop.seconds_at(due), loop.seconds)
        if self._wakes_at is None or seconds < self._wakes_at:
            self._wakes_at = seconds
            loop.at(seconds, self._run_due)

    def _run_due(self) -> None:
        if self._wakes_at != self._engine.loop.seconds:
            return  # an earlier step was scheduled meanwhile, which scheduled this one again
        self._wakes_at = None
        for attempt in self.simulator.run_due(self._engine.loop.now):
            self._attempt(attempt)
        self._wake()

    def _attempt(self, attempt: CallbackAttempt) -> None:
        """Perform a callback: it may be lost, delayed or repeated, and its response lost."""
        loop, faults = self._engine.loop, self._engine.faults
        self.callbacks += 1
        query = urlsplit(attempt.url).query
        self._engine.trace.add("Twilio", "calls back", (query, attempt.body))
        record = self._recorder(attempt)
        if faults.is_out(CALLBACKS) or faults.occurs(TransportFault.REQUEST_LOST, "callback"):
            lost = CallbackResult(failure=Failure.CONNECTION_FAILED)
            loop.after(attempt.connect_timeout, lambda: record(lost))
            return
        delay = faults.uniform(0.005, 0.2)
        if faults.occurs(TransportFault.DELAYED, "callback"):
            delay = faults.uniform(0.5, 12)
        if faults.occurs(TransportFault.REPEATED, "callback"):
            self._repeat(attempt)
        self._deliver(
            attempt,
            delay,
            lambda answer: record(CallbackResult(status=answer.status) if answer else _NO_RESPONSE),
        )
        limit = min(attempt.read_timeout, attempt.total_timeout)
        loop.after(limit, lambda: record(_NO_RESPONSE))

    def _recorder(self, attempt: CallbackAttempt) -> Callable[[CallbackResult], object]:
        """Return a function that passes the attempt's first result to Twilio."""
        results: list[CallbackResult] = []

        def record(result: CallbackResult) -> None:
            if results:
                return
            results.append(result)
            details = result.status or result.failure, "to", attempt.body
            self._engine.trace.add("Twilio", "receives", details)
            self.simulator.record_attempt(attempt, result, self._engine.loop.now)
            self._wake()

        return record

    def _repeat(self, attempt: CallbackAttempt) -> None:
        """Deliver the callback once more, perhaps without its code; the response is discarded."""
        faults = self._engine.faults
        latest = faults.uniform(0, 3) if faults.uniform(0, 1) < 0.5 else _MAX_REPEAT_DELAY
        if faults.occurs(TransportFault.WITHOUT_CODE, "callback", share=3):
            attempt = _without_code(attempt)
        self._deliver(attempt, faults.uniform(0, latest), lambda _: None)

    def _deliver(
        self,
        attempt: CallbackAttempt,
        delay: float,
        respond: Callable[[HttpResponse | None], object],
    ) -> None:
        parts = urlsplit(attempt.url)
        request = HttpRequest(
            api=(parts.hostname or "").partition(".")[0],
            method="POST",
            path=parts.path,
            query=parts.query,
            headers=attempt.headers,
            body=attempt.body,
        )
        self._engine.loop.after(delay, lambda: self._gateway.request(request, respond))


class TwilioSession:
    """A `requests.Session` whose requests go to the simulator."""

    def __init__(self, twilio: Twilio, calls: Calls, engine: Engine) -> None:
        self._twilio = twilio
        self._calls = calls
        self._engine = engine

    def mount(self, prefix: str, adapter: object) -> None:
        """Ignore the client's transport adapter."""

    def request(
        self,
        method: str,
        url: str,
        *,
        timeout: tuple[float, float],
        auth: tuple[str, str],
        data: Any = None,
        params: Any = None,
        allow_redirects: bool = False,
    ) -> requests.Response:
        """Perform a request, with its faults."""
        del allow_redirects
        parts = urlsplit(url)
        query = urlencode([*parse_qsl(parts.query), *_pairs(params)])
        request = Request(
            method=method,
            target=f"{parts.path}?{query}",
            headers=[("Authorization", _basic(*auth))],
            body=urlencode(_pairs(data)).encode(),
        )
        faults = self._engine.faults
        connect_timeout, read_timeout = timeout
        try:
            answer = self._calls.perform(
                "twilio",
                lambda: f"{method} {parts.path}",
                lambda: self._twilio.handle(request),
                timeout=read_timeout,
                fault=faults.call_fault("twilio"),
            )
        except CallRejected:
            return self._rejected(url, connect_timeout)
        except CallTimedOut as unknown:
            if unknown.fault is CallFault.RESPONSE_LOST and faults.uniform(0, 1) < 0.3:
                return _response(Response(status=503, body=b"upstream request timeout"))
            raise requests.ReadTimeout(url) from None
        if answer is None:
            raise requests.ConnectionError(ProtocolError("Connection aborted."))
        if isinstance(answer, HeldResponse):
            while not self._twilio.simulator.is_finished(answer.after_callback):
                self._engine.loop.sleep(0.05)
        return _response(answer)

    def _rejected(self, url: str, connect_timeout: float) -> requests.Response:
        """Fail so that provably nothing was sent: no connection, or an error of Twilio's API."""
        match int(self._engine.faults.uniform(0, 4)):
            case 0:
                raise requests.ConnectionError(
                    MaxRetryError(None, url, NewConnectionError(None, "refused"))  # type: ignore[arg-type]  # the pool is not read
                )
            case 1:
                self._engine.loop.sleep(connect_timeout)
                raise requests.ConnectTimeout(
                    MaxRetryError(None, url, ConnectTimeoutError("timed out"))  # type: ignore[arg-type]  # the same
                )
            case 2:
                return _response(Response(status=429, headers=[("Retry-After", "1")]))
            case _:
                return _response(Response(status=401, body=b'{"code": 20003}'))


def _with_page_size(request: Request, size: int) -> Request:
    return replace(request, target=request.target.replace(_FULL_PAGE, f"PageSize={size}"))


def _summary(body: bytes) -> dict[str, Any]:
    """Return what a trace shows of a response."""
    content = json.loads(body) if body.startswith(b"{") else {}
    shown = ("sid", "status", "error_code", "code")
    return {name: content[name] for name in shown if content.get(name)}


def _without_code(attempt: CallbackAttempt) -> CallbackAttempt:
    """Return the callback without its error code, with a valid signature."""
    pairs = parse_qsl(attempt.body.decode(), keep_blank_values=True)
    pairs = [(name, value) for name, value in pairs if name != "ErrorCode"]
    token = _TOKENS[dict(pairs)["AccountSid"]]
    signed = {"X-Twilio-Signature": signature(token, attempt.url, pairs)}
    return replace(attempt, body=urlencode(pairs).encode(), headers={**attempt.headers, **signed})


def _response(answer: Response) -> requests.Response:
    response = requests.Response()
    response.status_code = answer.status
    response.headers.update(answer.headers)
    response._content = answer.body  # noqa: SLF001 -- requests has no public way to set it
    response.encoding = "utf-8"
    return response


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _pairs(parameters: Any) -> list[tuple[str, Any]]:
    """Return the parameters that `requests` takes as a list or as a mapping."""
    if not parameters:
        return []
    return list(parameters.items()) if isinstance(parameters, Mapping) else list(parameters)
