"""When each message of a sender may go, at a rate that all invocations share.

Pure. A pace is two moments, and each message takes some time of it: its length, a second divided by
the rate for each segment. `free_at` is when the next message may go; whoever reserves moves it on.
Who cannot go soon is not kept waiting: it is given a moment at which to come back, and `return_at`
is that of the next such message. That is only a hint, which nobody has to keep: whoever comes first
while there is room goes first. So nothing is lost if a message never comes back, and none can take
a turn away for longer than its length.

Times are milliseconds since 1970, lengths milliseconds.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

BURST: Final = 1000
"""What a sender did not use of this much time, it may make up for at once."""

IDLE: Final = 60_000
"""Who has not sent for so long has nobody who comes back, or they would have gone."""

HORIZON: Final = 2 * 60 * 60 * 1000
"""Nobody is told to come back later than in so long: the rate may be raised, or a message gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """The moment at which a message goes, or if it may not go soon, comes back to ask again."""

    at: int
    goes: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """How far a sender's time is given away."""

    free_at: int = 0
    return_at: int = 0

    def reserved(
        self, lengths: Iterable[int], *, now: int, until: int, chance: float
    ) -> tuple["RateLimit", list[Reservation]]:
        """The pace after as many of the messages as can go until then, and each one's turn.

        `chance`, from 0 to 1, spreads those that come back beyond the horizon: half of it lets them
        ask often enough, and the other half keeps them from coming all at once.
        """
        free_at = max(self.free_at, now - BURST)
        return_at = self.return_at if self.free_at > now - IDLE else 0
        turns = []
        goes = True
        for length in lengths:
            goes = goes and free_at <= until
            if goes:
                turns.append(Reservation(at=max(free_at, now), goes=True))
                free_at += length
                continue
            return_at = max(return_at, free_at)
            if return_at - now <= HORIZON:
                turns.append(Reservation(at=return_at, goes=False))
                return_at += length
            else:
                turns.append(Reservation(at=now + int(HORIZON * (1 + chance) / 2), goes=False))
        return RateLimit(free_at=free_at, return_at=return_at), turns


def length(units: int, per_second: float) -> int:
    """How long the sender is taken by so many segments, at this rate."""
    return max(1, round(units * 1000 / per_second))
