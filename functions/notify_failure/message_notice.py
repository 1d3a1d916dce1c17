"""What people and their chat channels read when a message failed, or was delivered after all.

Pure: a Message and where to look go in, the texts come out.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from delivery.domain.messages import Message, MessageStatus, Outcome, iso
from delivery.text.formatting import format_duration, mask_number, source_of
from delivery.twilio.error_codes import Explanation, explain

from .episode import EpisodeKey, Kind, episode_id_of
from .notice import (
    Facts,
    FailureNotice,
    Places,
    as_email,
    as_subject,
    attributes_of,
    custom_notification,
    error_url,
    facts_of,
    rows,
    section,
    signed,
    utc,
)
from .wording import how_bad

_VERB: Final[Mapping[str, str]] = {
    MessageStatus.REJECTED: "was not sent",
    MessageStatus.PRESUMED_UNSENT: "was probably not sent",
}


def compose(
    message: Message, places: Places, *, quiet: timedelta, shows_numbers: bool
) -> FailureNotice:
    """The notice that the message failed, or that it was delivered or sent after all.

    It opens an episode: for as long as `quiet` no other failure of its kind is told.
    """
    facts = facts_of(_facts(message, places, quiet=quiet, shows_numbers=shows_numbers))
    return FailureNotice(
        subject=as_subject(facts["headline"]),
        email=_email(message, facts),
        default=_custom_notification(message, facts),
        attributes=attributes_of(facts, status=message.status, error_code=_code(message)),
    )


def _facts(
    message: Message, places: Places, *, quiet: timedelta, shows_numbers: bool
) -> dict[str, str | None]:
    to = mask_number(message.to, whole=shows_numbers) if message.to else None
    sender = mask_number(message.from_, whole=shows_numbers) if message.from_ else None
    code, explained = _code(message), _explanation(message)
    request_url = places.api(f"requests/{message.request_id}")
    opening = {} if _recovered(message) else _opening_facts(message, quiet)
    return {
        **opening,
        "event": "recovery" if _recovered(message) else "failure",
        "headline": _headline(message, to or "an unknown recipient", explained),
        "message_sid": message.message_sid,
        "request_id": message.request_id,
        "reference": message.reference,
        "account_sid": message.account_sid,
        "to": to,
        "from": sender,
        "messaging_service_sid": message.messaging_service_sid,
        "status": message.status,
        "outcome": str(message.outcome),
        "error_code": str(code) if code else None,
        "title": explained.title,
        "category": str(explained.category),
        "how_bad": how_bad(EpisodeKey.of(message).cause, explained.category),
        "retryable": str(explained.retryable).lower(),
        "action": explained.action,
        "again": explained.again,
        "created_at": iso(message.created_at),
        "final_at": iso(message.final_at) if message.final_at else None,
        "timeline": "; ".join(f"{entry.status} {iso(entry.at)}" for entry in message.transitions),
        "notice_id": message.notice_id,
        "message_url": places.api(f"messages/{message.message_sid}"),
        "request_url": request_url if message.is_request else None,
        "error_url": error_url(code),
        "dashboard_url": places.dashboard_url,
    }


def _opening_facts(message: Message, quiet: timedelta) -> dict[str, str]:
    """Its place in the episode that it opens: the first one of the count."""
    goes_on = (
        f"If more fail like this, they are counted: a summary comes in {format_duration(quiet)} "
        "instead of a notice for each."
    )
    return {
        "kind": str(Kind.OPENING),
        "episode_id": episode_id_of(message),
        "range_from": "1",
        "range_to": "1",
        "counted": "1",
        "recovered": "0",
        "goes_on": goes_on if quiet else "",
    }


def _headline(message: Message, recipient: str, explained: Explanation) -> str:
    recipient = recipient.replace("…", "...")  # the subject of an email is ASCII
    if _recovered(message):
        done = "Sent" if _was_not_found(message) else "Delivered"
        return f"{done} after all: message to {recipient}"
    verb = _VERB.get(message.status, "was not delivered")
    code = f" ({message.error_code})" if message.error_code else ""
    return f"Message to {recipient} {verb}: {explained.title}{code}"


def _email(message: Message, facts: Facts) -> str:
    parts = [_what_happened(message, facts), _about(message, facts)]
    if not _recovered(message):
        code = f" Twilio's error code is {facts['error_code']}." if "error_code" in facts else ""
        parts += [
            section("What went wrong", f"{facts['title']}.{code}", facts["how_bad"]),
            section("What to do", facts["action"], facts["again"]),
        ]
    parts += [
        section("What happened (UTC)", *_timeline(message)),
        section("Where to look", *_where_to_look(facts)),
        facts.get("goes_on", ""),
        f"Notice {facts.get('notice_id', '-')}. Should it arrive twice, it carries the same id.",
    ]
    return as_email(parts)


def _what_happened(message: Message, facts: Facts) -> str:
    """The first lines, which many read nothing but."""
    recipient = facts.get("to", "an unknown recipient")
    if _recovered(message) and _was_not_found(message):
        return (
            f"The message to {recipient} was sent after all. It had been reported as probably not "
            f"sent; nothing needs to be done. Request {message.request_id} names the message that "
            "it became; should that one fail, another notice follows."
        )
    if _recovered(message):
        return (
            f"The message to {recipient} was delivered after all. It had been reported as failed "
            f"({facts['title']}); nothing needs to be done."
        )
    if message.status == MessageStatus.REJECTED:
        return f"A message to {recipient} was refused and will not be sent."
    if message.status == MessageStatus.PRESUMED_UNSENT:
        return (
            f"A message to {recipient} was probably not sent: the connection to Twilio broke, and "
            "no trace of the message was found afterwards."
        )
    return f"A message to {recipient} was not delivered."


def _about(message: Message, facts: Facts) -> str:
    named = {
        "To": facts.get("to"),
        "From": facts.get("from"),
        "Service": facts.get("messaging_service_sid"),
        "Reference": facts.get("reference"),
        "Message": None if message.is_request else facts["message_sid"],
        "Request": facts.get("request_id"),
        "Account": facts.get("account_sid"),
        "Created": utc(message.created_at),
        "Delivered" if _recovered(message) else "Failed": _ended(message),
    }
    return "\n".join(f"  {row}" for row in rows(named))


def _ended(message: Message) -> str | None:
    if message.final_at is None:
        return None
    after = message.final_at - message.created_at
    return (
        f"{utc(message.final_at)} ({format_duration(after)} later)"
        if after
        else utc(message.final_at)
    )


def _timeline(message: Message) -> list[str]:
    return [
        f"{entry.at:%Y-%m-%d %H:%M:%S}  {entry.status:<12}"
        + (f" error {entry.error_code}," if entry.error_code else "")
        + f" {source_of(entry)}"
        for entry in message.transitions
    ]


def _where_to_look(facts: Facts) -> list[str]:
    return rows(
        {
            "This request": signed(facts.get("request_url")),
            "This message": signed(facts["message_url"]),
            "This error": facts.get("error_url"),
            "Dashboard": facts.get("dashboard_url"),
        }
    )


def _custom_notification(message: Message, facts: Facts) -> str:
    description, steps = [_what_happened(message, facts)], []
    if not _recovered(message):
        description += [f"*{facts['title']}.* {facts['how_bad']}", facts.get("goes_on", "")]
        steps = [facts["action"]]
    return custom_notification(
        facts,
        notice_id=facts.get("notice_id", message.message_sid),
        episode_id=episode_id_of(message),
        description=description,
        next_steps=[*steps, f"Look at the message: {facts['message_url']}"],
        keywords=[facts["event"], facts["category"], facts.get("error_code", "no code")],
        message_sids=[message.message_sid],
    )


def _explanation(message: Message) -> Explanation:
    """Of the failure that the notice is about, also of one that is no failure any more."""
    never_sent = MessageStatus.PRESUMED_UNSENT if _was_not_found(message) else message.status
    return explain(_code(message), never_sent)


def _code(message: Message) -> int | None:
    """The code of the failure that the notice is about; a recovered message has none any more."""
    return message.error_code or message.failure_code


def _recovered(message: Message) -> bool:
    return message.outcome is not Outcome.FAILED


def _was_not_found(message: Message) -> bool:
    return any(entry.status == MessageStatus.PRESUMED_UNSENT for entry in message.transitions)
