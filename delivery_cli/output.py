"""Output of a command: results on standard output, errors and progress on standard error.

A terminal gets colours, unless NO_COLOR is set (https://no-color.org), and lines of its width. A
pipe or file gets plain lines that are never truncated.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TextIO

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from delivery_cli.errors import CommandError

_PIPE_WIDTH: Final = 1000
"""Columns of a pipe or file: a program reads whole lines."""


class Output:
    """Writes a command's result: rendered for a person, or as JSON for a program.

    Args:
        out: for results, usually sys.stdout.
        err: for errors and progress, usually sys.stderr.
        as_json: whether results are JSON, one document for each command.
    """

    def __init__(self, out: TextIO, err: TextIO, *, as_json: bool) -> None:
        self.as_json = as_json
        self.out = _console(out)
        self.err = _console(err)

    @property
    def is_interactive(self) -> bool:
        """Whether a person reads the output and can answer a question."""
        return self.out.is_terminal and not self.as_json

    @property
    def supports_live(self) -> bool:
        """Whether the terminal can redraw lines that it already shows."""
        return self.is_interactive and not self.out.is_dumb_terminal

    def result(self, document: Any, rendered: Iterable[RenderableType]) -> None:
        """Write the command's only result; `rendered` is not consumed when it is JSON."""
        if self.as_json:
            self._write(json.dumps(document, indent=2))
            return
        for part in rendered:
            self.line(part)

    def line(self, part: RenderableType) -> None:
        """Write one of several results, for a person."""
        if self.out.is_terminal:
            self.out.print(part)
            return
        with self.out.capture() as captured:
            self.out.print(part)
        for line in captured.get().splitlines():
            self._write(line.rstrip())  # tables pad their last column

    def raw(self, text: str) -> None:
        """Write a result for a program in another format than JSON, unchanged."""
        self._write(text.removesuffix("\n"))

    def json_line(self, document: Any) -> None:
        """Write one of several results, as JSON on one line."""
        self._write(json.dumps(document))

    def note(self, text: str) -> None:
        """Write a remark for a person to standard error."""
        if not self.as_json:
            self.err.print(Text(text, style="dim"))

    def confirm(self, question: str) -> bool:
        """Ask the operator, and return whether the answer is yes.

        Raises:
            CommandError: the output is not interactive.
        """
        if not self.is_interactive:
            raise CommandError(
                "Confirmation required, but the session is not interactive.",
                "Add --yes to confirm, or --dry-run to preview.",
            )
        try:
            answer = self.out.input(Text(f"{question} [y/N] ", style="bold"))
        except EOFError:
            return False
        return answer.strip().lower() in {"y", "yes"}

    @contextmanager
    def progress(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show a progress bar on a terminal; yields a function that takes the number done."""
        with self._progress(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()) as progress:
            task = progress.add_task(title, total=total)
            yield lambda done: progress.update(task, completed=done)

    @contextmanager
    def waiting(self, title: str) -> Iterator[None]:
        """Show on a terminal that the command waits, and for how long."""
        with self._progress(SpinnerColumn(), TimeElapsedColumn()) as progress:
            progress.add_task(title, total=None)
            yield

    def _progress(self, *columns: ProgressColumn) -> Progress:
        title = TextColumn("{task.description}")
        hides = self.as_json or not self.err.is_terminal
        return Progress(title, *columns, console=self.err, transient=True, disable=hides)

    def error(self, error: CommandError) -> None:
        """Write the error and its fix to standard error."""
        if self.as_json:
            self.err.file.write(json.dumps({"error": str(error), "fix": error.fix}) + "\n")
            return
        self.err.print(Text(str(error), style="bold red"))
        if error.fix:
            self.err.print(Text(error.fix))

    def _write(self, text: str) -> None:
        self.out.file.write(f"{text}\n")
        self.out.file.flush()  # a reader of a pipe gets each line at once


def _console(stream: TextIO) -> Console:
    is_wide = not stream.isatty() and "COLUMNS" not in os.environ
    return Console(
        file=stream,
        width=_PIPE_WIDTH if is_wide else None,
        color_system=None if os.environ.get("NO_COLOR") else "auto",
        # Numbers and texts of messages are shown unchanged.
        markup=False,
        highlight=False,
        emoji=False,
    )
