"""What programs are told when a message's outcome changes.

Pure: the message before and after go in, the event's detail comes out. It has no body, and of phone
numbers only the end: who needs more asks for the message by its SID.
"""

import hashlib
from typing import Any

from delivery.domain.messages import Message, Outcome, iso
from delivery.text.formatting import mask_number
from delivery.twilio.error_codes import explain


def changed(before: Outcome | None, message: Message) -> bool:
    """Whether there is something to tell; that a new message is pending says nothing."""
    return message.outcome is not (before or Outcome.PENDING)


def detail_of(before: Outcome | None, message: Message) -> dict[str, Any]:
    """The facts of the change; what is not known is left out.

    `event_id` is the same however often the change is published.
    """
    previous = before or Outcome.PENDING
    facts = {
        "event_id": event_id(message.message_sid, previous, message.outcome),
        "message_sid": message.message_sid,
        "outcome": str(message.outcome),
        "previous_outcome": str(previous),
        "changed_at": iso(message.final_at or message.updated_at),
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


def event_id(message_sid: str, previous: Outcome, outcome: Outcome) -> str:
    """A message takes no step between two outcomes twice."""
    step = f"{message_sid} {previous} {outcome}"
    return hashlib.sha256(step.encode("utf-8", "backslashreplace")).hexdigest()[:32]
