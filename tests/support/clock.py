"""The fake clock of the tests."""

from collections.abc import Callable
from datetime import datetime, timedelta

from tests.support.builders import NOON


class Clock:
    """Stands still until a test advances it or the code sleeps. Called, it returns the time."""

    def __init__(self, time: datetime = NOON) -> None:
        self.time = time
        self.slept: list[float] = []
        """The seconds of each sleep."""

    def __call__(self) -> datetime:
        return self.time

    def seconds(self) -> float:
        """Return the time in epoch seconds, for code that takes `time.time` or a like clock."""
        return self.time.timestamp()

    def advance(self, **time: float) -> None:
        """Move on by as much, given as for a timedelta: `minutes=5`."""
        self.time += timedelta(**time)

    def sleep(self, seconds: float) -> None:
        """Stand in for `time.sleep`."""
        self.slept.append(seconds)
        self.advance(seconds=seconds)

    def time_left(self, seconds: float = 29.0) -> Callable[[], float]:
        """Return a function that returns what is left of an invocation of so many seconds."""
        ends_at = self.time + timedelta(seconds=seconds)

        def left() -> float:
            return (ends_at - self.time).total_seconds()

        return left
