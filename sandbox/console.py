"""What a person sees: a line for each step with its time, a spinner while it lasts.

On a terminal there are colours and a spinner; elsewhere, and with NO_COLOR (https://no-color.org),
plain lines.
"""

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from time import monotonic
from typing import Final, TextIO

_SPINNER: Final = "|/-\\"
_BAR_WIDTH: Final = 24
_PLAIN_MARKS: Final = 4  # so many steps of a bar are told where nothing can move
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

    def table(
        self, header: Sequence[str], rows: Sequence[Sequence[object]], *, words: int = 1
    ) -> None:
        """Rows under a header; the first `words` columns are words, the others numbers."""
        lines = [[str(cell) for cell in row] for row in (header, *rows)]
        widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
        for number, line in enumerate(lines):
            cells = [
                f"{cell:<{width}}" if column < words else f"{cell:>{width}}"
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            ]
            self.line(f"  {'   '.join(cells)}".rstrip(), None if number else Style.BOLD)

    @contextmanager
    def progress(self, title: str, total: int) -> Iterator[Callable[[], None]]:
        """As `step`, with a bar that grows by one each time what it gives is called, in any thread.

        Where nothing can move, every quarter is told.
        """
        bar = _Bar(total)

        def advance() -> None:
            reached = bar.advance()
            if reached is not None and not self._alive:
                self._write(f"{reached}% ")

        with self._going_on(title, bar.drawn):
            yield advance

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show that something goes on, and afterwards how long it took and how it ended."""
        with self._going_on(title, lambda: ""):
            yield

    @contextmanager
    def _going_on(self, title: str, drawn: Callable[[], str]) -> Iterator[None]:
        started = monotonic()
        ended = threading.Event()
        spinner = threading.Thread(
            target=self._spin, args=(title, drawn, started, ended), daemon=True
        )
        if self._alive:
            spinner.start()
        else:
            self._write(f"{title} ... ")
        outcome = self.styled("failed", Style.BAD)
        try:
            yield
            outcome = self.styled("done", Style.GOOD)
        except KeyboardInterrupt:
            outcome = "stopped"
            raise
        finally:
            ended.set()
            if self._alive:
                spinner.join()
                self._write(f"{_BACK_AND_CLEAR}{title} ... ")
            self._write(f"{outcome} ({monotonic() - started:.1f} s)\n")

    def _spin(
        self, title: str, drawn: Callable[[], str], started: float, ended: threading.Event
    ) -> None:
        turn = 0
        while True:
            mark = self.styled(_SPINNER[turn % len(_SPINNER)], Style.COMMAND)
            seconds = f"{monotonic() - started:.0f} s"
            self._write(f"{_BACK_AND_CLEAR}{title} ... {drawn()}{mark} {seconds}")
            if ended.wait(_SPINS_EVERY_SECONDS):
                return
            turn += 1

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


class _Bar:
    """Counts up to `total`."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._lock = threading.Lock()

    def advance(self) -> int | None:
        """Count one more: the per cent, if that is a quarter that was not reached before."""
        with self._lock:
            before = self._done * _PLAIN_MARKS // self._total
            self._done += 1
            marks = self._done * _PLAIN_MARKS // self._total
        return marks * 100 // _PLAIN_MARKS if marks > before else None

    def drawn(self) -> str:
        """The bar, and the numbers."""
        done = self._done
        full = min(_BAR_WIDTH, done * _BAR_WIDTH // self._total)
        return f"[{'#' * full}{'-' * (_BAR_WIDTH - full)}] {done}/{self._total} "
