"""Break the system in many simulated lives; docs/reliability.md says what is promised and checked.

    --seeds 10000                   live so many, and count what happened in them
    --seed 17                       live this one, and tell of it
    --seed 17 --about SM5ed33e      the same, of this message (without a word: of everything)
    --seed 17 --mutant "lease holds" the same, with one deliberate fault in the code
    --mutants --seeds 600           how many lives until each deliberate fault is noticed?

Exit codes: 0 every promise was kept (or every mutant caught); 1 not so; 2 a wrong command line.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import batched, islice, repeat
from time import monotonic
from typing import Final, Self, TextIO

from rich.console import Console

from sandbox.console import new_console
from simulation.faults import CALLED, Fault
from simulation.mutants import MUTANTS, Mutant, mutant_named
from simulation.report import Life
from simulation.runs import Totals, run_seeds, seeds_until_caught

_AT_A_TIME: Final = 20
_WIDTH: Final = 40
_MAX_SHOWN: Final = 5
_MAX_LINES: Final = 400


def main(arguments: Sequence[str] | None = None) -> int:
    """Live one life and tell of it, or live many and count; or hunt the mutants with them."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.seed is None and (given.mutant or given.about is not None):
        parser.error("--mutant and --about are about one life: --seed")
    console = new_console(sys.stdout)
    if given.seed is not None:
        return tell(console, given.seed, given.mutant, given.about)
    seeds = range(given.first, given.first + given.seeds)
    return hunt(console, seeds, given.jobs) if given.mutants else run(console, seeds, given.jobs)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m simulation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, default=1000, help="how many lives (1000)")
    parser.add_argument("--from", dest="first", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (2)")
    parser.add_argument(
        "--mutants",
        action="store_true",
        help="put each deliberate fault into the code: how many lives until a promise breaks?",
    )
    parser.add_argument("--seed", type=int, help="live only this life, and tell of it")
    parser.add_argument("--mutant", type=_mutant, help="with the fault that has this in its name")
    parser.add_argument("--about", nargs="*", metavar="WORD", help="tell of what has these words")
    return parser


def _mutant(words: str) -> Mutant:
    try:
        return mutant_named(words)
    except LookupError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def tell(console: Console, seed: int, mutant: Mutant | None, about: Sequence[str] | None) -> int:
    """Live one life, and tell of it: 1 if it broke a promise."""
    life = Life(seed, mutant)
    for line in life.told(about):
        console.print(line)
    return 1 if life.violations else 0


def run(console: Console, seeds: range, jobs: int) -> int:
    """Run the project as it is: 1 if a promise was broken."""
    started = monotonic()
    totals = Totals()
    with Progress(sys.stderr, len(seeds), "lives") as progress:
        for finished, part in _in_parallel(seeds, jobs):
            totals.add(part)
            seeds_broken = sorted(it.seed for it in totals.broken)
            remark = f"{len(seeds_broken)} broken {seeds_broken[:_MAX_SHOWN] or ''}".strip()
            progress.advance(finished, remark)
    console.print(_command(seeds))
    console.print()
    for line in tables(totals, monotonic() - started):
        console.print(line)
    for broken in sorted(totals.broken, key=lambda it: it.seed)[:_MAX_SHOWN]:
        console.print()
        console.print(f"python -m simulation --seed {broken.seed}", style="red")
        for line in islice(Life(broken.seed).told(), _MAX_LINES):
            console.print(line)
    return 1 if totals.broken else 0


def hunt(console: Console, seeds: range, jobs: int) -> int:
    """Run each mutant until it breaks a promise: 1 if one never did."""
    taken = []
    with ProcessPoolExecutor(jobs) as pool, Progress(sys.stderr, len(MUTANTS), "mutants") as shown:
        for number in pool.map(seeds_until_caught, MUTANTS, repeat(seeds)):
            taken.append(number)
            shown.advance(1, f"{sum(map(bool, taken))} caught")
    console.print(f"{_command(seeds)} --mutants")
    console.print()
    console.print("| mutant | may break | lives until caught |")
    console.print("|---|---|---:|")
    for mutant, number in zip(MUTANTS, taken, strict=True):
        promises = ", ".join(sorted(mutant.breaks))
        console.print(f"| {mutant.name} | {promises} | {number or 'not caught'} |")
    return 0 if all(taken) else 1


def _in_parallel(seeds: range, jobs: int) -> Iterator[tuple[int, Totals]]:
    with ProcessPoolExecutor(jobs) as pool:
        parts = {
            pool.submit(run_seeds, part): len(part)
            for part in batched(seeds, _AT_A_TIME, strict=False)
        }
        for part in as_completed(parts):
            yield parts[part], part.result()


def tables(totals: Totals, seconds: float) -> Iterator[str]:
    """The summary as docs/reliability.md has it: what happened, what went wrong, what was done."""
    violations = sum(len(it.violations) for it in totals.broken)
    yield from _table(
        "what",
        [
            *totals.amounts.items(),
            ("faults", totals.faults.total()),
            ("violations", violations),
            ("seconds", round(seconds)),
        ],
    )
    yield ""
    calls = [name for name in totals.faults if name.partition(": ")[0] in CALLED]
    yield from _matrix(Counter({name: totals.faults[name] for name in calls}))
    yield ""
    others = sorted((name, n) for name, n in totals.faults.items() if name not in calls)
    yield from _table("on the way between them", others)
    yield ""
    yield from _table("counted by the functions", sorted(totals.counted.items()))


def _command(seeds: range) -> str:
    return f"    python -m simulation --from {seeds.start} --seeds {len(seeds)}"


def _table(title: str, rows: Iterable[tuple[str, int]]) -> Iterator[str]:
    yield f"| {title} | number |"
    yield "|---|---:|"
    for name, number in rows:
        yield f"| {name} | {number:,} |"


def _matrix(faults: Counter[str]) -> Iterator[str]:
    """The calls that failed: a line for each service, a column for each way to fail."""
    yield f"| calls that failed | {' | '.join(Fault)} |"
    yield f"|---|{'---:|' * len(Fault)}"
    for service in sorted({name.partition(": ")[0] for name in faults}):
        numbers = (f"{faults[f'{service}: {fault}']:,}" for fault in Fault)
        yield f"| {service} | {' | '.join(numbers)} |"


class Progress:
    """A bar on a terminal; elsewhere a line now and then."""

    def __init__(self, stream: TextIO, total: int, of: str) -> None:
        self._stream = stream
        self._total = total
        self._of = of
        self._done = 0
        self._said = 0
        self._started = monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream.isatty():
            self._stream.write("\n")

    def advance(self, count: int, remark: str) -> None:
        """So many more are done."""
        self._done += count
        filled = _WIDTH * self._done // max(1, self._total)
        passed = monotonic() - self._started
        left = passed / self._done * (self._total - self._done)
        line = (
            f"[{'#' * filled}{'.' * (_WIDTH - filled)}] {self._done}/{self._total} {self._of}, "
            f"{remark}, {left:.0f} s left"
        )
        if self._stream.isatty():
            self._stream.write(f"\r\x1b[2K{line}")
        elif filled // 4 > self._said or self._done == self._total:
            self._said = filled // 4
            self._stream.write(f"{line}\n")
        self._stream.flush()
