"""The parts of a benchmark: a function that measures, and functions that present the results."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

type Results = dict[str, Any]
"""The results of one benchmark, as JSON."""

type AllResults = Mapping[str, Results]
"""The latest results of every benchmark, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The settings of a run."""

    rounds: int
    """How often everything is measured. Benchmarks alternate within a round, so that a slow moment
    of the machine affects all alike."""
    quick: bool
    """Whether this is a smoke run: small numbers, results not kept."""
    folder: Path
    """For builds; kept between runs, ignored by git."""
    results: AllResults
    log: Callable[[str], None]
    """Shows progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table for docs/performance.md; the first `text_columns` columns are aligned left."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    text_columns: int = 1


def keep(*tables: Table) -> Results:
    """Return finished tables as the results of a benchmark, which `kept_tables` shows."""
    return {"tables": [asdict(table) for table in tables]}


def kept_tables(results: Results) -> Sequence[Table]:
    """Return the tables that `keep` has made results of."""
    return [Table(**table) for table in results["tables"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """One benchmark.

    `name` also marks the place of its tables in docs/performance.md.
    """

    name: str
    question: str
    measure: Callable[[Run], Results]
    tables: Callable[[Results], Sequence[Table]] = kept_tables


def summarize(values: Sequence[float], floor: Sequence[float] | None = None) -> Results:
    """Return median, minimum and, next to a floor, the median of each round's ratio to it."""
    summary = {"median": round(median(values), 3), "min": round(min(values), 3)}
    if floor is not None:
        ratios = [value / least for value, least in zip(values, floor, strict=True)]
        summary["ratio"] = round(median(ratios), 3)
    return summary
