"""Limits log lines that anyone on the internet can cause."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

INTERVAL: Final = timedelta(minutes=1)


class LogLimit:
    """At most one log line a minute for each key, in each environment of the function.

    Args:
        now: returns the wall-clock time: a monotonic clock can stand still while Lambda keeps the
            environment frozen.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._logged_at: dict[str, datetime] = {}

    def allows(self, key: str) -> bool:
        """Return whether a line for the key may be logged now, and count it as logged."""
        now = self._now()
        logged_at = self._logged_at.get(key)
        if logged_at is not None and abs(now - logged_at) < INTERVAL:
            return False
        self._logged_at[key] = now
        return True
