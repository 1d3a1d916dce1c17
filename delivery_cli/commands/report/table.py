"""Rendering of a report for a terminal. Pure."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from delivery_cli.commands.report.formats import (
    MISSING,
    format_amount,
    format_rate,
    format_seconds,
)
from delivery_cli.commands.report.measures import Group, Measures, Report
from delivery_cli.terminal_text import escape_controls

_GOOD_RATE: Final = 0.95
_FAIR_RATE: Final = 0.8
"""Below it FailureRateAlarm fires, by default."""
_BAR_WIDTH: Final = 10
_ANY_WIDTH: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    title: str
    cell: Callable[[Measures], RenderableType]
    shown: Callable[[Measures], bool] = lambda _: True
    """Whether the column has anything to show, given the total."""
    optional: int = 0
    """The greater, the earlier the column is left out if the terminal is narrow; 0 never."""


_COLUMNS: Final = (
    _Column(title="messages", cell=lambda it: _count(it.messages)),
    _Column(title="delivered", cell=lambda it: _count(it.delivered), optional=1),
    _Column(title="rate", cell=lambda it: _render_rate(it.delivery_rate)),
    _Column(title="", cell=lambda it: _render_bar(it.delivery_rate), optional=6),
    _Column(title="failed", cell=lambda it: _count(it.failed, "red")),
    _Column(
        title="unconfirmed",
        cell=lambda it: _count(it.unconfirmed, "magenta"),
        shown=lambda total: total.unconfirmed > 0,
        optional=2,
    ),
    _Column(
        title="canceled",
        cell=lambda it: _count(it.canceled, "dim"),
        shown=lambda total: total.canceled > 0,
        optional=2,
    ),
    _Column(
        title="pending",
        cell=lambda it: _count(it.pending, "yellow"),
        shown=lambda total: total.pending > 0,
        optional=2,
    ),
    _Column(
        title="median",
        cell=lambda it: _render_seconds(it.median_seconds),
        shown=lambda total: total.median_seconds is not None,
        optional=3,
    ),
    _Column(
        title="p95",
        cell=lambda it: _render_seconds(it.p95_seconds),
        shown=lambda total: total.p95_seconds is not None,
        optional=4,
    ),
    _Column(title="segments", cell=lambda it: _count(it.segments), optional=5),
    _Column(
        title="spend",
        cell=lambda it: _render_spend(it.spend),
        shown=lambda total: bool(total.spend),
    ),
)


def render_report(report: Report, console: Console) -> Iterator[RenderableType]:
    """Render the groups, and the total last.

    A column that has nothing to show is left out, and so are some if the terminal is narrow.
    """
    columns = [it for it in _COLUMNS if it.shown(report.total)]
    left_out = []
    table = _table_of(report, columns)
    while _width_of(table, console) > console.width:
        least = max(columns, key=lambda it: it.optional)
        if not least.optional:
            break
        columns.remove(least)
        left_out.append(least.title)
        table = _table_of(report, columns)
    yield table
    if names := ", ".join(filter(None, left_out)):
        yield Text(f"A wider terminal also shows: {names}.", style="dim")


def _width_of(table: Table, console: Console) -> int:
    unlimited = console.options.update(max_width=_ANY_WIDTH)
    return Measurement.get(console, unlimited, table).maximum


def _table_of(report: Report, columns: list[_Column]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for name in report.by:
        table.add_column(Text(escape_controls(name)), overflow="fold")
    for column in columns:
        table.add_column(column.title, justify="right", overflow="fold")
    for group, measures in report.groups.items():
        table.add_row(*_render_group(group), *(it.cell(measures) for it in columns))
    total = ["total", *[""] * (len(report.by) - 1)] if report.by else []
    table.add_row(*total, *(it.cell(report.total) for it in columns), style="bold")
    return table


def _render_group(group: Group) -> Iterator[Text]:
    for value in group:
        yield Text(MISSING, style="dim") if value is None else Text(escape_controls(value))


def _count(count: int, style: str = "") -> Text:
    return Text(f"{count:,}", style=style if count else "dim")


def _render_rate(rate: float | None) -> Text:
    return Text(format_rate(rate), style="dim" if rate is None else _style_of(rate))


def _render_bar(rate: float | None) -> RenderableType:
    if rate is None:
        return ""
    style = _style_of(rate)
    return ProgressBar(1, rate, width=_BAR_WIDTH, complete_style=style, finished_style=style)


def _style_of(rate: float) -> str:
    if rate >= _GOOD_RATE:
        return "green"
    return "yellow" if rate >= _FAIR_RATE else "red"


def _render_seconds(seconds: float | None) -> Text:
    return Text(format_seconds(seconds), style="dim" if seconds is None else "")


def _render_spend(spend: Mapping[str, Decimal]) -> Text:
    lines = [
        f"{format_amount(amount)} {escape_controls(currency)}"
        for currency, amount in sorted(spend.items())
    ]
    return Text("\n".join(lines) or MISSING, style="" if lines else "dim")
