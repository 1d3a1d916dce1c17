"""A report as one page of HTML that needs nothing else: no network and no script."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from html import escape
from pathlib import Path
from string import Template
from typing import Final

from delivery_cli.commands.report.charts import draw_days, draw_failures
from delivery_cli.commands.report.formats import MEASURES, MISSING, shown_measures
from delivery_cli.commands.report.measures import Measures, Report
from delivery_cli.commands.report.query import Span

_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}( \d{2}:\d{2})?")
DAILY: Final = ("day", "category")
"""What the report behind the charts is grouped by."""

_TEMPLATE: Final = Path(__file__).with_name("page.html")
_WIDTHS: Final = {"wide": 934, "narrow": 320}
"""Each chart is drawn for wide and for narrow screens: the page shows the one that fits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a page shows."""

    stack_name: str
    span: Span
    report: Report
    daily: Report
    """Grouped by `DAILY`."""
    remark: str
    at: datetime

    def render(self) -> str:
        """Return the page."""
        total = self.report.total
        return Template(_TEMPLATE.read_text("utf-8")).substitute(
            title=escape(f"Delivery report: {self.span}"),
            heading=_escape(f"Delivery report: {self.span}"),
            subtitle=_escape(
                f"Messages of the stack {self.stack_name} that were created on these days (UTC), "
                f"as of {self.at:%Y-%m-%d %H:%M} UTC"
            ),
            tiles="\n".join(
                f'<div class="{it}"><dt>{it}</dt><dd>{_escape(MEASURES[it](total))}</dd></div>'
                for it in shown_measures(total)
            ),
            sections="\n".join(
                f"<section><h2>{title}</h2>\n{content}\n</section>"
                for title, content in self._sections()
            ),
            remark=_escape(self.remark),
        )

    def _sections(self) -> Iterator[tuple[str, str]]:
        if not self.report.total.messages:
            yield "Messages", "<p>The archive has no messages of these days.</p>"
            return
        known = sum_by(self.daily, "day")
        days = {f"{it}": known.get(f"{it}", Measures()) for it in self.span.days}
        yield "Delivery rate and messages by day", _draw(lambda width: draw_days(days, width))
        categories = sum_by(self.daily, "category")
        failed = {it or MISSING: group.failed for it, group in categories.items() if group.failed}
        in_order = dict(sorted(failed.items(), key=lambda it: -it[1]))
        yield (
            "Failures by category",
            _draw(lambda width: draw_failures(in_order, width)) if failed else "<p>None.</p>",
        )
        if self.report.by:
            yield f"By {escape(', '.join(self.report.by))}", _table(self.report)


def sum_by(report: Report, name: str) -> dict[str | None, Measures]:
    """Return the counts by one of the things that the report is grouped by."""
    place = report.by.index(name)
    sums: dict[str | None, Measures] = {}
    for group, measures in report.groups.items():
        sums[group[place]] = sums.get(group[place], Measures()).plus(measures)
    return sums


def _draw(draw: Callable[[int], str]) -> str:
    return "\n".join(f'<div class="{name}">{draw(width)}</div>' for name, width in _WIDTHS.items())


def _table(report: Report) -> str:
    shown = shown_measures(report.total)
    names = "".join(f"<th>{escape(it)}</th>" for it in report.by)
    titles = "".join(f'<th class="number">{it}</th>' for it in shown)

    def cells(measures: Measures) -> str:
        values = (_escape(MEASURES[it](measures)) for it in shown)
        return "".join(f'<td class="number">{it}</td>' for it in values)

    rows = [
        f"<tr>{''.join(f'<td>{escape(it or MISSING)}</td>' for it in group)}{cells(measures)}"
        for group, measures in report.groups.items()
    ]
    total = f'<tr class="total"><td colspan="{len(report.by)}">total</td>{cells(report.total)}'
    return "\n".join(["<table>", f"<tr>{names}{titles}", *rows, total, "</table>"])


def _escape(text: str) -> str:
    """Return text as HTML: lines are kept, and no line breaks inside of a date."""
    return _DATE.sub(r'<span class="date">\g<0></span>', escape(text)).replace("\n", "<br>")
