"""Those who want messages sent: what they ask for, and how they behave when something fails."""

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any, Final

from sandbox.twilio.scenarios import SCENARIOS
from simulation.deployment import FunctionResource
from simulation.fakes.queues import Queue
from simulation.faults import Faults, Mishap
from simulation.gateway import Gateway, HttpRequest, HttpResponse
from simulation.lambda_service import Lambda
from simulation.trace import Trace
from simulation.virtual_time import Ended, Loop

SENDER: Final = "+15557654321"
SERVICE_SID: Final = "MG" + "5" * 32
_RECIPIENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "anybody": (),
    "a story": tuple(SCENARIOS),
    "a failure": ("+15555530003", "+15555530005", "+15555530007", "+15555563016"),
    "a recovery": ("+15555550110",),
    "a doubt": ("+15555550107", "+15555550108", "+15555550111"),
    "a refusal": ("+15005550001", "+15005550004"),
}
_KINDS: Final = tuple(_RECIPIENTS)
_NOBODY_ANSWERED: Final = 0
_MAX_TRIES: Final = 6
_PAUSES: Final = (0.1, 1, 5, 60, 1200)
"""Seconds that somebody waits until they ask again."""


class Entry(StrEnum):
    """How a request comes in."""

    API = "api"
    QUEUE = "queue"
    BATCH = "batch"
    DIRECT = "direct"
    ASYNCHRONOUS = "asynchronous"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a caller heard: a status (0: nothing), the answer, and when."""

    at: float
    status: int
    body: Mapping[str, Any]
    by_function: bool = True


@dataclass(slots=True, kw_only=True)
class Wish:
    """A message that somebody wants sent, and all that they heard of it.

    `effective_key` is what the function takes as the idempotency key; None: each try has its own.
    """

    number: int
    entry: Entry
    document: Mapping[str, Any]
    effective_key: str | None
    begins: float
    tries: int = 0
    replies: list[Reply] = field(default_factory=list)
    queue_ids: list[str] = field(default_factory=list)
    over: bool = False


class Callers:
    """Everybody who uses the system, each a task of its own."""

    def __init__(
        self,
        draws: random.Random,
        *,
        function: FunctionResource,
        gateway: Gateway,
        queue: Queue,
        campaign: bool,
        service: Lambda,
        loop: Loop,
        faults: Faults,
        trace: Trace,
    ) -> None:
        self.wishes: list[Wish] = []
        self._draws = draws
        self._favourite = draws.choice(_KINDS)
        self._alike = draws.choice((0.0, 0.1, 0.5, 0.8))
        self._function = function
        self._gateway = gateway
        self._queue = queue
        self._campaign = campaign  # all at once, and nobody waits for an answer
        self._lambda = service
        self._loop = loop
        self._faults = faults
        self._trace = trace

    def start(self, count: int, *, within: float) -> None:
        """Let this many messages be wanted, at any time within so many seconds."""
        for number in range(count):
            wish = self._draw(number, within)
            self.wishes.append(wish)
            ways: Mapping[Entry, Callable[[Wish], object]] = {
                Entry.API: self._over_api,
                Entry.QUEUE: self._through_queue,
                Entry.BATCH: self._in_batch,
                Entry.DIRECT: self._directly,
                Entry.ASYNCHRONOUS: self._asynchronously,
            }
            act = partial(ways[wish.entry], wish)
            clients = 2 if wish.entry is Entry.API and self._draws.random() < 0.15 else 1
            for _ in range(clients if wish.effective_key else 1):
                later = self._draws.choice((0.0, 0.05, 2.0))
                self._loop.at(wish.begins + later, partial(self._task, f"caller {number}", act))

    def _draw(self, number: int, within: float) -> Wish:
        draws = self._draws
        begins = draws.uniform(0, within)
        entry = draws.choice((Entry.API, Entry.API, Entry.QUEUE, Entry.DIRECT, Entry.ASYNCHRONOUS))
        document = self._document(number)
        if self.wishes and draws.random() < self._alike:  # looks like another one
            other = draws.choice(self.wishes)
            begins = other.begins + draws.choice((0.0, 1.0, 20.0, 300.0))
            looks = ("to", "from", "messaging_service_sid", "body")
            document = {name: other.document[name] for name in looks if name in other.document}
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
        return Wish(number=number, entry=entry, document=document, effective_key=key, begins=begins)

    def _document(self, number: int) -> dict[str, Any]:
        draws = self._draws
        kind = self._favourite if draws.random() < 0.5 else draws.choice(_KINDS)
        to = draws.choice(_RECIPIENTS[kind] or (f"+1555867{number:04d}",))
        document: dict[str, Any] = {"to": to, "body": f"Hello, this is number {number}"}
        if draws.random() < 0.3:
            document["messaging_service_sid"] = SERVICE_SID
        else:
            document["from"] = SENDER
        if draws.random() < 0.02:
            document["surprise"] = True  # bad input
        return document

    def _task(self, name: str, act: Callable[[], object]) -> None:
        def ended(result: Ended) -> None:
            if result.error is not None:
                raise result.error

        self._loop.spawn(name, act, ended)

    # --- each way in ---

    def _over_api(self, wish: Wish) -> None:
        """With a key, try again until there is an answer that is one; without, only after 503."""
        for _ in range(_MAX_TRIES):
            reply = self._post(wish)
            if reply.status in {200, 201, 400, 409, 422}:
                break
            if not wish.effective_key and not (reply.status == 503 and reply.by_function):
                break
            if reply.status == 202:
                self._ask_about(wish, reply)
            self._loop.sleep(self._draws.choice(_PAUSES))
        wish.over = True

    def _post(self, wish: Wish) -> Reply:
        wish.tries += 1
        body = {name: value for name, value in wish.document.items() if name != "idempotency_key"}
        headers = {"content-type": "application/json"}
        if wish.effective_key:
            headers["Idempotency-Key"] = wish.effective_key
        request = HttpRequest(
            api="MessagesApi",
            method="POST",
            path="/messages",
            headers=headers,
            body=json.dumps(body).encode(),
        )
        return self._heard(wish, self._loop.wait_for(lambda ok: self._gateway.request(request, ok)))

    def _ask_about(self, wish: Wish, reply: Reply) -> None:
        """What GET /requests says is no answer to the request; it must not fail."""
        self._loop.sleep(self._draws.uniform(0, 30))
        request = HttpRequest(
            api="MessagesApi", method="GET", path=f"/requests/{reply.body['request_id']}"
        )
        response: HttpResponse | None = self._loop.wait_for(
            lambda respond: self._gateway.request(request, respond)
        )
        heard = (response.status, response.body) if response else "nothing"
        self._trace.add(self._loop.seconds, f"caller {wish.number}", "asks, and hears", heard)

    def _heard(self, wish: Wish, response: HttpResponse | None) -> Reply:
        if response is None:
            return self._note(wish, _NOBODY_ANSWERED, {}, by_function=False)
        body = json.loads(response.body) if response.body and response.by_function else {}
        return self._note(wish, response.status, body, by_function=response.by_function)

    def _note(
        self, wish: Wish, status: int, body: Mapping[str, Any], *, by_function: bool
    ) -> Reply:
        reply = Reply(at=self._loop.seconds, status=status, body=body, by_function=by_function)
        wish.replies.append(reply)
        self._trace.add(self._loop.seconds, f"caller {wish.number}", "hears", (status, body))
        return reply

    def _through_queue(self, wish: Wish) -> None:
        for _ in range(1 if self._draws.random() < 0.9 or not wish.effective_key else 2):
            wish.tries += 1
            wish.queue_ids.append(self._queue.send(json.dumps(wish.document), {}))
        wish.over = True

    def _in_batch(self, wish: Wish) -> None:
        """The whole batch is asked for again until every message of it is in the queue."""
        request = HttpRequest(
            api="MessagesApi",
            method="POST",
            path="/messages/batch",
            headers={"content-type": "application/json", "Idempotency-Key": f"batch-{wish.number}"},
            body=json.dumps({"messages": [wish.document]}).encode(),
        )
        for _ in range(_MAX_TRIES):
            wish.tries += 1
            heard = self._loop.wait_for(lambda respond: self._gateway.request(request, respond))
            if self._heard(wish, heard).status in {202, 400}:
                break
            self._loop.sleep(self._draws.choice(_PAUSES))
        wish.over = True

    def _directly(self, wish: Wish) -> None:
        """As the API, but what fails fails without an answer."""
        for _ in range(_MAX_TRIES):
            wish.tries += 1
            ended: Ended = self._loop.wait_for(
                lambda then: self._lambda.invoke(self._function, wish.document, then)
            )
            if ended.error or ended.died:
                reply = self._note(wish, _NOBODY_ANSWERED, {}, by_function=False)
            else:
                answer = ended.value
                reply = self._note(wish, answer["status_code"], answer["body"], by_function=True)
            unsure = reply.status in {_NOBODY_ANSWERED, 202}
            if not unsure and reply.status != 503:
                break
            if unsure and not wish.effective_key:
                break
            self._loop.sleep(self._draws.choice(_PAUSES))
        wish.over = True

    def _asynchronously(self, wish: Wish) -> None:
        """Nobody hears an answer. Lambda delivers at least once, under the same request id."""
        wish.tries += 1
        request_id = f"asynchronous-{wish.number}"
        if wish.effective_key is None:
            wish.effective_key = request_id
        deliveries = 2 if self._faults.happens(Mishap.REPEATED, "asynchronous", 0) else 1
        for _ in range(deliveries):
            self._lambda.invoke(
                self._function, wish.document, lambda _: None, request_id=request_id
            )
            self._loop.sleep(self._draws.choice((0.05, 1, 60)))
        wish.over = True
