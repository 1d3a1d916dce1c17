"""One message of a dead-letter queue: what is told of it, and what is sent on."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from delivery_cli.commands.redrive.routes import SEND
from delivery_cli.messages_api import Json

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

_LARGEST_REQUEST: Final = 64 * 1024
"""Of the sender: what is larger it refuses."""
_OF_AN_ATTRIBUTE: Final = ("DataType", "StringValue", "BinaryValue")
_OF_A_REQUEST: Final = ("to", "reference", "idempotency_key")
_OF_A_STATUS: Final = ("message_sid", "status", "at")


class KeyDoesNotFit(Exception):
    """The request is as large as one may be, so that its key cannot go along."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """As it was received."""

    which: str
    """Of the routes."""
    message_id: str
    receipt: str = field(repr=False)
    body: str = field(repr=False)
    queued_at: datetime
    attributes: Any = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, which: str, message: "MessageTypeDef") -> "DeadLetter":
        """What SQS handed out."""
        sent_ms = int(message.get("Attributes", {}).get("SentTimestamp", "0"))
        return cls(
            which=which,
            message_id=message["MessageId"],
            receipt=message["ReceiptHandle"],
            body=message["Body"],
            queued_at=datetime.fromtimestamp(sent_ms / 1000, UTC),
            attributes={
                name: {it: value[it] for it in _OF_AN_ATTRIBUTE if it in value}
                for name, value in message.get("MessageAttributes", {}).items()
            },
        )

    @property
    def body_to_send(self) -> str:
        """Its body; of a request to send with its key.

        Raises:
            KeyDoesNotFit: the key would make it too large.
        """
        return with_key(self.body, self.message_id) if self.which == SEND else self.body

    @property
    def facts(self) -> Json:
        """What a person is told of it: never its text."""
        told: Json = {
            "message_id": self.message_id,
            "queued_at": self.queued_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        }
        document = _object_in(self.body)
        if document is None:
            then = "be refused, and noticed" if self.which == SEND else "come back"
            return told | {"problem": f"It is no JSON object, so it will {then}."}
        names = _OF_A_REQUEST if self.which == SEND else _OF_A_STATUS
        told |= {name: str(document[name]) for name in names if document.get(name) is not None}
        if self.which == SEND:
            told.setdefault("idempotency_key", self.message_id)
        return told


def with_key(body: str, key: str) -> str:
    """A request to send that names its idempotency key: its own if it has one, else this.

    Nothing else of it is touched, not even its spelling. What is no request stays as it is: it
    can never be sent.

    Raises:
        KeyDoesNotFit: it would be too large for the sender with the key, and was not without.
    """
    document = _object_in(body)
    if document is None or document.get("idempotency_key") is not None:
        return body
    # A null that stands before is overruled: of two fields of one name the last one counts.
    inner = body.rstrip().removesuffix("}").rstrip()
    comma = "" if inner.endswith("{") else ", "
    keyed = f'{inner}{comma}"idempotency_key": {json.dumps(key)}}}'
    if len(body) <= _LARGEST_REQUEST < len(keyed):
        raise KeyDoesNotFit
    return keyed


def _object_in(body: str) -> Json | None:
    """The JSON object that it is, or None."""
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
