"""What a summary says about the failures that it covers: when, by which senders, and examples.

Pure.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Self

from delivery.domain.messages import Message, Record, iso

_UNKNOWN: Final = "unknown"
_OTHERS: Final = "others"
_MAX_SENDERS: Final = 40  # counted by name
_MAX_EXAMPLES: Final = 5

type Shown = Callable[[str], str]
"""How a phone number is shown to people: whole, or its end only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Facts about the failures that one notice covers.

    `senders` counts the failures of each sender, as notices show it. `examples` are the SIDs of the
    first few failures: their numbers stay in the MessagesTable. `first_at` and `last_at` are the
    times of the first and the last failure.
    """

    senders: Mapping[str, int] = field(default_factory=dict)
    examples: tuple[str, ...] = ()
    first_at: datetime | None = None
    last_at: datetime | None = None

    def added(self, message: Message, shown: Shown) -> Self:
        """The tally with one more failure."""
        at = message.final_at or message.updated_at
        sender = message.messaging_service_sid or (shown(message.from_) if message.from_ else None)
        return replace(
            self,
            senders=_one_more(self.senders, sender or _UNKNOWN),
            examples=(*self.examples, message.message_sid)[:_MAX_EXAMPLES],
            first_at=min(self.first_at or at, at),
            last_at=max(self.last_at or at, at),
        )

    def as_record(self) -> Record:
        """The tally as plain data."""
        record: Record = {"senders": dict(self.senders), "examples": list(self.examples)}
        if self.first_at is not None and self.last_at is not None:
            record |= {"first_at": iso(self.first_at), "last_at": iso(self.last_at)}
        return record

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """The tally that `as_record` described."""
        return cls(
            senders=record["senders"],
            examples=tuple(record["examples"]),
            first_at=_time(record["first_at"]) if "first_at" in record else None,
            last_at=_time(record["last_at"]) if "last_at" in record else None,
        )


def _one_more(counts: Mapping[str, int], name: str) -> dict[str, int]:
    """The counts with one more of this name, or of `others` when there are too many names."""
    if name not in counts and len(counts) >= _MAX_SENDERS:
        name = _OTHERS
    return {**counts, name: counts.get(name, 0) + 1}


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
