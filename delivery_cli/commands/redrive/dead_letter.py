"""One message of a dead-letter queue."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from delivery_cli.commands.redrive.routes import SEND
from delivery_cli.messages_api import Json

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

_ATTRIBUTE_KEYS: Final = ("DataType", "StringValue", "BinaryValue")
_REQUEST_FIELDS: Final = ("to", "reference", "idempotency_key")
_STATUS_FIELDS: Final = ("message_sid", "status", "at")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A message as SQS delivered it."""

    queue: str
    """Name of the route."""
    message_id: str
    receipt: str = field(repr=False)
    body: str = field(repr=False)
    queued_at: datetime
    attributes: Any = field(default_factory=dict, repr=False)

    @classmethod
    def from_sqs(cls, queue: str, message: "MessageTypeDef") -> "DeadLetter":
        """Return a received message."""
        sent_ms = int(message.get("Attributes", {}).get("SentTimestamp", "0"))
        return cls(
            queue=queue,
            message_id=message["MessageId"],
            receipt=message["ReceiptHandle"],
            body=message["Body"],
            queued_at=datetime.fromtimestamp(sent_ms / 1000, UTC),
            attributes={
                name: {it: value[it] for it in _ATTRIBUTE_KEYS if it in value}
                for name, value in message.get("MessageAttributes", {}).items()
            },
        )

    @property
    def redriven_body(self) -> str:
        """The body to send: a send request gets its idempotency key."""
        return with_key(self.body, self.message_id) if self.queue == SEND else self.body

    def describe(self) -> Json:
        """Return what a preview shows: ids and times, never the message's text."""
        description: Json = {
            "message_id": self.message_id,
            "queued_at": self.queued_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        }
        document = _parse_object(self.body)
        if document is None:
            consequence = "rejected and notified" if self.queue == SEND else "dead-lettered again"
            return description | {"problem": f"Not a JSON object: it will be {consequence}."}
        names = _REQUEST_FIELDS if self.queue == SEND else _STATUS_FIELDS
        description |= {
            name: str(document[name]) for name in names if document.get(name) is not None
        }
        if self.queue == SEND:
            description.setdefault("idempotency_key", self.message_id)
        return description


def with_key(body: str, key: str) -> str:
    """Return the send request with an idempotency key: its own, else `key`.

    The rest of the text is kept: escapes could make it larger than SendMessageFunction accepts. A
    body that is not a JSON object is returned unchanged: it can never be sent.
    """
    document = _parse_object(body)
    if document is None or document.get("idempotency_key") is not None:
        return body
    # An earlier `"idempotency_key": null` has no effect: the last of two equal names counts.
    inner = body.rstrip().removesuffix("}").rstrip()
    comma = "" if inner.endswith("{") else ", "
    return f'{inner}{comma}"idempotency_key": {json.dumps(key)}}}'


def _parse_object(body: str) -> Json | None:
    """Return the JSON object in the body, or None if it is anything else."""
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
