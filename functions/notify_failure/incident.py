"""Incidents: the failures of one account and one cause, published as one thing (alert grouping).

Pure: no AWS and no clock. The first failure of an account and a cause opens an incident and is
published alone. Further failures are counted. A summary covers those that no notice covers yet, at
most once in `interval`, and a closing notice ends the incident when nothing fails for that long.
Alert grouping: https://prometheus.io/docs/alerting/latest/alertmanager/#grouping

A notice covers a fixed range of the incident's count, which is stored before it is published. So
the ranges of an incident add up to its count, wherever a notifier dies.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Self

from delivery.domain.messages import Message
from delivery.domain.notices import INCIDENT_ID_PREFIX, failure_id_of, notice_id_of_attempt
from delivery.domain.records import Record
from delivery.domain.statuses import UNSENT_STATUSES
from delivery.twilio.error_codes import Category, explain

from .policy import NoticePolicy
from .records import as_record, field_values
from .tally import Mask, Tally

KEPT_FOR: Final = timedelta(days=30)
"""How long an incident is kept after its last failure."""

OPEN: Final = "open"
"""The value of the index key `open` while an incident has a `next_at`."""

_UNKNOWN: Final = "unknown"


class NoticeKind(StrEnum):
    """Which notice of an incident it is."""

    OPENING = "opening"
    """The notice of the first failure, which is published alone."""
    SUMMARY = "summary"
    CLOSING = "closing"


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentKey:
    """What the failures of an incident share. `cause`: the error code as text, or a status."""

    account_sid: str
    cause: str

    @classmethod
    def of(cls, message: Message) -> Self:
        """Return the key of a failed message, as it is now."""
        return cls(account_sid=message.account_sid or _UNKNOWN, cause=_cause_of(message))

    @classmethod
    def candidates(cls, message: Message) -> list[Self]:
        """Return every key under which the message may have been counted, the likeliest first.

        Its error code may have arrived after it was counted.
        """
        codes = [entry.error_code for entry in reversed(message.transitions)]
        causes = [
            *(str(code) for code in codes if code is not None),
            *(it.status for it in message.transitions if it.status in UNSENT_STATUSES),
            _UNKNOWN,
        ]
        account_sid = message.account_sid or _UNKNOWN
        return [cls(account_sid=account_sid, cause=cause) for cause in dict.fromkeys(causes)]

    @property
    def error_code(self) -> int | None:
        """The error code, if the cause is one."""
        return int(self.cause) if self.cause.isdecimal() else None

    @property
    def category(self) -> Category:
        """The category of the cause."""
        return explain(self.error_code, self.cause).category


def incident_id_of(opener: Message) -> str:
    """Return the id of the incident that this failure opens; each failure opens at most one.

    A send request can fail again under the same key: each failure has a notice id of its own. The
    recovery of a message has the id of the incident that its failure opened.
    """
    failure = opener.notice_id or opener.message_sid
    if opener.is_recovery_notice:
        failure = _failure_id_of(opener)
    digest = hashlib.sha256(f"incident:{failure}".encode()).hexdigest()
    return f"{INCIDENT_ID_PREFIX}{digest[:32]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A failed message as a summary names it; `to` is masked."""

    message_sid: str
    to: str | None = None
    reference: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingNotice:
    """An entry of a transactional outbox: a notice that is stored, and then published.

    It has everything that the notice says, so that a repetition says the same. It covers the
    failures `range_from` to `range_to` of the incident's count; if it covers none, `range_to` is
    one less than `range_from`. `claimed_at` is the start of the lease of the notifier that
    publishes it. `incident_id` may be that of the previous incident, whose closing notice the next
    one took over.
    Pattern: https://microservices.io/patterns/data/transactional-outbox.html
    """

    kind: NoticeKind
    notice_id: str
    incident_id: str
    range_from: int
    range_to: int
    recovered: int
    opened_at: datetime
    since: datetime
    until: datetime
    last_failure_at: datetime
    claimed_at: datetime
    tally: Tally
    examples: tuple[Example, ...] = ()
    is_muted: bool = False
    """Whether the incident closes because its category was muted: failures may go on."""

    @property
    def failures(self) -> int:
        """How many failures it covers."""
        return self.range_to - self.range_from + 1

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Read a notice from a record.

        Raises:
            KeyError, ValueError, TypeError: the record is not a pending notice.
        """
        values = field_values(cls, record)
        values["kind"] = NoticeKind(record["kind"])
        values["tally"] = Tally.from_record(record["tally"])
        values["examples"] = tuple(Example(**example) for example in record["examples"])
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """The latest incident of a key.

    `counted` is the number of its failures, `published` how many of them published notices cover,
    the first one included. `last_failure_at` is the time of the last count, by our clock. `next_at`
    is the sort key of a sparse index: when the next notice is due, or the incident is to be closed.
    `since` is where the time range of the next notice begins.
    """

    account_sid: str
    cause: str
    incident_id: str
    is_open: bool = True
    opened_at: datetime
    opened_by: str
    counted: int
    published: int
    recovered: int = 0
    last_failure_at: datetime
    next_at: datetime | None
    since: datetime
    tally: Tally
    pending_notice: PendingNotice | None = None
    version: int = 0

    @property
    def key(self) -> IncidentKey:
        """What its failures share."""
        return IncidentKey(account_sid=self.account_sid, cause=self.cause)

    @property
    def unpublished(self) -> int:
        """How many failures no notice covers yet."""
        return self.counted - self.published

    @property
    def expires_at(self) -> int:
        """When DynamoDB may delete it, in epoch seconds."""
        return int((self.last_failure_at + KEPT_FOR).timestamp())

    def accepts_failure(self, at: datetime, policy: NoticePolicy) -> bool:
        """Whether a failure at `at` belongs to this incident; otherwise it opens a new one.

        A failure after the end of this incident opens a new one even if this one is still open.
        """
        if not self.is_open:
            return False
        is_over = at >= self.last_failure_at + policy.interval
        return not (is_over and self.unpublished == 0 and self.pending_notice is None)

    def add_failures(self, messages: Sequence[Message], at: datetime, mask: Mask) -> Self:
        """Return the incident with these failures counted."""
        tally = self.tally
        for message in messages:
            tally = tally.add(message, mask)
        return replace(
            self,
            counted=self.counted + len(messages),
            last_failure_at=max(self.last_failure_at, at),
            tally=tally,
        )

    def add_recoveries(self, messages: int) -> Self:
        """Return the incident after this many of its messages were delivered or sent after all."""
        return replace(self, recovered=self.recovered + messages)

    def advance(self, at: datetime, policy: NoticePolicy) -> Self:
        """Return the incident after the step that is due at `at`; itself if none is due.

        The step stores a pending notice, closes the incident, or both. The incident closes when
        nothing failed for an interval, or its category is muted now. No closing notice is published
        if only the opening notice was.
        """
        if self.pending_notice is not None or self.next_at is None or at < self.next_at:
            return self
        over_at = self.last_failure_at + policy.interval
        if at < over_at and self.key.category not in policy.muted:
            if self.unpublished:
                return self._with_notice(NoticeKind.SUMMARY, at)
            return replace(self, next_at=over_at)
        return self._close(at, is_over=at >= over_at)

    def closing_notice(self, at: datetime) -> PendingNotice | None:
        """Return what is still to be published about it when a new incident opens at `at`."""
        if self.pending_notice is not None or not self.is_open:
            return self.pending_notice
        return self._close(at, is_over=True).pending_notice

    def with_examples(self, examples: Sequence[Example]) -> Self:
        """Return the incident with a pending notice that names these messages."""
        return self._change_notice(examples=tuple(examples))

    def reclaim(self, at: datetime) -> Self:
        """Return the incident after a notifier took over the claim of its pending notice."""
        return self._change_notice(claimed_at=at)

    def mark_published(self, notice_id: str, at: datetime, policy: NoticePolicy) -> Self:
        """Return the incident after its pending notice was published; itself if that is marked."""
        pending = self.pending_notice
        if pending is None or pending.notice_id != notice_id:
            return self
        if pending.incident_id != self.incident_id:  # the closing notice of the previous incident
            return replace(self, pending_notice=None)
        next_at = at + policy.interval if self.is_open else None
        return replace(self, pending_notice=None, published=pending.range_to, next_at=next_at)

    def as_record(self) -> Record:
        """Return the incident as plain data, with the keys of its table and index."""
        record = as_record(self) | {
            "category": str(self.key.category),
            "expires_at": self.expires_at,
        }
        return record if self.next_at is None else record | {"open": OPEN}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Read an incident from what `as_record` returned; unknown attributes are ignored.

        Raises:
            KeyError, ValueError, TypeError: the record is not an incident.
        """
        values = {"next_at": None} | field_values(cls, record)
        values["tally"] = Tally.from_record(record["tally"])
        if "pending_notice" in record:
            values["pending_notice"] = PendingNotice.from_record(record["pending_notice"])
        return cls(**values)

    def _change_notice(self, **changes: Any) -> Self:
        if self.pending_notice is None:
            return self
        return replace(self, pending_notice=replace(self.pending_notice, **changes))

    def _close(self, at: datetime, *, is_over: bool) -> Self:
        """Return the incident closed; the index lists it until its closing notice is published."""
        if self.counted == 1:
            return replace(self, is_open=False, next_at=None)
        return replace(
            self._with_notice(NoticeKind.CLOSING, at, is_muted=not is_over), is_open=False
        )

    def _with_notice(self, kind: NoticeKind, at: datetime, *, is_muted: bool = False) -> Self:
        """Return the incident with a pending notice of its unpublished failures, and no tally."""
        covered = f"{self.published + 1}-{self.counted}" if self.unpublished else "closed"
        pending = PendingNotice(
            kind=kind,
            notice_id=f"{self.incident_id}:{covered}",
            incident_id=self.incident_id,
            range_from=self.published + 1,
            range_to=self.counted,
            recovered=self.recovered,
            opened_at=self.opened_at,
            since=self.since,
            until=at,
            last_failure_at=self.last_failure_at,
            claimed_at=at,
            tally=self.tally,
            is_muted=is_muted,
        )
        return replace(self, pending_notice=pending, tally=Tally(), since=at)


def incident_for(
    failure: Message, at: datetime, policy: NoticePolicy, *, seen: Incident | None
) -> Incident:
    """Return the incident that a failure belongs to: the latest of its key, or one that it opens.

    A failure that opens an incident is counted as published: it gets a notice of its own. What is
    still to be published about the previous incident is carried on.
    """
    if seen is not None and seen.accepts_failure(at, policy):
        return seen
    key = IncidentKey.of(failure)
    return Incident(
        account_sid=key.account_sid,
        cause=key.cause,
        incident_id=incident_id_of(failure),
        opened_at=at,
        opened_by=failure.message_sid,
        counted=1,
        published=1,
        last_failure_at=at,
        next_at=at + policy.interval,
        since=at,
        tally=Tally(),
        pending_notice=seen.closing_notice(at) if seen else None,
    )


def _failure_id_of(recovered: Message) -> str:
    """Return the notice id of the failure, which that of the recovery has replaced."""
    failed_at = recovered.transitions[-1].at
    if recovered.is_request and failed_at > recovered.created_at:  # it failed again
        return notice_id_of_attempt(recovered.message_sid, failed_at)
    return failure_id_of(recovered.message_sid)


def _cause_of(message: Message) -> str:
    if message.error_code is not None:
        return str(message.error_code)
    return message.status if message.status in UNSENT_STATUSES else _UNKNOWN
