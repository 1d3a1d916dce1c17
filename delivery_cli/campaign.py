"""`send --csv`: many messages, put into SendQueue a thousand at a time.

Every row goes under an idempotency key of its own, so a run that ended early, or whose answers were
lost, is simply repeated: what was taken before is taken again, and sent once.
"""

import csv
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import count
from pathlib import Path
from typing import Final

from rich.console import RenderableType
from rich.text import Text

from delivery_cli.drawing import draw_pairs, visible
from delivery_cli.errors import CommandError, NoAnswer
from delivery_cli.messages_api import Json, MessagesApi
from delivery_cli.screen import Screen
from delivery_cli.sheet import PROBLEM_COLUMNS, Layout, Row, Sheet

_MOST_MESSAGES: Final = 1000
_MOST_BYTES: Final = 3 * 1024 * 1024  # the API takes 4 MiB
_TRIES: Final = 5
_PAUSE_SECONDS: Final = 2.0
_SHOWN: Final = 3
_STOPPED: Final = 130
_THROTTLED: Final = HTTPStatus.TOO_MANY_REQUESTS


@dataclass(slots=True)
class _Tally:
    """What became of the rows so far."""

    rows: int
    accepted: int = 0
    results: list[Json] = field(default_factory=list)
    refused: list[Row] = field(default_factory=list)

    def accept(self, row: Row, request_id: str) -> None:
        """The row waits in SendQueue."""
        self.accepted += 1
        self.results.append({"row": row.number, "request_id": request_id})

    def refuse(self, row: Row, problem: str) -> None:
        """The row cannot be sent as it is."""
        self.results.append({"row": row.number, "problem": problem})
        self.refused.append(Row(number=row.number, cells=row.cells, problem=problem))

    @property
    def open(self) -> int:
        """How many rows nobody has decided about."""
        return self.rows - len(self.results)


def send_all(  # noqa: PLR0913 -- what the command line can say about a run
    screen: Screen,
    api: MessagesApi,
    file: Path,
    sheet: Sheet,
    layout: Layout,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Queue every row: 0 if all were taken, 1 if not, 130 if it was stopped.

    Rows with problems are written to a file beside this one, with the reason.
    """
    tally = _Tally(len(sheet.cells))
    ended: CommandError | KeyboardInterrupt | None = None
    try:
        with screen.progress(f"Queueing {file.name}", tally.rows) as reached:
            for batch in _batches(_fit(layout.rows(sheet), tally)):
                _queue(api, batch, tally, sleep)
                reached(len(tally.results))
    except (CommandError, KeyboardInterrupt) as error:
        ended = error
    problems = _write_problems(file, sheet, tally.refused)
    screen.result(
        {
            "rows": tally.rows,
            "accepted": tally.accepted,
            "refused": len(tally.refused),
            "open": tally.open,
            "problems_file": str(problems) if problems else None,
            "results": tally.results,
        },
        _drawn(tally, problems),
    )
    if isinstance(ended, CommandError):
        raise ended
    if ended is not None:
        return _STOPPED
    return 0 if tally.accepted == tally.rows else 1


def show_all(screen: Screen, sheet: Sheet, layout: Layout) -> int:
    """Show what would be asked for, and ask for nothing: 1 if a row has a problem."""
    rows = list(layout.rows(sheet))
    wrong = [row for row in rows if row.problem]
    screen.result(
        {
            "dry_run": True,
            "rows": len(rows),
            "messages": [row.document for row in rows if not row.problem],
            "problems": [{"row": row.number, "problem": row.problem} for row in wrong],
        },
        _drawn_dry(rows, wrong),
    )
    return 1 if wrong else 0


def _fit(rows: Iterable[Row], tally: _Tally) -> Iterator[Row]:
    """Those that make a request; the others are told apart here."""
    for row in rows:
        if row.problem:
            tally.refuse(row, row.problem)
        else:
            yield row


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    size = 0
    for row in rows:
        length = len(json.dumps(row.document)) + 2
        if batch and (len(batch) == _MOST_MESSAGES or size + length > _MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += length
    if batch:
        yield batch


def _queue(
    api: MessagesApi, batch: Sequence[Row], tally: _Tally, sleep: Callable[[float], None]
) -> None:
    """Ask for these rows, and again for those that are not known to be queued.

    Raises:
        CommandError: after some tries there are still such rows.
    """
    left = list(batch)
    cause = CommandError("The queue did not take all.")
    for number in range(_TRIES):
        if number:
            sleep(_PAUSE_SECONDS * number)
        try:
            answer = api.send_batch([row.document for row in left])
        except NoAnswer as error:
            cause = error
            continue
        if "results" not in answer.content:
            cause = CommandError(f"The stack answered: {answer.detail}")
            if answer.status < HTTPStatus.INTERNAL_SERVER_ERROR and answer.status != _THROTTLED:
                break
            continue
        left = _took(left, answer.content["results"], tally)
        if not left:
            return
    raise CommandError(
        f"{cause} {tally.open} rows are open.",
        "Repeat the same command when the cause is gone: what was taken is not sent twice.",
    )


def _took(rows: Sequence[Row], results: Sequence[Json], tally: _Tally) -> list[Row]:
    """Note what became of each row; those that have to be asked for again."""
    again = []
    for row, result in zip(rows, results, strict=True):
        if "problems" in result:
            problems = (f"{it['field']} {it['problem']}" for it in result["problems"])
            tally.refuse(row, "; ".join(problems))
        elif result["queued"]:
            tally.accept(row, result["request_id"])
        else:
            again.append(row)
    return again


def _write_problems(file: Path, sheet: Sheet, rows: Sequence[Row]) -> Path | None:
    """Write the rows that were not taken, with the reason, to a file that was not there."""
    if not rows:
        return None
    path = next(path for path in _names(file) if not path.exists())
    columns = [it for it in sheet.columns if it not in PROBLEM_COLUMNS]
    try:
        with path.open("x", encoding="utf-8", newline="") as written:
            writer = csv.DictWriter(
                written,
                [*columns, *PROBLEM_COLUMNS],
                delimiter=sheet.delimiter,
                extrasaction="ignore",
            )
            writer.writeheader()
            for row in sorted(rows, key=lambda it: it.number):
                told = dict(zip(PROBLEM_COLUMNS, (row.number, row.problem), strict=True))
                writer.writerow({**row.cells, **told})
    except OSError as error:
        raise CommandError(
            f"{path} cannot be written: {error.strerror}.",
            "Repeat the command where it can: what was taken is not sent twice.",
        ) from None
    return path


def _names(file: Path) -> Iterator[Path]:
    """Corrections that somebody made in an earlier one are not overwritten."""
    yield file.with_suffix(".problems.csv")
    for number in count(2):
        yield file.with_suffix(f".problems-{number}.csv")


def _drawn(tally: _Tally, problems: Path | None) -> Iterator[RenderableType]:
    style = "green" if tally.accepted == tally.rows else "yellow"
    yield Text(f"{tally.accepted} of {tally.rows} wait in SendQueue to be sent.", style=style)
    if problems:
        yield Text(f"{len(tally.refused)} cannot be sent as they are: {problems} says why.", "red")
        for row in tally.refused[:_SHOWN]:
            yield Text(visible(f"  row {row.number}: {row.problem}"))
        yield Text("  Put them right there, and send that file.")
    if tally.open:
        yield Text(f"{tally.open} are open: repeat the same command, nothing is sent twice.", "red")


def _drawn_dry(rows: Sequence[Row], wrong: Sequence[Row]) -> Iterator[RenderableType]:
    yield Text(f"{len(rows) - len(wrong)} of {len(rows)} rows would be asked for.", style="bold")
    for row in [it for it in rows if not it.problem][:_SHOWN]:
        yield Text(f"row {row.number}", style="dim")
        yield draw_pairs((f"  {name}", value) for name, value in row.document.items())
    for row in wrong[:_SHOWN]:
        yield Text(visible(f"row {row.number}: {row.problem}"), style="red")
