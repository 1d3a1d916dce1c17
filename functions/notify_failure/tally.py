"""What stands out about failures that are told together: when, where, from whom.

Pure.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Self

from delivery.domain.messages import Message, Record, iso

from .calling_codes import country_of

_UNKNOWN: Final = "unknown"
_ELSEWHERE: Final = "elsewhere"
_OTHERS: Final = "others"
_MOST_NAMES: Final = 40  # of countries or senders that are told apart
_MOST_EXAMPLES: Final = 5
_SLOTS_OF_A_PAUSE: Final = 5  # 15 minutes are counted by three
_MOST_SLOTS: Final = 10

type Shown = Callable[[str], str]
"""How a phone number is shown to people: whole, or its end only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Failures by time: `counts` of slots that are `seconds` long, the first one from `since`."""

    since: datetime
    seconds: int
    counts: tuple[int, ...] = ()

    @classmethod
    def beginning(cls, since: datetime, quiet: timedelta) -> Self:
        """With slots for a time of about `quiet`."""
        seconds = max(1, math.ceil(quiet.total_seconds() / _SLOTS_OF_A_PAUSE))
        return cls(since=since, seconds=seconds)

    def added(self, at: datetime) -> Self:
        """With one more; when it takes too many slots, each becomes twice as long.

        What is older than the first slot is counted there.
        """
        seconds, counts = self.seconds, self.counts
        slot = max(0, int((at - self.since).total_seconds() // seconds))
        while slot >= _MOST_SLOTS:
            seconds, slot = seconds * 2, slot // 2
            counts = tuple(sum(counts[i : i + 2]) for i in range(0, len(counts), 2))
        counts += (0,) * (slot + 1 - len(counts))
        return replace(
            self,
            seconds=seconds,
            counts=(*counts[:slot], counts[slot] + 1, *counts[slot + 1 :]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What stands out about the failures that one notice covers.

    `examples` are the SIDs of the first few: their numbers stay in the MessagesTable.
    """

    timing: Timing
    countries: Mapping[str, int] = field(default_factory=dict)
    senders: Mapping[str, int] = field(default_factory=dict)
    examples: tuple[str, ...] = ()
    first_at: datetime | None = None
    last_at: datetime | None = None

    def added(self, message: Message, shown: Shown) -> Self:
        """With one more failure."""
        at = message.final_at or message.updated_at
        country = (country_of(message.to) if message.to else None) or _ELSEWHERE
        sender = message.messaging_service_sid or (shown(message.from_) if message.from_ else None)
        return replace(
            self,
            timing=self.timing.added(at),
            countries=_one_more(self.countries, country),
            senders=_one_more(self.senders, sender or _UNKNOWN),
            examples=(*self.examples, message.message_sid)[:_MOST_EXAMPLES],
            first_at=min(self.first_at or at, at),
            last_at=max(self.last_at or at, at),
        )

    def as_record(self) -> Record:
        """The tally as plain data."""
        record: Record = {
            "since": iso(self.timing.since),
            "seconds": self.timing.seconds,
            "counts": list(self.timing.counts),
            "countries": dict(self.countries),
            "senders": dict(self.senders),
            "examples": list(self.examples),
        }
        if self.first_at is not None and self.last_at is not None:
            record |= {"first_at": iso(self.first_at), "last_at": iso(self.last_at)}
        return record

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """The tally that `as_record` described."""
        return cls(
            timing=Timing(
                since=_time(record["since"]),
                seconds=record["seconds"],
                counts=tuple(record["counts"]),
            ),
            countries=record["countries"],
            senders=record["senders"],
            examples=tuple(record["examples"]),
            first_at=_time(record["first_at"]) if "first_at" in record else None,
            last_at=_time(record["last_at"]) if "last_at" in record else None,
        )


def _one_more(counts: Mapping[str, int], name: str) -> dict[str, int]:
    """The counts with one more of this name, or of the others when there are too many names."""
    if name not in counts and len(counts) >= _MOST_NAMES:
        name = _OTHERS
    return {**counts, name: counts.get(name, 0) + 1}


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
