"""What a check found."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum

from delivery_cli.messages_api import Json
from delivery_cli.target import Place


class State(StrEnum):
    """Whether it is as it should be."""

    OK = "ok"
    WRONG = "wrong"
    UNKNOWN = "unknown"
    """It could not be looked at, usually for want of a permission."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at; `fix` says what to do if it is not ok."""

    check: str
    state: State
    what: str
    fix: str = ""

    def as_json(self) -> Json:
        """As plain data."""
        return asdict(self) | {"state": str(self.state)}


type Check = Callable[[Place], Iterator[Finding]]
"""Looks at one part of the stack; errors of AWS and CommandError are its caller's to catch."""


def ok(check: str, what: str) -> Finding:
    """It is as it should be."""
    return Finding(check=check, state=State.OK, what=what)


def wrong(check: str, what: str, fix: str) -> Finding:
    """It is not, and this is what to do."""
    return Finding(check=check, state=State.WRONG, what=what, fix=fix)


def unknown(check: str, what: str, fix: str) -> Finding:
    """It could not be looked at."""
    return Finding(check=check, state=State.UNKNOWN, what=what, fix=fix)
