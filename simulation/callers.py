"""The callers: programs of the team that send through the stack, and retry as its contract says."""

import hashlib
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any, Final

from sandbox.twilio.scenarios import SCENARIOS
from simulation.deployment import functions
from simulation.engine import Engine
from simulation.fakes.queues import Queue
from simulation.faults import TransportFault
from simulation.gateway import Gateway, HttpRequest, HttpResponse
from simulation.lambda_service import LambdaService
from simulation.virtual_time import TaskResult

SENDER: Final = "+15557654321"
SERVICE_SID: Final = "MG" + "5" * 32
CONTENT_SID: Final = "HX" + "6" * 32
_RECIPIENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "any number": (),
    "any scenario": tuple(SCENARIOS),
    "failure": ("+15555530003", "+15555530005", "+15555530007", "+15555563016"),
    "recovery": ("+15555550110",),
    "in doubt": ("+15555550107", "+15555550108", "+15555550111"),
    "rejection": ("+15005550001", "+15005550004"),
}
_KINDS: Final = tuple(_RECIPIENTS)
_NO_RESPONSE: Final = 0
_MAX_ATTEMPTS: Final = 6
_PAUSES: Final = (0.1, 1, 5, 60, 1200)
"""Seconds between two attempts of a caller."""
_LATER: Final = (300.0, 1500.0, 4000.0, 8000.0)
"""Seconds after which a caller uses its key again: a campaign is repeated, a time has passed."""
_USED_AGAIN_RATE: Final = 0.35
_SCHEDULED_RATE: Final = 0.36
_TEMPLATE_RATE: Final = 0.1
_CORRECTED_RATE: Final = 0.5
_RAISES_RATE: Final = 0.7
_SUBACCOUNT_RATE: Final = 0.4
_SEND_DELAYS: Final = (330.0, 420.0, 2000.0)
"""Seconds from a request to its `send_at`, which Twilio wants five minutes ahead."""


class Entry(StrEnum):
    """How a request reaches the stack."""

    API = "api"
    QUEUE = "queue"
    BATCH = "batch"
    DIRECT = "direct"
    ASYNCHRONOUS = "asynchronous"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a caller got for one attempt; status 0 means no response."""

    status: int
    at: float
    body: Mapping[str, Any] = field(default_factory=dict)
    by_function: bool = False


@dataclass(slots=True, kw_only=True)
class CallerRequest:
    """One message that a caller wants to send, and the replies to its attempts.

    `key` is what the function uses as the idempotency key; None gives each attempt its own. A
    caller may correct the recipient of a rejected `document`, and use the key again.
    """

    number: int
    entry: Entry
    document: Mapping[str, Any]
    key: str | None
    begins: float
    attempts: int = 0
    replies: list[Reply] = field(default_factory=list)
    queue_ids: list[str] = field(default_factory=list)
    queued_at: float = 0.0
    """When it was put into the queue last."""
    is_corrected: bool = False
    raises: bool
    """An asynchronous invocation fails if nothing was sent."""

    @property
    def account_sid(self) -> str | None:
        """The account that the request names."""
        return self.document.get("account_sid")

    @property
    def caller(self) -> str:
        """The name of the task that sends it."""
        return f"caller {self.number}"


class Callers:
    """All callers of a run; each request is a task of its own.

    `campaign`: all requests come through the queue, one a second. `failed_invocations`: the failure
    destination of asynchronous invocations. `subaccount_sid`: an account that some requests name.
    """

    def __init__(
        self,
        draws: random.Random,
        *,
        gateway: Gateway,
        queue: Queue,
        failed_invocations: Queue,
        subaccount_sid: str | None,
        campaign: bool,
        service: LambdaService,
        engine: Engine,
    ) -> None:
        self.requests: list[CallerRequest] = []
        self._draws = draws
        self._favourite = draws.choice(_KINDS)
        self._identical_rate = draws.choice((0.0, 0.1, 0.5, 0.8))
        self._gateway = gateway
        self._queue = queue
        self._failed_invocations = failed_invocations
        self._subaccount_sid = subaccount_sid
        self._campaign = campaign
        self._engine = engine
        self._invoke = partial(service.invoke, functions()["send_message"])

    def start(self, count: int, *, within: float) -> None:
        """Begin this many requests, at any time within so many seconds."""
        entries: Mapping[Entry, Callable[[CallerRequest], object]] = {
            Entry.API: self._send_over_api,
            Entry.QUEUE: self._send_to_queue,
            Entry.BATCH: self._send_batch,
            Entry.DIRECT: self._invoke_directly,
            Entry.ASYNCHRONOUS: self._invoke_asynchronously,
        }
        for number in range(count):
            request = self._draw(number, within)
            self.requests.append(request)
            clients = 2 if request.entry is Entry.API and self._draws.random() < 0.15 else 1
            work = partial(entries[request.entry], request)
            begin = partial(self._engine.loop.spawn, request.caller, work, _raise_error)
            for _ in range(clients if request.key else 1):
                delay = self._draws.choice((0.0, 0.05, 2.0))
                self._engine.loop.at(request.begins + delay, begin)
            if request.key and self._draws.random() < _USED_AGAIN_RATE:
                self._engine.loop.at(request.begins + self._draws.choice(_LATER), begin)

    def _draw(self, number: int, within: float) -> CallerRequest:
        draws = self._draws
        begins = draws.uniform(0, within)
        entry = draws.choice((Entry.API, Entry.API, Entry.QUEUE, Entry.DIRECT, Entry.ASYNCHRONOUS))
        document = self._draw_document(number, begins)
        if self.requests and draws.random() < self._identical_rate:
            other = draws.choice(self.requests)
            begins = other.begins + draws.choice((0.0, 1.0, 20.0, 300.0))
            own = ("idempotency_key", "reference", "context", "surprise")
            document = {name: it for name, it in other.document.items() if name not in own}
        key = f"key-{number}" if draws.random() < 0.7 else None
        if key is not None:
            document["idempotency_key"] = key
        if draws.random() < 0.5:
            document["reference"] = f"reference-{number}"
        if draws.random() < 0.3:
            document["context"] = {"team": "blue", "number": str(number)}
        if self._campaign:
            entry, begins = Entry.QUEUE, number
        if entry is Entry.QUEUE and number % 2:
            entry, key = Entry.BATCH, key or f"batch-{number}:0"
        return CallerRequest(
            number=number,
            entry=entry,
            document=document,
            key=key,
            begins=begins,
            raises=draws.random() < _RAISES_RATE,
        )

    def _draw_document(self, number: int, begins: float) -> dict[str, Any]:
        draws = self._draws
        kind = self._favourite if draws.random() < 0.5 else draws.choice(_KINDS)
        to = draws.choice(_RECIPIENTS[kind] or (f"+1555867{number:04d}",))
        document: dict[str, Any] = {"to": to, "body": f"Hello, this is number {number}"}
        if draws.random() < 0.3:
            document["messaging_service_sid"] = SERVICE_SID
        else:
            document["from"] = SENDER
        if "from" not in document and draws.random() < _SCHEDULED_RATE:
            at = self._engine.loop.time_at(begins + draws.choice(_SEND_DELAYS))
            document["send_at"] = at.isoformat(timespec="seconds")
        elif draws.random() < _TEMPLATE_RATE:
            del document["body"]
            document["content_sid"] = CONTENT_SID
            document["content_variables"] = {"1": str(number), "2": "blue", "3": "x"}
        if self._subaccount_sid and draws.random() < _SUBACCOUNT_RATE:
            document["account_sid"] = self._subaccount_sid
        if draws.random() < 0.02:
            document["surprise"] = True  # an unknown field is invalid input
        return document

    # --- how each entry is used ---

    def _send_over_api(self, request: CallerRequest) -> None:
        """With a key, repeat until there is a final answer; without, only after a 503."""
        for _ in range(_MAX_ATTEMPTS):
            document = self._document_of(request)
            body = {it: value for it, value in document.items() if it != "idempotency_key"}
            reply = self._post(request, "/messages", body, request.key)
            if reply.status == 422 and request.key and self._corrects(request):
                continue
            if reply.status in {200, 201, 400, 409, 422}:
                return
            if not request.key and not (reply.status == 503 and reply.by_function):
                return
            if reply.status == 202:
                self._get_request(request, reply)
            self._pause()

    def _send_batch(self, request: CallerRequest) -> None:
        """Repeat the batch until all of it is queued, or it is invalid.

        A campaign that is repeated later may have a corrected recipient.
        """
        if request.queued_at:
            self._corrects(request)
        for _ in range(_MAX_ATTEMPTS):
            body = {"messages": [self._document_of(request)]}
            at = self._engine.loop.seconds
            key = f"batch-{request.number}"
            reply = self._post(request, "/messages/batch", body, key)
            if any(it.get("queued") for it in reply.body.get("results", [])):
                request.queued_at = at
            if reply.status in {202, 400}:
                return
            self._pause()

    def _send_to_queue(self, request: CallerRequest) -> None:
        if request.attempts:
            self._corrects(request)
        for _ in range(1 if self._draws.random() < 0.9 or not request.key else 2):
            document = self._document_of(request)
            request.attempts += 1
            request.queued_at = self._engine.loop.seconds
            request.queue_ids.append(self._queue.send(json.dumps(document)))

    def _invoke_directly(self, request: CallerRequest) -> None:
        """Repeat as over the API; a function that fails gives no response."""
        for _ in range(_MAX_ATTEMPTS):
            request.attempts += 1
            result: TaskResult = self._engine.loop.wait_for(
                lambda resolve: self._invoke(self._document_of(request), resolve)
            )
            if result.error or result.killed:
                reply = self._record(request, _NO_RESPONSE)
            else:
                status, body = result.value["status_code"], result.value["body"]
                reply = self._record(request, status, body, by_function=True)
            if reply.status == 422 and request.key and self._corrects(request):
                continue
            is_unknown = reply.status in {_NO_RESPONSE, 202}
            if not is_unknown and reply.status != 503:
                return
            if is_unknown and not request.key:
                return
            self._pause()

    def _invoke_asynchronously(self, request: CallerRequest) -> None:
        """Invoke without a response; Lambda delivers at least once, with the same request id.

        An invocation that fails goes to the failure destination of the function.
        """
        request.attempts += 1
        request_id = f"asynchronous-{request.number}"
        document = {**self._document_of(request), "raise_on_error": request.raises}
        if request.key is None:
            request.key = request_id
        repeated = self._engine.faults.occurs(TransportFault.REPEATED, "asynchronous")
        for _ in range(2 if repeated else 1):

            def ended(result: TaskResult) -> None:
                if result.error is not None or result.killed:
                    self._failed_invocations.send(json.dumps(document))

            self._invoke(document, ended, request_id=request_id)
            self._engine.loop.sleep(self._draws.choice((0.05, 1, 60)))

    # --- what a caller sends when it uses its key again ---

    def _document_of(self, request: CallerRequest) -> Mapping[str, Any]:
        """Return the document of the next attempt: the same content, perhaps in another order."""
        document = request.document
        if request.attempts % 2 and "content_variables" in document:
            variables = reversed(document["content_variables"].items())
            return {**document, "content_variables": dict(variables)}
        return document

    def _corrects(self, request: CallerRequest) -> bool:
        """Correct the recipient of a rejected request, or leave it; returns whether it did."""
        is_rejected = request.document["to"] in _RECIPIENTS["rejection"]
        if not is_rejected or request.is_corrected or self._draws.random() < _CORRECTED_RATE:
            return False
        request.document = {**request.document, "to": f"+1555868{request.number:04d}"}
        request.is_corrected = True
        return True

    # --- HTTP ---

    def _post(self, request: CallerRequest, path: str, body: Any, key: str | None) -> Reply:
        request.attempts += 1
        response = self._respond(
            HttpRequest(
                api="MessagesApi",
                method="POST",
                path=path,
                headers={
                    "content-type": "application/json",
                    **({"Idempotency-Key": key} if key else {}),
                },
                body=json.dumps(body).encode(),
            )
        )
        if response is None:
            return self._record(request, _NO_RESPONSE)
        by_function = response.by_function
        answer = json.loads(response.body) if response.body and by_function else {}
        return self._record(request, response.status, answer, by_function=by_function)

    def _get_request(self, request: CallerRequest, reply: Reply) -> None:
        """Read the state of a request; the answer is only traced, and must not be an error."""
        self._engine.loop.sleep(self._draws.uniform(0, 30))
        path = f"/requests/{reply.body['request_id']}"
        response = self._respond(HttpRequest(api="MessagesApi", method="GET", path=path))
        details = (response.status, response.body) if response else "no response"
        self._engine.trace.add(request.caller, "gets its request", details)

    def _respond(self, request: HttpRequest) -> HttpResponse | None:
        response: HttpResponse | None = self._engine.loop.wait_for(
            lambda resolve: self._gateway.request(request, resolve)
        )
        return response

    def _record(
        self,
        request: CallerRequest,
        status: int,
        body: Mapping[str, Any] | None = None,
        *,
        by_function: bool = False,
    ) -> Reply:
        at = self._engine.loop.seconds
        reply = Reply(status=status, at=at, body=body or {}, by_function=by_function)
        request.replies.append(reply)
        self._engine.trace.add(request.caller, "receives", (reply.status, reply.body))
        return reply

    def _pause(self) -> None:
        self._engine.loop.sleep(self._draws.choice(_PAUSES))


def request_id_for(key: str, account_sid: str | None = None) -> str:
    """Return the id of the request with an idempotency key, in the account that it names."""
    return f"rq_{hashlib.sha256(f'{account_sid or ""} {key}'.encode()).hexdigest()[:32]}"


def _raise_error(result: TaskResult) -> None:
    """Raise what a caller raised: an error of the simulation itself."""
    if result.error is not None:
        raise result.error
