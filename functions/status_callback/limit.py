"""Limits work and log lines that anyone on the internet can cause."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

INTERVAL: Final = timedelta(minutes=1)


class OncePerMinute:
    """Allows an action once a minute for each key, in each environment of the function.

    Args:
        now: returns the wall-clock time: a monotonic clock can stand still while Lambda keeps the
            environment frozen.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._taken_at: dict[str, datetime] = {}

    def allows(self, key: str) -> bool:
        """Return whether the action is allowed now."""
        taken_at = self._taken_at.get(key)
        return taken_at is None or abs(self._now() - taken_at) >= INTERVAL

    def take(self, key: str) -> bool:
        """Return whether the action is allowed now, and count it as done."""
        allowed = self.allows(key)
        if allowed:
            self._taken_at[key] = self._now()
        return allowed
