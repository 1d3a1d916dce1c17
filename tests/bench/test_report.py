"""docs/performance.md shows the latest results."""

import pytest

from bench import report
from bench.benchmark import summarize
from bench.command import main
from bench.report import BENCHMARKS

PAGE = report.PAGE.read_text("utf-8")


def test_the_page_shows_the_latest_results() -> None:
    assert report.rendered(PAGE, report.load()) == PAGE


def test_every_benchmark_has_results_and_a_place_in_the_page() -> None:
    names = {it.name for it in BENCHMARKS}

    assert report.places(PAGE) == names
    assert set(report.load()) == names


def test_ratios_are_taken_within_each_round() -> None:
    slow_machine_in_the_second_round = summarize([11, 22, 12], [10, 20, 10])

    assert slow_machine_in_the_second_round == {"median": 12, "min": 11, "ratio": 1.1}


def test_an_unknown_benchmark_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["no_such_thing"])

    assert ended.value.code == 2
    assert "no_such_thing" in capsys.readouterr().err


def test_the_help_lists_every_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])

    listed = capsys.readouterr().out
    assert [it.name for it in BENCHMARKS if f"{it.name:<11}  {it.question}" not in listed] == []
