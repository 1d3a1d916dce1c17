"""SQS, as far as the project and Lambda's pollers use it: visibility, receive counts, redrive."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from simulation.fakes.errors import client_error

_MAX_BYTES: Final = 1024 * 1024
_MAX_VISIBILITY: Final = 12 * 60 * 60
_MAX_ENTRIES: Final = 10


@dataclass(slots=True, kw_only=True)
class QueuedMessage:
    """One message; each receive moves `visible_at`."""

    message_id: str
    body: str
    sent_at: float
    visible_at: float
    receive_count: int = 0


class Queue:
    """One standard queue; times are seconds of virtual time."""

    def __init__(
        self,
        url: str,
        *,
        visibility: float,
        max_receives: int | None,
        dead_letters: "Queue | None",
        clock: Callable[[], float],
        ids: Callable[[], str],
    ) -> None:
        self.url = url
        self.messages: dict[str, QueuedMessage] = {}
        self.on_visible: Callable[[float], object] = lambda _: None
        """Called with the time at which a message becomes visible."""
        self._visibility = visibility
        self._max_receives = max_receives
        self._dead_letters = dead_letters
        self._clock = clock
        self._ids = ids

    def send(self, body: str) -> str:
        """Send a message to the queue, and return its id."""
        now = self._clock()
        message = QueuedMessage(message_id=self._ids(), body=body, sent_at=now, visible_at=now)
        self.messages[message.message_id] = message
        self.on_visible(message.visible_at)
        return message.message_id

    def receive(self, limit: int) -> list[QueuedMessage]:
        """Return visible messages, which become invisible for the visibility timeout."""
        received: list[QueuedMessage] = []
        for message in list(self.messages.values()):
            if message.visible_at > self._clock() or len(received) == limit:
                continue
            message.receive_count += 1
            if self._max_receives is not None and message.receive_count > self._max_receives:
                self.delete(message.message_id)
                if self._dead_letters is not None:
                    self._dead_letters.send(message.body)
                continue
            self._hide(message, self._visibility)
            received.append(message)
        return received

    def delete(self, message_id: str) -> None:
        """Delete a message, if it is there."""
        self.messages.pop(message_id, None)

    def change_visibility(self, receipt: str, seconds: float) -> None:
        """Let a message that was received become visible in so many seconds from now."""
        message = self.messages.get(receipt.partition(":")[0])
        if message is not None:
            self._hide(message, seconds)

    def _hide(self, message: QueuedMessage, seconds: float) -> None:
        message.visible_at = self._clock() + seconds
        self.on_visible(message.visible_at)


class Sqs:
    """The queues by URL; the operations take and return what boto3's client does."""

    def __init__(self, queues: Mapping[str, Queue]) -> None:
        self._queues = queues

    def perform(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Perform a request."""
        operations: dict[str, Callable[[Queue, dict[str, Any]], dict[str, Any]]] = {
            "send_message": self._send_message,
            "send_message_batch": self._send_message_batch,
            "change_message_visibility_batch": self._change_message_visibility_batch,
        }
        if operation not in operations:
            raise NotImplementedError(f"the fake has no {operation}")
        given = dict(arguments)
        response = operations[operation](self._queues[given.pop("QueueUrl")], given)
        if given:
            raise NotImplementedError(f"the fake does not support {sorted(given)}")
        return response

    def _send_message(self, queue: Queue, given: dict[str, Any]) -> dict[str, Any]:
        body = given.pop("MessageBody")
        if not body or len(body.encode()) > _MAX_BYTES:
            raise client_error("InvalidParameterValue", "SendMessage")
        return {"MessageId": queue.send(body)}

    def _send_message_batch(self, queue: Queue, given: dict[str, Any]) -> dict[str, Any]:
        entries = _entries(given, "SendMessageBatch")
        if sum(len(entry["MessageBody"].encode()) for entry in entries) > _MAX_BYTES:
            raise client_error("BatchRequestTooLong", "SendMessageBatch")
        for entry in entries:
            queue.send(entry["MessageBody"])
        return {"Successful": [{"Id": entry["Id"]} for entry in entries]}

    def _change_message_visibility_batch(
        self, queue: Queue, given: dict[str, Any]
    ) -> dict[str, Any]:
        entries = _entries(given, "ChangeMessageVisibilityBatch")
        for entry in entries:
            if not 0 <= entry["VisibilityTimeout"] <= _MAX_VISIBILITY:
                raise client_error("InvalidParameterValue", "ChangeMessageVisibilityBatch")
            queue.change_visibility(entry["ReceiptHandle"], entry["VisibilityTimeout"])
        return {"Successful": [{"Id": entry["Id"]} for entry in entries]}


def _entries(given: dict[str, Any], operation: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = given.pop("Entries")
    if not entries:
        raise client_error("EmptyBatchRequest", operation)
    if len(entries) > _MAX_ENTRIES:
        raise client_error("TooManyEntriesInBatchRequest", operation)
    if len({entry["Id"] for entry in entries}) < len(entries):
        raise client_error("BatchEntryIdsNotDistinct", operation)
    return entries
