"""`delivery find`: lists messages."""

import argparse
from collections.abc import Iterable, Iterator
from itertools import islice

from rich.console import RenderableType
from rich.text import Text

from delivery_cli.arguments import (
    Commands,
    add_command,
    add_limit,
    add_list_option,
    add_list_options,
    day,
)
from delivery_cli.message_view import render_messages
from delivery_cli.messages_api import Json
from delivery_cli.output import Output
from delivery_cli.target import Target
from delivery_cli.terminal_text import NOT_CONNECTED


def add(commands: Commands) -> argparse.ArgumentParser:
    """Add the command."""
    command = add_command(commands, "find", "List messages, newest first.", _run)
    group = command.add_mutually_exclusive_group(required=True)
    add_list_options(group)
    group.add_argument(
        "--pending",
        dest="query",
        action="store_const",
        const={"pending": "true"},
        help="messages without a final status; next to be reconciled first",
    )
    add_list_option(
        group,
        "--unconfirmed-on",
        type=day,
        metavar="DAY",
        help="messages that became unconfirmed on this day (UTC)",
    )
    add_limit(command)
    return command


def _run(options: argparse.Namespace, output: Output, target: Target) -> int:
    messages = target.api.messages(**options.query)
    code = show_list(output, messages, limit=options.limit, if_empty="No messages found.")
    if "to" in options.query:
        output.note(NOT_CONNECTED)
    return code


def show_list(output: Output, messages: Iterable[Json], *, limit: int, if_empty: str) -> int:
    """Show the first messages of a list, and return the exit code: 1 if there are none."""
    found = list(islice(messages, limit + 1))
    shown, more = found[:limit], len(found) > limit
    output.result(
        {"messages": shown, "more": more},
        _render(shown, more=more, if_empty=if_empty, width=output.out.width),
    )
    return 0 if shown else 1


def _render(
    messages: list[Json], *, more: bool, if_empty: str, width: int
) -> Iterator[RenderableType]:
    if not messages:
        yield Text(if_empty)
        return
    yield render_messages(messages, width=width)
    if more:
        yield Text(f"The first {len(messages)} messages. Use --limit to show more.", style="dim")
