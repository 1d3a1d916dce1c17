"""Waiting for something to become true, in the one place that looks at the clock."""

from collections.abc import Callable
from threading import Event
from time import monotonic, sleep
from typing import Final

_LOOKS_EVERY_SECONDS: Final = 0.05


class TimedOut(Exception):
    """It did not become true in time."""


def wait_for[T](
    look: Callable[[], T | None], *, within: float, what: str, unless: Event | None = None
) -> T:
    """Look again and again: what it saw, as soon as that is neither None nor False.

    Args:
        look: what to do; it may see nothing yet.
        within: seconds.
        what: is waited for, in words for the error.
        unless: nobody wants to know any more.

    Raises:
        TimedOut: it never saw anything.
    """
    deadline = monotonic() + within
    while True:
        if seen := look():
            return seen
        if monotonic() > deadline:
            raise TimedOut(f"{what}: not within {within:g} s")
        if unless and unless.is_set():
            raise TimedOut(f"{what}: nobody waits for it any more")
        sleep(_LOOKS_EVERY_SECONDS)
