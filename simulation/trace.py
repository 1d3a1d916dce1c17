"""What happened in a life, in order, for the person who reads about a violation."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from textwrap import wrap
from typing import Any, Final

from simulation.words import in_words, shortened

_MAX_CHARACTERS: Final = 350
_WIDTH: Final = 130
_INDENT: Final = 42
# Why the function runs, and how it ended: told with whatever else the same invocation did.
_FRAME: Final = frozenset({"invoked", "ended"})


@dataclass(slots=True, kw_only=True)
class Entry:
    """One thing that happened; what it was about is put into words only when somebody reads it."""

    seconds: float
    who: str
    what: str
    facts: Callable[[], str]
    fault: str
    error: str = ""
    """What it was answered instead, once that is known."""

    def text(self) -> str:
        """All but the time."""
        trouble = "".join(f"  [{it}]" for it in (self.fault, self.error) if it)
        return f"{self.who:<20} {self.what}  {self.facts()}".rstrip() + trouble


class Trace:
    """Everything that happened since the start."""

    def __init__(self, start: datetime) -> None:
        self._start = start
        self._entries: list[Entry] = []

    def add(self, seconds: float, who: str, what: str, facts: Any = None) -> Entry:
        """Remember that somebody did something, and with what."""
        return self.add_call(seconds, who, what, lambda: in_words(facts), fault="")

    def add_call(
        self, seconds: float, who: str, what: str, facts: Callable[[], str], *, fault: str
    ) -> Entry:
        """The same of a call, which may go wrong."""
        entry = Entry(seconds=seconds, who=who, what=what, facts=facts, fault=fault)
        self._entries.append(entry)
        return entry

    def lines(self, *words: str) -> Iterator[str]:
        """Everything; with words, what says one of them, and how that came about.

        That is of each invocation concerned: why it ran, what failed on it, how it ended.
        """
        told = [(entry, entry.text()) for entry in self._entries]
        mentions = [not words or any(word in text for word in words) for _, text in told]
        concerned = {
            entry.who for (entry, _), named in zip(told, mentions, strict=True) if named
        } - {"Twilio"}
        for (entry, text), named in zip(told, mentions, strict=True):
            of_the_way = entry.fault or entry.error or entry.what in _FRAME
            if named or (of_the_way and entry.who in concerned):
                yield from self._wrapped(entry.seconds, text)

    def _wrapped(self, seconds: float, text: str) -> list[str]:
        at = (self._start + timedelta(seconds=seconds)).strftime("%H:%M:%S.%f")[:-3]
        today = f"{self._start.date().isoformat()}T"
        short = shortened(text).replace(today, "")
        if len(short) > _MAX_CHARACTERS:
            short = short[:_MAX_CHARACTERS] + " …"
        return wrap(
            f"{at}  {short}",
            width=_WIDTH,
            subsequent_indent=" " * _INDENT,
            break_long_words=False,
            break_on_hyphens=False,
        )
