"""Plain data: how facts look in an item, an answer and an event.

Pure. Times are ISO 8601 in UTC with milliseconds; unknown facts are left out.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

type Record = dict[str, Any]
"""Facts by name as plain data: str, int, bool, list, dict."""


def iso(time: datetime) -> str:
    """Format a time as ISO 8601 in UTC, e.g. 2026-11-23T20:41:50.123Z: it sorts as text."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def plain(value: object) -> object:
    """Return a fact as plain data: a time or day as ISO 8601, a member of an enum as text."""
    match value:  # the most frequent first: every write of a message passes here
        case str():
            return str(value)
        case datetime():
            return iso(value)
        case date():
            return value.isoformat()
        case int() | None:
            return value
        case Mapping():
            return dict(value)
        case _:
            return value
