"""Console output of the sandbox: plain lines, and steps with their duration.

On a terminal there are colours and a spinner; elsewhere plain lines. rich reads NO_COLOR and TERM.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TextIO

from rich.console import Console
from rich.text import Text


def new_console(stream: TextIO) -> Console:
    """Make a console that writes texts as they are, without markup, and breaks no line."""
    return Console(file=stream, soft_wrap=True, markup=False, highlight=False, emoji=False)


@contextmanager
def step(console: Console, title: str) -> Iterator[None]:
    """Show that a step is in progress, and afterwards its result and duration."""
    moves = console.is_terminal and not console.is_dumb_terminal
    started = monotonic()
    result = ("failed", "red")
    try:
        if moves:
            with console.status(title):
                yield
        else:
            console.print(f"{title} ... ", end="")
            yield
        result = ("done", "green")
    except KeyboardInterrupt:
        result = ("stopped", "")
        raise
    finally:
        begin = f"{title} ... " if moves else ""
        console.print(Text.assemble(begin, result, f" ({monotonic() - started:.1f} s)"))
