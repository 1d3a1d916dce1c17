"""Redriving or previewing one dead-letter queue.

Each message is received, sent to its original queue and then deleted: an interrupted redrive leaves
the message in place. SQS assigns a new id to what is sent, and a send request without an
idempotency key uses its message id as the key. So the old id is added as `idempotency_key`: the
request keeps its request_id, and is sent once, however often it is redriven.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from delivery_cli.batches import split_into_batches
from delivery_cli.commands.redrive.dead_letter import DeadLetter
from delivery_cli.messages_api import Json

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

_BATCH_SIZE: Final = 10  # limit of SQS
_MAX_BATCH_BYTES: Final = 200 * 1024  # below 256 KiB, the smallest limit of SQS
_VISIBILITY_SECONDS: Final = 120
_WAIT_SECONDS: Final = 1  # long polling: a short poll samples only some of SQS's servers
_VISIBLE: Final["QueueAttributeNameType"] = "ApproximateNumberOfMessages"
_IN_FLIGHT: Final["QueueAttributeNameType"] = "ApproximateNumberOfMessagesNotVisible"


@dataclass(slots=True)
class RedriveResult:
    """What happened to the messages of one queue."""

    name: str
    found: int = 0
    redriven: int = 0
    in_flight: int = 0
    """Messages that another consumer has received."""
    failed: dict[str, str] = field(default_factory=dict)
    """The reason for each message that was not redriven, by message id."""
    messages: list[Json] = field(default_factory=list)
    """Descriptions of the messages, of a preview only."""


class DeadLetterQueue:
    """A dead-letter queue and the queue that its messages return to.

    Args:
        client: for both queues.
        name: name of the route.
        source: URL of the dead-letter queue.
        target: URL of the queue that its messages return to.
    """

    def __init__(self, client: "SQSClient", name: str, *, source: str, target: str) -> None:
        self._client = client
        self.name = name
        self._source = source
        self._target = target

    def count(self, attribute: "QueueAttributeNameType" = _VISIBLE) -> int:
        """Return the approximate number of messages that can be received."""
        answer = self._client.get_queue_attributes(
            QueueUrl=self._source, AttributeNames=[attribute]
        )
        return int(answer["Attributes"][attribute])

    def redrive(self, *, report_done: Callable[[int], None]) -> RedriveResult:
        """Move messages until the queue is empty, or until one returns to it."""
        result = RedriveResult(self.name)
        moved: set[str] = set()
        while letters := self._receive():
            if returned := [it.message_id for it in letters if it.message_id in moved]:
                reason = "It returned to the dead-letter queue: the cause still exists."
                result.failed |= dict.fromkeys(returned, reason)
                break
            result.found += len(letters)
            sent = self._send(letters, result)
            moved |= {new_id for _, new_id in sent}
            self._delete([letter for letter, _ in sent], result)
            result.redriven += len(sent)
            report_done(result.found)
        result.in_flight = self.count(_IN_FLIGHT) - len(result.failed)
        return result

    def preview(self) -> RedriveResult:
        """Describe the messages, and make them visible again at once."""
        result = RedriveResult(self.name, in_flight=self.count(_IN_FLIGHT))
        seen: dict[str, DeadLetter] = {}
        try:
            while new := [it for it in self._receive() if it.message_id not in seen]:
                seen |= {it.message_id: it for it in new}
        finally:
            self._make_visible(list(seen.values()))
        result.found = len(seen)
        in_order = sorted(seen.values(), key=lambda it: it.queued_at)
        result.messages = [letter.describe() for letter in in_order]
        return result

    def _receive(self) -> list[DeadLetter]:
        answer = self._client.receive_message(
            QueueUrl=self._source,
            MaxNumberOfMessages=_BATCH_SIZE,
            VisibilityTimeout=_VISIBILITY_SECONDS,
            WaitTimeSeconds=_WAIT_SECONDS,
            MessageSystemAttributeNames=["SentTimestamp"],
            MessageAttributeNames=["All"],
        )
        return [DeadLetter.from_sqs(self.name, message) for message in answer.get("Messages", [])]

    def _make_visible(self, letters: Sequence[DeadLetter]) -> None:
        for batch in _batches(letters):
            self._client.change_message_visibility_batch(
                QueueUrl=self._source,
                Entries=[
                    {"Id": str(index), "ReceiptHandle": it.receipt, "VisibilityTimeout": 0}
                    for index, it in enumerate(batch)
                ],
            )

    def _send(
        self, letters: Sequence[DeadLetter], result: RedriveResult
    ) -> list[tuple[DeadLetter, str]]:
        """Send the messages, and return those that SQS accepted, each with its new id."""
        sent: list[tuple[DeadLetter, str]] = []
        for batch in _batches(letters):
            entries: list[SendMessageBatchRequestEntryTypeDef] = [
                {
                    "Id": str(index),
                    "MessageBody": letter.redriven_body,
                    "MessageAttributes": letter.attributes,
                }
                for index, letter in enumerate(batch)
            ]
            answer = self._client.send_message_batch(QueueUrl=self._target, Entries=entries)
            sent += [(batch[int(it["Id"])], it["MessageId"]) for it in answer.get("Successful", [])]
            for failure in answer.get("Failed", []):
                letter = batch[int(failure["Id"])]
                result.failed[letter.message_id] = f"SQS rejected it: {failure['Code']}."
        return sent

    def _delete(self, letters: Sequence[DeadLetter], result: RedriveResult) -> None:
        if not letters:
            return
        answer = self._client.delete_message_batch(
            QueueUrl=self._source,
            Entries=[{"Id": str(n), "ReceiptHandle": it.receipt} for n, it in enumerate(letters)],
        )
        for failure in answer.get("Failed", []):
            letter = letters[int(failure["Id"])]
            result.failed[letter.message_id] = (
                "It was sent, but not deleted here; it is safe to redrive it again."
            )


def _batches(letters: Sequence[DeadLetter]) -> Iterator[list[DeadLetter]]:
    return split_into_batches(
        letters, max_items=_BATCH_SIZE, max_bytes=_MAX_BATCH_BYTES, size_of=_size
    )


def _size(letter: DeadLetter) -> int:
    return len(letter.redriven_body.encode()) + 1024  # allows for the attributes
