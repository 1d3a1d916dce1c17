"""What a run has left behind when it has come to rest, and what is wrong with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

type Record = dict[str, Any]
"""An item of a table as plain data."""

FAILURES: Final = frozenset(
    {"failed", "rejected", "presumed_unsent", "undelivered", "partially_delivered"}
)
"""The statuses of which people are told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A promise that was broken, and the word by which the trace tells of it."""

    promise: str
    subject: str
    text: str


def plain(item: Mapping[str, Any]) -> Record:
    """An item without its types."""
    return {name: _value(value) for name, value in item.items()}


def is_erased(item: Record) -> bool:
    """Whether it is the marker of a message whose data was erased."""
    return "erased_at" in item


def ever_failed(message: Record) -> bool:
    """Whether it failed, whatever came after that."""
    return any(entry["status"] in FAILURES for entry in message["transitions"])


def _value(value: Mapping[str, Any]) -> Any:
    match value:
        case {"N": number}:
            return int(number)
        case {"L": entries}:
            return [_value(entry) for entry in entries]
        case {"M": entries}:
            return plain(entries)
        case {"BOOL": truth}:
            return truth
        case _:
            return value["S"]
