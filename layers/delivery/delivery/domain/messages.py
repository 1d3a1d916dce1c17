"""What became of a message: its statuses, and the rules between them.

Pure: knows no AWS, no HTTP and no clock; times and ids are passed in. Everything that is ever
learned about a message comes as a `StatusUpdate`, and `Message.learn` is the one place that
decides what it changes. The order in which updates arrive changes neither `status` nor `outcome`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Self

type Record = dict[str, Any]
"""A Message as plain data (str, int, list, dict): what is stored, and what is answered."""


class MessageStatus(StrEnum):
    """Twilio's words for an outbound message, and our two for a request that became none.

    Source: https://www.twilio.com/docs/messaging/api/message-resource#message-status-values
    """

    ACCEPTED = "accepted"
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    CANCELED = "canceled"
    FAILED = "failed"
    UNDELIVERED = "undelivered"
    PARTIALLY_DELIVERED = "partially_delivered"
    DELIVERED = "delivered"
    READ = "read"

    UNKNOWN = "unknown"
    """Of a message that has only statuses which do not exist today."""

    REJECTED = "rejected"
    PRESUMED_UNSENT = "presumed_unsent"


class Outcome(StrEnum):
    """What the status means for the person who wanted the message delivered."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    CANCELED = "canceled"
    UNCONFIRMED = "unconfirmed"


class Source(StrEnum):
    """Where a status was learned: Twilio's answer to a send, its callback, or by asking it."""

    SEND = "send"
    CALLBACK = "callback"
    RECONCILE = "reconcile"


class NoticeState(StrEnum):
    """How far people have been told of a failure: alone, or in the count of an episode.

    `sent` with an episode's id as `notice_id` means counted; `muted` means counted, and not told.
    """

    DUE = "due"
    PUBLISHING = "publishing"
    SENT = "sent"
    MUTED = "muted"
    WITHDRAWN = "withdrawn"
    RECOVERY_DUE = "recovery_due"
    RECOVERED = "recovered"


class Effect(StrEnum):
    """What an update did to a message."""

    ADVANCED = "advanced"
    """It is the message's status now."""
    OUT_OF_ORDER = "out_of_order"
    """It was recorded, but the message's status is a better one."""
    UNKNOWN = "unknown"
    """It was recorded, but nobody knows what it means: the status does not exist today."""
    ENRICHED = "enriched"
    """It brought a fact about what was known already."""
    DUPLICATE = "duplicate"
    """It brought nothing."""
    ERASED = "erased"
    """It was not recorded: the message's data was erased, and nothing brings it back."""


RANK: Final[Mapping[str, int]] = {
    MessageStatus.ACCEPTED: 10,
    MessageStatus.SCHEDULED: 15,
    MessageStatus.QUEUED: 20,
    MessageStatus.SENDING: 30,
    MessageStatus.SENT: 40,
    MessageStatus.CANCELED: 50,
    MessageStatus.FAILED: 60,
    MessageStatus.UNDELIVERED: 70,
    MessageStatus.PARTIALLY_DELIVERED: 75,
    MessageStatus.DELIVERED: 80,
    MessageStatus.READ: 90,
}
"""The higher rank is the truth, also over an earlier failure; a status that is not here has 0."""

FINAL_OUTCOME: Final[Mapping[str, Outcome]] = {
    MessageStatus.CANCELED: Outcome.CANCELED,
    MessageStatus.FAILED: Outcome.FAILED,
    MessageStatus.UNDELIVERED: Outcome.FAILED,
    MessageStatus.PARTIALLY_DELIVERED: Outcome.FAILED,
    MessageStatus.DELIVERED: Outcome.DELIVERED,
    MessageStatus.READ: Outcome.DELIVERED,
}

SHARDS: Final = "0123456789abcdef"
"""What the keys of a sparse index end with, so that none is shared by all items."""

NOTICE_DUE_KEYS: Final = tuple(f"due#{shard}" for shard in SHARDS)
"""Every value of `notice_due`: where to look for those whom people must still be told of."""

PENDING_KEYS: Final = tuple(f"pending#{shard}" for shard in SHARDS)
"""Every value of `list_key` while a message is pending."""

INCIDENT_ID_PREFIX: Final = "inc_"
"""How the id of an episode begins, and so the `notice_id` of a message that is in its count."""

_OWED: Final = frozenset({NoticeState.DUE, NoticeState.PUBLISHING, NoticeState.RECOVERY_DUE})
# However long a message has been quiet: Twilio is asked at least every 24 `reconcile_after`.
_LONGEST_INTERVAL: Final = 24
_MAX_CONTEXT_NAMES: Final = 20
_MAX_CONTEXT_BYTES: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """How long a message is kept, first left alone, and waited for."""

    retention: timedelta = timedelta(days=400)
    reconcile_after: timedelta = timedelta(minutes=60)
    unconfirmed_after: timedelta = timedelta(hours=72)

    @classmethod
    def of(
        cls,
        *,
        retention_days: str,
        reconcile_after_minutes: str,
        unconfirmed_after_hours: str = "72",  # only reconciling waits for it
    ) -> Self:
        """From the stack's parameters, which are numbers as text, fractions allowed."""
        return cls(
            retention=timedelta(days=float(retention_days)),
            reconcile_after=timedelta(minutes=float(reconcile_after_minutes)),
            unconfirmed_after=timedelta(hours=float(unconfirmed_after_hours)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One distinct status of a message, and when it arrived here.

    `carrier_time` is Twilio's RawDlrDoneDate, unchanged: YYMMDDhhmm in a zone that nobody names.
    """

    status: str
    at: datetime
    source: Source
    error_code: int | None = None
    carrier_time: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusUpdate:
    """What was learned about a message at one moment; None where the source does not say."""

    message_sid: str
    status: str
    at: datetime
    source: Source
    error_code: int | None = None
    carrier_time: str | None = None
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
        """The update as plain data: absent facts left out, times ISO 8601 with milliseconds."""
        return _record(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """The update that `as_record` described.

        Raises:
            KeyError, ValueError, TypeError: the record is of something else.
        """
        values = _known(cls, record)
        values["source"] = Source(record["source"])
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Everything known about one message.

    `transitions` holds every distinct status once, in the order of arrival; all the rest follows
    from it, but for what the sender and Twilio said about the message itself.
    """

    message_sid: str
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
    status: str = MessageStatus.UNKNOWN
    status_rank: int = 0
    outcome: Outcome = Outcome.PENDING
    error_code: int | None = None
    transitions: tuple[Transition, ...] = ()
    created_at: datetime
    updated_at: datetime
    final_at: datetime | None = None
    list_key: str | None = None
    list_at: datetime | None = None
    notice: NoticeState | None = None
    notice_id: str | None = None
    notice_due: str | None = None
    expires_at: int | None = None

    @classmethod
    def from_first_update(cls, update: StatusUpdate, timings: Timings) -> Self:
        """The message of which this update is the first that anybody hears."""
        blank = cls(message_sid=update.message_sid, created_at=update.at, updated_at=update.at)
        return blank.apply(update, timings)

    @classmethod
    def from_unsent_request(cls, update: StatusUpdate, timings: Timings) -> Self:
        """A request that ended without a SID, kept like a failed message.

        The update's `message_sid` is the request's id, its status `rejected` or `presumed_unsent`.
        """
        blank = cls(message_sid=update.message_sid, created_at=update.at, updated_at=update.at)
        ended = replace(
            _filled_in(blank, update),
            transitions=(update.transition,),
            status=update.status,
            status_rank=RANK[MessageStatus.FAILED],
        )
        failed = _concluded(ended, Outcome.FAILED, update.at, timings)
        return replace(failed, error_code=update.error_code)

    def apply(self, update: StatusUpdate, timings: Timings) -> Self:
        """The message after this update; this very one where the update brings nothing new."""
        transitions = _recorded(self.transitions, update.transition)
        best = max(transitions, key=lambda transition: rank(transition.status))
        outcome = FINAL_OUTCOME.get(best.status, Outcome.PENDING)
        if outcome is Outcome.PENDING and self.outcome is Outcome.UNCONFIRMED:
            outcome = Outcome.UNCONFIRMED  # only a final status is better than that
        told = replace(
            _filled_in(self, update),
            transitions=transitions,
            status=best.status if rank(best.status) else MessageStatus.UNKNOWN,
            status_rank=rank(best.status),
        )
        learned = _concluded(told, outcome, update.at, timings)
        if learned == self:
            return self
        # While people are told of a message it never goes back, though an update that waited in a
        # queue brings an old time: it shows since when somebody has been telling them.
        updated_at = max(self.updated_at, update.at) if self.notice else update.at
        return replace(learned, updated_at=updated_at)

    @property
    def starts_at(self) -> datetime:
        """From when on a status can be expected: the later of its creation and its `send_at`."""
        return max(self.created_at, self.send_at or self.created_at)

    def is_overdue(self, now: datetime, timings: Timings) -> bool:
        """Whether it was waited for long enough."""
        return now >= self.starts_at + timings.unconfirmed_after

    def next_check_at(self, now: datetime, timings: Timings) -> datetime:
        """When to ask Twilio again, asked at `now` in vain: as late again as it has been quiet.

        So the intervals double, with nothing to remember, up to 24 times the first one; and the
        end of the wait is not missed.
        """
        longest = _LONGEST_INTERVAL * timings.reconcile_after
        quiet_for = max(now - self.starts_at, timings.reconcile_after)
        again = max(now, self.starts_at) + min(quiet_for, longest)
        ends_at = self.starts_at + timings.unconfirmed_after
        return min(again, ends_at) if now < ends_at else again

    def as_unconfirmed(self, at: datetime) -> Self:
        """The message when it was waited for in vain; one that ended before stays as it is."""
        if self.outcome is not Outcome.PENDING:
            return self
        return replace(
            self,
            outcome=Outcome.UNCONFIRMED,
            list_key=f"unconfirmed#{at:%Y-%m-%d}#{_shard(self.message_sid)}",
            list_at=at,
            updated_at=at,
        )

    def as_superseded(self, at: datetime) -> Self:
        """A request kept as `presumed_unsent` whose message turned up under a SID of its own.

        It has failed no more, and that message tells how it goes on.
        """
        if self.status != MessageStatus.PRESUMED_UNSENT:
            return self
        notice = _noticed(self, Outcome.PENDING)
        sent = Transition(status=MessageStatus.SENT, at=at, source=Source.RECONCILE)
        return replace(
            self,
            transitions=(*self.transitions, sent),
            status=sent.status,
            status_rank=rank(sent.status),
            outcome=Outcome.PENDING,
            final_at=None,
            list_key=None,
            list_at=None,
            notice=notice,
            notice_id=_notice_id(self, notice),
            notice_due=_notice_due(self.message_sid, notice),
            updated_at=at,
        )

    def told(self, at: datetime) -> Self:
        """The message after the next step of its notice: claimed, told, withdrawn, or owed anew.

        Both a failure and a recovery are claimed (`publishing`) before they are published, so that
        only one notifier does it; `notice_id` says which of the two it is. A message that is
        delivered during the publish owes the recovery; one that is delivered before owes nothing.
        The recovery of a message that an incident counts is counted, and not published.
        """
        failed = self.outcome is Outcome.FAILED
        match self.notice:
            case NoticeState.DUE:
                notice = NoticeState.PUBLISHING if failed else NoticeState.WITHDRAWN
            case NoticeState.PUBLISHING if self.is_recovery_notice:
                notice = NoticeState.RECOVERED
            case NoticeState.PUBLISHING:
                notice = NoticeState.SENT if failed else NoticeState.RECOVERY_DUE
            case NoticeState.RECOVERY_DUE:
                notice = NoticeState.RECOVERED if self.is_grouped else NoticeState.PUBLISHING
            case _:
                return self
        return replace(
            self,
            notice=notice,
            notice_id=_notice_id(self, notice),
            notice_due=_notice_due(self.message_sid, notice),
            updated_at=at,
        )

    def counted(self, episode_id: str, at: datetime, *, muted: bool) -> Self:
        """The failed message as one of those that an episode counts; `muted`: which nobody tells.

        Its `notice_id` is the episode's from then on, also when it is delivered after all.
        """
        notice = NoticeState.MUTED if muted else NoticeState.SENT
        return replace(self, notice=notice, notice_id=episode_id, notice_due=None, updated_at=at)

    @property
    def is_request(self) -> bool:
        """Whether it is a request that ended without a SID, kept like a message."""
        return self.message_sid == self.request_id

    @property
    def is_superseded(self) -> bool:
        """Whether it is such a request that was sent after all: that message tells all there is."""
        return self.is_request and self.outcome is not Outcome.FAILED

    @property
    def is_grouped(self) -> bool:
        """Whether it is told in the count of an episode, and not alone."""
        return self.notice_id is not None and self.notice_id.startswith(INCIDENT_ID_PREFIX)

    @property
    def is_recovery_notice(self) -> bool:
        """Whether its notice is the one of its recovery, and not of its failure."""
        return self.notice_id == f"{self.message_sid}:recovery"

    @property
    def failure_code(self) -> int | None:
        """The code of the highest-ranked failure that carries one, whatever came after it."""
        failures = [
            transition
            for transition in self.transitions
            if transition.error_code is not None
            and FINAL_OUTCOME.get(transition.status) is Outcome.FAILED
        ]
        best = max(failures, key=lambda failure: rank(failure.status), default=None)
        return best.error_code if best else None

    def effect_of(self, update: StatusUpdate) -> Effect:
        """What `update` would do to this message, for those who count."""
        if all(known.status != update.status for known in self.transitions):
            if not rank(update.status):
                return Effect.UNKNOWN
            return (
                Effect.ADVANCED if rank(update.status) > self.status_rank else Effect.OUT_OF_ORDER
            )
        if _recorded(self.transitions, update.transition) != self.transitions:
            return Effect.ENRICHED
        return Effect.DUPLICATE if _filled_in(self, update) == self else Effect.ENRICHED

    def conflicts_with(self, update: StatusUpdate) -> bool:
        """Whether the update brings another error code than the one that its status has here."""
        known = next((t.error_code for t in self.transitions if t.status == update.status), None)
        return None not in (known, update.error_code) and known != update.error_code

    def as_record(self) -> Record:
        """The message as plain data: absent facts left out, times ISO 8601 with milliseconds."""
        return _record(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """The message that `as_record` described; attributes that it does not know are ignored."""
        values = _known(cls, record)
        values["outcome"] = Outcome(record["outcome"])
        values["transitions"] = tuple(_transition(entry) for entry in record["transitions"])
        if "notice" in values:
            values["notice"] = NoticeState(values["notice"])
        return cls(**values)


def rank(status: str) -> int:
    """The rank of a status of Twilio's; 0 for a status that does not exist today."""
    return RANK.get(status, 0)


def list_keys(outcome: Outcome, day: date) -> tuple[str, ...]:
    """Every value of `list_key` of the messages that failed, or were given up, on a day in UTC."""
    return tuple(f"{outcome}#{day.isoformat()}#{shard}" for shard in SHARDS)


def within_context_limits(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The first value of each name, as far as 20 names and 1 KB (UTF-8) reach."""
    context: dict[str, str] = {}
    room = _MAX_CONTEXT_BYTES
    for name, value in pairs:
        size = len(name.encode("utf-8", "replace")) + len(value.encode("utf-8", "replace"))
        if name and name not in context and size <= room and len(context) < _MAX_CONTEXT_NAMES:
            context[name] = value
            room -= size
    return context


def iso(time: datetime) -> str:
    """ISO 8601 in UTC with milliseconds, e.g. 2026-11-23T20:41:50.123Z: sorts as text."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def plain(value: object) -> object:
    """A fact as a record has it: times ISO 8601 with milliseconds, words as text."""
    match value:
        case datetime():
            return iso(value)
        case StrEnum():
            return str(value)
        case tuple():
            return [_plain_transition(entry) for entry in value]
        case Mapping():
            return dict(value)
        case _:
            return value


def _recorded(transitions: tuple[Transition, ...], new: Transition) -> tuple[Transition, ...]:
    """The transitions with the new one added, or with what it adds to the one that is there."""
    for index, known in enumerate(transitions):
        if known.status == new.status:
            # The first code learned for a status stays: a different one contradicts it.
            filled = replace(
                known,
                error_code=known.error_code or new.error_code,
                carrier_time=known.carrier_time or new.carrier_time,
            )
            return (*transitions[:index], filled, *transitions[index + 1 :])
    return (*transitions, new)


def _filled_in[M: Message](message: M, update: StatusUpdate) -> M:
    """Take over what was not known; what Twilio's API says of segments and price is newer."""
    facts: dict[str, Any] = {
        name: getattr(update, name)
        for name in _LEARNED_ONCE
        if getattr(message, name) is None and getattr(update, name) is not None
    }
    facts |= {
        name: getattr(update, name) for name in _SAID_LAST if getattr(update, name) is not None
    }
    if "send_at" in facts:  # how long it is kept, and left alone, counts from there
        facts["expires_at"] = None
        if message.outcome is Outcome.PENDING:
            facts["list_at"] = None
    if update.context:
        pairs = [*message.context.items(), *update.context.items()]
        facts["context"] = within_context_limits(pairs)
    return replace(message, **facts)


def _concluded[M: Message](message: M, outcome: Outcome, at: datetime, timings: Timings) -> M:
    """Set everything that follows from the outcome, and from what the message knows by now."""
    changed = outcome is not message.outcome
    notice = _noticed(message, outcome)
    starts = message.starts_at
    asked_at = message.list_at or starts + timings.reconcile_after
    list_key, list_at = _watched(message, outcome, at if changed else None, asked_at)
    return replace(
        message,
        outcome=outcome,
        final_at=at if changed else message.final_at,
        error_code=message.failure_code if outcome is Outcome.FAILED else None,
        list_key=list_key,
        list_at=list_at,
        notice=notice,
        notice_id=_notice_id(message, notice),
        notice_due=_notice_due(message.message_sid, notice),
        expires_at=message.expires_at or int((starts + timings.retention).timestamp()),
    )


def _noticed(message: Message, outcome: Outcome) -> NoticeState | None:
    if outcome is Outcome.FAILED and message.notice is None:
        return NoticeState.DUE
    if outcome is not Outcome.FAILED and message.notice is NoticeState.SENT:
        return NoticeState.RECOVERY_DUE
    return message.notice


def _notice_id(message: Message, notice: NoticeState | None) -> str | None:
    """One id for all repetitions of what people are told, another for the news that it is well."""
    match notice:
        case NoticeState.DUE:
            return f"{message.message_sid}:failure"
        case NoticeState.RECOVERY_DUE if not message.is_grouped:
            return f"{message.message_sid}:recovery"
        case _:
            return message.notice_id


def _notice_due(message_sid: str, notice: NoticeState | None) -> str | None:
    return f"due#{_shard(message_sid)}" if notice in _OWED else None


def _watched(
    message: Message, outcome: Outcome, changed_at: datetime | None, asked_at: datetime
) -> tuple[str | None, datetime | None]:
    """The list that the message stands on, and since when, or until when it is left alone."""
    shard = _shard(message.message_sid)
    match outcome:
        case Outcome.PENDING:
            return f"pending#{shard}", asked_at
        case Outcome.FAILED if changed_at is not None:
            return f"failed#{changed_at:%Y-%m-%d}#{shard}", changed_at
        case Outcome.FAILED | Outcome.UNCONFIRMED:
            return message.list_key, message.list_at
        case _:
            return None, None


def _shard(key: str) -> str:
    """The last hex digit of a key, so that no index key is shared by all messages."""
    last = key[-1].lower()
    # A letter can have two in lower case.
    return last if last in SHARDS else f"{ord(last[0]) % 16:x}"


_TIMES: Final = frozenset({"at", "send_at", "created_at", "updated_at", "final_at", "list_at"})
_SAID_LAST: Final = ("num_segments", "price", "price_unit")
_LEARNED_ONCE: Final = (
    "account_sid",
    "to",
    "from_",
    "messaging_service_sid",
    "request_id",
    "reference",
    "body",
    "send_at",
)


# The fields by their names in a record; what Python keeps for itself loses its underscore there.
_NAMES: Final[Mapping[type, Mapping[str, str]]] = {
    kind: {item.name.rstrip("_"): item.name for item in fields(kind)}
    for kind in (Message, StatusUpdate)
}


def _record(it: Message | StatusUpdate) -> Record:
    """Absent facts are left out."""
    facts = ((name, getattr(it, field_name)) for name, field_name in _NAMES[type(it)].items())
    return {name: plain(fact) for name, fact in facts if fact is not None and fact != {}}


def _known(kind: type[Message | StatusUpdate], record: Mapping[str, Any]) -> dict[str, Any]:
    """What the record says of the fields of `kind`, times read."""
    names = _NAMES[kind]
    values = {names[name]: value for name, value in record.items() if name in names}
    return values | {name: _time(values[name]) for name in _TIMES & values.keys()}


def _plain_transition(entry: Transition) -> Record:
    record: Record = {
        "status": entry.status,
        "at": iso(entry.at),
        "source": str(entry.source),
        "error_code": entry.error_code,
        "carrier_time": entry.carrier_time,
    }
    return {name: value for name, value in record.items() if value is not None}


def _transition(entry: Mapping[str, Any]) -> Transition:
    return Transition(
        status=entry["status"],
        at=_time(entry["at"]),
        source=Source(entry["source"]),
        error_code=entry.get("error_code"),
        carrier_time=entry.get("carrier_time"),
    )


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
