"""The changes of messages that records of the stream show. Pure."""

from dataclasses import dataclass
from typing import Any

from delivery.domain.messages import Message
from delivery.domain.statuses import Outcome
from delivery.storage.items import as_record
from delivery.storage.messages import message_of
from delivery.storage.table import ItemUnreadable


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One write of a message, and its place in the stream.

    `previous` is the message before it: None for a new one, or one that this version cannot read.
    `previous_outcome` is pending for a new message.
    """

    sequence_number: str
    message: Message
    previous: Message | None
    previous_outcome: Outcome


def change_in(record: dict[str, Any]) -> Change | None:
    """Return the change that a record shows; None if the message expired or was erased.

    Raises:
        ItemUnreadable, ValueError: the record does not show a message.
    """
    images = record["dynamodb"]
    old, new = images.get("OldImage", {}), images.get("NewImage", {})
    if "outcome" not in new:
        return None
    return Change(
        sequence_number=images["SequenceNumber"],
        message=message_of(new),
        previous=_previous(old),
        previous_outcome=Outcome(as_record(old).get("outcome", Outcome.PENDING)),
    )


def _previous(image: dict[str, Any]) -> Message | None:
    try:
        return message_of(image) if image else None
    except ItemUnreadable:
        return None
