"""Stands in for API Gateway's public endpoints, on a port that is known before the deploy.

    http://127.0.0.1:<port>/twilio/status     the route of CallbackApi; the stack's PublicBaseUrl is
                                              the gateway's URL
    http://127.0.0.1:<port>/api/...           MessagesApi, without the Host header by which the
                                              emulator distinguishes its APIs

Requests are passed on unchanged. Faults can be injected, from Python or over HTTP:

    POST   /_gateway/faults    {"kind": "fail", "status": 503, "times": 2}
    POST   /_gateway/faults    {"kind": "stall", "seconds": 7, "path": "/twilio/status"}
    POST   /_gateway/faults    {"kind": "drop", "times": null, "chance": 0.1}
    GET    /_gateway/faults    the faults that are still to occur
    DELETE /_gateway/faults    remove all faults
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

_FAULTS_PATH: Final = "/_gateway/faults"
_TIMEOUT_SECONDS: Final = 30  # the maximum integration timeout of an HTTP API
# For each API, because a send may wait for a callback. Lambda would run any number at once, but
# here each one more is a process to start: requests of a burst wait instead.
_MAX_CONCURRENT_REQUESTS: Final = 4


class FaultKind(StrEnum):
    """What goes wrong with a request between its sender and the API."""

    FAIL = "fail"
    """The gateway responds with `status`; the function is not invoked."""
    STALL = "stall"
    """The request is passed on after `seconds`."""
    DROP = "drop"
    """The connection closes; the function is not invoked."""
    LOSE_RESPONSE = "lose_response"
    """The request is passed on, and the connection closes without a response."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault for the next `times` requests to paths that begin with `path`; None for all.

    `chance` is the probability of the fault for each of these requests. Requests that it spares are
    open to the next fault.
    """

    kind: FaultKind
    path: str = "/"
    times: int | None = 1
    status: int = HTTPStatus.SERVICE_UNAVAILABLE
    seconds: float = 0.0
    chance: float = 1.0


_IS_VALID: Final[Mapping[str, Callable[[Any], bool]]] = {
    "kind": lambda value: value in list(FaultKind),
    "path": lambda value: isinstance(value, str),
    "times": lambda value: value is None or (_is_number(value, int) and value > 0),
    "status": lambda value: _is_number(value, int) and 200 <= value < 600,  # noqa: PLR2004 -- HTTP's final statuses
    "seconds": lambda value: _is_number(value, int, float) and value >= 0,
    "chance": lambda value: _is_number(value, int, float) and 0 <= value <= 1,
}
"""The fields of a fault that comes over HTTP."""


class Gateway(HttpServer):
    """A server between the clients and the emulator's APIs, with fault injection.

    Args:
        port: the port to listen on, or 0 for a free one.
        upstream_port: the port of the emulator.
    """

    def __init__(self, *, port: int, upstream_port: int) -> None:
        super().__init__(port=port, answer=self._answer)
        self._upstream_port = upstream_port
        self._hosts: dict[str, str] = {}
        self._slots: dict[str, threading.Semaphore] = {}
        self._faults: list[Fault] = []
        self._fault_counts: Counter[FaultKind] = Counter()
        self._random = random.Random()  # noqa: S311 -- decides only which requests fail
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    def open(self, *, callback_host: str, messages_host: str) -> None:
        """Begin to pass requests on to the two APIs, which the emulator knows by Host headers."""
        self._slots = {
            prefix: threading.Semaphore(_MAX_CONCURRENT_REQUESTS)
            for prefix in (MESSAGES_API_PREFIX, "")
        }
        self._hosts = {MESSAGES_API_PREFIX: messages_host, "": callback_host}

    def add_fault(self, fault: Fault) -> None:
        """Inject a fault, after the faults that were added before."""
        with self._lock:
            self._faults.append(fault)

    @property
    def faults(self) -> list[Fault]:
        """The faults that are still to occur."""
        with self._lock:
            return list(self._faults)

    @property
    def fault_counts(self) -> Mapping[FaultKind, int]:
        """The number of faults that occurred, by kind."""
        with self._lock:
            return dict(self._fault_counts)

    def clear_faults(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._faults.clear()

    def __exit__(self, *error: object) -> None:
        self._stopping.set()
        super().__exit__(*error)

    def _answer(self, request: Request) -> Response | None:
        if request.path == _FAULTS_PATH:
            return self._administer(request)
        fault = self._next_fault(request.path)
        if fault is None:
            return self._pass_on(request)
        match fault.kind:
            case FaultKind.FAIL:
                return _json(fault.status, {"message": "Injected fault"})
            case FaultKind.DROP:
                return None
            case FaultKind.LOSE_RESPONSE:
                self._pass_on(request)
                return None
            case FaultKind.STALL:
                self._stopping.wait(fault.seconds)
                return self._pass_on(request)

    def _next_fault(self, path: str) -> Fault | None:
        with self._lock:
            for position, fault in enumerate(self._faults):
                if path.startswith(fault.path) and self._random.random() < fault.chance:
                    self._fault_counts[fault.kind] += 1
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
                    with self._slots[prefix]:
                        return forward(
                            inner, port=self._upstream_port, host=host, timeout=_TIMEOUT_SECONDS
                        )
                except NoResponse:
                    # As API Gateway when the integration does not respond in time.
                    return _json(HTTPStatus.SERVICE_UNAVAILABLE, {"message": "Service Unavailable"})
        return _json(HTTPStatus.NOT_FOUND, {"message": "Not Found"})

    def _administer(self, request: Request) -> Response:
        match request.method:
            case "POST":
                try:
                    self.add_fault(_parse_fault(json.loads(request.body)))
                except ValueError as error:
                    return _json(HTTPStatus.BAD_REQUEST, {"message": f"invalid fault: {error}"})
            case "DELETE":
                self.clear_faults()
        return _json(HTTPStatus.OK, {"faults": [asdict(fault) for fault in self.faults]})


def _parse_fault(document: Any) -> Fault:
    """Parse a fault.

    Raises:
        ValueError: the fault is invalid; the message says why.
    """
    if not isinstance(document, dict) or "kind" not in document:
        raise ValueError(f"expected an object with a kind: {', '.join(FaultKind)}")
    for name, value in document.items():
        if name not in _IS_VALID:
            raise ValueError(f"unknown field {name}: expected {', '.join(_IS_VALID)}")
        if not _IS_VALID[name](value):
            raise ValueError(f"invalid {name}: {value!r}")
    return Fault(**{**document, "kind": FaultKind(document["kind"])})


def _is_number(value: Any, *kinds: type) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def _json(status: int, content: Any) -> Response:
    return Response(
        status=status,
        headers=[("Content-Type", "application/json")],
        body=json.dumps(content).encode(),
    )
