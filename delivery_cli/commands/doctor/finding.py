"""The result of a check."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from delivery_cli.target import Target


class State(StrEnum):
    """State of what was checked."""

    OK = "ok"
    ADVICE = "advice"
    """Works, but a change is recommended."""
    WRONG = "wrong"
    UNKNOWN = "unknown"
    """Not checked, usually because a permission is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One result of a check; `fix` is what to do unless it is ok."""

    state: State
    what: str
    fix: str = ""


type Check = Callable[[Target], Iterator[Finding]]
"""Checks one part of the stack; its caller handles AWS errors and CommandError."""


def ok(what: str) -> Finding:
    """Return a finding without a problem."""
    return Finding(state=State.OK, what=what)


def advice(what: str, fix: str) -> Finding:
    """Return a recommended change of something that works."""
    return Finding(state=State.ADVICE, what=what, fix=fix)


def wrong(what: str, fix: str) -> Finding:
    """Return a problem with its fix."""
    return Finding(state=State.WRONG, what=what, fix=fix)


def unknown(what: str, fix: str) -> Finding:
    """Return what could not be checked."""
    return Finding(state=State.UNKNOWN, what=what, fix=fix)
