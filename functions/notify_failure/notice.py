"""What a notice says, whatever the channel.

Pure. Programs find the facts of a notice by name, each on one line. Phone numbers are masked unless
`NoticesShowFullNumbers` is set; a message body is never shown. Addresses, references, statuses and
ids come from outside and may hold anything: no channel shows them as they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final
from urllib.parse import quote

from delivery.domain.statuses import MessageStatus
from delivery.twilio.error_codes import Explanation

type Values = dict[str, str | None]
"""Texts by name; None for an unknown one, which a notice leaves out."""

_FAILED_HOW: Final[Mapping[str, str]] = {
    MessageStatus.REJECTED: "rejected and not sent",
    MessageStatus.PRESUMED_UNSENT: "probably not sent",
}


class Event(StrEnum):
    """What a notice is about."""

    FAILURE = "failure"
    RECOVERY = "recovery"


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Where a reader finds more; an empty URL is left out of a notice."""

    messages_api_url: str
    dashboard_url: str

    def api(self, path: str) -> str:
        """Return the URL of a path of MessagesApi."""
        return f"{self.messages_api_url.rstrip('/')}/{path}"

    def api_item(self, kind: str, item_id: str) -> str:
        """Return the URL of one item of MessagesApi, such as a message."""
        return self.api(f"{kind}/{quote(item_id, safe='')}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeContent:
    """What a notice says, before a channel gives it a form.

    `lead` says what failed, when and why. `impact`, which other messages are affected, and `steps`,
    what to do, are empty for good news. `details` is a table, `sections` are lines by their titles,
    `look_at` are URLs of MessagesApi by what they show, `follow_up` says which notice comes next.
    """

    event: Event
    notice_id: str
    incident_id: str
    account_sid: str | None
    status: str
    explained: Explanation
    headline: str
    lead: str
    details: Values
    impact: str
    steps: Sequence[str]
    sections: Mapping[str, Sequence[str]] = field(default_factory=dict)
    look_at: Mapping[str, str]
    follow_up: str
    message_sids: Sequence[str]
    more_facts: Values
    links: Links

    @property
    def facts(self) -> dict[str, str]:
        """Every fact by name, each on one line, so that no fact can imitate another."""
        explained = self.explained
        facts: Values = {
            "event": self.event,
            "headline": self.headline,
            "account_sid": self.account_sid,
            "incident_id": self.incident_id,
            "error_code": str(explained.code) if explained.code else None,
            "title": explained.title,
            "category": explained.category,
            "retryable": str(explained.retryable).lower(),
            "action": explained.action,
            "impact": self.impact,
            "advice": " ".join(self.steps),
            "follow_up": self.follow_up,
            **self.more_facts,
            "notice_id": self.notice_id,
            "error_url": self.error_url,
            "dashboard_url": self.links.dashboard_url,
        }
        return known_on_one_line(facts)

    @property
    def error_url(self) -> str | None:
        """The URL of Twilio's page about the error code."""
        code = self.explained.code
        return f"https://www.twilio.com/docs/api/errors/{code}" if code else None


def failed_how(status: str) -> str:
    """Return what happened to a failed message instead of its delivery."""
    return _FAILED_HOW.get(status, "not delivered")


def reason(explained: Explanation) -> str:
    """Return why a message failed, as in: Handset unreachable, error 30003."""
    return f"{explained.title}, error {explained.code}" if explained.code else explained.title


def format_time(time: datetime) -> str:
    """Format a time in UTC, to the second."""
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"


def known_on_one_line(values: Mapping[str, str | None]) -> dict[str, str]:
    """Return the known values, each on one line; one without visible characters is left out."""
    cleaned = {name: on_one_line(value) for name, value in values.items() if value}
    return {name: value for name, value in cleaned.items() if value}


def on_one_line(text: str) -> str:
    """Return the text on one line, with single spaces between its words.

    A run of spaces could make an email client wrap a value to what looks like a line of its own.
    """
    return " ".join(printable(text).split())


def printable(text: str) -> str:
    """Return the text with a space for each line break, control and format character."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
