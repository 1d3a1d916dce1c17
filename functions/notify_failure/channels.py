"""The form that a notice has on each channel.

Pure. A new channel is one more function here and its protocol in `COMPOSERS`.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from .notice import NoticeContent, known_on_one_line, on_one_line, printable

# SNS: less than 100 printable ASCII characters.
# https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
_MAX_SUBJECT_LENGTH: Final = 99
_UNPRINTABLE: Final = re.compile(r"[^\x20-\x7e]")

# What chat clients read as a mention, a link or formatting. Slack decodes the three entities:
# https://docs.slack.dev/messaging/formatting-message-text#escaping
# Neither Slack nor Teams has an escape for the others: a character that looks alike replaces them.
_CHAT_MARKUP: Final = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
    | {"*": "\u2217", "~": "\u223c", "`": "\u02cb", "[": "\uff3b", "]": "\uff3d"}
)
# Emphasis and mentions begin or end at the edge of a word: `opt_out` has none.
_WORD_EDGE_MARKUP: Final = re.compile(r"(?<![^\W_])_|_(?![^\W_])|(?<!\w)@")
_LOOKALIKES: Final = {"_": "\uff3f", "@": "\uff20"}


class Protocol(StrEnum):
    """The protocols of subscriptions that get a text of their own."""

    EMAIL = "email"
    DEFAULT = "default"
    """All others: chat, queues, functions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureNotice:
    """A notice as SNS takes it, with message attributes for filter policies."""

    subject: str
    texts: Mapping[Protocol, str]
    attributes: Mapping[str, str | int]


def compose(content: NoticeContent) -> FailureNotice:
    """Return the notice with a text for every protocol."""
    explained = content.explained
    texts = {
        "status": content.status,
        "category": str(explained.category),
        "account_sid": content.account_sid,
        "retryable": str(explained.retryable).lower(),
    }
    code = {"error_code": explained.code} if explained.code else {}
    return FailureNotice(
        subject=format_subject(content.headline),
        texts={protocol: composer(content) for protocol, composer in COMPOSERS.items()},
        attributes={**known_on_one_line(texts), **code},
    )


def compose_email(content: NoticeContent) -> str:
    """Return plain text that is understood without looking anything up."""
    urls = {name: f"GET {url} (with IAM credentials)" for name, url in content.look_at.items()}
    more = {"This error": content.error_url, "Dashboard": content.links.dashboard_url}
    sections = {
        "Impact": [content.impact],
        "What to do": map(on_one_line, content.steps),
        **content.sections,
        "Where to look": _table(urls | more),
    }
    parts = [
        on_one_line(content.lead),
        _indented(_table(content.details)),
        *(f"{title}\n{text}" for title, lines in sections.items() if (text := _indented(lines))),
        content.follow_up,
        f"Notice {on_one_line(content.notice_id)}. A repetition of this notice has the same id.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def compose_custom_notification(content: NoticeContent) -> str:
    """Return JSON in the custom-notification schema of Amazon Q Developer in chat applications.

    Slack and Teams show it, the notices of one incident as one thread. Nothing in it is markup.
    Programs find every fact in `metadata.additionalContext`, unescaped.
    Source: https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html
    """
    facts = content.facts
    description = (content.lead, content.impact, content.follow_up)
    next_steps = [*content.steps, *(f"{name}: {url}" for name, url in content.look_at.items())]
    keywords = [facts["event"], facts["category"], facts.get("error_code", "no code")]
    return json.dumps(
        {
            "version": "1.0",
            "source": "custom",
            "id": on_one_line(content.notice_id),
            "content": {
                "textType": "client-markdown",
                "title": escape_chat(facts["headline"]),
                "description": "\n".join(escape_chat(line) for line in description if line),
                "nextSteps": [escape_chat(step) for step in next_steps],
                "keywords": [escape_chat(keyword) for keyword in keywords],
            },
            "metadata": {
                "threadId": content.incident_id,
                "summary": escape_chat(facts["headline"]),
                "eventType": facts["event"],
                "relatedResources": [on_one_line(sid) for sid in content.message_sids],
                "additionalContext": dict(facts),
            },
        }
    )


COMPOSERS: Final[Mapping[Protocol, Callable[[NoticeContent], str]]] = {
    Protocol.EMAIL: compose_email,
    Protocol.DEFAULT: compose_custom_notification,
}


def escape_chat(text: str) -> str:
    """Return the text on one line, without markup for Slack and Teams."""
    escaped = on_one_line(text).translate(_CHAT_MARKUP)
    return _WORD_EDGE_MARKUP.sub(lambda found: _LOOKALIKES[found[0]], escaped)


def format_subject(headline: str) -> str:
    """Return the headline as SNS takes it for a subject.

    A long one is cut after a word, or inside a word that takes up most of it.
    """
    plain = _UNPRINTABLE.sub("?", headline.replace("…", "..."))
    if len(plain) <= _MAX_SUBJECT_LENGTH:
        return plain
    whole_words, _, _ = plain[: _MAX_SUBJECT_LENGTH - 2].rpartition(" ")
    if len(whole_words) < _MAX_SUBJECT_LENGTH // 2:
        return f"{plain[: _MAX_SUBJECT_LENGTH - 3]}..."
    return f"{whole_words.rstrip(' ,:(')}..."


def _table(named: Mapping[str, str | None]) -> list[str]:
    """Return a line for each known value, aligned behind its name."""
    known = {f"{name}:": value for name, value in known_on_one_line(named).items()}
    width = max(map(len, known), default=0) + 1
    return [f"{name:<{width}}{value}" for name, value in known.items()]


def _indented(lines: Iterable[str]) -> str:
    """Return the lines indented, each on one line, so that a value can imitate no other."""
    return "\n".join(f"  {printable(line)}" for line in lines if line)
