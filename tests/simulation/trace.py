"""What happened in a run, in order, for the person who reads about a violation."""

from collections.abc import Iterator
from typing import Any, Final

_LONGEST: Final = 600


class Trace:
    """Lines are made only when somebody reads them."""

    def __init__(self) -> None:
        self._entries: list[tuple[float, str, str, Any]] = []

    def add(self, seconds: float, who: str, what: str, facts: Any = None) -> None:
        """Remember that something happened; `facts` are shown with `repr`."""
        self._entries.append((seconds, who, what, facts))

    def lines(self, *words: str) -> Iterator[str]:
        """One line for each entry; with words, only those that have one of them."""
        for seconds, who, what, facts in self._entries:
            shown = "" if facts is None else f"  {facts!r}"
            line = f"{seconds:12.3f}  {who:<26} {what}{shown}"
            if not words or any(word in line for word in words):
                yield line if len(line) <= _LONGEST else line[:_LONGEST] + "..."
