"""Episodes: failures of one kind, of which people are told as of one thing.

Pure: knows no AWS and no clock. The first failure of an account and a cause opens an episode and is
told alone. Those that follow are counted; what no notice covers yet is told again and again in a
summary, and in a last line when it has stopped. A notice covers a fixed range of the count, which
is written down before it is told: the ranges of an episode add up to its count, whatever dies when.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Self

from delivery.domain.messages import INCIDENT_ID_PREFIX, Message, MessageStatus, Record, iso
from delivery.twilio.error_codes import Category, explain

from .tally import Shown, Tally

KEPT_FOR: Final = timedelta(days=30)
"""How long an episode is remembered after its last failure."""

OPEN: Final = "open"
"""The value of `open` while there is something to tell of an episode, or it is to be closed."""

_UNKNOWN: Final = "unknown"
_OUR_WORDS: Final = frozenset({MessageStatus.REJECTED, MessageStatus.PRESUMED_UNSENT})


class Kind(StrEnum):
    """What a notice of an episode is."""

    OPENING = "opening"
    """Of its first failure, which is told alone."""
    SUMMARY = "summary"
    CLOSING = "closing"


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeKey:
    """What failures of one kind have in common: `cause` is the error code as text, or our word."""

    account_sid: str
    cause: str

    @classmethod
    def of(cls, message: Message) -> Self:
        """Where a failed message belongs, as it is now."""
        return cls(account_sid=message.account_sid or _UNKNOWN, cause=_cause(message))

    @classmethod
    def where_counted(cls, message: Message) -> list[Self]:
        """Where a message may have been counted as failed, whatever it has learned since."""
        codes = [entry.error_code for entry in reversed(message.transitions)]
        causes = [
            *(str(code) for code in codes if code is not None),
            *(entry.status for entry in message.transitions if entry.status in _OUR_WORDS),
            _UNKNOWN,
        ]
        account_sid = message.account_sid or _UNKNOWN
        return [cls(account_sid=account_sid, cause=cause) for cause in dict.fromkeys(causes)]

    @property
    def error_code(self) -> int | None:
        """The code, where the cause is one."""
        return int(self.cause) if self.cause.isdecimal() else None

    @property
    def category(self) -> Category:
        """Who has to do something about it."""
        return explain(self.error_code, self.cause).category


def episode_id_of(opener: Message) -> str:
    """The id of the episode that this message opens: of no other, for it opens only one."""
    digest = hashlib.sha256(f"episode:{opener.message_sid}".encode()).hexdigest()
    return f"{INCIDENT_ID_PREFIX}{digest[:32]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A failed message as a summary names it; `to` as it may be shown."""

    message_sid: str
    to: str | None = None
    reference: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """A notice that is being told: all that it says, so that a repetition says the same.

    It covers the failures `range_from` to `range_to` of its episode's count; there are none where
    `range_to` is less. `claimed_at` says who tells it, as the last one who took it over. It may be
    the last line of an episode that another one has followed meanwhile.
    """

    kind: Kind
    notice_id: str
    episode_id: str
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
    """It closes, though failures may go on: people are not to be told of them any more."""

    @property
    def failures(self) -> int:
        """How many it covers."""
        return self.range_to - self.range_from + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """The last episode of a key: how many failed, and how many of them people were told of.

    `counted` is all of them; `told` is how many of these the notices cover that went out. The first
    one is told alone. `last_failure_at` is when one was counted last, by our clock. `open` and
    `next_at` are the key of a sparse index: when to look at it next, to tell more or to close it.
    """

    key: EpisodeKey
    episode_id: str
    is_open: bool = True
    is_muted: bool = False
    opened_at: datetime
    opened_by: str
    counted: int
    told: int
    recovered: int = 0
    last_failure_at: datetime
    next_at: datetime | None
    since: datetime
    """From when on the next notice tells."""
    tally: Tally
    telling: Telling | None = None
    version: int = 0

    @property
    def untold(self) -> int:
        """How many no notice covers; none where nobody is told at all."""
        return 0 if self.is_muted else self.counted - self.told

    @property
    def expires_at(self) -> int:
        """When it is forgotten, in epoch seconds."""
        return int((self.last_failure_at + KEPT_FOR).timestamp())

    def counts_more(self, at: datetime, quiet: timedelta, *, muted: bool) -> bool:
        """Whether a failure is one more of this episode, and not the first of a new one.

        It is a new one's when this one is over, though nobody has come to close it. `muted`: nobody
        is to be told of its category, by now.
        """
        if not self.is_open or (self.is_muted and not muted):
            return False
        is_over = at >= self.last_failure_at + quiet
        return not (is_over and self.untold == 0 and self.telling is None)

    def with_more(self, messages: Sequence[Message], at: datetime, shown: Shown) -> Self:
        """The episode with these failures in its count."""
        tally = self.tally
        for message in messages:
            tally = tally.added(message, shown)
        return replace(
            self,
            counted=self.counted + len(messages),
            last_failure_at=max(self.last_failure_at, at),
            tally=tally,
        )

    def with_recovered(self, messages: int) -> Self:
        """The episode when so many of those that it counted were delivered after all."""
        return replace(self, recovered=self.recovered + messages)

    def looked_at(self, at: datetime, quiet: timedelta, *, muted: bool) -> Self:
        """The episode after what is to be done about it at `at`; as it is where that is nothing.

        Either a notice is to be published (`publishing` then), or there is nothing to publish.
        It is closed when nothing has failed for as long as `quiet`, or nobody is to be told of its
        category any more. Of an end nobody is told who only ever heard of its beginning.
        """
        if self.telling is not None or self.next_at is None or at < self.next_at:
            return self
        over_at = self.last_failure_at + quiet
        if at < over_at and (self.is_muted or not muted):
            if self.untold:
                return self._told_of(Kind.SUMMARY, at)
            return replace(self, next_at=over_at)
        return self._closed(at, is_over=at >= over_at)

    def with_examples(self, examples: Sequence[Example]) -> Self:
        """The episode when the notice that is being told names these."""
        if self.telling is None:
            return self
        return replace(self, telling=replace(self.telling, examples=tuple(examples)))

    def taken_over(self, at: datetime) -> Self:
        """The episode when somebody else tells what one who died was telling."""
        if self.telling is None:
            return self
        return replace(self, telling=replace(self.telling, claimed_at=at))

    def after_telling(self, notice_id: str, at: datetime, quiet: timedelta) -> Self:
        """The episode when the notice went out; as it is where somebody has noted that before."""
        telling = self.telling
        if telling is None or telling.notice_id != notice_id:
            return self
        if telling.episode_id != self.episode_id:  # the last line of the one before
            return replace(self, telling=None)
        next_at = at + quiet if self.is_open else None
        return replace(self, telling=None, told=telling.range_to, next_at=next_at)

    def as_record(self) -> Record:
        """The episode as plain data, its key and that of its index as attributes of their own."""
        record: Record = {
            "account_sid": self.key.account_sid,
            "cause": self.key.cause,
            "episode_id": self.episode_id,
            "category": str(self.key.category),
            "state": "open" if self.is_open else "closed",
            "is_muted": self.is_muted,
            "opened_at": iso(self.opened_at),
            "opened_by": self.opened_by,
            "counted": self.counted,
            "told": self.told,
            "recovered": self.recovered,
            "last_failure_at": iso(self.last_failure_at),
            "since": iso(self.since),
            "tally": self.tally.as_record(),
            "version": self.version,
            "expires_at": self.expires_at,
        }
        if self.next_at is not None:
            record |= {"open": OPEN, "next_at": iso(self.next_at)}
        if self.telling is not None:
            record["publishing"] = _telling_record(self.telling)
        return record

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """The episode that `as_record` described; attributes that it does not know are ignored.

        Raises:
            KeyError, ValueError, TypeError: the record is of something else.
        """
        return cls(
            key=EpisodeKey(account_sid=record["account_sid"], cause=record["cause"]),
            episode_id=record["episode_id"],
            is_open=record["state"] == "open",
            is_muted=record["is_muted"],
            opened_at=_time(record["opened_at"]),
            opened_by=record["opened_by"],
            counted=record["counted"],
            told=record["told"],
            recovered=record["recovered"],
            last_failure_at=_time(record["last_failure_at"]),
            next_at=_time(record["next_at"]) if "next_at" in record else None,
            since=_time(record["since"]),
            tally=Tally.from_record(record["tally"]),
            telling=_telling(record["publishing"]) if "publishing" in record else None,
            version=record["version"],
        )

    def last_line(self, at: datetime) -> Telling | None:
        """What is still to be told of it when another one follows that begins at `at`."""
        if self.telling is not None or not self.is_open:
            return self.telling
        return self._closed(at, is_over=True).telling

    def _closed(self, at: datetime, *, is_over: bool) -> Self:
        """Closed, and in the index only for as long as its last line is being told."""
        if self.is_muted or (self.untold == 0 and self.told == 1):
            return replace(self, is_open=False, next_at=None)
        told_of = self._told_of(Kind.CLOSING, at, is_muted=not is_over)
        return replace(told_of, is_open=False)

    def _told_of(self, kind: Kind, at: datetime, *, is_muted: bool = False) -> Self:
        """The episode whose untold failures are to be told of now, and are not untold any more."""
        span = f"{self.told + 1}-{self.counted}" if self.untold else "closed"
        telling = Telling(
            kind=kind,
            notice_id=f"{self.episode_id}:{span}",
            episode_id=self.episode_id,
            range_from=self.told + 1,
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
        return replace(self, telling=telling, tally=Tally(), since=at)


def episode_begun(
    opener: Message,
    at: datetime,
    quiet: timedelta,
    *,
    previous: Episode | None,
    muted: bool,
) -> Episode:
    """The episode that this failure opens, and is told alone in; nobody is told where it is muted.

    A muted one has nothing in its count yet. What of the previous one is still to be told is
    carried on: the notice that is being told, or the last line.
    """
    return Episode(
        key=EpisodeKey.of(opener),
        episode_id=episode_id_of(opener),
        is_muted=muted,
        opened_at=at,
        opened_by=opener.message_sid,
        counted=0 if muted else 1,
        told=0 if muted else 1,
        last_failure_at=at,
        next_at=at + quiet,
        since=at,
        tally=Tally(),
        telling=previous.last_line(at) if previous else None,
    )


def _cause(message: Message) -> str:
    if message.error_code is not None:
        return str(message.error_code)
    return message.status if message.status in _OUR_WORDS else _UNKNOWN


def _telling_record(telling: Telling) -> Record:
    return {
        "kind": str(telling.kind),
        "notice_id": telling.notice_id,
        "episode_id": telling.episode_id,
        "range_from": telling.range_from,
        "range_to": telling.range_to,
        "recovered": telling.recovered,
        "opened_at": iso(telling.opened_at),
        "since": iso(telling.since),
        "until": iso(telling.until),
        "last_failure_at": iso(telling.last_failure_at),
        "claimed_at": iso(telling.claimed_at),
        "tally": telling.tally.as_record(),
        "examples": [_example_record(example) for example in telling.examples],
        "is_muted": telling.is_muted,
    }


def _telling(record: Mapping[str, Any]) -> Telling:
    return Telling(
        kind=Kind(record["kind"]),
        notice_id=record["notice_id"],
        episode_id=record["episode_id"],
        range_from=record["range_from"],
        range_to=record["range_to"],
        recovered=record["recovered"],
        opened_at=_time(record["opened_at"]),
        since=_time(record["since"]),
        until=_time(record["until"]),
        last_failure_at=_time(record["last_failure_at"]),
        claimed_at=_time(record["claimed_at"]),
        tally=Tally.from_record(record["tally"]),
        examples=tuple(Example(**example) for example in record["examples"]),
        is_muted=record["is_muted"],
    )


def _example_record(example: Example) -> Record:
    record = {
        "message_sid": example.message_sid,
        "to": example.to,
        "reference": example.reference,
    }
    return {name: value for name, value in record.items() if value is not None}


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
