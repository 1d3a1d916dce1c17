"""Prints a script that completes the commands and options of the command line in a shell."""

import argparse
import sys
from collections.abc import Iterator
from typing import Any, Final, NoReturn

SHELLS: Final = ("bash", "zsh", "fish")


class PrintCompletion(argparse.Action):
    """Prints the script for a shell, and ends the program."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        _namespace: argparse.Namespace,
        values: Any,
        _option: str | None = None,
    ) -> NoReturn:
        """Print the script."""
        import shtab  # noqa: PLC0415 -- only this option needs it

        for action in _actions_of(parser):
            if action.metavar == "FILE":
                action.complete = shtab.FILE  # type: ignore[attr-defined]  # shtab reads it
        sys.stdout.write(shtab.complete(parser, shell=values))
        parser.exit()


def _actions_of(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the actions of a parser and of its commands."""
    for action in parser._actions:  # noqa: SLF001 -- argparse has no public name for them
        yield action
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 -- the same
            for command in action.choices.values():
                yield from _actions_of(command)
