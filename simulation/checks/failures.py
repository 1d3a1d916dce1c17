"""The failures of messages, the incidents, and the steps of their notices, one by one.

A table shows only the last state of each item, and an erased message shows none. Its changes show
every failure of a request that failed several times under its key, and what became of its notice.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from simulation.checks.evidence import Record, plain
from simulation.fakes.dynamodb import Table
from simulation.first_items import UNREADABLE_SID, is_in_backlog

_COUNTING: Final = frozenset({"grouped", "muted", "withdrawn"})


@dataclass(frozen=True, slots=True)
class NoticeStep:
    """A change of a notice's state: when, and the item after it."""

    at: float
    item: Record

    @property
    def state(self) -> str:
        """The state of the notice."""
        return str(self.item.get("notice"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One failure of a message, recorded at `at`, and all later steps of its notice.

    A request that fails again under its key has one more failure, with another `notice_id`.
    """

    message_sid: str
    notice_id: str
    at: float
    steps: list[NoticeStep] = field(default_factory=list)

    @property
    def claim(self) -> NoticeStep | None:
        """The step in which the notice was claimed first, to be published alone."""
        return next((it for it in self.steps if self._claims(it)), None)

    @property
    def counted_by(self) -> list[NoticeStep]:
        """The steps that decided how it counts: alone, in an incident, muted, or not at all."""
        return [it for it in self.steps if self._claims(it) or it.state in _COUNTING]

    def has_reached(self, state: str) -> bool:
        """Return whether its notice was ever in this state."""
        return any(it.state == state for it in self.steps)

    def _claims(self, step: NoticeStep) -> bool:
        return step.state == "publishing" and step.item["notice_id"] == self.notice_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """An incident, stored first at `at`, and its latest item."""

    at: float
    item: Record

    @property
    def key(self) -> tuple[str, str]:
        """The account and the cause that its failures share."""
        return self.item["account_sid"], self.item["cause"]

    @property
    def opened_at(self) -> datetime:
        """When it was opened, by its own account."""
        return datetime.fromisoformat(self.item["opened_at"])

    @property
    def last_failure_at(self) -> datetime:
        """When its last failure was counted."""
        return datetime.fromisoformat(self.item["last_failure_at"])


def failures_in(messages: Table) -> Mapping[str, list[Failure]]:
    """Return the failures of each message, by SID or request id, in order."""
    failures: defaultdict[str, list[Failure]] = defaultdict(list)
    for change in messages.changes:
        before, item = plain(change.before or {}), plain(change.after or {})
        sid = change.key["message_sid"]["S"]
        if "outcome" not in item or sid == UNREADABLE_SID or is_in_backlog(sid):
            continue
        if item["outcome"] == "failed" and not _is_same_failure(before, item):
            notice_id = item.get("notice_id", "none")
            failures[sid].append(Failure(message_sid=sid, notice_id=notice_id, at=change.at))
        elif sid in failures and item.get("notice") != before.get("notice"):
            failures[sid][-1].steps.append(NoticeStep(change.at, item))
    return failures


def incidents_in(incidents: Table) -> Mapping[str, Incident]:
    """Return every incident, by its id, also if a later one has replaced it in the table."""
    found: dict[str, Incident] = {}
    for change in incidents.changes:
        item = plain(change.after or {})
        if incident_id := item.get("incident_id"):
            at = found[incident_id].at if incident_id in found else change.at
            found[incident_id] = Incident(at=at, item=item)
    return found


def _is_same_failure(before: Record, item: Record) -> bool:
    """Return whether the item had failed before; a new failure of a request has a new history."""
    begins = [record["transitions"][0]["at"] for record in (before, item) if record]
    return before.get("outcome") == "failed" and len(set(begins)) == 1
