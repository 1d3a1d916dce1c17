"""GCRA: when each message of a sender may be sent, at a rate that all invocations share.

Pure. The theoretical arrival time of the algorithm is `next_slot_at`: when the next message may be
sent. A message reserves a slot by moving it on by the message's cost, which is a second divided by
the rate, for each segment. A message without a slot soon is deferred: `retry_at` is when the next
such message should try again, so that deferred messages come back one after the other. That is only
a hint: slots go to the messages that try first, a message that never comes back costs nothing, and
no message can delay the others for longer than its cost.
https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm

Times are milliseconds since 1970, costs milliseconds.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

BURST_MS: Final = 1000
"""Unused time that a sender may use up at once (the tolerance of GCRA)."""

IDLE_MS: Final = 60_000
"""A sender that was idle for so long has no deferred messages: they would have been sent."""

MAX_DEFERRAL_MS: Final = 2 * 60 * 60 * 1000
"""The longest deferral, because the rate may be raised, or earlier messages leave the queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """When a message may be sent; or if it is not `immediate`, when it should try again."""

    at: int
    immediate: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """The state of one sender's limit."""

    next_slot_at: int = 0
    retry_at: int = 0

    def reserve(
        self, costs_ms: Iterable[int], *, now: int, until: int, jitter: float
    ) -> tuple["RateLimit", list[Reservation]]:
        """Return the state after reserving the slots up to `until`, and each message's reservation.

        `jitter`, from 0 to 1, spreads the messages that would be deferred for longer than
        MAX_DEFERRAL_MS over the second half of that time.
        """
        next_slot_at = max(self.next_slot_at, now - BURST_MS)
        retry_at = self.retry_at if self.next_slot_at > now - IDLE_MS else 0
        reservations = []
        immediate = True
        for cost_ms in costs_ms:
            immediate = immediate and next_slot_at <= until
            if immediate:
                reservations.append(Reservation(at=max(next_slot_at, now), immediate=True))
                next_slot_at += cost_ms
                continue
            retry_at = max(retry_at, next_slot_at)
            if retry_at - now <= MAX_DEFERRAL_MS:
                reservations.append(Reservation(at=retry_at, immediate=False))
                retry_at += cost_ms
            else:
                spread = now + int(MAX_DEFERRAL_MS * (1 + jitter) / 2)
                reservations.append(Reservation(at=spread, immediate=False))
        return RateLimit(next_slot_at=next_slot_at, retry_at=retry_at), reservations


def cost_ms(segments: int, per_second: float) -> int:
    """Return the time that so many segments take at this rate."""
    return max(1, round(segments * 1000 / per_second))
