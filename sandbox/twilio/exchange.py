"""What goes over the wire, as plain values: a request to the simulator, and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import parse_qs


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request; header names are in lower case, `concurrent` counts it and its like."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    concurrent: int = 1

    @property
    def form(self) -> dict[str, list[str]]:
        """Every value of each name in a form body, blanks included."""
        return parse_qs(self.body.decode("utf-8", "replace"), keep_blank_values=True)

    @property
    def parameters(self) -> dict[str, str]:
        """The query; of a repeated name, the last value."""
        pairs = parse_qs(self.query, keep_blank_values=True).items()
        return {name: values[-1] for name, values in pairs}


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An answer; with `after_callback` set, it may leave only when that callback is settled."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    after_callback: int | None = None


@dataclass(frozen=True, slots=True)
class Dropped:
    """The connection closes without a byte of an answer."""


def utc_time(text: str) -> datetime:
    """The time that a parameter spells in ISO 8601; without a zone it is in UTC.

    Raises:
        ValueError: it spells none.
    """
    try:
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=time.tzinfo or UTC).astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{text} is out of range") from error


type Answer = Response | Dropped
