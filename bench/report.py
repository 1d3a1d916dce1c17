"""The latest results, kept as JSON, and their presentation in docs/performance.md.

The page is written by hand, except for the tables between `<!-- bench: NAME -->` and
`<!-- /bench -->`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from bench.audit import AUDIT
from bench.benchmark import AllResults, Benchmark, Table
from bench.campaign import CAMPAIGN
from bench.cold_start import COLD_START
from bench.cost import COST
from bench.scaling import SCALING
from bench.warm_path import WARM_PATH
from bench.write_units import WRITE_UNITS

BENCHMARKS: Final[tuple[Benchmark, ...]] = (
    COLD_START,
    WARM_PATH,
    WRITE_UNITS,
    AUDIT,
    COST,
    SCALING,
    CAMPAIGN,
)
"""In the order in which `make bench` runs them."""

PROJECT: Final = Path(__file__).parents[1]
RESULTS: Final = Path(__file__).parent / "results.json"
PAGE: Final = PROJECT / "docs" / "performance.md"

_PLACE: Final = re.compile(r"(<!-- bench: (\w+) -->\n).*?(<!-- /bench -->)", re.DOTALL)

type Kept = dict[str, dict[str, Any]]
"""By a benchmark's name: `measured_on`, `machine`, `rounds` and its `results`."""


def load() -> Kept:
    """Return the latest results."""
    kept: Kept = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    return kept


def results_of(kept: Kept) -> AllResults:
    """Return the results without date and machine."""
    return {name: entry["results"] for name, entry in kept.items()}


def write(kept: Kept) -> None:
    """Write the results of the benchmarks that exist, and the page."""
    ordered = {it.name: kept[it.name] for it in BENCHMARKS if it.name in kept}
    RESULTS.write_text(json.dumps(ordered, indent=1) + "\n", "utf-8")
    PAGE.write_text(rendered(PAGE.read_text("utf-8"), ordered), "utf-8")


def rendered(page: str, kept: Kept) -> str:
    """Return the page with each benchmark's tables in their place."""
    results = results_of(kept)
    tables = {
        it.name: "\n".join(_section(it.tables(results[it.name]), kept[it.name]))
        for it in BENCHMARKS
        if it.name in kept
    }

    def replaced(place: re.Match[str]) -> str:
        return place[0] if place[2] not in tables else f"{place[1]}{tables[place[2]]}\n{place[3]}"

    return _PLACE.sub(replaced, page)


def places(page: str) -> set[str]:
    """Return the names of the benchmarks that have a place in the page."""
    return {match[2] for match in _PLACE.finditer(page)}


def markdown(table: Table) -> Iterator[str]:
    """Yield the lines of a table."""
    yield f"| {' | '.join(table.header)} |"
    columns = ["---"] * table.text_columns
    columns += ["---:"] * (len(table.header) - table.text_columns)
    yield f"|{'|'.join(columns)}|"
    for row in table.rows:
        yield f"| {' | '.join(row)} |"


def _section(tables: Any, entry: Mapping[str, Any]) -> Iterator[str]:
    for table in tables:
        yield ""
        yield from markdown(table)
    yield ""
    yield f"_{entry['measured_on']}, {entry['rounds']} rounds: {entry['machine']}._"
    yield ""
