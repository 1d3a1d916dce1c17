"""Where the operator looks: results on one stream, errors and what goes on on another.

On a terminal there are colours, but for NO_COLOR (https://no-color.org), in its width; elsewhere
plain lines that nothing cuts off.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TextIO

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from delivery_cli.errors import CommandError

_NEVER_CUT: Final = 1000
"""Columns where nobody looks on: a program reads whole lines."""


class Screen:
    """Shows each result once: drawn for a person, or as JSON for a program.

    Args:
        out: for results, usually sys.stdout.
        err: for errors and progress, usually sys.stderr.
        as_json: results are JSON, one document for each command.
        environment: usually os.environ; NO_COLOR, TERM and COLUMNS are read.
    """

    def __init__(
        self,
        out: TextIO,
        err: TextIO,
        *,
        as_json: bool = False,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self.as_json = as_json
        self.out = _console(out, environment)
        self.err = _console(err, environment)

    @property
    def is_watched(self) -> bool:
        """Whether a person looks on, who may be asked."""
        return self.out.is_terminal and not self.as_json

    @property
    def can_move(self) -> bool:
        """Whether what is shown there can still change."""
        return self.is_watched and not self.out.is_dumb_terminal

    def result(self, document: Any, drawn: Iterable[RenderableType]) -> None:
        """The command's one result; nothing is drawn where JSON is wanted."""
        if self.as_json:
            self._write(json.dumps(document, indent=2))
            return
        for part in drawn:
            self._print(part)

    def json_line(self, document: Any) -> None:
        """One of many results, on a line of its own."""
        self._write(json.dumps(document))

    def note(self, text: str) -> None:
        """What a person wants to know beside the result."""
        if not self.as_json:
            self.err.print(Text(text, style="dim"))

    def ask(self, question: str) -> bool:
        """Whether the person who looks on says yes.

        Raises:
            CommandError: nobody looks on.
        """
        if not self.is_watched:
            raise CommandError(
                "Nobody has confirmed that this is to be done.",
                "Add --yes, or look with --dry-run.",
            )
        try:
            answer = self.out.input(Text(f"{question} [y/N] ", style="bold"))
        except EOFError:
            return False
        return answer.strip().lower() in {"y", "yes"}

    @contextmanager
    def progress(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show a bar, where a person looks on; its function is told how many are done."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        hides = self.as_json or not self.err.is_terminal
        with Progress(*columns, console=self.err, transient=True, disable=hides) as progress:
            task = progress.add_task(title, total=total)
            yield lambda done: progress.update(task, completed=done)

    def error(self, error: CommandError) -> None:
        """What is wrong and what to do about it, instead of a result."""
        if self.as_json:
            self.err.file.write(json.dumps({"error": str(error), "fix": error.fix}) + "\n")
            return
        self.err.print(Text(str(error), style="bold red"))
        if error.fix:
            self.err.print(Text(error.fix))

    def line(self, part: RenderableType) -> None:
        """One of many results, for a person."""
        self._print(part)

    def _print(self, part: RenderableType) -> None:
        if self.out.is_terminal:
            self.out.print(part)
            return
        with self.out.capture() as drawn:
            self.out.print(part)
        for line in drawn.get().splitlines():
            self._write(line.rstrip())  # tables fill their last column up

    def _write(self, text: str) -> None:
        self.out.file.write(f"{text}\n")
        self.out.file.flush()  # whoever reads a pipe waits for it


def _console(stream: TextIO, environment: Mapping[str, str]) -> Console:
    wide = not stream.isatty() and "COLUMNS" not in environment
    return Console(
        file=stream,
        width=_NEVER_CUT if wide else None,
        color_system=None if environment.get("NO_COLOR") else "auto",
        # Numbers and texts of messages are shown as they are.
        markup=False,
        highlight=False,
        emoji=False,
        _environ=environment,
    )
