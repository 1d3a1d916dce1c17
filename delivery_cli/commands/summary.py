"""`delivery summary`: counts failed, unconfirmed, pending and in-doubt messages."""

import argparse
from collections.abc import Iterable, Iterator
from typing import Final

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from delivery_cli.arguments import Commands, add_command, add_day
from delivery_cli.message_view import format_time
from delivery_cli.messages_api import Json
from delivery_cli.output import Output
from delivery_cli.target import Target
from delivery_cli.terminal_text import escape_controls

_AGE_LABELS: Final = {
    "scheduled": "scheduled",
    "under_1_hour": "under 1 hour",
    "1_to_24_hours": "1 to 24 hours",
    "over_24_hours": "over 24 hours",
}


def add(commands: Commands) -> argparse.ArgumentParser:
    """Add the command."""
    summary = "Count a day's failed and unconfirmed messages, and what is pending or in doubt now."
    command = add_command(commands, "summary", summary, _run)
    add_day(command)
    return command


def _run(options: argparse.Namespace, output: Output, target: Target) -> int:
    summary = target.api.summary(options.on)
    output.result(summary, _render(summary))
    return 0


def _render(summary: Json) -> Iterator[RenderableType]:
    failed, pending, in_doubt = summary["failed"], summary["pending"], summary["in_doubt"]
    yield Text(f"{summary['date']} (UTC)", style="bold")
    yield _headline("failed", failed, "red")
    yield from _breakdown(
        (f"{it['error_code'] or '-'} {it['title']}", it["category"], it["count"])
        for it in failed["by_error_code"]
    )
    yield from _breakdown(("from", sender, count) for sender, count in failed["by_sender"].items())
    yield _headline("unconfirmed", summary["unconfirmed"], "magenta")
    yield Text()
    yield Text(f"now ({format_time(summary['at'])} UTC)", style="bold")
    yield _headline("pending", pending, "yellow")
    yield from _breakdown(
        (_AGE_LABELS.get(age, age), "", count) for age, count in pending["by_age"].items() if count
    )
    yield _headline("in doubt", in_doubt, "yellow")
    if in_doubt.get("oldest_at"):
        yield Padding.indent(Text(f"oldest: {format_time(in_doubt['oldest_at'])}"), 6)
    if not summary["complete"]:
        yield Text("A + marks a count that is incomplete: there are more.", style="dim")


def _headline(label: str, part: Json, style: str) -> Text:
    more = "" if part["complete"] else "+"
    return Text(f"{part['count']:>5}{more} {label}", style=style if part["count"] else "green")


def _breakdown(rows: Iterable[tuple[str, str, int]]) -> Iterator[RenderableType]:
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", width=7)
    for name, detail, count in rows:
        row = Text(escape_controls(name)), Text(escape_controls(detail), style="dim")
        table.add_row(str(count), *row)
    if table.row_count:
        yield table
