"""What a notice says, whatever the channel.

Pure. Programs find the facts of a notice by name, each on one line. Phone numbers are masked unless
`NoticesShowFullNumbers` is set; a message body is never shown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from delivery.twilio.error_codes import Explanation

type Facts = Mapping[str, str]
"""The facts of a notice by name; unknown ones are omitted."""


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
        """The URL of a path of MessagesApi."""
        return f"{self.messages_api_url.rstrip('/')}/{path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeContent:
    """What a notice says, before a channel gives it a form.

    Args:
        event: what it is about.
        notice_id: its id, the same for every repetition.
        incident_id: the incident that it belongs to.
        account_sid: the account of the messages.
        status: the status of the messages, for filter policies.
        explained: why the messages failed.
        headline: the news in one line.
        lead: the first sentences: what failed, when and why.
        details: names and values of a table.
        impact: what else may be affected; empty for good news.
        steps: what to do; empty for good news.
        sections: further lines by their titles.
        look_at: URLs of MessagesApi by what they show.
        follow_up: which notice comes next.
        message_sids: the messages that it names.
        more_facts: the facts that only notices of its kind have.
        links: where a reader finds more.
    """

    event: Event
    notice_id: str
    incident_id: str
    account_sid: str | None
    status: str
    explained: Explanation
    headline: str
    lead: str
    details: Mapping[str, str | None]
    impact: str = ""
    steps: Sequence[str] = ()
    sections: Mapping[str, Sequence[str]] = field(default_factory=dict)
    look_at: Mapping[str, str]
    follow_up: str
    message_sids: Sequence[str]
    more_facts: Mapping[str, str | None]
    links: Links

    @property
    def facts(self) -> Facts:
        """Every fact by name, each on one line, so that no fact can imitate another."""
        explained = self.explained
        facts: dict[str, str | None] = {
            "event": str(self.event),
            "headline": self.headline,
            "account_sid": self.account_sid,
            "incident_id": self.incident_id,
            "error_code": str(explained.code) if explained.code else None,
            "title": explained.title,
            "category": str(explained.category),
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
        return {name: on_one_line(fact) for name, fact in facts.items() if fact}

    @property
    def error_url(self) -> str | None:
        """The URL of Twilio's page about the error code."""
        code = self.explained.code
        return f"https://www.twilio.com/docs/api/errors/{code}" if code else None


def reason(explained: Explanation) -> str:
    """Why a message failed, as in: Handset unreachable (off, no signal, roaming), error 30003."""
    return f"{explained.title}, error {explained.code}" if explained.code else explained.title


def format_time(time: datetime) -> str:
    """The time in UTC, to the second."""
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"


def on_one_line(text: str) -> str:
    """The text without line breaks and other control characters."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
