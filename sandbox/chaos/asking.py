"""The clients of the stack: they repeat what was not answered, under the same key."""

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from sandbox.chaos.plan import Order, Way
from sandbox.endpoints import Endpoints
from sandbox.loopback import NotForwarded, call
from sandbox.waiting import wait_for

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_ANSWERED_WITHIN_SECONDS: Final = 90
_PATIENCE_SECONDS: Final = 10
_NOT_NOW: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the API said in the end; no `status` where it said nothing to someone without a key."""

    number: int
    status: int | None
    message_sid: str | None = None
    state: str | None = None
    """Of the request, where nobody knows yet what became of it."""


class Clients:
    """Programs that want messages sent, in any number of threads.

    Args:
        endpoints: where the stack is.
        queues: SQS.
    """

    def __init__(self, endpoints: Endpoints, queues: "SQSClient") -> None:
        self._endpoints = endpoints
        self._queues = queues
        self._lock = threading.Lock()
        self._answers: list[Answer] = []
        self._repeated = 0

    @property
    def answers(self) -> Sequence[Answer]:
        """Everything that the API has answered, or not."""
        return self._answers

    @property
    def repeated(self) -> int:
        """How often somebody had to ask again."""
        return self._repeated

    def ask(self, order: Order, *, unless: threading.Event) -> None:
        """Ask for the message, until that is answered or nobody wants it any more.

        Raises:
            WaitedInVain: it never was.
        """
        if order.way is Way.QUEUE:
            self._enqueue(order)
            return
        if order.key is None:  # who repeats without a key may send twice
            answer = self._ask_once(order) or Answer(number=order.number, status=None)
        else:
            answer = wait_for(
                lambda: self._ask_once(order),
                within=_ANSWERED_WITHIN_SECONDS,
                what=f"An answer to {order.reference}",
                unless=unless,
            )
        with self._lock:
            self._answers.append(answer)

    def _enqueue(self, order: Order) -> None:
        content = dict(order.content) | ({"idempotency_key": order.key} if order.key else {})
        self._queues.send_message(
            QueueUrl=self._endpoints.send_queue_url, MessageBody=json.dumps(content)
        )

    def _ask_once(self, order: Order) -> Answer | None:
        """The answer; None where there was none, or it was to ask again later."""
        try:
            response = call(
                "POST",
                f"{self._endpoints.messages_api_url}/messages",
                content=order.content,
                headers=[("Idempotency-Key", order.key)] if order.key else [],
                within=_PATIENCE_SECONDS,
            )
        except NotForwarded:
            response = None
        if response is None or response.status in _NOT_NOW:
            with self._lock:
                self._repeated += order.key is not None
            return None
        content = json.loads(response.body)
        return Answer(
            number=order.number,
            status=response.status,
            message_sid=content.get("message_sid"),
            state=content.get("state"),
        )
