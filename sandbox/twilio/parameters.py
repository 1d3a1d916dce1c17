"""The parameters of a request, as Twilio reads them: a form, or the query of a list."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self
from urllib.parse import parse_qs


@dataclass(frozen=True, slots=True)
class Parameters:
    """Values by parameter name; a blank value counts as not given, as in Twilio's API."""

    values: Mapping[str, list[str]]

    @classmethod
    def parse(cls, encoded: str | bytes) -> Self:
        """Read a form body or a query."""
        text = encoded if isinstance(encoded, str) else encoded.decode("utf-8", "replace")
        return cls(parse_qs(text, keep_blank_values=True))

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def one(self, name: str) -> str | None:
        """The last value of a parameter."""
        return self.values.get(name, [""])[-1] or None

    def every(self, name: str) -> list[str]:
        """All values of a parameter that may be repeated."""
        return [value for value in self.values.get(name, []) if value]

    def flag(self, name: str) -> bool:
        """Whether a boolean parameter is true."""
        return (self.one(name) or "").lower() == "true"


def parse_time(text: str) -> datetime:
    """Read an ISO 8601 time; a time without a zone is in UTC.

    Raises:
        ValueError: the text is not such a time.
    """
    try:
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=time.tzinfo or UTC).astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{text} is out of range") from error
