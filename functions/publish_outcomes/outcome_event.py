"""The event of a change of outcome.

Pure. An event has no message body, and of phone numbers only the last four digits: a program that
needs more reads the message by its SID.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from delivery.domain.messages import Message
from delivery.domain.records import Record, iso
from delivery.domain.statuses import Outcome
from delivery.text.formatting import mask_number
from delivery.twilio.error_codes import explain

from .changes import Change


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeEvent:
    """The event of a change: its time, its place in the stream, and its facts."""

    message_sid: str
    sequence_number: str
    at: datetime
    detail: Record


def outcome_event(change: Change) -> OutcomeEvent | None:
    """Return the event of a change; None if the outcome is the same."""
    message = change.message
    if message.outcome is change.previous_outcome:
        return None
    return OutcomeEvent(
        message_sid=message.message_sid,
        sequence_number=change.sequence_number,
        at=_changed_at(message),
        detail=event_detail(message, change.previous_outcome),
    )


def event_detail(message: Message, previous: Outcome) -> Record:
    """Return the facts of a change from this outcome; unknown ones are omitted.

    `event_id` is the same however often the change is published.
    """
    facts = {
        "event_id": event_id(message, previous),
        "message_sid": message.message_sid,
        "outcome": str(message.outcome),
        "previous_outcome": str(previous),
        "changed_at": iso(_changed_at(message)),
        "created_at": iso(message.created_at),
        "status": message.status,
        "error_code": message.error_code,
        "account_sid": message.account_sid,
        "messaging_service_sid": message.messaging_service_sid,
        "request_id": message.request_id,
        "reference": message.reference,
        "context": dict(message.context) or None,
        "to": mask_number(message.to) if message.to else None,
        "from": mask_number(message.from_) if message.from_ else None,
    }
    if message.outcome is Outcome.FAILED:
        explained = explain(message.error_code, message.status)
        facts |= {"category": str(explained.category), "retryable": explained.retryable}
    return {name: fact for name, fact in facts.items() if fact is not None}


def event_id(message: Message, previous: Outcome) -> str:
    """Return the id of the change from this outcome.

    A message changes from one outcome to another at most once. A request that ended without a SID
    can fail and be superseded again, once its key has expired and is used again.
    """
    step = f"{message.message_sid} {previous} {message.outcome}"
    if message.is_request:
        step += f" {iso(_changed_at(message))}"
    return hashlib.sha256(step.encode("utf-8", "backslashreplace")).hexdigest()[:32]


def _changed_at(message: Message) -> datetime:
    return message.final_at or message.updated_at
