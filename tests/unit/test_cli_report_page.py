"""`delivery report --html`: one page that needs nothing else."""

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any, Final, override
from xml.etree import ElementTree as ET

import pytest

from delivery_cli.commands.report.charts import draw_days, draw_failures
from delivery_cli.commands.report.measures import Group, Measures, Report
from delivery_cli.commands.report.page import DAILY, Page
from delivery_cli.commands.report.query import Span

SPAN: Final = Span(first=date(2026, 11, 21), last=date(2026, 11, 23))
TOTAL: Final = Measures(
    messages=1010,
    delivered=990,
    failed=20,
    median_seconds=2.0,
    p95_seconds=75.0,
    segments=1010,
    spend={"USD": Decimal("7.575")},
)
BY_DAY: Final[dict[Group, Measures]] = {
    ("2026-11-21", None): Measures(messages=500, delivered=500),
    ("2026-11-23", None): Measures(messages=490, delivered=490),
    ("2026-11-23", "opt_out"): Measures(messages=5, failed=5),
    ("2026-11-23", "carrier_filtering"): Measures(messages=15, failed=15),
}


class Content(HTMLParser):
    """The visible texts of a page, and the addresses that it refers to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.feed(page)

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in {"href", "src"}]

    @override
    def handle_data(self, data: str) -> None:
        self.texts += [data.strip()] if data.strip() else []


def page(**changes: Any) -> str:
    parts: dict[str, Any] = {
        "stack_name": "delivery",
        "span": SPAN,
        "report": Report(by=(), groups={}, total=TOTAL),
        "daily": Report(by=DAILY, groups=BY_DAY, total=TOTAL),
        "remark": "These days are final.",
        "at": datetime(2026, 11, 28, 9, 30, tzinfo=UTC),
    }
    return Page(**(parts | changes)).render()


def test_the_page_shows_totals_and_failures_by_category() -> None:
    texts = Content(page()).texts

    assert {"1,010", "990", "98.0%", "20", "2.0 s", "75.0 s", "7.575 USD"} <= set(texts)
    assert {"opt_out", "carrier_filtering", "15", "5"} <= set(texts)
    assert "These days are final." in texts


def test_the_page_needs_no_network_and_no_script() -> None:
    written = page()
    content = Content(written)

    assert {"script", "link", "img", "iframe"}.isdisjoint(content.tags)
    assert content.addresses == []
    assert not re.search(r"url\(|@import", written)


def test_names_of_dimensions_and_values_are_escaped() -> None:
    by = ("<b>",)
    report = Report(by=by, groups={("<script>alert(1)</script>",): TOTAL}, total=TOTAL)

    content = Content(page(report=report, stack_name="<i>"))

    assert {"script", "b", "i"}.isdisjoint(content.tags)
    assert "<script>alert(1)</script>" in content.texts


def test_the_groups_of_the_report_are_a_table_with_the_total_last() -> None:
    report = Report(by=("country",), groups={("DE",): TOTAL, (None,): TOTAL}, total=TOTAL)

    texts = Content(page(report=report)).texts

    assert [it for it in texts if it in {"DE", "-", "total"}] == ["DE", "-", "total"]


def test_a_report_of_no_messages_has_no_chart() -> None:
    nothing = Report(by=(), groups={}, total=Measures())

    content = Content(page(report=nothing, daily=Report(by=DAILY, groups={}, total=Measures())))

    assert "svg" not in content.tags


def test_a_chart_has_a_mark_for_each_day_with_a_rate_and_a_place_for_every_day() -> None:
    days = {"2026-11-21": TOTAL, "2026-11-22": Measures(), "2026-11-23": TOTAL}

    svg = ET.fromstring(draw_days(days, 600))  # noqa: S314 -- drawn here

    labels = [it.text for it in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert {"Nov 21", "Nov 22", "Nov 23"} <= set(labels)
    drawn = ET.tostring(svg, "unicode")
    assert len(re.findall(r'aria-roledescription="circle"', drawn)) == 2


@pytest.mark.parametrize("width", [320, 934])
def test_a_chart_is_as_wide_as_its_place(width: int) -> None:
    days = {f"2026-10-{day:02}": TOTAL for day in range(1, 32)}

    for chart in (draw_days(days, width), draw_failures({"recipient_unreachable": 12345}, width)):
        svg = ET.fromstring(chart)  # noqa: S314 -- drawn here
        assert float(svg.attrib["width"]) <= width


def test_colours_of_a_chart_follow_the_theme_of_the_page() -> None:
    written = page()

    used = set(re.findall(r"var\((--[a-z]+)\)", written))
    for scheme in re.findall(r":root \{(.*?)\}", written, re.DOTALL):
        assert used <= set(re.findall(r"(--[a-z]+):", scheme))
    drawn = draw_failures({"opt_out": 1}, 600)
    assert not re.search(r'(fill|stroke)="#', drawn)


@pytest.mark.parametrize(
    ("rates", "labels"),
    [
        ([999, 1000], {"99.0%", "100.0%"}),
        ([0, 1000], {"0%", "100%"}),
        ([850, 990], {"80%", "100%"}),
    ],
)
def test_the_axis_of_rates_begins_below_the_lowest(rates: list[int], labels: set[str]) -> None:
    days = {
        f"2026-11-{day:02}": Measures(messages=1000, delivered=it, failed=1000 - it)
        for day, it in enumerate(rates, start=1)
    }

    drawn = re.findall(r">([0-9.]+%)</text>", draw_days(days, 600))

    assert {drawn[0], drawn[-1]} == labels
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize("messages", [1, 3, 7, 1000])
def test_the_axis_of_messages_has_whole_numbers(messages: int) -> None:
    days = {"2026-11-21": Measures(messages=messages, delivered=messages)}

    drawn = re.findall(r">([0-9,]+)</text>", draw_days(days, 600))

    assert len(drawn) == len(set(drawn)) > 1
