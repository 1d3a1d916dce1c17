"""SQS, as far as the handlers and Lambda's pollers use it: visibility, receive counts, redrive."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from simulation.fakes.errors import client_error

_LARGEST_BODY: Final = 1024 * 1024
_LONGEST_DELAY: Final = 900
_LONGEST_HIDDEN: Final = 12 * 60 * 60
_MAX_ENTRIES: Final = 10


@dataclass(slots=True, kw_only=True)
class QueuedMessage:
    """One message; `visible_at` moves each time it is received."""

    message_id: str
    body: str
    sent_at: float
    visible_at: float
    attributes: Mapping[str, Any] = field(default_factory=dict)
    receive_count: int = 0


class Queue:
    """One standard queue; times are seconds of virtual time."""

    def __init__(
        self,
        url: str,
        *,
        visibility: float,
        most_receives: int | None,
        dead_letters: "Queue | None",
        clock: Callable[[], float],
        ids: Callable[[], str],
    ) -> None:
        self.url = url
        self.messages: dict[str, QueuedMessage] = {}
        self.told: Callable[[float], object] = lambda _: None
        """Is told when a message becomes visible."""
        self._visibility = visibility
        self._most_receives = most_receives
        self._dead_letters = dead_letters
        self._clock = clock
        self._ids = ids

    def send(self, body: str, attributes: Mapping[str, Any], *, delay: float = 0) -> str:
        """Put a message: its id."""
        message = QueuedMessage(
            message_id=self._ids(),
            body=body,
            attributes=attributes,
            sent_at=self._clock(),
            visible_at=self._clock() + delay,
        )
        self._take(message)
        return message.message_id

    def receive(self, most: int) -> list[QueuedMessage]:
        """The messages that are visible now; nobody else sees them for a while."""
        now = self._clock()
        received: list[QueuedMessage] = []
        for message in list(self.messages.values()):
            if message.visible_at > now or len(received) == most:
                continue
            message.receive_count += 1
            if self._most_receives is not None and message.receive_count > self._most_receives:
                del self.messages[message.message_id]
                if self._dead_letters is not None:
                    self._dead_letters.send(message.body, message.attributes)
                continue
            message.visible_at = now + self._visibility
            self.told(message.visible_at)
            received.append(message)
        return received

    def delete(self, message_id: str) -> None:
        """Done with it."""
        self.messages.pop(message_id, None)

    def hide(self, receipt: str, seconds: float) -> None:
        """Let a message that was received become visible in so many seconds from now."""
        message = self.messages.get(receipt.partition(":")[0])
        if message is not None:
            message.visible_at = self._clock() + seconds
            self.told(message.visible_at)

    def _take(self, message: QueuedMessage) -> None:
        self.messages[message.message_id] = message
        self.told(message.visible_at)


class Sqs:
    """The queues by URL; the operations take and return what boto3's client does."""

    def __init__(self, queues: Mapping[str, Queue]) -> None:
        self._queues = queues

    def perform(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """One request."""
        operations: dict[str, Callable[[Queue, dict[str, Any]], dict[str, Any]]] = {
            "send_message": self._send_message,
            "send_message_batch": self._send_message_batch,
            "change_message_visibility_batch": self._change_message_visibility_batch,
        }
        if operation not in operations:
            raise NotImplementedError(f"{operation} must be taught to the fake first")
        given = dict(arguments)
        answer = operations[operation](self._queues[given.pop("QueueUrl")], given)
        if given:
            raise NotImplementedError(f"{sorted(given)} must be taught to the fake first")
        return answer

    def _send_message(self, queue: Queue, given: dict[str, Any]) -> dict[str, Any]:
        body, delay = given.pop("MessageBody"), given.pop("DelaySeconds", 0)
        attributes = given.pop("MessageAttributes", {})
        if not body or len(body.encode()) > _LARGEST_BODY or delay > _LONGEST_DELAY:
            raise client_error("InvalidParameterValue", "SendMessage")
        return {"MessageId": queue.send(body, attributes, delay=delay)}

    def _send_message_batch(self, queue: Queue, given: dict[str, Any]) -> dict[str, Any]:
        entries = _entries(given, "SendMessageBatch")
        if sum(len(entry["MessageBody"].encode()) for entry in entries) > _LARGEST_BODY:
            raise client_error("BatchRequestTooLong", "SendMessageBatch")
        for entry in entries:
            queue.send(entry["MessageBody"], {})
        return {"Successful": [{"Id": entry["Id"]} for entry in entries]}

    def _change_message_visibility_batch(
        self, queue: Queue, given: dict[str, Any]
    ) -> dict[str, Any]:
        entries = _entries(given, "ChangeMessageVisibilityBatch")
        for entry in entries:
            if not 0 <= entry["VisibilityTimeout"] <= _LONGEST_HIDDEN:
                raise client_error("InvalidParameterValue", "ChangeMessageVisibilityBatch")
            queue.hide(entry["ReceiptHandle"], entry["VisibilityTimeout"])
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
