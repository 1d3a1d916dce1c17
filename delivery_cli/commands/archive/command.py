"""The options of `delivery archive`, and its result."""

import argparse
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import date

from rich.console import RenderableType
from rich.text import Text

from delivery.storage.archive import Archive
from delivery.storage.messages import MessageStore
from delivery.storage.table import StoreUnavailable
from delivery_cli.arguments import Commands, add_command, day
from delivery_cli.commands.archive.backfill import ArchiveUnavailable, Backfill, Result
from delivery_cli.errors import CommandError
from delivery_cli.output import Output
from delivery_cli.target import Target
from delivery_cli.terminal_text import escape_controls, format_count


def add(commands: Commands) -> argparse.ArgumentParser:
    """Add the command."""
    summary = "Write the archive again from the table."
    command = add_command(commands, "archive", summary, _run)
    command.add_argument(
        "--backfill",
        action="store_true",
        required=True,
        help="write a row for each message of the table; repeating it is harmless",
    )
    command.add_argument(
        "--from",
        dest="since",
        metavar="DAY",
        type=day,
        help="only messages that changed on this day or later, in UTC: YYYY-MM-DD, today or "
        "yesterday (default: all messages)",
    )
    return command


def _run(options: argparse.Namespace, output: Output, target: Target) -> int:
    """Backfill the archive: returns 1 if it lacks messages that could not be read."""
    stack = target.stack
    if stack.parameters.get("ArchiveOutcomes") != "true":
        raise CommandError(
            f"The archive of the stack {stack.name} is off, so there is nothing to write to.",
            "Deploy the stack with ArchiveOutcomes=true.",
        )
    backfill = Backfill(
        messages=MessageStore(target.account.tables, stack.outputs["MessagesTableName"]),
        archive=Archive(target.account.delivery_streams, target.physical_id("ArchiveStream")),
        dimensions=stack.report_dimensions,
        wait=time.sleep,  # backoff while Firehose rejects rows
    )
    try:
        with output.waiting("Reading the table and writing the archive"):
            result = backfill.run(date.fromisoformat(options.since) if options.since else None)
    except ArchiveUnavailable as error:
        raise CommandError(
            f"Firehose did not accept the rows: {error}.",
            "Repeat the command later: what was written twice is harmless.",
        ) from error
    except StoreUnavailable as error:
        raise CommandError(
            f"The archive was not written, or only in part: {error}.",
            "Repeat the command: what was written twice is harmless.",
        ) from error
    output.result(asdict(result), _render(result))
    return int(bool(result.unreadable))


def _render(result: Result) -> Iterator[RenderableType]:
    yield Text(f"Written: {format_count(result.rows, 'row')}, one for each message.", style="bold")
    yield Text("Reports show them when Firehose has delivered them, in about five minutes.")
    if result.left_out:
        yield Text(
            f"{format_count(result.left_out, 'dimension')} left out: longer than 64 characters, or "
            "with an @, seven digits in a row or the recipient's number.",
            style="yellow",
        )
    for message_sid in result.unreadable:
        yield Text(escape_controls(f"{message_sid} was not read: unknown words."), style="red")
