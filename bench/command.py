"""The command line: `python -m bench --rounds 9 cold_start warm_path`.

Without names it runs every benchmark. What it finds it shows, keeps in bench/results.json and
writes into docs/performance.md; with --quick it only shows. With --messages or --region it measures
nothing, and shows what such a month costs, from what was measured last.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from time import monotonic
from typing import Final

from rich.console import Console
from rich.table import Table as RichTable

from bench import cost, report
from bench.benchmark import Benchmark, Run, Table
from bench.machine import describe
from bench.registry import BENCHMARKS
from sandbox.console import new_console

_ROUNDS: Final = 9
_QUICK_ROUNDS: Final = 2
_WIDEST: Final = 140
_FOLDER: Final = report.PROJECT / ".sandbox" / "bench"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks, one after the other."""
    by_name = {it.name: it for it in BENCHMARKS}
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        epilog="\n".join(
            ["benchmarks:", *(f"  {it.name:<10}  {it.question}" for it in BENCHMARKS)]
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="name", help="of a benchmark, as below (all)")
    parser.add_argument("--rounds", type=int, help=f"how often to measure ({_ROUNDS})")
    parser.add_argument("--quick", action="store_true", help="only see that everything works")
    parser.add_argument("--messages", type=int, help="show the cost of so many in a month")
    parser.add_argument("--region", help=f"the same, there ({cost.REGION})")
    given = parser.parse_args(arguments)
    console = new_console(sys.stdout)
    if given.messages or given.region:
        try:
            prices = cost.prices_in(given.region or cost.REGION)
        except cost.UnknownRegion as error:
            parser.error(str(error))
        load = cost.Workload()
        if given.messages:
            load = replace(load, messages=given.messages)
        show_month(console, load, prices)
        return 0
    if unknown := [name for name in given.names if name not in by_name]:
        parser.error(f"there is no benchmark {unknown[0]}, but {', '.join(by_name)}")
    chosen = [by_name[name] for name in given.names] or list(BENCHMARKS)
    rounds = given.rounds or (_QUICK_ROUNDS if given.quick else _ROUNDS)
    run_all(console, chosen, rounds=rounds, quick=given.quick)
    return 0


def run_all(console: Console, benchmarks: Sequence[Benchmark], *, rounds: int, quick: bool) -> None:
    """Measure, show, and keep what is worth it after each, so that a stop loses little."""
    kept = report.load()
    _FOLDER.mkdir(parents=True, exist_ok=True)
    for benchmark in benchmarks:
        started = monotonic()
        console.print(f"{benchmark.title} ({benchmark.name})", style="bold")
        console.print(benchmark.question)
        results = benchmark.measure(
            Run(
                rounds=rounds,
                quick=quick,
                folder=_FOLDER,
                known=report.known(kept),
                tell=lambda progress: console.print(f"  {progress}", style="dim"),
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
        for table in benchmark.tables(report.known(kept)):
            console.print()
            show(console, table)
        console.print()
        console.print(f"  took {monotonic() - started:.0f} s", style="dim")
        console.print()
    if quick:
        console.print(
            "Everything works. These numbers are of too little to say more; none was kept."
        )


def show_month(console: Console, load: cost.Workload, prices: cost.Prices) -> None:
    """What it costs by service, here and in the usual design."""
    figures = cost.Figures.of(report.known(report.load()))
    show(console, cost.table_of(cost.month(load, figures, prices)))


def show(console: Console, table: Table) -> None:
    """A table of a page, on a terminal; one that is too wide for that, row by row."""
    header, *rows = [[_plain(cell) for cell in row] for row in (table.header, *table.rows)]
    width = sum(max(len(cell) for cell in column) + 3 for column in zip(header, *rows, strict=True))
    if width <= _WIDEST:
        console.print(_drawn(header, rows, words=table.words), width=_WIDEST)
        return
    for name, *cells in rows:
        console.print(f"  {header[0]}: {name}", style="bold")
        for what, cell in zip(header[1:], cells, strict=True):
            console.print(f"    {what}: {cell}")


def _drawn(header: Sequence[str], rows: Sequence[Sequence[str]], *, words: int) -> RichTable:
    """The first `words` columns are aligned to the left, numbers to the right."""
    drawn = RichTable(box=None, padding=(0, 0, 0, 2), header_style="bold")
    for number, name in enumerate(header):
        drawn.add_column(name, justify="left" if number < words else "right", no_wrap=True)
    for row in rows:
        drawn.add_row(*row)
    return drawn


def _plain(cell: str) -> str:
    """Without Markdown."""
    return cell.replace("`", "").replace("**", "")
