"""The fake clock of the tests."""

from datetime import datetime, timedelta

from tests.builders import NOON


class Clock:
    """Stands still until a test advances it. Called, it returns the time."""

    def __init__(self, time: datetime = NOON) -> None:
        self.time = time

    def __call__(self) -> datetime:
        return self.time

    def advance(self, **time: float) -> None:
        """Move on by as much, given as for a timedelta: `minutes=5`."""
        self.time += timedelta(**time)
