"""Stands where API Gateway's public endpoints stand, on a port that is known before the deploy.

    http://127.0.0.1:<port>/twilio/status     CallbackApi's route: the stack's PublicBaseUrl is the
                                              gateway's address
    http://127.0.0.1:<port>/api/...           MessagesApi, for clients that need not know which Host
                                              header the emulator tells its APIs apart by

Everything is passed on as it came. The gateway can be told to misbehave, from Python or over HTTP:

    POST   /_gateway/faults    {"kind": "fail", "status": 503, "times": 2}
    POST   /_gateway/faults    {"kind": "stall", "seconds": 7, "path": "/twilio/status"}
    POST   /_gateway/faults    {"kind": "drop", "times": null, "chance": 0.1}
    GET    /_gateway/faults    those that are still to come
    DELETE /_gateway/faults    behave again
"""

import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final

from sandbox.http_server import HttpServer, NoResponse, Request, Response, forward

MESSAGES_API_PREFIX: Final = "/api"

_FAULTS: Final = "/_gateway/faults"
_WAITS_SECONDS: Final = 30  # the longest integration time-out of an HTTP API
# For each API, since a send may wait for a callback. Lambda would take any number at once, but here
# each more is another process that has to start: a burst waits for its turn instead.
_AT_ONCE: Final = 4


class FaultKind(StrEnum):
    """How a request can go wrong between its sender and the API."""

    FAIL = "fail"
    """Answered with `status`; the function never hears of it."""
    STALL = "stall"
    """Passed on only after `seconds`."""
    DROP = "drop"
    """The connection closes; the function never hears of it."""
    LOSE_ANSWER = "lose_answer"
    """Passed on, and then the connection closes instead of answering."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What happens to the next `times` requests whose path starts with `path`; None is for ever.

    `chance` is the part of these requests that it happens to; the others go on to the next fault.
    """

    kind: FaultKind
    path: str = "/"
    times: int | None = 1
    status: int = HTTPStatus.SERVICE_UNAVAILABLE
    seconds: float = 0.0
    chance: float = 1.0


_FITS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "kind": lambda it: it in list(FaultKind),
    "path": lambda it: isinstance(it, str),
    "times": lambda it: it is None or (_is_number(it, int) and it > 0),
    "status": lambda it: _is_number(it, int) and 200 <= it < 600,  # noqa: PLR2004 -- HTTP's finals
    "seconds": lambda it: _is_number(it, int, float) and it >= 0,
    "chance": lambda it: _is_number(it, int, float) and 0 <= it <= 1,
}
"""What a fault that comes over HTTP can say."""


class Gateway(HttpServer):
    """A server on the loopback interface for as long as it is entered.

    Args:
        port: its own, or 0 for a free one.
        upstream_port: the emulator's.
    """

    def __init__(self, *, port: int, upstream_port: int) -> None:
        super().__init__(port=port, answer=self._answer)
        self._upstream_port = upstream_port
        self._hosts: dict[str, str] = {}
        self._turns: dict[str, threading.Semaphore] = {}
        self._faults: list[Fault] = []
        self._happened: Counter[FaultKind] = Counter()
        self._chances = random.Random()  # noqa: S311 -- decides nothing but which requests fail
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    def open(self, *, callback_host: str, messages_host: str) -> None:
        """Let requests through to the two APIs, known to the emulator by their Host headers."""
        self._turns = {
            prefix: threading.Semaphore(_AT_ONCE) for prefix in (MESSAGES_API_PREFIX, "")
        }
        self._hosts = {MESSAGES_API_PREFIX: messages_host, "": callback_host}

    def misbehave(self, fault: Fault) -> None:
        """Let the fault happen from now on, after those that were asked for before."""
        with self._lock:
            self._faults.append(fault)

    @property
    def faults(self) -> list[Fault]:
        """Those that are still to come."""
        with self._lock:
            return list(self._faults)

    @property
    def happened(self) -> Mapping[FaultKind, int]:
        """How many requests met each kind of fault until now."""
        with self._lock:
            return dict(self._happened)

    def behave(self) -> None:
        """No more faults."""
        with self._lock:
            self._faults.clear()

    def __exit__(self, *error: object) -> None:
        self._stopping.set()
        super().__exit__(*error)

    def _answer(self, request: Request) -> Response | None:
        path = request.target.partition("?")[0]
        if path == _FAULTS:
            return self._administer(request)
        fault = self._next_fault(path)
        if fault is None:
            return self._pass_on(request)
        match fault.kind:
            case FaultKind.FAIL:
                return _json(fault.status, {"message": "The gateway was told to fail."})
            case FaultKind.DROP:
                return None
            case FaultKind.LOSE_ANSWER:
                self._pass_on(request)
                return None
            case FaultKind.STALL:
                self._stopping.wait(fault.seconds)
                return self._pass_on(request)

    def _next_fault(self, path: str) -> Fault | None:
        with self._lock:
            for position, fault in enumerate(self._faults):
                if path.startswith(fault.path) and self._chances.random() < fault.chance:
                    self._happened[fault.kind] += 1
                    if fault.times == 1:
                        del self._faults[position]
                    elif fault.times is not None:
                        self._faults[position] = replace(fault, times=fault.times - 1)
                    return fault
        return None

    def _pass_on(self, request: Request) -> Response:
        for prefix, host in self._hosts.items():
            if request.target.startswith(f"{prefix}/"):
                inner = replace(request, target=request.target.removeprefix(prefix))
                try:
                    with self._turns[prefix]:
                        return forward(
                            inner, port=self._upstream_port, host=host, timeout=_WAITS_SECONDS
                        )
                except NoResponse:
                    # API Gateway's own answer when the integration gives none in time.
                    return _json(HTTPStatus.SERVICE_UNAVAILABLE, {"message": "Service Unavailable"})
        return _json(HTTPStatus.NOT_FOUND, {"message": "Not Found"})

    def _administer(self, request: Request) -> Response:
        match request.method:
            case "POST":
                try:
                    self.misbehave(_fault(json.loads(request.body)))
                except ValueError as error:
                    return _json(HTTPStatus.BAD_REQUEST, {"message": f"Not a fault: {error}"})
            case "DELETE":
                self.behave()
        return _json(HTTPStatus.OK, {"faults": [asdict(fault) for fault in self.faults]})


def _fault(asked: Any) -> Fault:
    """The fault that somebody asks for.

    Raises:
        ValueError: it is none; says why.
    """
    if not isinstance(asked, dict) or "kind" not in asked:
        raise ValueError(f"it needs a kind: {', '.join(FaultKind)}")
    for name, value in asked.items():
        if name not in _FITS:
            raise ValueError(f"there is no {name}, only {', '.join(_FITS)}")
        if not _FITS[name](value):
            raise ValueError(f"{name} cannot be {value!r}")
    return Fault(**{**asked, "kind": FaultKind(asked["kind"])})


def _is_number(value: Any, *kinds: type) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def _json(status: int, content: Any) -> Response:
    return Response(
        status=status,
        headers=[("Content-Type", "application/json")],
        body=json.dumps(content).encode(),
    )
