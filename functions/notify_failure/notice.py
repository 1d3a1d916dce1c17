"""A failure notice: what people and their chat channels read when a message failed.

Pure: a Message and where to look go in, the texts come out. Phone numbers show their last four
digits unless somebody decided otherwise; a message body is never shown.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from delivery.error_codes import Category, Explanation, explain
from delivery.message import Message, MessageStatus, Outcome, Source, iso
from delivery.spellings import shown

from .episode import Kind, episode_id_of

# A subject has less than 100 printable ASCII characters:
# https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
_LONGEST_SUBJECT: Final = 99
_UNPRINTABLE: Final = re.compile(r"[^\x20-\x7e]")

HOW_BAD: Final[Mapping[Category, str]] = {
    Category.RECIPIENT_UNREACHABLE: (
        "This usually concerns one recipient only. Other messages are not affected."
    ),
    Category.OPT_OUT: "This recipient asked for no more messages. Others are not affected.",
    Category.CARRIER_FILTERING: (
        "The content or the sender looks unwanted to a carrier. Similar messages are likely to "
        "fail as well."
    ),
    Category.REGISTRATION_COMPLIANCE: (
        "The sender lacks a registration or breaks a rule at the destination. Expect every "
        "message from this sender to that destination to fail until it is settled."
    ),
    Category.ACCOUNT_CONFIG: (
        "The Twilio account or its set-up is at fault. Expect all messages sent the same way to "
        "fail until it is fixed."
    ),
    Category.CONTENT: "Messages with the same content are likely to fail as well.",
    Category.RATE_LIMIT: (
        "More was sent than the sender, the carrier or the account may send. Further messages may "
        "fail until it slows down."
    ),
    Category.TWILIO_INTERNAL: (
        "The fault is on the side of Twilio or the channel's provider. Other messages may be "
        "affected for a while."
    ),
    Category.UNKNOWN: (
        "Nobody said why, so nobody can say whether others are affected. Look for more failures "
        "like this one."
    ),
}

_VERB: Final[Mapping[str, str]] = {
    MessageStatus.REFUSED: "was not sent",
    MessageStatus.NOT_FOUND: "was probably not sent",
}

_SOURCE_IN_WORDS: Final[Mapping[Source, str]] = {
    Source.SEND: "Twilio's answer to the request",
    Source.CALLBACK: "status callback",
    Source.RECONCILE: "found by asking Twilio",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where a reader may look further; an empty one is left out."""

    messages_api_url: str
    dashboard_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureNotice:
    """One notice in the forms that SNS sends out.

    `default` is JSON in the custom-notification schema of Amazon Q Developer in chat applications:
    https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html
    """

    subject: str
    email: str
    default: str
    attributes: Mapping[str, str | int]
    """For filter policies: text, and `error_code` as a number."""


def compose(
    message: Message, places: Places, *, quiet: timedelta, shows_numbers: bool
) -> FailureNotice:
    """The notice that the message failed, or that it was delivered or sent after all.

    It opens an episode: for as long as `quiet` no other failure of its kind is told.
    """
    never_sent = MessageStatus.NOT_FOUND if _was_not_found(message) else message.status
    explained = explain(_code(message), never_sent)
    facts = _facts(message, explained, places, quiet=quiet, shows_numbers=shows_numbers)
    return FailureNotice(
        subject=as_subject(facts["headline"]),
        email=_email(message, facts),
        default=json.dumps(_custom_notification(message, facts)),
        attributes=_attributes(message, explained),
    )


def _facts(
    message: Message,
    explained: Explanation,
    places: Places,
    *,
    quiet: timedelta,
    shows_numbers: bool,
) -> dict[str, str]:
    """Every fact of the notice by its name; what is not known is left out."""
    to = shown(message.to, whole=shows_numbers) if message.to else None
    sender = shown(message.from_, whole=shows_numbers) if message.from_ else None
    recipient = to or "an unknown recipient"
    code = _code(message)
    opening = {} if _recovered(message) else _opening_facts(message, quiet)
    facts = {
        **opening,
        "event": "recovery" if _recovered(message) else "failure",
        "headline": _headline(message, recipient, explained),
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
        "how_bad": HOW_BAD[explained.category],
        "retryable": _word(explained.retryable),
        "action": explained.action,
        "again": explained.again,
        "created_at": iso(message.created_at),
        "final_at": iso(message.final_at) if message.final_at else None,
        "timeline": "; ".join(f"{entry.status} {iso(entry.at)}" for entry in message.transitions),
        "notice_id": message.notice_id,
        "message_url": f"{places.messages_api_url.rstrip('/')}/messages/{message.message_sid}",
        "request_url": _request_url(message, places) if _was_not_found(message) else None,
        "error_url": f"https://www.twilio.com/docs/api/errors/{code}" if code else None,
        "dashboard_url": places.dashboard_url,
    }
    return {name: on_one_line(fact) for name, fact in facts.items() if fact}


def _opening_facts(message: Message, quiet: timedelta) -> dict[str, str]:
    """Its place in the episode that it opens: the first one of the count."""
    if quiet:
        goes_on = (
            f"If more fail like this, they are counted: a summary comes in {span(quiet)} instead "
            "of a notice for each."
        )
    else:
        goes_on = ""
    return {
        "kind": str(Kind.OPENING),
        "episode_id": episode_id_of(message),
        "range_from": "1",
        "range_to": "1",
        "counted": "1",
        "recovered": "0",
        "goes_on": goes_on,
    }


def _headline(message: Message, recipient: str, explained: Explanation) -> str:
    recipient = recipient.replace("…", "...")  # the subject of an email is ASCII
    if _recovered(message):
        done = "Sent" if _was_not_found(message) else "Delivered"
        return f"{done} after all: message to {recipient}"
    verb = _VERB.get(message.status, "was not delivered")
    code = f" ({message.error_code})" if message.error_code else ""
    return f"Message to {recipient} {verb}: {explained.title}{code}"


def _email(message: Message, facts: Mapping[str, str]) -> str:
    parts = [_opening(message, facts), _about(message, facts)]
    if not _recovered(message):
        code = f" Twilio's error code is {facts['error_code']}." if "error_code" in facts else ""
        parts += [
            section("What went wrong", f"{facts['title']}.{code}", facts["how_bad"]),
            section("What to do", facts["action"], facts["again"]),
        ]
    parts += [
        section("What happened (UTC)", *_timeline(message)),
        section("Where to look", *_places(facts)),
        *([facts["goes_on"]] if "goes_on" in facts else []),
        f"Notice {facts.get('notice_id', '-')}. Should it arrive twice, it carries the same id.",
    ]
    return "\n\n".join(parts) + "\n"


def _opening(message: Message, facts: Mapping[str, str]) -> str:
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
    if message.status == MessageStatus.REFUSED:
        return f"A message to {recipient} was refused and will not be sent."
    if message.status == MessageStatus.NOT_FOUND:
        return (
            f"A message to {recipient} was probably not sent: the connection to Twilio broke, and "
            "no trace of the message was found afterwards."
        )
    return f"A message to {recipient} was not delivered."


def _about(message: Message, facts: Mapping[str, str]) -> str:
    ended = "Delivered" if _recovered(message) else "Failed"
    rows = {
        "To": facts.get("to"),
        "From": facts.get("from"),
        "Service": facts.get("messaging_service_sid"),
        "Reference": facts.get("reference"),
        "Message": facts["message_sid"],
        "Request": facts.get("request_id"),
        "Account": facts.get("account_sid"),
        "Created": utc(message.created_at),
        ended: _ended(message) if message.final_at else None,
    }
    return "\n".join(f"  {name + ':':<13}{row}" for name, row in rows.items() if row)


def _ended(message: Message) -> str:
    ended_at = message.final_at or message.updated_at
    return f"{utc(ended_at)} ({span(ended_at - message.created_at)} later)"


def _timeline(message: Message) -> list[str]:
    return [
        f"{entry.at:%Y-%m-%d %H:%M:%S}  {entry.status:<12}"
        + (f" error {entry.error_code}," if entry.error_code else "")
        + f" {_SOURCE_IN_WORDS[entry.source]}"
        for entry in message.transitions
    ]


def _places(facts: Mapping[str, str]) -> list[str]:
    rows = {
        "This request": _signed(facts.get("request_url")),
        "This message": _signed(facts["message_url"]),
        "This error": facts.get("error_url"),
        "Dashboard": facts.get("dashboard_url"),
    }
    return [f"{name + ':':<14}{row}" for name, row in rows.items() if row]


def _signed(url: str | None) -> str | None:
    return f"GET {url} (with IAM credentials)" if url else None


def section(title: str, *lines: str) -> str:
    """A part of an email under its title."""
    return "\n".join([title, *(f"  {line}" for line in lines)])


def _custom_notification(message: Message, facts: Mapping[str, str]) -> dict[str, object]:
    steps = [] if _recovered(message) else [facts["action"]]
    description = [_opening(message, facts)]
    if not _recovered(message):
        description.append(f"*{facts['title']}.* {facts['how_bad']}")
        description += [facts["goes_on"]] if "goes_on" in facts else []
    return {
        "version": "1.0",
        "source": "custom",
        "id": facts.get("notice_id", message.message_sid),
        "content": {
            "textType": "client-markdown",
            "title": facts["headline"],
            "description": "\n".join(description),
            "nextSteps": [*steps, f"Look at the message: {facts['message_url']}"],
            "keywords": [facts["event"], facts["category"], facts.get("error_code", "no code")],
        },
        "metadata": {
            "threadId": episode_id_of(message),
            "summary": facts["headline"],
            "eventType": facts["event"],
            "relatedResources": [message.message_sid],
            "additionalContext": dict(facts),
        },
    }


def _attributes(message: Message, explained: Explanation) -> dict[str, str | int]:
    attributes: dict[str, str | int | None] = {
        "status": message.status,
        "category": str(explained.category),
        "account_sid": message.account_sid,
        "retryable": _word(explained.retryable),
        "error_code": _code(message),
    }
    return {name: value for name, value in attributes.items() if value}


def _code(message: Message) -> int | None:
    """The code of the failure that the notice is about; a recovered message has none any more."""
    return message.error_code or message.failure_code


def _recovered(message: Message) -> bool:
    return message.outcome is not Outcome.FAILED


def _was_not_found(message: Message) -> bool:
    return any(entry.status == MessageStatus.NOT_FOUND for entry in message.transitions)


def _request_url(message: Message, places: Places) -> str:
    return f"{places.messages_api_url.rstrip('/')}/requests/{message.request_id}"


def as_subject(headline: str) -> str:
    """A headline as SNS takes it for the subject of an email."""
    plain = headline.replace("…", "...")
    return _UNPRINTABLE.sub("?", plain)[:_LONGEST_SUBJECT]


def on_one_line(fact: str) -> str:
    """Without line breaks and other control characters: no fact may look like another."""
    return "".join(letter if letter.isprintable() else " " for letter in fact)


def _word(truth: bool) -> str:  # noqa: FBT001 -- its only argument
    return "true" if truth else "false"


def utc(time: datetime) -> str:
    """A time as a person reads it."""
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"


def span(span: timedelta) -> str:
    """A length of time as a person says it: its two largest units."""
    seconds = max(int(span.total_seconds()), 0)
    units = [("d", 86400), ("h", 3600), ("min", 60), ("s", 1)]
    parts = []
    for name, size in units:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {name}")
    return " ".join(parts[:2]) or "less than 1 s"
