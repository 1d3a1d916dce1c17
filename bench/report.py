"""What was measured, kept as JSON, and shown in docs/performance.md.

The page is written by hand but for the tables of each benchmark, which are between
`<!-- bench: NAME -->` and `<!-- /bench -->`. The plots of docs/images are drawn from the same
numbers.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from bench.benchmark import Known, Table
from bench.registry import BENCHMARKS

PROJECT: Final = Path(__file__).parents[1]
RESULTS: Final = Path(__file__).parent / "results.json"
PAGE: Final = PROJECT / "docs" / "performance.md"
IMAGES: Final = PROJECT / "docs" / "images"

_PLACE: Final = re.compile(r"(<!-- bench: (\w+) -->\n).*?(<!-- /bench -->)", re.DOTALL)

type Kept = dict[str, dict[str, Any]]
"""By a benchmark's name: `measured_on`, `machine`, `rounds` and its `results`."""


def load() -> Kept:
    """What is kept of earlier runs."""
    kept: Kept = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    return kept


def known(kept: Kept) -> Known:
    """The results alone."""
    return {name: entry["results"] for name, entry in kept.items()}


def write(kept: Kept) -> None:
    """Keep the results, and bring the page and the plots up to date."""
    ordered = {it.name: kept[it.name] for it in BENCHMARKS if it.name in kept}
    RESULTS.write_text(json.dumps(ordered, indent=1) + "\n", "utf-8")
    PAGE.write_text(filled_in(PAGE.read_text("utf-8"), kept), "utf-8")
    IMAGES.mkdir(exist_ok=True)
    for name, drawing in drawings(known(kept)).items():
        (IMAGES / name).write_text(drawing, "utf-8")


def drawings(results: Known) -> Mapping[str, str]:
    """Every plot whose numbers are there, as SVG by its file's name."""
    return {
        name: draw(results)
        for benchmark in BENCHMARKS
        if benchmark.name in results
        for name, draw in benchmark.plots.items()
    }


def filled_in(page: str, kept: Kept) -> str:
    """The page with each benchmark's tables in their place."""
    shown = {
        it.name: "\n".join(_shown(it.tables(known(kept)), kept[it.name]))
        for it in BENCHMARKS
        if it.name in kept
    }

    def replaced(place: re.Match[str]) -> str:
        return place[0] if place[2] not in shown else f"{place[1]}{shown[place[2]]}\n{place[3]}"

    return _PLACE.sub(replaced, page)


def places(page: str) -> set[str]:
    """The benchmarks that have a place in the page."""
    return {match[2] for match in _PLACE.finditer(page)}


def _shown(tables: Any, entry: Mapping[str, Any]) -> Iterator[str]:
    for table in tables:
        yield ""
        yield from markdown(table)
    machine = entry["machine"]
    yield ""
    yield (
        f"_{entry['measured_on']}, {entry['rounds']} rounds: {machine['processor']}, "
        f"{machine['cores']} cores, {machine['memory']}, {machine['system']}, "
        f"Python {machine['python']}, boto3 {machine['boto3']}, "
        f"Powertools {machine['powertools']}._"
    )
    yield ""


def markdown(table: Table) -> Iterator[str]:
    """A table as a page has it."""
    yield f"| {' | '.join(table.header)} |"
    kinds = ["---"] * table.words + ["---:"] * (len(table.header) - table.words)
    yield f"|{'|'.join(kinds)}|"
    for row in table.rows:
        yield f"| {' | '.join(row)} |"
