"""What a benchmark is: something that measures, and says how to show what it found."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Self

type Results = dict[str, Any]
"""What one benchmark found, as JSON."""

type Known = Mapping[str, Results]
"""What all benchmarks found, by their names: in this run, or in an earlier one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a benchmark is given."""

    rounds: int
    """How often it measures everything, in turn, so that all have the same luck."""
    quick: bool
    """Only to see that it works: fewer of everything, and nothing to rely on."""
    folder: Path
    """Kept between runs, and in no repository."""
    known: Known
    tell: Callable[[str], None]
    """Says how far it is; a line that the next one may replace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows for people; the first `words` columns are words, the others numbers."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1


type Show = Callable[[Known], Sequence[Table]]
type Draw = Callable[[Known], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """One benchmark.

    Its name is that of its results, and of the place in docs/performance.md where its tables are.
    `plots` are SVG by the names of their files in docs/images.
    """

    name: str
    title: str
    question: str
    """What its numbers answer, for whoever has not read the page."""
    measure: Callable[[Run], Results]
    tables: Show
    plots: Mapping[str, Draw] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The same thing measured in several rounds, beside the floor of the same round."""

    middle: float
    least: float
    ratio: float | None = None
    """The median of the rounds' own ratios to the floor: what slowed one round slowed both."""

    @classmethod
    def of(cls, values: Sequence[float], floor: Sequence[float] | None = None) -> Self:
        """Sum up one value for each round."""
        ratio = None
        if floor is not None:
            ratio = median(value / least for value, least in zip(values, floor, strict=True))
        return cls(middle=median(values), least=min(values), ratio=ratio)

    def as_record(self) -> Results:
        """What is kept of it; three decimals are more than a machine repeats."""
        record = {"median": round(self.middle, 3), "min": round(self.least, 3)}
        return record if self.ratio is None else record | {"ratio": round(self.ratio, 3)}
