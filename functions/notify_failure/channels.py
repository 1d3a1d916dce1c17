"""The form that a notice has on each channel.

Pure. A new channel is one more function here and its protocol in `COMPOSERS`.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from .notice import NoticeContent, on_one_line

# SNS: less than 100 printable ASCII characters.
# https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
_MAX_SUBJECT_LENGTH: Final = 99
_UNPRINTABLE: Final = re.compile(r"[^\x20-\x7e]")


class Protocol(StrEnum):
    """The protocols of subscriptions that get a text of their own."""

    EMAIL = "email"
    DEFAULT = "default"
    """All others: chat, queues, functions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureNotice:
    """A notice as SNS takes it.

    Args:
        subject: the subject of an email.
        texts: the text for each protocol.
        attributes: message attributes for filter policies.
    """

    subject: str
    texts: Mapping[Protocol, str]
    attributes: Mapping[str, str | int]


def compose(content: NoticeContent) -> FailureNotice:
    """Return the notice with a text for every protocol."""
    explained = content.explained
    attributes: dict[str, str | int | None] = {
        "status": content.status,
        "category": str(explained.category),
        "account_sid": content.account_sid,
        "retryable": str(explained.retryable).lower(),
        "error_code": explained.code,
    }
    return FailureNotice(
        subject=format_subject(content.headline),
        texts={protocol: composer(content) for protocol, composer in COMPOSERS.items()},
        attributes={name: value for name, value in attributes.items() if value},
    )


def compose_email(content: NoticeContent) -> str:
    """Return plain text that is understood without looking anything up."""
    urls = {name: f"GET {url} (with IAM credentials)" for name, url in content.look_at.items()}
    more = {"This error": content.error_url, "Dashboard": content.links.dashboard_url}
    sections = {
        "Impact": [content.impact],
        "What to do": content.steps,
        **content.sections,
        "Where to look": _table(urls | more),
    }
    parts = [
        on_one_line(content.lead),
        _indented(_table(content.details)),
        *(f"{title}\n{text}" for title, lines in sections.items() if (text := _indented(lines))),
        content.follow_up,
        f"Notice {content.notice_id}. A repetition of this notice has the same id.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def compose_custom_notification(content: NoticeContent) -> str:
    """Return JSON in the custom-notification schema of Amazon Q Developer in chat applications.

    Slack and Teams show it, the notices of one incident as one thread. Programs find every fact in
    `metadata.additionalContext`.
    Source: https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html
    """
    facts = content.facts
    description = (on_one_line(content.lead), content.impact, content.follow_up)
    look_at = [f"{name}: {url}" for name, url in content.look_at.items()]
    return json.dumps(
        {
            "version": "1.0",
            "source": "custom",
            "id": content.notice_id,
            "content": {
                "textType": "client-markdown",
                "title": facts["headline"],
                "description": "\n".join(line for line in description if line),
                "nextSteps": [*content.steps, *look_at],
                "keywords": [facts["event"], facts["category"], facts.get("error_code", "no code")],
            },
            "metadata": {
                "threadId": content.incident_id,
                "summary": facts["headline"],
                "eventType": facts["event"],
                "relatedResources": list(content.message_sids),
                "additionalContext": dict(facts),
            },
        }
    )


COMPOSERS: Final[Mapping[Protocol, Callable[[NoticeContent], str]]] = {
    Protocol.EMAIL: compose_email,
    Protocol.DEFAULT: compose_custom_notification,
}


def format_subject(headline: str) -> str:
    """Return the headline as SNS takes it for a subject; a long one is cut after a word."""
    plain = _UNPRINTABLE.sub("?", headline.replace("…", "..."))
    if len(plain) <= _MAX_SUBJECT_LENGTH:
        return plain
    whole_words, _, _ = plain[: _MAX_SUBJECT_LENGTH - 2].rpartition(" ")
    return f"{whole_words.rstrip(' ,:(')}..."


def _table(named: Mapping[str, str | None]) -> list[str]:
    """Return a line for each known value, aligned behind its name."""
    known = {f"{name}:": value for name, value in named.items() if value}
    width = max(map(len, known), default=0) + 1
    return [f"{name:<{width}}{value}" for name, value in known.items()]


def _indented(lines: Iterable[str]) -> str:
    """Return the lines indented, each on one line, so that a value can imitate no other."""
    return "\n".join(f"  {on_one_line(line)}" for line in lines if line)
