"""Twilio's message statuses and our outcomes: one table with the rank, outcome and label of each.

Pure. Every rule about statuses reads this table, so that a new status of Twilio's is one row.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple


class MessageStatus(StrEnum):
    """Twilio's words for an outbound message, and ours for a request without a message.

    Source: https://www.twilio.com/docs/messaging/api/message-resource#message-status-values
    """

    ACCEPTED = "accepted"
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    CANCELED = "canceled"
    FAILED = "failed"
    UNDELIVERED = "undelivered"
    PARTIALLY_DELIVERED = "partially_delivered"
    DELIVERED = "delivered"
    READ = "read"

    UNKNOWN = "unknown"
    """The status of a message of which Twilio reported only statuses unknown to this version."""

    REJECTED = "rejected"
    """The status of a request that Twilio or the sender rejected: no message was created."""
    PRESUMED_UNSENT = "presumed_unsent"
    """The status of a request in doubt for which no evidence was found in time."""


class Outcome(StrEnum):
    """What the status means for the caller who wanted the message delivered."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    CANCELED = "canceled"
    UNCONFIRMED = "unconfirmed"
    """Twilio reported no final status in time."""
    SUPERSEDED = "superseded"
    """A request kept as rejected or presumed unsent that was sent after all, under a SID."""


class StatusDefinition(NamedTuple):
    """One status: a higher rank replaces a lower one; the outcome of a final one is not pending.

    `label` says in a few words what the status means.
    """

    rank: int
    label: str
    outcome: Outcome = Outcome.PENDING


TWILIO_STATUSES: Final[Mapping[str, StatusDefinition]] = {
    MessageStatus.ACCEPTED: StatusDefinition(
        rank=10, label="Twilio accepted it and selects a sender"
    ),
    MessageStatus.SCHEDULED: StatusDefinition(rank=15, label="Twilio holds it until its send time"),
    MessageStatus.QUEUED: StatusDefinition(rank=20, label="waiting in Twilio's queue"),
    MessageStatus.SENDING: StatusDefinition(rank=30, label="being handed to the carrier"),
    MessageStatus.SENT: StatusDefinition(rank=40, label="the carrier accepted it"),
    MessageStatus.CANCELED: StatusDefinition(
        rank=50, outcome=Outcome.CANCELED, label="canceled before it was sent"
    ),
    MessageStatus.FAILED: StatusDefinition(
        rank=60, outcome=Outcome.FAILED, label="it could not be sent"
    ),
    MessageStatus.UNDELIVERED: StatusDefinition(
        rank=70, outcome=Outcome.FAILED, label="the carrier reports that it was not delivered"
    ),
    MessageStatus.PARTIALLY_DELIVERED: StatusDefinition(
        rank=75, outcome=Outcome.FAILED, label="only a part of it was delivered"
    ),
    MessageStatus.DELIVERED: StatusDefinition(
        rank=80, outcome=Outcome.DELIVERED, label="the carrier reports that it was delivered"
    ),
    MessageStatus.READ: StatusDefinition(
        rank=90, outcome=Outcome.DELIVERED, label="the recipient opened it"
    ),
}
"""Every status that Twilio reports of an outbound message; any other word is unknown."""

UNSENT_STATUSES: Final[Mapping[str, StatusDefinition]] = {
    status: StatusDefinition(
        rank=TWILIO_STATUSES[MessageStatus.FAILED].rank, outcome=Outcome.FAILED, label=label
    )
    for status, label in (
        (MessageStatus.REJECTED, "rejected, nothing was sent"),
        (MessageStatus.PRESUMED_UNSENT, "no trace of it at Twilio: probably not sent"),
    )
}
"""Our statuses of a request without a message. Twilio does not use them: from Twilio they count as
unknown.
"""

STATUSES: Final[Mapping[str, StatusDefinition]] = {**TWILIO_STATUSES, **UNSENT_STATUSES}
"""Every status that a transition can have and this version knows."""


def rank(status: str) -> int:
    """Return the rank of a status of Twilio's; 0 for one that this version does not know."""
    known = TWILIO_STATUSES.get(status)
    return known.rank if known else 0


def outcome_of(status: str) -> Outcome:
    """Return the outcome that a status of Twilio's gives a message: pending unless it is final."""
    known = TWILIO_STATUSES.get(status)
    return known.outcome if known else Outcome.PENDING


def label_of(status: str) -> str | None:
    """Return what a status means, in a few words; None for a status that is not known."""
    known = STATUSES.get(status)
    return known.label if known else None
