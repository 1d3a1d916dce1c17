"""Twilio in virtual time: the simulator's rules, reached by the functions, reporting back to us."""

import base64
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import requests
from urllib3.exceptions import (
    ConnectTimeoutError,
    MaxRetryError,
    NewConnectionError,
    ProtocolError,
)

from delivery.twilio.callback import signature
from sandbox.http_server import Request, Response
from sandbox.twilio.accounts import Account
from sandbox.twilio.callbacks import CallbackAttempt, CallbackResult, Failure
from sandbox.twilio.rest import HeldResponse
from sandbox.twilio.settings import Settings
from sandbox.twilio.simulator import TwilioSimulator
from simulation.calls import Calls, NotRefused, WasRefused
from simulation.faults import CALLBACKS, Fault, Faults, Mishap
from simulation.gateway import Gateway, HttpRequest, HttpResponse
from simulation.trace import Trace
from simulation.virtual_time import Loop

if TYPE_CHECKING:
    from sandbox.twilio.resource import Message

ACCOUNT_SID: Final = "AC" + "1" * 32
AUTH_TOKEN: Final = "the-auth-token"
_LONGEST_WAY: Final = 900.0


class Twilio:
    """One account's Twilio, and the way between it and us."""

    def __init__(
        self,
        *,
        settings: Settings,
        gateway: Gateway,
        calls: Calls,
        loop: Loop,
        faults: Faults,
        trace: Trace,
        draws: random.Random,
    ) -> None:
        self.simulator = TwilioSimulator(
            [Account(sid=ACCOUNT_SID, auth_token=AUTH_TOKEN)], ids=draws, settings=settings
        )
        self.deleted: list[Message] = []
        """As they were when somebody had them deleted."""
        self.callbacks = 0
        self._gateway = gateway
        self._calls = calls
        self._loop = loop
        self._faults = faults
        self._trace = trace
        self._woken_at: float | None = None

    def session(self) -> "TwilioSession":
        """What stands in the place of a `requests.Session`."""
        return TwilioSession(self, self._calls, self._loop, self._faults)

    def create_for_others(self, form: Mapping[str, str]) -> None:
        """Another program of the team's sends, and only sets our StatusCallback."""
        credentials = base64.b64encode(f"{ACCOUNT_SID}:{AUTH_TOKEN}".encode()).decode()
        self.handle(
            Request(
                method="POST",
                target=f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json",
                headers=[("Authorization", f"Basic {credentials}")],
                body=urlencode(form).encode(),
            )
        )

    def handle(self, request: Request) -> Response | None:
        """A request that reached Twilio."""
        before = self.simulator.messages() if request.method == "DELETE" else []
        answer = self.simulator.handle(request, self._loop.now)
        if before:
            left = {message.sid for message in self.simulator.messages()}
            self.deleted += [message for message in before if message.sid not in left]
        said = "no answer" if answer is None else (answer.status, _essence(answer.body))
        asked = f"is asked {request.method} {request.path.rpartition(f'{ACCOUNT_SID}/')[2]}"
        told = request.query, request.body, "->", said
        self._trace.add(self._loop.seconds, "Twilio", asked, told)
        self._wake()
        return answer

    def _wake(self) -> None:
        due = self.simulator.next_due()
        if due is None:
            return
        seconds = max(self._loop.seconds_at(due), self._loop.seconds)
        if self._woken_at is None or seconds < self._woken_at:
            self._woken_at = seconds
            self._loop.at(seconds, self._run_due)

    def _run_due(self) -> None:
        self._woken_at = None
        for attempt in self.simulator.run_due(self._loop.now):
            self._send(attempt)
        self._wake()

    def _send(self, attempt: CallbackAttempt) -> None:
        """Perform a callback: it may be lost, late or repeated, and so may its answer."""
        loop, faults = self._loop, self._faults
        self.callbacks += 1
        query = urlsplit(attempt.url).query
        self._trace.add(loop.seconds, "Twilio", "calls back", (query, attempt.body))
        settle = self._settle_once(attempt)
        if faults.is_out(CALLBACKS, loop.seconds) or faults.happens(
            Mishap.REQUEST_LOST, "callback", loop.seconds
        ):
            lost = CallbackResult(failure=Failure.CONNECTION_FAILED)
            loop.after(attempt.connect_timeout, lambda: settle(lost))
            return
        way = faults.uniform(0.005, 0.2)
        if faults.happens(Mishap.DELAYED, "callback", loop.seconds):
            way = faults.uniform(0.5, 12)
        if faults.happens(Mishap.REPEATED, "callback", loop.seconds):
            self._send_again(attempt)
        self._arrive(attempt, way, lambda response: settle(_result(response)))
        limit = min(attempt.read_timeout, attempt.total_timeout)
        loop.after(limit, lambda: settle(_result(None)))

    def _settle_once(self, attempt: CallbackAttempt) -> Callable[[CallbackResult], object]:
        """Tells Twilio what came of it, unless that has been told."""
        results: list[CallbackResult] = []

        def settle(result: CallbackResult) -> None:
            if results:
                return
            results.append(result)
            heard = result.status or result.failure, "to", attempt.body
            self._trace.add(self._loop.seconds, "Twilio", "hears", heard)
            self.simulator.record_attempt(attempt, result, self._loop.now)
            self._wake()

        return settle

    def _send_again(self, attempt: CallbackAttempt) -> None:
        """The same at some other time, perhaps without its code; nobody waits for the answer."""
        faults = self._faults
        latest = faults.uniform(0, 3) if faults.uniform(0, 1) < 0.5 else _LONGEST_WAY
        if faults.happens(Mishap.WITHOUT_CODE, "callback", self._loop.seconds, share=3):
            attempt = _without_code(attempt)
        self._arrive(attempt, faults.uniform(0, latest), lambda _: None)

    def _arrive(
        self,
        attempt: CallbackAttempt,
        way: float,
        respond: Callable[[HttpResponse | None], object],
    ) -> None:
        parts = urlsplit(attempt.url)
        request = HttpRequest(
            api=(parts.hostname or "").partition(".")[0],
            method=attempt.method,
            path=parts.path,
            query=parts.query,
            headers=attempt.headers,
            body=attempt.body,
        )
        self._loop.after(way, lambda: self._gateway.request(request, respond))


class TwilioSession:
    """A `requests.Session` whose other end is the simulator."""

    def __init__(self, twilio: Twilio, calls: Calls, loop: Loop, faults: Faults) -> None:
        self._twilio = twilio
        self._calls = calls
        self._loop = loop
        self._faults = faults

    def mount(self, prefix: str, adapter: object) -> None:
        """The client's own transport is not needed here."""

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
        """One request, as the faults have it."""
        del allow_redirects
        parts = urlsplit(url)
        given = urlencode([*parse_qsl(parts.query), *_pairs(params)])
        request = Request(
            method=method,
            target=f"{parts.path}?{given}",
            headers=[("Authorization", _basic(*auth))],
            body=urlencode(_pairs(data)).encode(),
        )
        fault = self._faults.of_call("twilio", self._loop.seconds)
        connect_timeout, read_timeout = timeout

        def effect() -> Response | None:
            return self._twilio.handle(request)

        try:
            answer = self._calls.perform(
                "twilio",
                lambda: f"{method} {parts.path}",
                effect,
                timeout=read_timeout,
                fault=fault,
            )
        except WasRefused:
            return self._refused(url, connect_timeout)
        except NotRefused as unknown:
            if unknown.fault is Fault.ANSWER_LOST and self._faults.uniform(0, 1) < 0.3:
                return _response(Response(status=503, body=b"upstream request timeout"))
            raise requests.ReadTimeout(url) from None
        if answer is None:
            raise requests.ConnectionError(ProtocolError("Connection aborted."))
        if isinstance(answer, HeldResponse):
            while not self._twilio.simulator.is_finished(answer.after_callback):
                self._loop.sleep(0.05)
        return _response(answer)

    def _refused(self, url: str, connect_timeout: float) -> requests.Response:
        """Provably nothing left: there is no connection, or Twilio says that it did nothing."""
        match int(self._faults.uniform(0, 4)):
            case 0:
                raise requests.ConnectionError(
                    MaxRetryError(None, url, NewConnectionError(None, "refused"))  # type: ignore[arg-type]  # nobody looks at the pool
                )
            case 1:
                self._loop.sleep(connect_timeout)
                raise requests.ConnectTimeout(
                    MaxRetryError(None, url, ConnectTimeoutError("timed out"))  # type: ignore[arg-type]  # the same
                )
            case 2:
                return _response(Response(status=429, headers=[("Retry-After", "1")]))
            case _:
                return _response(Response(status=401, body=b'{"code": 20003}'))


def _result(response: HttpResponse | None) -> CallbackResult:
    if response is None:
        return CallbackResult(failure=Failure.NO_RESPONSE)
    return CallbackResult(status=response.status)


def _essence(body: bytes) -> dict[str, Any]:
    """What a trace needs of an answer."""
    said = json.loads(body) if body.startswith(b"{") else {}
    return {name: said[name] for name in ("sid", "status", "error_code", "code") if said.get(name)}


def _without_code(attempt: CallbackAttempt) -> CallbackAttempt:
    """The same callback without its error code, signed anew."""
    pairs = parse_qsl(attempt.body.decode(), keep_blank_values=True)
    pairs = [(name, value) for name, value in pairs if name != "ErrorCode"]
    signed = {"X-Twilio-Signature": signature(AUTH_TOKEN, attempt.url, pairs)}
    return replace(attempt, body=urlencode(pairs).encode(), headers={**attempt.headers, **signed})


def _response(answer: Response) -> requests.Response:
    response = requests.Response()
    response.status_code = answer.status
    response.headers.update(answer.headers)
    response._content = answer.body  # noqa: SLF001 -- there is no other way to make one
    response.encoding = "utf-8"
    return response


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _pairs(given: Any) -> list[tuple[str, Any]]:
    """The parameters that `requests` takes as a list or as a mapping."""
    if not given:
        return []
    return list(given.items()) if isinstance(given, Mapping) else list(given)
