"""Mutants: small deliberate faults in the project's code, each of which the simulation must catch.

mutants.txt lists them by the folder whose code they change. A mutant has a name, the promises that
it can break in parentheses, and code fragments, each as lines with `-`, with what replaces it as
lines with `+`. After work on that code `tests/simulation/test_mutants.py` lists the mutants whose
fragment is gone: give each of them the fragment that does the same thing now. A mutant that is
never caught shows what runs lack.

`python -m simulation --mutants --seeds 600` counts how many runs each of them needs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

from simulation.edit import Edit


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """The project with one deliberate fault; `breaks` are the promises that it can break."""

    name: str
    breaks: frozenset[str]
    edits: Sequence[Edit]


def _read(text: str) -> Iterator[Mutant]:
    """Yield the mutants of a list, which has an empty line between two of them."""
    folder = ""
    for block in text.strip().split("\n\n"):
        first, *changes = block.split("\n")
        if first.startswith("# "):
            folder = first.removeprefix("# ")
            continue
        name, _, promises = first.removesuffix(")").rpartition(" (")
        edits = list(_edits(folder, changes))
        yield Mutant(name=name, breaks=frozenset(promises.split()), edits=edits)


def _edits(folder: str, changes: Sequence[str]) -> Iterator[Edit]:
    runs = groupby(changes, key=lambda line: line[0])
    fragments = ["\n".join(line[2:] for line in lines) for _, lines in runs]
    for old, new in zip(fragments[::2], fragments[1::2], strict=True):
        yield Edit(folder=folder, old=old, new=new)


def mutant_named(words: str) -> Mutant:
    """Return the mutant whose name contains these words.

    Raises:
        LookupError: no mutant matches, or several do.
    """
    found = [mutant for mutant in MUTANTS if words in mutant.name]
    if len(found) != 1:
        names = "; ".join(mutant.name for mutant in found) or "none"
        raise LookupError(f"expected one mutant with {words!r} in its name, found: {names}")
    return found[0]


MUTANTS: Final = tuple(_read(Path(__file__).with_suffix(".txt").read_text("utf-8")))
