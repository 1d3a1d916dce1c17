"""Decides which message of Twilio's list is the one that a request in doubt sent.

Pure. Evidence is a message with the request's id, or exactly one unclaimed match for exactly one
request. Everything else stays in doubt, or has no evidence.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from delivery.domain.messages import Message
from delivery.domain.send_requests import SendRequest, body_digest
from delivery.twilio.client import MessageResource

CLOCK_SKEW: Final = timedelta(seconds=30)
"""Between our clock and Twilio's, which shows whole seconds."""
_TRIAL_PREFIX: Final = "Sent from your Twilio trial account - "


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """The messages to one recipient in Twilio's list that a request in doubt may have sent.

    `unclaimed` are messages that no request and no other program claims. `message_by_request` are
    messages of the table that carry a request's id, by that id.
    """

    unclaimed: tuple[MessageResource, ...]
    message_by_request: Mapping[str, Message]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ambiguous:
    """Messages match the request, but which of them it sent cannot be decided."""

    resources: tuple[MessageResource, ...]


type Evidence = Message | MessageResource | Ambiguous | None
"""What shows that a request was sent: a message of the table that carries the request's id, or the
only match in Twilio's list, if it matches no other request. None: no message matches.
"""


def evidence_for(
    request: SendRequest,
    candidates: Candidates,
    competing_requests: Iterable[SendRequest],
    *,
    is_too_old: bool,
) -> Evidence:
    """Return the evidence of a request in doubt.

    Args:
        request: the request.
        candidates: what Twilio's list has of the request's recipient.
        competing_requests: every request to this recipient that may have sent a candidate; the
            request itself may be among them.
        is_too_old: the request is so old that a competing one may be off the worklist already,
            so a match does not count as evidence.
    """
    message = candidates.message_by_request.get(request.request_id)
    if message is not None and request.is_sent_as(message):
        return message
    matching = tuple(it for it in candidates.unclaimed if matches(it, request))
    if not matching:
        return None
    contested = any(
        matches(resource, other)
        for resource in matching
        for other in competing_requests
        if other.request_id != request.request_id
    )
    if len(matching) > 1 or contested or is_too_old:
        return Ambiguous(resources=matching)
    return matching[0]


def matches(resource: MessageResource, request: SendRequest) -> bool:
    """Return whether a message to the request's recipient may be the one that the request sent."""
    created = resource.date_created
    body = resource.body or ""
    return (
        created is not None
        and request.claimed_at - CLOCK_SKEW <= created <= request.lease_until + CLOCK_SKEW
        and (resource.direction or "outbound").startswith("outbound")
        and request.from_ in {None, resource.from_}
        and request.messaging_service_sid in {None, resource.messaging_service_sid}
        and request.body_digest
        in {None, body_digest(body), body_digest(body.removeprefix(_TRIAL_PREFIX))}
    )
