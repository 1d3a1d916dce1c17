"""Running seeds, and what came of them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from simulation.aftermath import Violation
from simulation.checks import violations
from simulation.mutants import Mutant
from simulation.program import Program
from simulation.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A seed that broke promises; report.py tells how."""

    seed: int
    violations: tuple[Violation, ...]


@dataclass(slots=True, kw_only=True)
class Totals:
    """What several runs were made of."""

    amounts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    counted: Counter[str] = field(default_factory=Counter)
    """The functions' own metrics."""
    broken: list[Broken] = field(default_factory=list)

    def add(self, other: Self) -> None:
        """Take in the totals of other runs."""
        self.amounts += other.amounts
        self.faults += other.faults
        self.counted += other.counted
        self.broken += other.broken


def run_seeds(seeds: Iterable[int]) -> Totals:
    """Run each seed with the project as it is."""
    totals = Totals()
    for seed in seeds:
        world = World(seed).run()
        totals.amounts += world.summary()
        totals.faults += world.faults.counts
        totals.counted += world.lambda_service.metrics
        if broken := violations(world):
            totals.broken.append(Broken(seed=seed, violations=tuple(broken)))
    return totals


def seeds_until_caught(mutant: Mutant, seeds: Iterable[int]) -> int:
    """How many seeds it took until the mutant broke what it can break; 0: none of them did."""
    program = Program(*mutant.edits)
    for number, seed in enumerate(seeds, start=1):
        broken = {violation.promise for violation in violations(World(seed, program).run())}
        if broken & mutant.breaks:
            return number
    return 0
