"""The trace of a run: everything that happened, in order, for the reader of a violation."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from textwrap import wrap
from typing import Any, Final

from simulation.trace_format import format_value, shorten_ids

_MAX_CHARACTERS: Final = 350
_WIDTH: Final = 130
_INDENT: Final = 42
_FRAME: Final = frozenset({"invoked", "ended"})
"""Events that are shown with anything else that the same invocation did."""


@dataclass(slots=True, kw_only=True)
class Entry:
    """One event; `describe` formats its details only when the trace is printed."""

    seconds: float
    actor: str
    event: str
    describe: Callable[[], str]
    fault: str
    error: str = ""
    """The code of an error response, set when the call returns."""

    def text(self) -> str:
        """Return the line without its time."""
        problems = "".join(f"  [{it}]" for it in (self.fault, self.error) if it)
        return f"{self.actor:<20} {self.event}  {self.describe()}".rstrip() + problems


class Trace:
    """Records events; `clock` returns the seconds since `start`."""

    def __init__(self, start: datetime, clock: Callable[[], float]) -> None:
        self._start = start
        self._clock = clock
        self._entries: list[Entry] = []

    def add(self, actor: str, event: str, details: Any = None) -> None:
        """Record an event."""
        self.add_call(actor, event, lambda: format_value(details))

    def add_call(
        self, actor: str, event: str, describe: Callable[[], str], *, fault: str = ""
    ) -> Entry:
        """Record a call, and return its entry."""
        entry = Entry(
            seconds=self._clock(), actor=actor, event=event, describe=describe, fault=fault
        )
        self._entries.append(entry)
        return entry

    def lines(self, *words: str) -> Iterator[str]:
        """Yield the lines of all events; with words, those that lead to them.

        These are the events that contain one of the words, and of each invocation among them why
        it ran, which of its calls failed, and how it ended.
        """
        texts = [(entry, entry.text()) for entry in self._entries]
        matches = [not words or any(word in text for word in words) for _, text in texts]
        actors = {entry.actor for (entry, _), match in zip(texts, matches, strict=True) if match}
        actors.discard("Twilio")
        for (entry, text), match in zip(texts, matches, strict=True):
            is_context = entry.fault or entry.error or entry.event in _FRAME
            if match or (is_context and entry.actor in actors):
                yield from self._wrapped(entry.seconds, text)

    def _wrapped(self, seconds: float, text: str) -> list[str]:
        at = (self._start + timedelta(seconds=seconds)).strftime("%H:%M:%S.%f")[:-3]
        today = f"{self._start.date().isoformat()}T"
        short = shorten_ids(text).replace(today, "")
        if len(short) > _MAX_CHARACTERS:
            short = short[:_MAX_CHARACTERS] + " …"
        return wrap(
            f"{at}  {short}",
            width=_WIDTH,
            subsequent_indent=" " * _INDENT,
            break_long_words=False,
            break_on_hyphens=False,
        )
