"""What a summary says about the failures that it covers: when, by which senders, and examples.

Pure.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Self

from delivery.domain.messages import Message

from .records import field_values

_UNKNOWN: Final = "unknown"
_OTHERS: Final = "others"
_MAX_SENDERS: Final = 40  # counted by name
_MAX_EXAMPLES: Final = 5

type Mask = Callable[[str], str]
"""Returns a phone number as notices show it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Facts about the failures that one notice covers.

    `senders` counts the failures of each sender, as notices show it. `examples` are the SIDs of the
    first few failures: their numbers stay in the MessagesTable. `first_at` and `last_at` are the
    times of the first and the last failure. `audited` counts those that the audit found.
    """

    senders: Mapping[str, int] = field(default_factory=dict)
    examples: tuple[str, ...] = ()
    first_at: datetime | None = None
    last_at: datetime | None = None
    audited: int = 0

    def add(self, message: Message, mask: Mask) -> Self:
        """Return the tally with one more failure."""
        at = message.final_at or message.updated_at
        sender = message.messaging_service_sid or (mask(message.from_) if message.from_ else None)
        return replace(
            self,
            senders=_count(self.senders, sender or _UNKNOWN),
            examples=(*self.examples, message.message_sid)[:_MAX_EXAMPLES],
            first_at=min(self.first_at or at, at),
            last_at=max(self.last_at or at, at),
            audited=self.audited + (message.audited_day is not None),
        )

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Read a tally from a record.

        Raises:
            KeyError, ValueError, TypeError: the record is not a tally.
        """
        values = field_values(cls, record)
        return cls(**values | {"examples": tuple(values["examples"])})


def _count(counts: Mapping[str, int], name: str) -> dict[str, int]:
    """Return the counts with one more for this name, or for `others` if there are too many."""
    if name not in counts and len(counts) >= _MAX_SENDERS:
        name = _OTHERS
    return {**counts, name: counts.get(name, 0) + 1}
