"""A notice in the forms that SNS sends out, whatever it tells of.

Pure. A notice is written from its facts: texts by name, each on one line. Phone numbers show their
last four digits unless somebody decided otherwise; a message body is never shown.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

# A subject has less than 100 printable ASCII characters:
# https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
_LONGEST_SUBJECT: Final = 99
_UNPRINTABLE: Final = re.compile(r"[^\x20-\x7e]")

type Facts = Mapping[str, str]
"""Every fact of a notice by its name; what is not known is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where a reader may look further; an empty one is left out."""

    messages_api_url: str
    dashboard_url: str

    def api(self, path: str) -> str:
        """The URL of something that MessagesApi shows."""
        return f"{self.messages_api_url.rstrip('/')}/{path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureNotice:
    """One notice: the subject and text of an email, and what goes to all others."""

    subject: str
    email: str
    default: str
    """JSON, see `custom_notification`."""
    attributes: Mapping[str, str | int]
    """For filter policies: text, and `error_code` as a number."""


def facts_of(facts: Mapping[str, str | None]) -> Facts:
    """The facts that are known, without control characters: no fact may look like another."""
    return {name: on_one_line(fact) for name, fact in facts.items() if fact}


def on_one_line(fact: str) -> str:
    """Without line breaks and other control characters."""
    return "".join(letter if letter.isprintable() else " " for letter in fact)


def as_subject(headline: str) -> str:
    """A headline as SNS takes it for the subject of an email; of a long one the first words."""
    plain = _UNPRINTABLE.sub("?", headline.replace("…", "..."))
    if len(plain) <= _LONGEST_SUBJECT:
        return plain
    whole_words, _, _ = plain[: _LONGEST_SUBJECT - 2].rpartition(" ")
    return f"{whole_words.rstrip(' ,:(')}..."


def as_email(parts: Iterable[str]) -> str:
    """The parts that there are, with a blank line between them."""
    return "\n\n".join(part for part in parts if part) + "\n"


def section(title: str, *lines: str) -> str:
    """A part of an email under its title."""
    return "\n".join([title, *(f"  {line}" for line in lines)])


def rows(named: Mapping[str, str | None]) -> list[str]:
    """A line for each that is known, behind its name."""
    known = {f"{name}:": fact for name, fact in named.items() if fact}
    width = max(map(len, known), default=0) + 1
    return [f"{name:<{width}}{fact}" for name, fact in known.items()]


def signed(url: str | None) -> str | None:
    """How a URL of MessagesApi is asked."""
    return f"GET {url} (with IAM credentials)" if url else None


def error_url(code: int | None) -> str | None:
    """Where Twilio describes an error code."""
    return f"https://www.twilio.com/docs/api/errors/{code}" if code else None


def utc(time: datetime) -> str:
    """A time as a person reads it."""
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"


def custom_notification(  # noqa: PLR0913 -- what the schema has
    facts: Facts,
    *,
    notice_id: str,
    episode_id: str,
    description: Iterable[str],
    next_steps: Iterable[str],
    keywords: Iterable[str],
    message_sids: Iterable[str],
) -> str:
    """The notice in the custom-notification schema of Amazon Q Developer in chat applications.

    Slack and Teams show it; notices of one episode are one thread there. Programs find every fact
    in `metadata.additionalContext`.
    Source: https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html
    """
    return json.dumps(
        {
            "version": "1.0",
            "source": "custom",
            "id": notice_id,
            "content": {
                "textType": "client-markdown",
                "title": facts["headline"],
                "description": "\n".join(line for line in description if line),
                "nextSteps": list(next_steps),
                "keywords": list(keywords),
            },
            "metadata": {
                "threadId": episode_id,
                "summary": facts["headline"],
                "eventType": facts["event"],
                "relatedResources": list(message_sids),
                "additionalContext": dict(facts),
            },
        }
    )


def attributes_of(facts: Facts, *, status: str, error_code: int | None) -> dict[str, str | int]:
    """What subscribers can filter by; what is not known is not there."""
    attributes: dict[str, str | int | None] = {
        "status": status,
        **{name: facts.get(name) for name in ("category", "account_sid", "retryable")},
        "error_code": error_code,
    }
    return {name: value for name, value in attributes.items() if value}
