"""Polling until a condition becomes true."""

from collections.abc import Callable
from threading import Event
from time import monotonic, sleep
from typing import Final

_INTERVAL_SECONDS: Final = 0.05


class TimedOut(Exception):
    """The condition did not become true in time, or the caller cancelled."""


def wait_for[T](
    poll: Callable[[], T | None], *, timeout: float, what: str, cancelled: Event | None = None
) -> T:
    """Call `poll` repeatedly, and return its first result that is true.

    Args:
        poll: returns a false value as long as there is no result.
        timeout: in seconds.
        what: the awaited result in words, for the error.
        cancelled: stops the polling when it is set.

    Raises:
        TimedOut: there was no result in time, or `cancelled` was set.
    """
    deadline = monotonic() + timeout
    while True:
        if result := poll():
            return result
        if monotonic() > deadline:
            raise TimedOut(f"{what}: not within {timeout:g} s")
        if cancelled and cancelled.is_set():
            raise TimedOut(f"{what}: cancelled")
        sleep(_INTERVAL_SECONDS)
