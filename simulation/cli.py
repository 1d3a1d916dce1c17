"""Run randomized simulations of the whole system with fault injection, and check every promise.

    --seeds 10000                     run many seeds, and count what happened in them
    --seed 17                         run one seed, and print what it broke
    --seed 17 --about SM5ed33e        the same, with the trace of this message (without a word: all)
    --seed 17 --mutant "lease holds"  the same, with this mutant in the code
    --mutants --seeds 600             count how many runs each mutant needs until it is caught

docs/reliability.md lists the promises. Exit codes: 0 every promise kept, or every mutant caught;
1 a promise broken, or a mutant not caught; 2 usage error.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import UTC, datetime
from itertools import batched, islice, repeat
from time import monotonic
from typing import Final

from rich.console import Console
from rich.progress import Progress, TextColumn

from sandbox.console import new_console
from simulation.deployment import PROJECT
from simulation.faults import SERVICES, CallFault
from simulation.mutants import MUTANTS, Mutant, mutant_named
from simulation.report import RunReport
from simulation.runs import CAUGHT_AT, Totals, run_seeds, seeds_until_caught

_DOCUMENT: Final = PROJECT / "docs" / "reliability.md"
_BEGIN: Final = "<!-- results of the simulation: written by --save -->\n"
_END: Final = "\n<!-- end of the results -->"
_BATCH_SIZE: Final = 20
_MAX_SHOWN: Final = 5
_MAX_LINES: Final = 400


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit code."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.seed is None and (given.mutant or given.about is not None):
        parser.error("--mutant and --about need one run: give --seed")
    console = new_console(sys.stdout)
    if given.seed is not None:
        return run_one(console, given.seed, given.mutant, given.about)
    seeds = range(given.first, given.first + given.seeds)
    if given.mutants:
        return run_mutants(console, seeds, given.jobs, save=given.save)
    return run_many(console, seeds, given.jobs, save=given.save)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m simulation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, default=1000, help="number of runs (1000)")
    parser.add_argument("--from", dest="first", type=int, default=0, help="first seed (0)")
    parser.add_argument("--jobs", type=int, default=2, help="number of processes (2)")
    parser.add_argument("--mutants", action="store_true", help="run each mutant until it is caught")
    parser.add_argument(
        "--save",
        action="store_true",
        help="put the tables into docs/reliability.md, or the mutants' seeds into caught_at.json",
    )
    parser.add_argument("--seed", type=int, help="run this seed only, and print a report")
    parser.add_argument("--mutant", type=_mutant, help="the mutant with these words in its name")
    parser.add_argument("--about", nargs="*", metavar="WORD", help="trace what has these words")
    return parser


def _mutant(words: str) -> Mutant:
    try:
        return mutant_named(words)
    except LookupError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run_one(console: Console, seed: int, mutant: Mutant | None, about: Sequence[str] | None) -> int:
    """Run one seed and print a report; return 1 if it broke a promise."""
    report = RunReport(seed, mutant)
    _print(console, report.lines(about))
    return 1 if report.violations else 0


def run_many(console: Console, seeds: range, jobs: int, *, save: bool = False) -> int:
    """Run the project as it is and print tables; return 1 if a promise was broken."""
    started = monotonic()
    totals = Totals()
    with _progress() as progress:
        task = progress.add_task("runs", total=len(seeds), remark="")
        for finished, part in _in_parallel(seeds, jobs):
            totals.add(part)
            broken = sorted(it.seed for it in totals.broken)
            remark = f"{len(broken)} broken {broken[:_MAX_SHOWN] or ''}"
            progress.update(task, advance=finished, remark=remark)
    results = [_command(seeds), "", *tables(totals, monotonic() - started)]
    _print(console, results)
    if save:
        _save_results(results, jobs)
    for run in sorted(totals.broken, key=lambda it: it.seed)[:_MAX_SHOWN]:
        console.print()
        console.print(f"python -m simulation --seed {run.seed}", style="red")
        _print(console, islice(RunReport(run.seed).lines(), _MAX_LINES))
    return 1 if totals.broken else 0


def run_mutants(console: Console, seeds: range, jobs: int, *, save: bool = False) -> int:
    """Run each mutant until it breaks a promise; return 1 if one is not caught."""
    counts = []
    with ProcessPoolExecutor(jobs) as pool, _progress() as progress:
        task = progress.add_task("mutants", total=len(MUTANTS), remark="")
        for count in pool.map(seeds_until_caught, MUTANTS, repeat(seeds)):
            counts.append(count)
            progress.update(task, advance=1, remark=f"{sum(map(bool, counts))} caught")
    _print(console, [f"{_command(seeds)} --mutants", ""])
    _print(console, ["| mutant | may break | runs until caught |", "|---|---|---:|"])
    for mutant, count in zip(MUTANTS, counts, strict=True):
        promises = ", ".join(sorted(mutant.breaks))
        console.print(f"| {mutant.name} | {promises} | {count or 'not caught'} |")
    if save:
        caught = zip(MUTANTS, counts, strict=True)
        found = {mutant.name: seeds[count - 1] for mutant, count in caught if count}
        CAUGHT_AT.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    return 0 if all(counts) else 1


def tables(totals: Totals, seconds: float) -> Iterator[str]:
    """Yield the tables of docs/reliability.md: what was run, its faults, the functions' metrics."""
    violations = sum(len(it.violations) for it in totals.broken)
    amounts = [*totals.amounts.items(), ("faults", totals.faults.total())]
    yield from _table("what", [*amounts, ("violations", violations), ("seconds", round(seconds))])
    yield ""
    calls = [name for name in totals.faults if name.partition(": ")[0] in SERVICES]
    yield from _matrix(Counter({name: totals.faults[name] for name in calls}))
    yield ""
    others = sorted((name, n) for name, n in totals.faults.items() if name not in calls)
    yield from _table("other faults", others)
    yield ""
    yield from _table("metrics of the functions", sorted(totals.metrics.items()))


def _save_results(results: Sequence[str], jobs: int) -> None:
    """Replace the tables of docs/reliability.md."""
    head, _, rest = _DOCUMENT.read_text("utf-8").partition(_BEGIN)
    _, end, tail = rest.partition(_END)
    if not end:
        raise ValueError(f"{_DOCUMENT} lacks {_BEGIN!r} or {_END!r}")
    when = f"The runs are of {datetime.now(UTC):%Y-%m-%d}, in {jobs} processes:"
    text = "\n".join([when, "", *results])
    _DOCUMENT.write_text(f"{head}{_BEGIN}\n{text}\n{end}{tail}", "utf-8")


def _in_parallel(seeds: range, jobs: int) -> Iterator[tuple[int, Totals]]:
    with ProcessPoolExecutor(jobs) as pool:
        parts = {
            pool.submit(run_seeds, part): len(part)
            for part in batched(seeds, _BATCH_SIZE, strict=False)
        }
        for part in as_completed(parts):
            yield parts[part], part.result()


def _progress() -> Progress:
    columns = *Progress.get_default_columns(), TextColumn("{task.fields[remark]}")
    return Progress(*columns, console=Console(stderr=True))


def _command(seeds: range) -> str:
    return f"    python -m simulation --from {seeds.start} --seeds {len(seeds)}"


def _table(title: str, rows: Iterable[tuple[str, int]]) -> Iterator[str]:
    yield f"| {title} | number |"
    yield "|---|---:|"
    for name, number in rows:
        yield f"| {name} | {number:,} |"


def _matrix(faults: Counter[str]) -> Iterator[str]:
    """Yield a table of call faults: a row for each service, a column for each fault."""
    yield f"| calls with a fault | {' | '.join(CallFault)} |"
    yield f"|---|{'---:|' * len(CallFault)}"
    for service in sorted({name.partition(": ")[0] for name in faults}):
        numbers = (f"{faults[f'{service}: {fault}']:,}" for fault in CallFault)
        yield f"| {service} | {' | '.join(numbers)} |"


def _print(console: Console, lines: Iterable[str]) -> None:
    for line in lines:
        console.print(line)
