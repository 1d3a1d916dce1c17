"""`redrive`: what the stack gave up gets another chance.

Each dead letter is received, sent to the queue that it came from, and deleted, in this order: a
redrive that dies in between leaves it where it was. SQS gives what it moves a new id, and a request
to send without a key of its own has its id as its key; so the old one goes along as its
`idempotency_key`. It keeps its request_id, and is sent once, however often it is moved.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from delivery_cli.drawing import visible
from delivery_cli.errors import CommandError
from delivery_cli.messages_api import Json
from delivery_cli.place import Place
from delivery_cli.screen import Screen

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType
    from mypy_boto3_sqs.type_defs import (
        MessageTypeDef,
        SendMessageBatchRequestEntryTypeDef,
    )

SEND: Final = "send"
CALLBACKS: Final = "callbacks"

_AT_ONCE: Final = 10  # the most that SQS hands out, and takes
_BATCH_BYTES: Final = 200 * 1024  # SQS took 256 KiB for long, and takes more in some places
_LARGEST_REQUEST: Final = 64 * 1024
"""Of the sender: what is larger it refuses."""
_TOO_LARGE: Final = "It is too large to carry its key along; look at it by hand."
_HIDDEN_SECONDS: Final = 120
_WAIT_SECONDS: Final = 1  # a short poll asks only some of SQS's servers


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A dead-letter queue and the queue to which it leads back, by their logical ids."""

    dead_letters: str
    queue: str


ROUTES: Final = {
    SEND: Route(dead_letters="SendDeadLetterQueue", queue="SendQueue"),
    CALLBACKS: Route(dead_letters="CallbackDeadLetterQueue", queue="CallbackQueue"),
}
"""Those that may be redriven; docs/operations.md says why the others may not."""


class KeyDoesNotFit(Exception):
    """The request is as large as one may be, so that its key cannot go along."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One message of a dead-letter queue, as it was received."""

    message_id: str
    receipt: str = field(repr=False)
    body: str = field(repr=False)
    queued_at: datetime
    attributes: Any = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, message: "MessageTypeDef") -> "DeadLetter":
        """What SQS handed out."""
        sent_ms = int(message.get("Attributes", {}).get("SentTimestamp", "0"))
        return cls(
            message_id=message["MessageId"],
            receipt=message["ReceiptHandle"],
            body=message["Body"],
            queued_at=datetime.fromtimestamp(sent_ms / 1000, UTC),
            attributes={
                name: {it: value[it] for it in _OF_AN_ATTRIBUTE if it in value}
                for name, value in message.get("MessageAttributes", {}).items()
            },
        )

    def facts(self, which: str) -> Json:
        """What a person is told of it: never its text."""
        told: Json = {
            "message_id": self.message_id,
            "queued_at": self.queued_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        }
        try:
            document: Any = json.loads(self.body)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            then = "be refused, and noticed" if which == SEND else "come back"
            return told | {"problem": f"It is no JSON object, so it will {then}."}
        names = _OF_A_REQUEST if which == SEND else _OF_A_STATUS
        told |= {name: str(document[name]) for name in names if document.get(name) is not None}
        if which == SEND:
            told.setdefault("idempotency_key", self.message_id)
        return told


_OF_AN_ATTRIBUTE: Final = ("DataType", "StringValue", "BinaryValue")
_OF_A_REQUEST: Final = ("to", "reference", "idempotency_key")
_OF_A_STATUS: Final = ("message_sid", "status", "at")


@dataclass(slots=True)
class _Tally:
    """What became of one queue's dead letters."""

    which: str
    found: int = 0
    redriven: int = 0
    hidden: int = 0
    left: list[Json] = field(default_factory=list)
    letters: list[Json] = field(default_factory=list)

    def leave(self, message_id: str, reason: str) -> None:
        """This one stays."""
        self.left.append({"message_id": message_id, "reason": reason})

    def as_json(self) -> Json:
        route = ROUTES[self.which]
        return {
            "queue": route.dead_letters,
            "into": route.queue,
            "found": self.found,
            "redriven": self.redriven,
            "hidden": self.hidden,
            "left": self.left,
            "letters": self.letters,
        }


def with_key(body: str, key: str) -> str:
    """A request to send that names its idempotency key: its own if it has one, else this.

    Nothing else of it is touched, not even its spelling. What is no request stays as it is: it
    can never be sent.

    Raises:
        KeyDoesNotFit: it would be too large for the sender with the key, and was not without.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return body
    if not isinstance(document, dict) or document.get("idempotency_key") is not None:
        return body
    # A null that stands before is overruled: of two fields of one name the last one counts.
    inner = body.rstrip().removesuffix("}").rstrip()
    comma = "" if inner.endswith("{") else ", "
    keyed = f'{inner}{comma}"idempotency_key": {json.dumps(key)}}}'
    if len(body) <= _LARGEST_REQUEST < len(keyed):
        raise KeyDoesNotFit
    return keyed


def redrive(
    screen: Screen, place: Place, which: Sequence[str], *, dry_run: bool, confirmed: bool
) -> int:
    """Move the dead letters of these queues, or show what there is: 1 if one had to be left.

    Raises:
        CommandError: nobody has confirmed it.
    """
    queues = place.account.queues
    urls = {it: place.resources[ROUTES[it].dead_letters].physical_id for it in which}
    if dry_run:
        tallies = [_look(queues, it, urls[it]) for it in which]
    else:
        waiting = {it: _count(queues, urls[it]) for it in which}
        if any(waiting.values()) and not confirmed and not _confirms(screen, waiting):
            raise CommandError("Nothing was moved.")
        tallies = [
            _move(screen, queues, it, urls[it], place.resources[ROUTES[it].queue].physical_id)
            for it in which
        ]
    screen.result(
        {"dry_run": dry_run, "queues": [tally.as_json() for tally in tallies]},
        _drawn(tallies, dry_run=dry_run),
    )
    return 1 if any(tally.left for tally in tallies) else 0


def _confirms(screen: Screen, waiting: dict[str, int]) -> bool:
    told = " and ".join(
        f"{count} of {ROUTES[which].dead_letters}" for which, count in waiting.items() if count
    )
    return screen.ask(f"Move about {told} back to be tried again?")


def _move(screen: Screen, queues: "SQSClient", which: str, source: str, target: str) -> _Tally:
    tally = _Tally(which)
    moved: set[str] = set()
    title = f"Redriving {ROUTES[which].dead_letters}"
    with screen.progress(title, _count(queues, source)) as reached:
        while letters := _receive(queues, source):
            if back := [it for it in letters if it.message_id in moved]:
                for letter in back:
                    tally.leave(letter.message_id, "It came back: the cause is still there.")
                break
            tally.found += len(letters)
            sent = _send(queues, target, letters, tally)
            moved |= {new_id for _, new_id in sent}
            _delete(queues, source, [letter for letter, _ in sent], tally)
            tally.redriven += len(sent)
            reached(tally.found)
    tally.hidden = _count(queues, source, hidden=True) - len(tally.left)
    return tally


def _look(queues: "SQSClient", which: str, source: str) -> _Tally:
    """What there is; it is handed back at once, so that nobody has to wait for it."""
    tally = _Tally(which)
    seen: dict[str, DeadLetter] = {}
    tally.hidden = _count(queues, source, hidden=True)
    try:
        while letters := _receive(queues, source):
            new = [it for it in letters if it.message_id not in seen]
            if not new:
                break
            seen |= {it.message_id: it for it in new}
    finally:
        for batch in _batches(list(seen.values())):
            queues.change_message_visibility_batch(
                QueueUrl=source,
                Entries=[
                    {"Id": str(place), "ReceiptHandle": it.receipt, "VisibilityTimeout": 0}
                    for place, it in enumerate(batch)
                ],
            )
    tally.found = len(seen)
    for letter in sorted(seen.values(), key=lambda it: it.queued_at):
        tally.letters.append(letter.facts(which))
        try:
            _body_of(letter, which)
        except KeyDoesNotFit:
            tally.leave(letter.message_id, _TOO_LARGE)
    return tally


def _receive(queues: "SQSClient", url: str) -> list[DeadLetter]:
    answer = queues.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=_AT_ONCE,
        VisibilityTimeout=_HIDDEN_SECONDS,
        WaitTimeSeconds=_WAIT_SECONDS,
        MessageSystemAttributeNames=["SentTimestamp"],
        MessageAttributeNames=["All"],
    )
    return [DeadLetter.of(message) for message in answer.get("Messages", [])]


def _send(
    queues: "SQSClient", url: str, letters: Sequence[DeadLetter], tally: _Tally
) -> list[tuple[DeadLetter, str]]:
    """Send them on: those that the queue took, each with its new id."""
    bodies: dict[str, str] = {}
    for letter in letters:
        try:
            bodies[letter.message_id] = _body_of(letter, tally.which)
        except KeyDoesNotFit:
            tally.leave(letter.message_id, _TOO_LARGE)
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
        answer = queues.send_message_batch(QueueUrl=url, Entries=entries)
        taken += [(batch[int(it["Id"])], it["MessageId"]) for it in answer.get("Successful", [])]
        for failed in answer.get("Failed", []):
            tally.leave(batch[int(failed["Id"])].message_id, f"SQS refused it: {failed['Code']}.")
    return taken


def _body_of(letter: DeadLetter, which: str) -> str:
    return with_key(letter.body, letter.message_id) if which == SEND else letter.body


def _delete(queues: "SQSClient", url: str, letters: Sequence[DeadLetter], tally: _Tally) -> None:
    if not letters:
        return
    answer = queues.delete_message_batch(
        QueueUrl=url,
        Entries=[{"Id": str(n), "ReceiptHandle": it.receipt} for n, it in enumerate(letters)],
    )
    for failed in answer.get("Failed", []):
        tally.leave(
            letters[int(failed["Id"])].message_id,
            "It was sent on, but is still here too; to redrive it again is harmless.",
        )


def _batches(letters: Sequence[DeadLetter]) -> Iterator[list[DeadLetter]]:
    """As many at once as SQS takes, by number and by size."""
    batch: list[DeadLetter] = []
    size = 0
    for letter in letters:
        length = len(letter.body.encode()) + 1024  # with its key and attributes
        if batch and (len(batch) == _AT_ONCE or size + length > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(letter)
        size += length
    if batch:
        yield batch


def _count(queues: "SQSClient", url: str, *, hidden: bool = False) -> int:
    """About how many there are to receive, or hidden because somebody has received them."""
    attributes = queues.get_queue_attributes(QueueUrl=url, AttributeNames=list(_COUNTS))
    return int(attributes["Attributes"][_COUNTS[hidden]])


_COUNTS: Final[tuple["QueueAttributeNameType", ...]] = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
)


def _drawn(tallies: Sequence[_Tally], *, dry_run: bool) -> Iterator[RenderableType]:
    for tally in tallies:
        route = ROUTES[tally.which]
        if not tally.found and tally.hidden <= 0:
            yield Text(f"{route.dead_letters} is empty.")
            continue
        done = "would be moved to" if dry_run else "were moved to"
        count = tally.found if dry_run else tally.redriven
        yield Text(f"{route.dead_letters}: {count} {done} {route.queue}.", style="bold")
        if tally.letters:
            yield _table(tally)
        for left in tally.left:
            yield Text(f"  {left['message_id']} stays. {left['reason']}", style="red")
        if tally.hidden > 0:
            yield Text(
                f"  {tally.hidden} more are hidden because somebody has received them; try again "
                "in some minutes."
            )


def _table(tally: _Tally) -> Table:
    names = list(dict.fromkeys(name for letter in tally.letters for name in letter))
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for name in names:
        table.add_column(name.replace("_", " "), overflow="fold")
    for letter in tally.letters:
        table.add_row(*(Text(visible(letter.get(name, ""))) for name in names))
    return table
