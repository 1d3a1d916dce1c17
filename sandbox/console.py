"""What a person sees: a line for each step with its time, a spinner while it lasts.

On a terminal there are colours and a spinner; elsewhere, and with NO_COLOR (https://no-color.org),
plain lines.
"""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from time import monotonic
from typing import Final, TextIO

_SPINNER: Final = "|/-\\"
_SPINS_EVERY_SECONDS: Final = 0.1
_BACK_AND_CLEAR: Final = "\r\x1b[2K"
_PLAIN: Final = "\x1b[0m"


class Style(StrEnum):
    """How a piece of text looks on a terminal, as its ANSI sequence."""

    BOLD = "\x1b[1m"
    DIM = "\x1b[2m"
    GOOD = "\x1b[32m"
    BAD = "\x1b[31m"
    NOTABLE = "\x1b[33m"
    COMMAND = "\x1b[36m"


class Console:
    """Writes to a stream that may be a terminal.

    Args:
        stream: where to, usually sys.stdout.
        environment: usually os.environ; NO_COLOR and TERM are read.
    """

    def __init__(self, stream: TextIO, environment: Mapping[str, str] = os.environ) -> None:
        self._stream = stream
        self._alive = stream.isatty() and environment.get("TERM") != "dumb"
        self._coloured = self._alive and not environment.get("NO_COLOR")

    def styled(self, text: str, style: Style) -> str:
        """The text, coloured where colours are shown."""
        return f"{style}{text}{_PLAIN}" if self._coloured else text

    def line(self, text: str = "", style: Style | None = None) -> None:
        """One line, seen at once."""
        self._write(f"{self.styled(text, style) if style else text}\n")

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show that something goes on, and afterwards how long it took or that it failed."""
        started = monotonic()
        ended = threading.Event()
        spinner = threading.Thread(target=self._spin, args=(title, started, ended), daemon=True)
        if self._alive:
            spinner.start()
        else:
            self._write(f"{title} ... ")
        outcome = self.styled("failed", Style.BAD)
        try:
            yield
            outcome = self.styled("done", Style.GOOD)
        finally:
            ended.set()
            if self._alive:
                spinner.join()
                self._write(f"{_BACK_AND_CLEAR}{title} ... ")
            self._write(f"{outcome} ({monotonic() - started:.1f} s)\n")

    def _spin(self, title: str, started: float, ended: threading.Event) -> None:
        turn = 0
        while True:
            mark = self.styled(_SPINNER[turn % len(_SPINNER)], Style.COMMAND)
            self._write(f"{_BACK_AND_CLEAR}{title} ... {mark} {monotonic() - started:.0f} s")
            if ended.wait(_SPINS_EVERY_SECONDS):
                return
            turn += 1

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
