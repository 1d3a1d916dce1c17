"""Sends a file of messages, or shows what would be asked for."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from rich.console import RenderableType
from rich.text import Text

from delivery_cli.commands.campaign.column_mapping import Layout, Unfit
from delivery_cli.commands.campaign.csv_file import Row
from delivery_cli.commands.campaign.problem_file import write_problems
from delivery_cli.commands.campaign.submission import Tally, queue_all
from delivery_cli.message_view import draw_pairs
from delivery_cli.messages_api import Json, MessagesApi
from delivery_cli.output import Screen
from delivery_cli.terminal_text import counted, visible

_SHOWN: Final = 3


def send_all(screen: Screen, api: MessagesApi, file: Path, layout: Layout) -> int:
    """Queue every row: 0 if all were taken, else 1; what became of them is shown however it ends.

    Rows with problems are written to a file beside this one, with the reason.
    """
    tally = Tally(len(layout.sheet.rows))
    try:
        with screen.progress(f"Queueing {file.name}", tally.rows) as reached:
            queue_all(api, layout, tally, reached=reached)
    finally:
        problems_file = write_problems(file, layout.sheet, tally.problems)
        screen.result(_as_json(tally, problems_file), _drawn(tally, problems_file))
    return 1 if tally.problems else 0


def show_all(screen: Screen, layout: Layout) -> int:
    """Show what would be asked for, and ask for nothing: 1 if a row has a problem."""
    documents: dict[Row, Json] = {}
    problems: dict[Row, str] = {}
    for row in layout.sheet.rows:
        try:
            documents[row] = layout.request(row)
        except Unfit as unfit:
            problems[row] = str(unfit)
    screen.result(
        {
            "dry_run": True,
            "rows": len(layout.sheet.rows),
            "messages": list(documents.values()),
            "problems": [_problem(row, problem) for row, problem in problems.items()],
        },
        _drawn_dry(documents, problems),
    )
    return 1 if problems else 0


def _as_json(tally: Tally, problems_file: Path | None) -> Json:
    taken = [{"row": row.number, "request_id": it} for row, it in tally.request_ids.items()]
    refused = [_problem(row, problem) for row, problem in tally.problems.items()]
    return {
        "rows": tally.rows,
        "queued": len(taken),
        "invalid": len(refused),
        "open": tally.open,
        "problems_file": str(problems_file) if problems_file else None,
        "results": sorted([*taken, *refused], key=lambda it: it["row"]),
    }


def _problem(row: Row, problem: str) -> Json:
    return {"row": row.number, "line": row.line, "problem": problem}


def _drawn(tally: Tally, problems_file: Path | None) -> Iterator[RenderableType]:
    taken, refused = len(tally.request_ids), len(tally.problems)
    style = "green" if taken == tally.rows else "yellow"
    yield Text(f"Waiting in SendQueue to be sent: {taken} of {counted(tally.rows, 'row')}.", style)
    if problems_file:
        yield Text(f"{counted(refused, 'row')} cannot be sent: {problems_file} says why.", "red")
        yield from _drawn_problems(tally.problems)
        yield Text("  Put them right there, and send that file.")
    if tally.open:
        rows = counted(tally.open, "row")
        yield Text(f"{rows} open: repeat the same command, nothing is sent twice.", "red")


def _drawn_dry(
    documents: Mapping[Row, Json], problems: Mapping[Row, str]
) -> Iterator[RenderableType]:
    rows = counted(len(documents) + len(problems), "row")
    yield Text(f"{len(documents)} of {rows} would be asked for.", style="bold")
    for row, document in list(documents.items())[:_SHOWN]:
        yield Text(f"{row}", style="dim")
        yield draw_pairs((f"  {name}", value) for name, value in document.items())
    yield from _drawn_problems(problems)


def _drawn_problems(problems: Mapping[Row, str]) -> Iterator[Text]:
    for row, problem in list(problems.items())[:_SHOWN]:
        yield Text(visible(f"  {row}: {problem}"))
    if len(problems) > _SHOWN:
        yield Text(f"  and {len(problems) - _SHOWN} more")
