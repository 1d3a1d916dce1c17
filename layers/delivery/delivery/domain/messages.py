"""A message, what can be learned about it, and what each update changes.

Pure: knows no AWS, no HTTP, no clock and no index; times and ids are passed in. Every fact about a
message arrives as a `StatusUpdate`, and `Message.apply` alone decides what it changes. The order in
which updates arrive changes neither `status` nor `outcome`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Self

from delivery.domain import notices
from delivery.domain.notices import NoticeState
from delivery.domain.records import Record, plain
from delivery.domain.statuses import (
    UNSENT_STATUSES,
    MessageStatus,
    Outcome,
    outcome_of,
    rank,
)

# The longest interval between two reconciliations of a message, in units of `reconcile_after`.
_MAX_BACKOFF: Final = 24
_MILLISECOND: Final = timedelta(milliseconds=1)
MAX_CONTEXT_NAMES: Final = 20
MAX_CONTEXT_BYTES: Final = 1024


class Source(StrEnum):
    """Where a status was learned: Twilio's answer to a send, its callback, or its API later."""

    SEND = "send"
    CALLBACK = "callback"
    RECONCILE = "reconcile"
    AUDIT = "audit"


class Effect(StrEnum):
    """What an update did to a message."""

    ADVANCED = "advanced"
    """It set the message's status."""
    OUT_OF_ORDER = "out_of_order"
    """It was recorded, but the message's status has a higher rank."""
    UNKNOWN = "unknown"
    """It was recorded, and changes nothing else: this version does not know the status."""
    ENRICHED = "enriched"
    """It repeated a known status and brought a fact that was not known."""
    DUPLICATE = "duplicate"
    """It brought nothing new."""
    ERASED = "erased"
    """It was not recorded: the message's data was erased (a tombstone stands in its place)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """How long a message is kept, when it is stale, and when it is overdue."""

    retention: timedelta = timedelta(days=400)
    reconcile_after: timedelta = timedelta(minutes=60)
    unconfirmed_after: timedelta = timedelta(hours=72)

    @classmethod
    def of(
        cls,
        *,
        retention_days: str,
        reconcile_after_minutes: str,
        unconfirmed_after_hours: str = "72",  # only the reconciler needs it
    ) -> Self:
        """Read the stack's parameters: numbers as text, fractions allowed."""
        return cls(
            retention=timedelta(days=float(retention_days)),
            reconcile_after=timedelta(minutes=float(reconcile_after_minutes)),
            unconfirmed_after=timedelta(hours=float(unconfirmed_after_hours)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One distinct status of a message, and when it arrived here.

    `carrier_time` is Twilio's RawDlrDoneDate, unchanged: YYMMDDhhmm without a time zone.
    """

    status: str
    at: datetime
    source: Source
    error_code: int | None = None
    carrier_time: str | None = None

    def as_record(self) -> Record:
        """Return the transition as plain data."""
        return _record(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Read what `as_record` returned.

        Raises:
            KeyError, ValueError, TypeError: the record is not a transition.
        """
        return cls(**_known(cls, record))


# The subclasses generate `__init__`, `__repr__` and `__eq__`. Here they would only slow down each
# cold start, which compiles every generated method.
@dataclass(frozen=True, slots=True, kw_only=True, init=False, repr=False, eq=False)
class MessageFacts:
    """What the caller and Twilio said about a message itself; None where it is unknown."""

    account_sid: str | None = None
    to: str | None = None
    from_: str | None = None
    messaging_service_sid: str | None = None
    request_id: str | None = None
    reference: str | None = None
    context: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    send_at: datetime | None = None
    num_segments: str | None = None
    price: str | None = None
    price_unit: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusUpdate(MessageFacts):
    """What one source said about a message at one moment.

    `created_at` is when Twilio created the message, if the source names it. `sent_on` is the day
    (UTC) on which Twilio sent the message, if an audit found it in that day's list.
    """

    message_sid: str
    status: str
    at: datetime
    source: Source
    error_code: int | None = None
    error_detail: str | None = None
    carrier_time: str | None = None
    created_at: datetime | None = None
    sent_on: date | None = None

    @property
    def transition(self) -> Transition:
        """The update as an entry of a message's history."""
        return Transition(
            status=self.status,
            at=self.at,
            source=self.source,
            error_code=self.error_code,
            carrier_time=self.carrier_time,
        )

    def as_record(self) -> Record:
        """Return the update as plain data: unknown facts left out, times as ISO 8601."""
        return _record(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Read what `as_record` returned.

        Raises:
            KeyError, ValueError, TypeError: the record is not an update.
        """
        return cls(**_known(cls, record))


@dataclass(frozen=True, slots=True, kw_only=True)
class Message(MessageFacts):
    """Everything known about one message.

    `transitions` holds every distinct status once, in the order of arrival; all else follows from
    it, except for the facts about the message itself. `list_at` is, while the message is pending,
    when it is reconciled next; later, when its outcome was set. `notice_at` is when its notice
    became due or was last claimed. `expires_at` is in epoch seconds. `sent_on` is from the first
    update that has one and brought a new status.
    """

    message_sid: str
    status: str = MessageStatus.UNKNOWN
    outcome: Outcome = Outcome.PENDING
    error_code: int | None = None
    error_detail: str | None = None
    transitions: tuple[Transition, ...] = ()
    created_at: datetime
    updated_at: datetime
    final_at: datetime | None = None
    list_at: datetime | None = None
    notice: NoticeState | None = None
    notice_id: str | None = None
    notice_at: datetime | None = None
    expires_at: int | None = None
    sent_on: date | None = None

    @classmethod
    def from_first_update(cls, update: StatusUpdate, timings: Timings) -> Self:
        """Return a new message with this update as its first."""
        created_at = min(update.created_at or update.at, update.at)
        blank = cls(message_sid=update.message_sid, created_at=created_at, updated_at=update.at)
        return blank.apply(update, timings)

    @classmethod
    def from_unsent_request(cls, update: StatusUpdate, timings: Timings) -> Self:
        """Return a request that ended without a SID, kept like a failed message.

        The update's `message_sid` is the request's id, its status one of `UNSENT_STATUSES`.
        """
        blank = cls(message_sid=update.message_sid, created_at=update.at, updated_at=update.at)
        ended = replace(
            _with_facts(blank, update), transitions=(update.transition,), status=update.status
        )
        failed = _with_outcome(ended, Outcome.FAILED, update.at, timings)
        return replace(failed, error_code=update.error_code, error_detail=update.error_detail)

    def apply(self, update: StatusUpdate, timings: Timings) -> Self:
        """Return the message after this update; the same object if it brings nothing new."""
        transitions = _with_transition(self.transitions, update.transition)
        best = max(transitions, key=lambda transition: rank(transition.status))
        outcome = outcome_of(best.status)
        if outcome is Outcome.PENDING and self.outcome is Outcome.UNCONFIRMED:
            outcome = Outcome.UNCONFIRMED  # only a final status replaces it
        is_new = len(transitions) > len(self.transitions)
        status = best.status if rank(best.status) else MessageStatus.UNKNOWN
        with_status = replace(
            _with_facts(self, update),
            transitions=transitions,
            status=status,
            error_detail=_error_detail(self, update, status, outcome),
            sent_on=self.sent_on or (update.sent_on if is_new else None),
        )
        after = _with_outcome(with_status, outcome, update.at, timings)
        if after == self:
            return self
        is_first = not self.transitions
        return replace(after, updated_at=update.at if is_first else self._changed_at(update.at))

    @property
    def status_rank(self) -> int:
        """The rank of the message's status; higher ranks replace it."""
        unsent = UNSENT_STATUSES.get(self.status)
        return unsent.rank if unsent else rank(self.status)

    @property
    def starts_at(self) -> datetime:
        """When a status can be expected first: the later of `created_at` and `send_at`."""
        return max(self.created_at, self.send_at or self.created_at)

    @property
    def audited_day(self) -> date | None:
        """The day (UTC) whose audit found the message's status; None if anything else did."""
        known = (it.source for it in self.transitions if it.status == self.status)
        if next(known, None) is not Source.AUDIT:
            return None
        return self.sent_on or self.starts_at.date()

    def is_overdue(self, now: datetime, timings: Timings) -> bool:
        """Whether a final status should have come by now."""
        return now >= self.starts_at + timings.unconfirmed_after

    def next_check_at(self, now: datetime, timings: Timings) -> datetime:
        """Return when to reconcile the message again after a check at `now` found nothing new.

        Exponential backoff without a counter: the next interval is the message's age so far, capped
        at 24 `reconcile_after`. The end of `unconfirmed_after` is never missed.
        https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/
        """
        age = max(now - self.starts_at, timings.reconcile_after)
        again = max(now, self.starts_at) + min(age, _MAX_BACKOFF * timings.reconcile_after)
        ends_at = self.starts_at + timings.unconfirmed_after
        return min(again, ends_at) if now < ends_at else again

    def as_unconfirmed(self, at: datetime) -> Self:
        """Return the message with the outcome unconfirmed; one that is not pending is unchanged."""
        if self.outcome is not Outcome.PENDING:
            return self
        return replace(
            self, outcome=Outcome.UNCONFIRMED, list_at=at, updated_at=self._changed_at(at)
        )

    def as_superseded(self, at: datetime) -> Self:
        """Return a request that was recorded as unsent, after it was sent after all.

        It is no longer failed: from now on the message with the SID shows what happens. Anything
        but a failed request without a SID is unchanged.
        """
        if self.status not in UNSENT_STATUSES or self.outcome is not Outcome.FAILED:
            return self
        superseded = replace(
            self,
            outcome=Outcome.SUPERSEDED,
            error_code=None,
            error_detail=None,
            final_at=at,
            list_at=None,
            updated_at=self._changed_at(at),
        )
        return superseded.with_notice(notices.after_outcome(self.notice, Outcome.SUPERSEDED), at)

    def as_failed_again(
        self, update: StatusUpdate, timings: Timings, *, requested_at: datetime | None
    ) -> Self:
        """Return a request that ended without a SID, after its key was used again and failed again.

        It has the facts of the later attempt and a new notice. `requested_at` is when that attempt
        was requested. A repetition of the recorded attempt changes nothing: it was requested before
        it was recorded, and has the same result.
        """
        is_later = bool(requested_at and self.final_at and requested_at > self.final_at)
        is_same = self.status == update.status and (
            self.error_code == update.error_code or self.outcome is Outcome.SUPERSEDED
        )
        if is_same and not is_later:
            return self
        failed = self.from_unsent_request(update, timings)
        notice_id = notices.notice_id_of_attempt(self.message_sid, update.at)
        return replace(
            failed,
            created_at=self.created_at,
            updated_at=self._changed_at(update.at),
            notice_id=notice_id,
        )

    def with_next_notice_state(self, at: datetime) -> Self:
        """Return the message after the notifier's next step; the same object if none is due.

        A failure and a recovery are both claimed (`publishing`) before they are published, so that
        only one notifier publishes them.
        """
        state = notices.next_state(
            self.notice,
            failed=self.outcome is Outcome.FAILED,
            is_recovery=self.is_recovery_notice,
            is_grouped=self.is_grouped,
        )
        return self.with_notice(state, at)

    def grouped_into(self, incident_id: str, at: datetime) -> Self:
        """Return the failed message as one that an incident counts.

        Its `notice_id` stays the incident's, also when the message is delivered later.
        """
        return replace(self, notice=NoticeState.GROUPED, notice_id=incident_id, notice_at=at)

    @property
    def is_request(self) -> bool:
        """Whether it is a request that ended without a SID, kept like a message."""
        return self.message_sid == self.request_id

    @property
    def is_superseded(self) -> bool:
        """Whether it is a request that was recorded as unsent, and was sent after all."""
        return self.outcome is Outcome.SUPERSEDED

    @property
    def is_grouped(self) -> bool:
        """Whether an incident counts it."""
        return notices.is_incident_id(self.notice_id)

    @property
    def is_recovery_notice(self) -> bool:
        """Whether its notice is that of its recovery, not of its failure."""
        return self.notice_id == notices.recovery_id_of(self.message_sid)

    @property
    def failure_code(self) -> int | None:
        """The error code of the highest-ranked failure that carries one."""
        failures = [
            transition
            for transition in self.transitions
            if transition.error_code is not None and outcome_of(transition.status) is Outcome.FAILED
        ]
        best = max(failures, key=lambda failure: rank(failure.status), default=None)
        return best.error_code if best else None

    def effect_of(self, update: StatusUpdate, after: "Message") -> Effect:
        """Return what the update did to this message, which is `after` now."""
        if after is self:
            return Effect.DUPLICATE
        if len(after.transitions) == len(self.transitions):
            return Effect.ENRICHED
        if not rank(update.status):
            return Effect.UNKNOWN
        return Effect.ADVANCED if after.status_rank > self.status_rank else Effect.OUT_OF_ORDER

    def conflicts_with(self, update: StatusUpdate) -> bool:
        """Whether the update brings another error code than the one known for its status."""
        known = next((t.error_code for t in self.transitions if t.status == update.status), None)
        return None not in (known, update.error_code) and known != update.error_code

    def as_record(self) -> Record:
        """Return the message as plain data, as answers show it.

        Unknown facts are left out, times are ISO 8601 with milliseconds, and the times that only
        the lists and the notifier need (`list_at`, `notice_at`, `sent_on`) are left out.
        """
        record = self.as_item_record()
        return {name: fact for name, fact in record.items() if name not in INTERNAL_FIELDS}

    def as_item_record(self) -> Record:
        """Return the message as plain data, as the table stores it."""
        record = _record(self)
        record["transitions"] = [entry.as_record() for entry in self.transitions]
        return record

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Read a message from an answer or an item; names that are not its fields are ignored.

        Raises:
            KeyError, ValueError, TypeError: the record is not a message.
        """
        values = _known(cls, record)
        values["outcome"] = Outcome(record["outcome"])
        values["transitions"] = tuple(map(Transition.from_record, record["transitions"]))
        return cls(**values)

    def _changed_at(self, at: datetime) -> datetime:
        """Return `updated_at` after a change at `at`: later than before the change.

        Updates are recorded out of order, and by functions whose clocks differ. A later version of
        a message has a later `updated_at` all the same: the archive orders its rows by it.
        """
        return max(at, self.updated_at + _MILLISECOND)

    def with_notice(self, state: NoticeState | None, at: datetime) -> Self:
        """Return the message with its notice in this state since `at`."""
        if state is self.notice:
            return self
        notice_id = notices.notice_id_of(self.message_sid, state, self.notice_id)
        return replace(self, notice=state, notice_id=notice_id, notice_at=at)


def within_context_limits(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the first value of each name that fits into 20 names and 1 KB (UTF-8) in all."""
    context: dict[str, str] = {}
    room = MAX_CONTEXT_BYTES
    for name, value in pairs:
        size = len(name.encode("utf-8", "replace")) + len(value.encode("utf-8", "replace"))
        if name and name not in context and size <= room and len(context) < MAX_CONTEXT_NAMES:
            context[name] = value
            room -= size
    return context


def _with_transition(
    transitions: tuple[Transition, ...], new: Transition
) -> tuple[Transition, ...]:
    """Add the new transition, or what it adds to the known one of the same status."""
    for index, known in enumerate(transitions):
        if known.status == new.status:
            # The first code learned for a status stays; a different one is counted as a conflict.
            filled = replace(
                known,
                error_code=known.error_code or new.error_code,
                carrier_time=known.carrier_time or new.carrier_time,
            )
            return (*transitions[:index], filled, *transitions[index + 1 :])
    return (*transitions, new)


def _with_facts[M: Message](message: M, update: StatusUpdate) -> M:
    """Add the facts that were not known. New segments and prices also replace known ones."""
    facts: dict[str, Any] = {
        name: getattr(update, name)
        for name in _KEPT_FACTS
        if getattr(message, name) is None and getattr(update, name) is not None
    }
    facts |= {
        name: getattr(update, name) for name in _REPLACED_FACTS if getattr(update, name) is not None
    }
    if "send_at" in facts:  # retention and the first check count from it
        facts["expires_at"] = None
        if message.outcome is Outcome.PENDING:
            facts["list_at"] = None
    if update.context:
        pairs = [*message.context.items(), *update.context.items()]
        facts["context"] = within_context_limits(pairs)
    return replace(message, **facts)


def _with_outcome[M: Message](message: M, outcome: Outcome, at: datetime, timings: Timings) -> M:
    """Set the outcome and everything that follows from it."""
    changed = outcome is not message.outcome
    after = replace(
        message,
        outcome=outcome,
        final_at=at if changed else message.final_at,
        error_code=message.failure_code if outcome is Outcome.FAILED else None,
        list_at=_list_at(message, outcome, at if changed else None, timings),
        expires_at=message.expires_at or int((message.starts_at + timings.retention).timestamp()),
    )
    return after.with_notice(notices.after_outcome(message.notice, outcome), at)


def _error_detail(
    known: Message, update: StatusUpdate, status: str, outcome: Outcome
) -> str | None:
    """Return the words of the highest-ranked failure that has some, while the message is failed.

    `status` and `outcome` are the message's after the update.
    """
    if outcome is not Outcome.FAILED:
        return None
    if outcome_of(update.status) is not Outcome.FAILED:
        return known.error_detail
    if update.status == status != known.status:
        return update.error_detail or known.error_detail
    return known.error_detail or update.error_detail


def _list_at(
    message: Message, outcome: Outcome, changed_at: datetime | None, timings: Timings
) -> datetime | None:
    match outcome:
        case Outcome.PENDING:
            return message.list_at or message.starts_at + timings.reconcile_after
        case Outcome.FAILED:
            return changed_at or message.list_at
        case Outcome.UNCONFIRMED:
            return message.list_at
        case _:
            return None


INTERNAL_FIELDS: Final = frozenset({"list_at", "notice_at", "sent_on"})
"""The fields of a message that answers leave out."""
_TIMES: Final = ("at", "send_at", "created_at", "updated_at", "final_at", "list_at", "notice_at")
_READERS: Final[Mapping[str, Callable[[str], object]]] = {
    "source": Source,
    "notice": NoticeState,
    "sent_on": date.fromisoformat,
    **dict.fromkeys(_TIMES, datetime.fromisoformat),
}
"""How the text of a field in a record is read."""
_TYPES: Final[Mapping[str, type]] = {
    "error_code": int,
    "expires_at": int,
    "context": Mapping,
    "transitions": list,
}
"""The types of values in a record; all others are text."""
_REPLACED_FACTS: Final = ("num_segments", "price", "price_unit")
_KEPT_FACTS: Final = tuple(
    item.name for item in fields(MessageFacts) if item.name not in {*_REPLACED_FACTS, "context"}
)

# The fields by their names in a record: there, `from_` has no underscore.
_NAMES: Final[Mapping[type, Mapping[str, str]]] = {
    kind: {item.name.rstrip("_"): item.name for item in fields(kind)}
    for kind in (Message, StatusUpdate, Transition)
}


def _record(it: Message | StatusUpdate | Transition) -> Record:
    facts = ((name, getattr(it, field_name)) for name, field_name in _NAMES[type(it)].items())
    return {name: plain(fact) for name, fact in facts if fact is not None and fact != {}}


def _known(
    kind: type[Message | StatusUpdate | Transition], record: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what the record has for the fields of `kind`, texts read as `_READERS` says."""
    names = _NAMES[kind]
    values = {names[name]: value for name, value in record.items() if name in names}
    _check_types(values)
    return values | {name: _READERS[name](values[name]) for name in _READERS.keys() & values.keys()}


def _check_types(record: Mapping[str, Any]) -> None:
    """Check the values of a record.

    Raises:
        TypeError: a value has another type than its field.
    """
    for name, value in record.items():
        expected = _TYPES.get(name, str)
        if not isinstance(value, expected):
            raise TypeError(f"{name} is not of type {expected.__name__}")
