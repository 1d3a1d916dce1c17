"""Run benchmarks: `python -m bench --rounds 9 cold_start warm_path`.

Without names, all benchmarks run. Results are shown, kept in bench/results.json and written into
docs/performance.md; with --quick they are only shown. With --messages or --region, nothing is
measured: the monthly cost is computed from the latest results.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from time import monotonic
from typing import Final

from rich.console import Console
from rich.markdown import Markdown

from bench import cost, report
from bench.benchmark import Benchmark, Run, Table
from bench.machine import describe
from bench.report import BENCHMARKS

_ROUNDS: Final = 9
_QUICK_ROUNDS: Final = 2
_FOLDER: Final = report.PROJECT / ".sandbox" / "bench"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    by_name = {it.name: it for it in BENCHMARKS}
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        epilog="\n".join(
            ["benchmarks:", *(f"  {it.name:<11}  {it.question}" for it in BENCHMARKS)]
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="name", help="a benchmark, see below (all)")
    parser.add_argument("--rounds", type=int, help=f"how often to measure ({_ROUNDS})")
    parser.add_argument("--quick", action="store_true", help="smoke run: keep no results")
    parser.add_argument("--messages", type=int, help="show the cost of so many a month")
    parser.add_argument("--region", help=f"show the cost in this region ({cost.REGION})")
    given = parser.parse_args(arguments)
    console = Console(file=sys.stdout)
    if given.messages or given.region:
        try:
            prices = cost.prices_in(given.region or cost.REGION)
        except cost.UnknownRegion as error:
            parser.error(str(error))
        load = replace(cost.Workload(), messages=given.messages or cost.Workload().messages)
        figures = cost.Figures.of(report.results_of(report.load()))
        _show(console, cost.month(load, figures, prices))
        return 0
    if unknown := [name for name in given.names if name not in by_name]:
        parser.error(f"unknown benchmark {unknown[0]!r}: expected one of {', '.join(by_name)}")
    chosen = [by_name[name] for name in given.names] or list(BENCHMARKS)
    rounds = given.rounds or (_QUICK_ROUNDS if given.quick else _ROUNDS)
    run_all(console, chosen, rounds=rounds, quick=given.quick)
    return 0


def run_all(console: Console, benchmarks: Sequence[Benchmark], *, rounds: int, quick: bool) -> None:
    """Measure and show; keep the results after each benchmark, so that an abort loses only one."""
    kept = report.load()
    _FOLDER.mkdir(parents=True, exist_ok=True)
    for benchmark in benchmarks:
        started = monotonic()
        console.rule(benchmark.name)
        console.print(benchmark.question)
        results = benchmark.measure(
            Run(
                rounds=rounds,
                quick=quick,
                folder=_FOLDER,
                results=report.results_of(kept),
                log=lambda progress: console.print(progress, style="dim"),
            )
        )
        kept[benchmark.name] = {
            "measured_on": datetime.now(UTC).date().isoformat(),
            "machine": describe(),
            "rounds": rounds,
            "results": results,
        }
        if not quick:
            report.write(kept)
        for table in benchmark.tables(results):
            _show(console, table)
        console.print(f"took {monotonic() - started:.0f} s", style="dim")
    if quick:
        console.print("Smoke run: the numbers are not representative and were not kept.")


def _show(console: Console, table: Table) -> None:
    console.print(Markdown("\n".join(report.markdown(table))))
