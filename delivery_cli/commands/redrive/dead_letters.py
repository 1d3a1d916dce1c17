"""Moves dead letters back, or looks at them.

Each is received, sent to the queue that it came from, and deleted, in this order: a redrive that
dies in between leaves it where it was. SQS gives what it moves a new id, and a request to send
without a key of its own has its id as its key; so the old one goes along as its `idempotency_key`.
It keeps its request_id, and is sent once, however often it is moved.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from delivery_cli.batches import batches
from delivery_cli.commands.redrive.dead_letter import DeadLetter, KeyDoesNotFit
from delivery_cli.messages_api import Json

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

_AT_ONCE: Final = 10  # the most that SQS hands out, and takes
_BATCH_BYTES: Final = 200 * 1024  # SQS took 256 KiB for long, and takes more in some places
_TOO_LARGE: Final = "It is too large to carry its key along; look at it by hand."
_HIDDEN_SECONDS: Final = 120
_WAIT_SECONDS: Final = 1  # a short poll asks only some of SQS's servers
_COUNTS: Final[tuple["QueueAttributeNameType", ...]] = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
)


@dataclass(slots=True)
class Tally:
    """What became of one queue's dead letters."""

    which: str
    found: int = 0
    redriven: int = 0
    hidden: int = 0
    left: dict[str, str] = field(default_factory=dict)
    """Why each one stays, by its id."""
    letters: list[Json] = field(default_factory=list)
    """What is told of each, if they were only looked at."""


class DeadLetters:
    """One route's dead letters.

    Args:
        which: of the routes.
        source: the URL of the dead-letter queue.
        target: the URL of the queue to which it leads back.
    """

    def __init__(self, queues: "SQSClient", which: str, *, source: str, target: str) -> None:
        self._queues = queues
        self.which = which
        self._source = source
        self._target = target

    def count(self, *, hidden: bool = False) -> int:
        """About how many there are to receive, or hidden because somebody has received them."""
        attributes = self._queues.get_queue_attributes(
            QueueUrl=self._source, AttributeNames=list(_COUNTS)
        )["Attributes"]
        return int(attributes[_COUNTS[hidden]])

    def move(self, *, reached: Callable[[int], None]) -> Tally:
        """Move all of them back, until none is left or one comes back."""
        tally = Tally(self.which)
        moved: set[str] = set()
        while letters := self._receive():
            if back := [it.message_id for it in letters if it.message_id in moved]:
                tally.left |= dict.fromkeys(back, "It came back: the cause is still there.")
                break
            tally.found += len(letters)
            sent = self._send(letters, tally)
            moved |= {new_id for _, new_id in sent}
            self._delete([letter for letter, _ in sent], tally)
            tally.redriven += len(sent)
            reached(tally.found)
        tally.hidden = self.count(hidden=True) - len(tally.left)
        return tally

    def look(self) -> Tally:
        """What there is; it is handed back at once, so that nobody has to wait for it."""
        tally = Tally(self.which, hidden=self.count(hidden=True))
        seen: dict[str, DeadLetter] = {}
        try:
            while new := [it for it in self._receive() if it.message_id not in seen]:
                seen |= {it.message_id: it for it in new}
        finally:
            self._hand_back(list(seen.values()))
        tally.found = len(seen)
        for letter in sorted(seen.values(), key=lambda it: it.queued_at):
            tally.letters.append(letter.facts)
            try:
                _ = letter.body_to_send
            except KeyDoesNotFit:
                tally.left[letter.message_id] = _TOO_LARGE
        return tally

    def _receive(self) -> list[DeadLetter]:
        answer = self._queues.receive_message(
            QueueUrl=self._source,
            MaxNumberOfMessages=_AT_ONCE,
            VisibilityTimeout=_HIDDEN_SECONDS,
            WaitTimeSeconds=_WAIT_SECONDS,
            MessageSystemAttributeNames=["SentTimestamp"],
            MessageAttributeNames=["All"],
        )
        return [DeadLetter.of(self.which, message) for message in answer.get("Messages", [])]

    def _hand_back(self, letters: Sequence[DeadLetter]) -> None:
        for batch in _batches(letters):
            self._queues.change_message_visibility_batch(
                QueueUrl=self._source,
                Entries=[
                    {"Id": str(place), "ReceiptHandle": it.receipt, "VisibilityTimeout": 0}
                    for place, it in enumerate(batch)
                ],
            )

    def _send(self, letters: Sequence[DeadLetter], tally: Tally) -> list[tuple[DeadLetter, str]]:
        """Send them on: those that the queue took, each with its new id."""
        bodies: dict[str, str] = {}
        for letter in letters:
            try:
                bodies[letter.message_id] = letter.body_to_send
            except KeyDoesNotFit:
                tally.left[letter.message_id] = _TOO_LARGE
        taken: list[tuple[DeadLetter, str]] = []
        for batch in _batches([it for it in letters if it.message_id in bodies]):
            entries: list[SendMessageBatchRequestEntryTypeDef] = [
                {
                    "Id": str(place),
                    "MessageBody": bodies[letter.message_id],
                    "MessageAttributes": letter.attributes,
                }
                for place, letter in enumerate(batch)
            ]
            answer = self._queues.send_message_batch(QueueUrl=self._target, Entries=entries)
            taken += [
                (batch[int(it["Id"])], it["MessageId"]) for it in answer.get("Successful", [])
            ]
            for failed in answer.get("Failed", []):
                letter = batch[int(failed["Id"])]
                tally.left[letter.message_id] = f"SQS refused it: {failed['Code']}."
        return taken

    def _delete(self, letters: Sequence[DeadLetter], tally: Tally) -> None:
        if not letters:
            return
        answer = self._queues.delete_message_batch(
            QueueUrl=self._source,
            Entries=[{"Id": str(n), "ReceiptHandle": it.receipt} for n, it in enumerate(letters)],
        )
        for failed in answer.get("Failed", []):
            letter = letters[int(failed["Id"])]
            tally.left[letter.message_id] = (
                "It was sent on, but is still here too; to redrive it again is harmless."
            )


def _batches(letters: Sequence[DeadLetter]) -> Iterator[list[DeadLetter]]:
    return batches(letters, most=_AT_ONCE, most_bytes=_BATCH_BYTES, size=_size)


def _size(letter: DeadLetter) -> int:
    return len(letter.body.encode()) + 1024  # with its key and attributes
