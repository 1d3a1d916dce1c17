"""The options of `delivery send --csv`, and its result."""

import argparse
from collections.abc import Iterator, Mapping, Sequence, Sized
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Final

from rich.console import RenderableType
from rich.text import Text

from delivery.domain.send_checks import check_fields, check_send_at
from delivery_cli.arguments import add_pairs, not_empty
from delivery_cli.commands.campaign.column_mapping import ColumnMapping
from delivery_cli.commands.campaign.csv_file import Row
from delivery_cli.commands.campaign.problem_file import write_problem_file
from delivery_cli.commands.campaign.submission import Submission, submit
from delivery_cli.message_view import render_pairs
from delivery_cli.messages_api import Json, MessagesApi
from delivery_cli.output import Output
from delivery_cli.terminal_text import escape_controls, format_count

OPTIONS: Final = ("column", "key_column", "campaign", "ignore_other_columns", "dry_run")
_MAX_EXAMPLES: Final = 3


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the options that only apply to a CSV file."""
    group = command.add_argument_group(
        "many messages (--csv)",
        "The file is CSV in UTF-8 with a header. A column with the name of an API field is that "
        "field; a column context.NAME is part of the context. {COLUMN} in --body is replaced by "
        "the row's cell.",
    )
    add_pairs(
        group,
        "--column",
        metavar="FIELD=COLUMN",
        help="read the field from a column with another name; repeatable",
    )
    group.add_argument(
        "--key-column",
        metavar="COLUMN",
        type=not_empty,
        help="column with the idempotency key, such as a customer number (default: derived from "
        "the file's content and the row number)",
    )
    group.add_argument(
        "--campaign",
        metavar="NAME",
        default="",
        help="prefix of every key: send the same file once more under another name",
    )
    group.add_argument(
        "--ignore-other-columns", action="store_true", help="ignore columns that map to no field"
    )
    group.add_argument(
        "--dry-run", action="store_true", help="check and show the messages; queue nothing"
    )


def run(
    options: argparse.Namespace, output: Output, api: MessagesApi, mapping: ColumnMapping
) -> int:
    """Queue the rows of `--csv`, or preview them; returns the exit code.

    The result is also written if the run fails or is interrupted.
    """
    file = mapping.file
    if options.dry_run:
        return _preview(output, mapping)
    submission = Submission(len(file.rows))
    try:
        with output.progress(f"Queueing {options.csv.name}", submission.rows) as report_done:
            submit(api, mapping, submission, report_done=report_done)
    finally:
        problem_file = write_problem_file(options.csv, file, submission.problems)
        duplicates = mapping.duplicate_recipients()
        output.result(
            _as_json(submission, problem_file) | _duplicates_as_json(duplicates),
            chain(_render(submission, problem_file), _render_duplicates(duplicates)),
        )
    return 1 if submission.problems else 0


def _preview(output: Output, mapping: ColumnMapping) -> int:
    problems: dict[Row, str] = {}
    documents: dict[Row, Json] = {}
    for row, document in mapping.documents(problems):
        if found := _problems_of(document):
            problems[row] = "; ".join(found)
        else:
            documents[row] = document
    duplicates = mapping.duplicate_recipients()
    result = {
        "dry_run": True,
        "rows": len(mapping.file.rows),
        "messages": list(documents.values()),
        "problems": [_problem(row, problem) for row, problem in problems.items()],
    }
    output.result(
        result | _duplicates_as_json(duplicates),
        chain(_render_preview(documents, problems), _render_duplicates(duplicates)),
    )
    return 1 if problems else 0


def _problems_of(document: Json) -> list[str]:
    """Return the problems that the API would find if the key is free."""
    checked = check_fields(document)
    found = (*checked.problems, *check_send_at(checked.send_at, now=datetime.now(UTC)))
    return [f"{name} {problem}" for name, problem in found]


def _as_json(submission: Submission, problem_file: Path | None) -> Json:
    queued = [{"row": row.number, "request_id": it} for row, it in submission.request_ids.items()]
    invalid = [_problem(row, problem) for row, problem in submission.problems.items()]
    return {
        "rows": submission.rows,
        "queued": len(queued),
        "invalid": len(invalid),
        "undetermined": submission.undetermined,
        "problems_file": str(problem_file) if problem_file else None,
        "results": sorted([*queued, *invalid], key=lambda it: it["row"]),
    }


def _duplicates_as_json(duplicates: Mapping[str, Sequence[Row]]) -> Json:
    listed = [{"to": to, "rows": [row.number for row in rows]} for to, rows in duplicates.items()]
    return {"duplicate_recipients": listed}


def _problem(row: Row, problem: str) -> Json:
    return {"row": row.number, "line": row.line, "problem": problem}


def _render(submission: Submission, problem_file: Path | None) -> Iterator[RenderableType]:
    queued, invalid = len(submission.request_ids), len(submission.problems)
    style = "green" if queued == submission.rows else "yellow"
    yield Text(f"Queued {queued} of {format_count(submission.rows, 'row')}.", style)
    if problem_file:
        yield Text(f"{format_count(invalid, 'invalid row')}, written to {problem_file}:", "red")
        yield from _render_problems(submission.problems)
        yield Text("  Fix the rows in that file, and send it.")
    if submission.undetermined:
        rows = format_count(submission.undetermined, "row")
        yield Text(f"{rows} undetermined. Repeat the command; no row is sent twice.", "red")


def _render_preview(
    documents: Mapping[Row, Json], problems: Mapping[Row, str]
) -> Iterator[RenderableType]:
    rows = format_count(len(documents) + len(problems), "row")
    yield Text(f"{len(documents)} of {rows} would be queued.", style="bold")
    for row, document in list(documents.items())[:_MAX_EXAMPLES]:
        yield Text(f"{row}", style="dim")
        yield render_pairs((f"  {name}", value) for name, value in document.items())
    if problems:
        yield Text(f"{format_count(len(problems), 'invalid row')}:", "red")
        yield from _render_problems(problems)


def _render_problems(problems: Mapping[Row, str]) -> Iterator[Text]:
    for row, problem in list(problems.items())[:_MAX_EXAMPLES]:
        yield Text(escape_controls(f"  {row}: {problem}"))
    yield from _render_rest(problems)


def _render_duplicates(duplicates: Mapping[str, Sequence[Row]]) -> Iterator[Text]:
    if not duplicates:
        return
    yield Text(f"{format_count(len(duplicates), 'recipient')} in several rows:", "yellow")
    for to, rows in list(duplicates.items())[:_MAX_EXAMPLES]:
        yield Text(escape_controls(f"  {to}: rows {', '.join(str(row.number) for row in rows)}"))
    yield from _render_rest(duplicates)


def _render_rest(shown: Sized) -> Iterator[Text]:
    if len(shown) > _MAX_EXAMPLES:
        yield Text(f"  and {len(shown) - _MAX_EXAMPLES} more")
