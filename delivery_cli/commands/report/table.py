"""Rendering of a report for a terminal. Pure."""

from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from delivery_cli.commands.report.formats import EMPTY, MEASURES, MISSING, shown_measures
from delivery_cli.commands.report.measures import Group, Measures, Report
from delivery_cli.terminal_text import escape_controls

_GOOD_RATE: Final = 0.95
_FAIR_RATE: Final = 0.8
"""Below it FailureRateAlarm fires, by default."""
_BAR: Final = ""
"""The title of the bar beside the rate."""
_BAR_WIDTH: Final = 10
_ANY_WIDTH: Final = 10_000
_STYLES: Final = {
    "failed": "red",
    "unconfirmed": "magenta",
    "canceled": "dim",
    "pending": "yellow",
}
_LEAST_FIRST: Final = (
    *(_BAR, "segments", "p95", "median"),
    *("unconfirmed", "canceled", "pending", "delivered"),
)
"""The columns that a narrow terminal does not show, in this order."""


def render_report(report: Report, console: Console) -> Iterator[RenderableType]:
    """Render the groups, and the total last.

    A column that has nothing to show is left out, and so are some if the terminal is narrow.
    """
    titles = shown_measures(report.total)
    titles.insert(titles.index("rate") + 1, _BAR)
    left_out = []
    table = _table_of(report, titles)
    for least in (it for it in _LEAST_FIRST if it in titles):
        if _width_of(table, console) <= console.width:
            break
        titles.remove(least)
        left_out.append(least)
        table = _table_of(report, titles)
    yield table
    if names := ", ".join(filter(None, left_out)):
        yield Text(f"A wider terminal also shows: {names}.", style="dim")


def _width_of(table: Table, console: Console) -> int:
    unlimited = console.options.update(max_width=_ANY_WIDTH)
    return Measurement.get(console, unlimited, table).maximum


def _table_of(report: Report, titles: Sequence[str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for name in report.by:
        table.add_column(Text(escape_controls(name)), overflow="fold")
    for title in titles:
        table.add_column(title, justify="right", overflow="fold")
    for group, measures in report.groups.items():
        table.add_row(*_render_group(group), *(_render(measures, it) for it in titles))
    total = ["total", *[""] * (len(report.by) - 1)] if report.by else []
    table.add_row(*total, *(_render(report.total, it) for it in titles), style="bold")
    return table


def _render_group(group: Group) -> Iterator[Text]:
    for value in group:
        yield Text(MISSING, style="dim") if value is None else Text(escape_controls(value))


def _render(measures: Measures, title: str) -> RenderableType:
    """Render the cell of a column."""
    rate = measures.delivery_rate
    if title == _BAR:
        return "" if rate is None else _render_bar(rate)
    text = MEASURES[title](measures)
    if title == "rate" and rate is not None:
        return Text(text, style=_style_of(rate))
    return Text(text, style="dim" if text in EMPTY else _STYLES.get(title, ""))


def _render_bar(rate: float) -> ProgressBar:
    style = _style_of(rate)
    return ProgressBar(1, rate, width=_BAR_WIDTH, complete_style=style, finished_style=style)


def _style_of(rate: float) -> str:
    if rate >= _GOOD_RATE:
        return "green"
    return "yellow" if rate >= _FAIR_RATE else "red"
