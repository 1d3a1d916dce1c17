"""Runs of several seeds, and their totals."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from simulation.checks.evidence import Violation
from simulation.checks.violations import violations
from simulation.mutants import Mutant
from simulation.program import Program
from simulation.world import World

CAUGHT_AT: Final = Path(__file__).with_name("caught_at.json")
"""By mutant, the seed that caught it when `--mutants` was run with `--save`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenRun:
    """A seed that broke promises."""

    seed: int
    violations: tuple[Violation, ...]


@dataclass(slots=True, kw_only=True)
class Totals:
    """What several runs consisted of."""

    amounts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    metrics: Counter[str] = field(default_factory=Counter)
    """The metrics of the functions."""
    broken: list[BrokenRun] = field(default_factory=list)

    def add(self, other: Self) -> None:
        """Add the totals of other runs."""
        self.amounts.update(other.amounts)
        self.faults.update(other.faults)
        self.metrics.update(other.metrics)
        self.broken += other.broken


def run_seeds(seeds: Iterable[int]) -> Totals:
    """Run each seed with the project as it is."""
    totals = Totals()
    for seed in seeds:
        world = World(seed).run()
        totals.amounts.update(world.summary())
        totals.faults.update(world.faults.counts)
        totals.metrics.update(world.lambda_service.metrics)
        if found := violations(world):
            totals.broken.append(BrokenRun(seed=seed, violations=tuple(found)))
    return totals


def seeds_for(mutant: Mutant, seeds: Sequence[int]) -> list[int]:
    """Return the seeds in the order to try: first the one that caught the mutant last time."""
    found: dict[str, int] = json.loads(CAUGHT_AT.read_text("utf-8"))
    return [*([found[mutant.name]] if mutant.name in found else []), *seeds]


def seeds_until_caught(mutant: Mutant, seeds: Iterable[int]) -> int:
    """Return the number of runs until the mutant broke a promise that it can break; 0 for never."""
    program = Program(*mutant.edits)
    for number, seed in enumerate(seeds, start=1):
        broken = {violation.promise for violation in violations(World(seed, program).run())}
        if broken & mutant.breaks:
            return number
    return 0
