"""Mutation testing: changes the code in one place at a time, and expects a fast test to fail.

    python -m tests.mutation --sample 500

mutmut makes the mutants of the modules that `[tool.mutmut]` in pyproject.toml names, records which
fast tests call which function, and runs these tests against each mutant of the sample. The sample
depends on the seed and on the names of the mutants alone: a smaller one is part of a larger one,
and code that did not change keeps its part. Mutants that were caught are not tested again until
their function changes, so that a run which was stopped goes on, and the next one tests survivors.
"""

import argparse
import hashlib
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mutmut import __main__ as mutmut
from mutmut.mutation import file_mutation, mutators

from tests.mutation.operators import OPERATORS

_LAYER = Path("layers/delivery")
_CAUGHT = {"killed", "timeout", "segfault", "suspicious"}


def main() -> None:
    """Test a sample of the mutants; print the score of each package, and what survived."""
    options = _arguments()
    mutators.mutation_operators.extend(OPERATORS)
    for module in (mutmut, file_mutation):
        module.get_mutant_name = _named_as_imported(module.get_mutant_name)
    in_sample = _sampled(mutmut.collect_source_file_mutation_data, options.sample, options.seed)
    if not options.mutants:
        mutmut.collect_source_file_mutation_data = in_sample
    mutmut._run(options.mutants, options.processes)  # noqa: SLF001 -- it has no other entry point
    mutants, _ = mutmut.collect_source_file_mutation_data(mutant_names=options.mutants)
    statuses = {
        name: mutmut.status_by_exit_code[file.exit_code_by_key[name]] for file, name, _ in mutants
    }
    sys.stdout.write("\n".join(_scores(statuses)) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("mutants", nargs="*", help="test these mutants only, wildcards allowed")
    parser.add_argument("--sample", type=int, default=500, metavar="N", help="default: 500")
    parser.add_argument("--seed", default="2026-11-29", help="default: %(default)s")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="default: 1")
    return parser.parse_args()


def _named_as_imported(name: Callable[[Path, str], str]) -> Callable[[Path, str], str]:
    """mutmut takes a module's name from its path, and the layer is not at the root."""

    def named(path: Path, function: str) -> str:
        return name(path.relative_to(_LAYER) if path.is_relative_to(_LAYER) else path, function)

    return named


def _sampled(collect: Callable[..., Any], size: int, seed: str) -> Callable[..., Any]:
    """Return mutmut's list of mutants as the sample, in which survivors are still to be tested."""

    def place(mutant: tuple[Any, str, int | None]) -> bytes:
        return hashlib.sha256(f"{seed} {mutant[1]}".encode()).digest()

    def collected(*, mutant_names: object) -> tuple[list[tuple[Any, str, int | None]], Any]:
        mutants, data = collect(mutant_names=mutant_names)
        sample = sorted(mutants, key=place)[:size]
        return [
            (file, name, code if mutmut.status_by_exit_code[code] in _CAUGHT else None)
            for file, name, code in sample
        ], data

    return collected


def _scores(statuses: Mapping[str, str]) -> Iterator[str]:
    by_package: dict[str, Counter[str]] = defaultdict(Counter)
    for name, status in statuses.items():
        package = ".".join(name.split(".")[:2])
        by_package[package]["caught" if status in _CAUGHT else "survived"] += 1
    total = sum(by_package.values(), Counter[str]())
    yield "\n| package | mutants | caught | survived |\n|---|---|---|---|"
    for package, counts in [*sorted(by_package.items()), ("all", total)]:
        yield f"| {package} | {counts.total()} | {counts['caught']} | {counts['survived']} |"
    for name, status in statuses.items():
        if status not in _CAUGHT:
            yield f"\n# {name}: {status}\n{mutmut.get_diff_for_mutant(name)}"


if __name__ == "__main__":
    main()
