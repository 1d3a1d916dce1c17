"""docs/performance.md says what was measured: its tables and plots are those of the results."""

import io

import pytest

from bench import report
from bench.benchmark import Sample, Table
from bench.command import main, show
from bench.registry import BENCHMARKS
from sandbox.console import new_console

PAGE = report.PAGE.read_text("utf-8")


def test_the_page_shows_what_was_measured_last() -> None:
    assert report.filled_in(PAGE, report.load()) == PAGE


def test_the_plots_show_what_was_measured_last() -> None:
    drawn = report.drawings(report.known(report.load()))

    assert {name: (report.IMAGES / name).read_text("utf-8") for name in drawn} == drawn


def test_every_benchmark_has_a_place_in_the_page() -> None:
    assert report.places(PAGE) == {it.name for it in BENCHMARKS}


def test_a_table_in_markdown_has_its_numbers_to_the_right() -> None:
    table = Table(header=("what", "number"), rows=[("requests", "1"), ("writes", "2")])

    lines = list(report.markdown(table))

    assert lines == ["| what | number |", "|---|---:|", "| requests | 1 |", "| writes | 2 |"]


def test_a_sample_compares_within_each_round() -> None:
    slow_machine_in_the_second_round = Sample.of([11, 22, 12], [10, 20, 10])

    assert slow_machine_in_the_second_round.as_record() == {"median": 12, "min": 11, "ratio": 1.1}


def test_a_benchmark_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["no_such_thing"])

    assert ended.value.code == 2
    assert "no_such_thing" in capsys.readouterr().err


def test_a_table_that_is_too_wide_for_a_terminal_is_shown_row_by_row() -> None:
    shown = io.StringIO()
    fits = Table(header=("what", "number"), rows=[("`requests`", "1")])
    is_wide = Table(header=("what", "why", "number"), rows=[("**all**", "why " * 50, "3")])

    show(new_console(shown), fits)
    show(new_console(shown), is_wide)

    assert shown.getvalue().splitlines() == [
        *("  what      number", "  requests       1"),
        *("  what: all", f"    why: {'why ' * 50}", "    number: 3"),
    ]


def test_the_help_says_what_each_benchmark_answers(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])

    told = capsys.readouterr().out
    assert [it.name for it in BENCHMARKS if f"{it.name:<10}  {it.question}" not in told] == []
