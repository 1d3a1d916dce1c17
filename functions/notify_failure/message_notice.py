"""What the notice of one message says: that it failed, or that it was delivered or sent after all.

Pure.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from delivery.domain.messages import Message
from delivery.domain.records import iso
from delivery.domain.statuses import MessageStatus, Outcome
from delivery.text.formatting import format_duration, source_of
from delivery.twilio.error_codes import Explanation, explain

from .advice import impact_of
from .incident import IncidentKey, NoticeKind, incident_id_of
from .notice import Event, Links, NoticeContent, format_time, reason
from .policy import NoticePolicy

_WHAT_HAPPENED: Final[Mapping[str, str]] = {
    MessageStatus.REJECTED: "was rejected and not sent",
    MessageStatus.PRESUMED_UNSENT: "was probably not sent",
}


def message_content(message: Message, links: Links, policy: NoticePolicy) -> NoticeContent:
    """The content of the notice that is to be published about this message now."""
    failed = message.outcome is Outcome.FAILED
    explained = _explanation(message)
    recipient = policy.mask(message.to) if message.to else "an unknown recipient"
    return NoticeContent(
        event=Event.FAILURE if failed else Event.RECOVERY,
        notice_id=message.notice_id or message.message_sid,
        incident_id=incident_id_of(message),
        account_sid=message.account_sid,
        status=message.status,
        explained=explained,
        headline=_headline(message, recipient, explained),
        lead=_lead(message, recipient, explained),
        details=_details(message, policy),
        impact=impact_of(IncidentKey.of(message).cause, explained.category) if failed else "",
        steps=[explained.action, explained.again] if failed else [],
        sections={"Timeline (UTC)": _timeline(message)},
        look_at=_look_at(message, links),
        follow_up=_follow_up(policy) if failed else "",
        message_sids=[message.message_sid],
        more_facts=_facts(message, links, policy),
        links=links,
    )


def _headline(message: Message, recipient: str, explained: Explanation) -> str:
    if message.outcome is not Outcome.FAILED:
        done = "sent" if _was_presumed_unsent(message) else "delivered"
        return f"Recovered: message to {recipient} was {done}"
    happened = _WHAT_HAPPENED.get(message.status, "was not delivered")
    code = f" ({explained.code})" if explained.code else ""
    return f"Message to {recipient} {happened}: {explained.title}{code}"


def _lead(message: Message, recipient: str, explained: Explanation) -> str:
    if message.outcome is not Outcome.FAILED:
        if _was_presumed_unsent(message):
            return (
                f"The message to {recipient} was sent. An earlier notice reported it as probably "
                f"not sent. No action is needed. Request {message.request_id} names the message; "
                "if that message fails, another notice follows."
            )
        return (
            f"The message to {recipient} was delivered. An earlier notice reported it as failed "
            f"({reason(explained)}). No action is needed."
        )
    happened = _WHAT_HAPPENED.get(message.status, "was not delivered")
    return f"A message to {recipient} {happened}: {reason(explained)}."


def _details(message: Message, policy: NoticePolicy) -> dict[str, str | None]:
    failed = message.outcome is Outcome.FAILED
    return {
        "To": policy.mask(message.to) if message.to else None,
        "From": policy.mask(message.from_) if message.from_ else None,
        "Service": message.messaging_service_sid,
        "Reference": message.reference,
        "Message": None if message.is_request else message.message_sid,
        "Request": message.request_id,
        "Account": message.account_sid,
        "Created": format_time(message.created_at),
        "Failed" if failed else "Delivered": _final(message.final_at, message.created_at),
    }


def _final(final_at: datetime | None, created_at: datetime) -> str | None:
    if final_at is None:
        return None
    after = final_at - created_at
    return (
        f"{format_time(final_at)} ({format_duration(after)} later)"
        if after
        else format_time(final_at)
    )


def _timeline(message: Message) -> list[str]:
    return [
        f"{entry.at:%Y-%m-%d %H:%M:%S}  {entry.status:<12}"
        + (f" error {entry.error_code}," if entry.error_code else "")
        + f" {source_of(entry)}"
        for entry in message.transitions
    ]


def _look_at(message: Message, links: Links) -> dict[str, str]:
    if message.is_request:
        return {"This request": links.api(f"requests/{message.request_id}")}
    return {"This message": links.api(f"messages/{message.message_sid}")}


def _follow_up(policy: NoticePolicy) -> str:
    if not policy.interval:
        return ""
    return (
        "Further failures of this kind get no notice of their own: a summary counts them, the "
        f"first one in {format_duration(policy.interval)}."
    )


def _facts(message: Message, links: Links, policy: NoticePolicy) -> dict[str, str | None]:
    facts: dict[str, str | None] = {
        "message_sid": message.message_sid,
        "request_id": message.request_id,
        "reference": message.reference,
        "to": policy.mask(message.to) if message.to else None,
        "from": policy.mask(message.from_) if message.from_ else None,
        "messaging_service_sid": message.messaging_service_sid,
        "status": message.status,
        "outcome": str(message.outcome),
        "created_at": iso(message.created_at),
        "final_at": iso(message.final_at) if message.final_at else None,
        "timeline": "; ".join(f"{entry.status} {iso(entry.at)}" for entry in message.transitions),
        "message_url": links.api(f"messages/{message.message_sid}"),
    }
    if message.is_request:
        facts["request_url"] = links.api(f"requests/{message.request_id}")
    if message.outcome is Outcome.FAILED:  # the first failure in the count of its incident
        facts |= {
            "kind": str(NoticeKind.OPENING),
            "range_from": "1",
            "range_to": "1",
            "counted": "1",
            "recovered": "0",
        }
    return facts


def _explanation(message: Message) -> Explanation:
    """The explanation of the failure, also if the message has recovered since."""
    status = MessageStatus.PRESUMED_UNSENT if _was_presumed_unsent(message) else message.status
    return explain(message.error_code or message.failure_code, status)


def _was_presumed_unsent(message: Message) -> bool:
    return any(entry.status == MessageStatus.PRESUMED_UNSENT for entry in message.transitions)
