"""What the notice of one message says: that it failed, or that it was delivered or sent after all.

Pure.
"""

from dataclasses import replace
from datetime import date

from delivery.domain.messages import Message
from delivery.domain.records import iso
from delivery.domain.statuses import Outcome
from delivery.text.formatting import format_duration, source_label
from delivery.twilio.error_codes import explain

from .advice import impact_of
from .incident import IncidentKey, NoticeKind, incident_id_of
from .notice import (
    Event,
    Links,
    NoticeContent,
    Values,
    failed_how,
    format_time,
    on_one_line,
    reason,
)
from .policy import NoticePolicy


def message_content(message: Message, links: Links, policy: NoticePolicy) -> NoticeContent:
    """Return what the notice says that is to be published about this message now."""
    to = policy.mask(message.to) if message.to else None
    recipient = to or "an unknown recipient"
    sender = policy.mask(message.from_) if message.from_ else None
    # Of a message that has recovered: why the earlier notice said that it failed.
    explained = explain(_failure_code(message), message.status, message.error_detail)
    failure = NoticeContent(
        event=Event.FAILURE,
        notice_id=message.notice_id or message.message_sid,
        incident_id=incident_id_of(message),
        account_sid=message.account_sid,
        status=message.status,
        explained=explained,
        headline=f"Message to {recipient} was {failed_how(message.status)}: {reason(explained)}",
        lead=(
            f"A message to {recipient} was {failed_how(message.status)}: {reason(explained)}"
            f"{_found_by_audit(message)}."
        ),
        details={"To": to, "From": sender, **_details(message)},
        impact=impact_of(IncidentKey.of(message).cause, explained.category),
        steps=[explained.action, explained.retry_advice],
        sections={"Timeline (UTC)": _timeline(message)},
        look_at=_look_at(message, links),
        follow_up=_follow_up(policy),
        message_sids=[message.message_sid],
        more_facts={"to": to, "from": sender, **_facts(message, links)},
        links=links,
    )
    return failure if message.outcome is Outcome.FAILED else _recovery(message, failure, recipient)


def _failure_code(message: Message) -> int | None:
    """Return the error code of the failure, also after the message has recovered from it."""
    if message.is_superseded:
        return message.transitions[-1].error_code
    return message.error_code or message.failure_code


def _recovery(message: Message, failure: NoticeContent, recipient: str) -> NoticeContent:
    """Return what the notice says after the message has recovered from that failure."""
    if message.is_superseded:
        done = "sent"
        more = (
            f" Request {message.request_id} names the message; if that message fails, another "
            "notice follows."
        )
    else:
        done, more = "delivered", ""
    return replace(
        failure,
        event=Event.RECOVERY,
        headline=f"Recovered: message to {recipient} was {done}",
        lead=(
            f"The message to {recipient} was {done}{_found_by_audit(message)}. An earlier notice "
            f"reported it as failed ({reason(failure.explained)}). No action is needed.{more}"
        ),
        impact="",
        steps=[],
        follow_up="",
    )


def _found_by_audit(message: Message) -> str:
    """Return a remark if an audit found the outcome, with the message's age; otherwise empty."""
    if message.audited_day is None:
        return ""
    days = _days_since(message.audited_day, message)
    return (
        f" (found by the audit of {message.audited_day.isoformat()}, sent {days} "
        f"day{'' if days == 1 else 's'} ago)"
    )


def _days_since(sent_on: date, message: Message) -> int:
    """Return how many days (UTC) after `sent_on` the message reached its outcome."""
    return max(((message.final_at or message.updated_at).date() - sent_on).days, 0)


def _details(message: Message) -> Values:
    ended = None
    if message.final_at is not None:
        after = message.final_at - message.created_at
        later = f" ({format_duration(after)} later)" if after else ""
        ended = f"{format_time(message.final_at)}{later}"
    return {
        "Service": message.messaging_service_sid,
        "Reference": message.reference,
        "Message": None if message.is_request else message.message_sid,
        "Request": message.request_id,
        "Account": message.account_sid,
        "Created": format_time(message.created_at),
        _ended_how(message): ended,
    }


def _ended_how(message: Message) -> str:
    if message.outcome is Outcome.FAILED:
        return "Failed"
    return "Sent" if message.is_superseded else "Delivered"


def _timeline(message: Message) -> list[str]:
    return [
        f"{entry.at:%Y-%m-%d %H:%M:%S}  {on_one_line(entry.status):<12}"
        + (f" error {entry.error_code}," if entry.error_code else "")
        + f" {source_label(entry)}"
        for entry in message.transitions
    ]


def _look_at(message: Message, links: Links) -> dict[str, str]:
    if message.is_request:
        return {"This request": links.api_item("requests", message.message_sid)}
    return {"This message": links.api_item("messages", message.message_sid)}


def _follow_up(policy: NoticePolicy) -> str:
    if not policy.interval:
        return ""
    return (
        "Further failures of this kind get no notice of their own: a summary counts them, the "
        f"first one in {format_duration(policy.interval)}."
    )


def _facts(message: Message, links: Links) -> Values:
    day = message.audited_day
    facts = {
        "message_sid": message.message_sid,
        "request_id": message.request_id,
        "reference": message.reference,
        "messaging_service_sid": message.messaging_service_sid,
        "status": message.status,
        "outcome": str(message.outcome),
        "created_at": iso(message.created_at),
        "final_at": iso(message.final_at) if message.final_at else None,
        "timeline": "; ".join(f"{entry.status} {iso(entry.at)}" for entry in message.transitions),
        "found_by_audit_of": day.isoformat() if day else None,
        "sent_days_ago": str(_days_since(day, message)) if day else None,
        "message_url": links.api_item("messages", message.message_sid),
        "request_url": None,
    }
    if message.is_request:
        facts["request_url"] = links.api_item("requests", message.message_sid)
    if message.outcome is Outcome.FAILED:  # the first failure in the count of its incident
        facts |= {"kind": NoticeKind.OPENING, "range_from": "1", "range_to": "1", "counted": "1"}
    return facts
