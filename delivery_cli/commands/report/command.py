"""The options of `delivery report`, and its result."""

import argparse
import csv
import io
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

from rich.console import Console, RenderableType
from rich.text import Text

from delivery_cli.arguments import Commands, add_command, day
from delivery_cli.commands.report.athena import run_query
from delivery_cli.commands.report.audited_days import days_not_final
from delivery_cli.commands.report.charts import check_charts_available
from delivery_cli.commands.report.formats import format_days
from delivery_cli.commands.report.measures import COUNTS, Report
from delivery_cli.commands.report.page import DAILY, Page
from delivery_cli.commands.report.query import COLUMNS, Span, report_query
from delivery_cli.commands.report.table import render_report
from delivery_cli.csv_text import csv_cell
from delivery_cli.errors import CommandError, StackTooOld
from delivery_cli.output import Output
from delivery_cli.stack import Stack
from delivery_cli.target import Target

_DEFAULT_DAYS: Final = 7
_FIRST_DAY: Final = "2000-01-01"
_LAST_DAY: Final = "2099-12-31"
_MEASURES: Final = (*COUNTS, "delivery_rate", "median_seconds", "p95_seconds", "segments")

type Archive = Callable[[Span, Sequence[str]], Report]
"""Reports on the messages of some days, grouped by names."""


def add(commands: Commands) -> argparse.ArgumentParser:
    """Add the command."""
    summary = "Report delivery rates, times to delivery and spend, from the archive."
    command = add_command(commands, "report", summary, _run, _check)
    command.add_argument(
        "--from",
        dest="first",
        metavar="DAY",
        type=day,
        help="first day on which the messages were created, in UTC: YYYY-MM-DD, today or yesterday "
        f"(default: {_DEFAULT_DAYS - 1} days before the last)",
    )
    command.add_argument(
        "--to",
        dest="last",
        metavar="DAY",
        type=day,
        default="today",
        help="last day (default: today)",
    )
    command.add_argument(
        "--by",
        metavar="NAMES",
        type=_names,
        default=(),
        help=f"group by these, separated by commas: {', '.join(COLUMNS)}, or a dimension of the "
        "stack (ReportDimensions)",
    )
    command.add_argument("--csv", action="store_true", help="print the groups as CSV")
    command.add_argument(
        "--html",
        metavar="FILE",
        type=Path,
        help="also write a page with charts by day and category",
    )
    return command


def _names(text: str) -> Sequence[str]:
    names = [it.strip() for it in text.split(",")]
    if not all(names):
        raise argparse.ArgumentTypeError(f"invalid list '{text}': expected NAME,NAME,…")
    if len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"invalid list '{text}': a name is in it twice")
    return names


def _check(options: argparse.Namespace) -> None:
    if options.csv and options.json:
        options.parser.error("argument --csv: not allowed with --json")
    if options.first and options.first > options.last:
        options.parser.error(f"argument --from: {options.first} is after --to {options.last}")
    if (options.first or options.last) < _FIRST_DAY or options.last > _LAST_DAY:
        options.parser.error(
            f"arguments --from, --to: expected days from {_FIRST_DAY} to {_LAST_DAY}"
        )
    if options.html and not options.html.parent.is_dir():
        options.parser.error(f"argument --html: no folder {options.html.parent}")


def _span_of(options: argparse.Namespace) -> Span:
    last = date.fromisoformat(options.last)
    first = last - timedelta(days=_DEFAULT_DAYS - 1)
    return Span(first=date.fromisoformat(options.first) if options.first else first, last=last)


def _run(options: argparse.Namespace, output: Output, target: Target) -> int:
    span = _span_of(options)
    if options.html:
        check_charts_available()
    report_on = _archive_of(target)
    _check_names(options.by, target.stack)
    with output.waiting("Querying the archive"):
        not_final = _days_not_final(span, output, target)
        report = report_on(span, options.by)
        daily = report_on(span, DAILY) if options.html else report
    remark = _remark_on(not_final, target.stack)
    if options.csv:
        output.raw(_csv_of(report))
        output.note(remark)
    else:
        document = {
            "from": span.first.isoformat(),
            "to": span.last.isoformat(),
            **report.as_json(),
            "days_not_final": None if not_final is None else [it.isoformat() for it in not_final],
        }
        output.result(document, _render(span, report, remark, output.out))
    if options.html:
        page = Page(
            stack_name=target.stack.name,
            span=span,
            report=report,
            daily=daily,
            remark=remark,
            at=datetime.now(UTC),
        )
        _write(options.html, page.render())
        output.note(f"Wrote {options.html}.")
    return 0


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise CommandError(f"Cannot write {path}: {error.strerror}.") from error


def _archive_of(target: Target) -> Archive:
    """Return the function that reports on the archive of the stack.

    Raises:
        CommandError: the stack has none.
    """
    stack = target.stack
    try:
        work_group, database = stack.outputs["ReportsWorkGroup"], stack.outputs["ReportsDatabase"]
    except KeyError:
        if "ArchiveOutcomes" not in stack.parameters:
            raise StackTooOld(f"The stack {stack.name} has no archive") from None
        raise CommandError(
            f"The archive of the stack {stack.name} is off, so there is nothing to report from.",
            "Deploy the stack with ArchiveOutcomes=true. Then `delivery archive --backfill` brings "
            "the messages that the table has.",
        ) from None

    def report(span: Span, by: Sequence[str]) -> Report:
        sql = report_query(span, by)
        rows = run_query(target.account.queries, sql, work_group=work_group, database=database)
        return Report.of(rows, by)

    return report


def _check_names(by: Sequence[str], stack: Stack) -> None:
    dimensions = stack.report_dimensions
    for name in by:
        if name not in COLUMNS and name not in dimensions:
            raise CommandError(
                f"The archive cannot be grouped by '{name}'.",
                f"Group by {', '.join([*COLUMNS, *dimensions])}. The parameter ReportDimensions of "
                "the stack adds names of the context.",
            )


def _days_not_final(span: Span, output: Output, target: Target) -> list[date] | None:
    """Return the days that may change; None if the audits cannot be read."""
    if not target.stack.audits_messages:
        return []
    try:
        return list(days_not_final(span, target.api, now=datetime.now(UTC)))
    except CommandError as error:  # an analyst may have permission for the archive only
        output.note(f"Cannot read the audits of these days: {error}")
        return None


def _remark_on(not_final: list[date] | None, stack: Stack) -> str:
    """Return what the reader must know about the days of the report."""
    if not stack.audits_messages:
        return "Audits are off (AuditMode): prices and late statuses may be missing."
    if not_final is None:
        return "Whether these days are audited is not known: their numbers may change."
    if not_final:
        return f"Not finally audited, so these days may change: {format_days(not_final)}."
    return "These days are final: no audit will change them."


def _csv_of(report: Report) -> str:
    """Return the groups, or the total if there are none, with a column for each currency."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    currencies = report.currencies
    writer.writerow((*report.by, *_MEASURES, *(f"spend_{it}" for it in currencies)))
    for group, measures in report.groups.items() if report.by else [((), report.total)]:
        document = measures.as_json()
        spend = [document["spend"].get(it) for it in currencies]
        names = ["" if it is None else csv_cell(it) for it in group]
        writer.writerow((*names, *(document[it] for it in _MEASURES), *spend))
    return table.getvalue()


def _render(span: Span, report: Report, remark: str, console: Console) -> Iterator[RenderableType]:
    yield Text(f"Messages created on {span} (UTC)", style="bold")
    yield Text()
    if not report.total.messages:
        yield Text(
            "The archive has none. A message is in it some minutes after it was created; "
            "`delivery archive --backfill` brings messages from before the archive."
        )
        return
    yield from render_report(report, console)
    yield Text()
    yield Text(remark, style="dim")
