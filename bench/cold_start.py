"""The time until a function is ready in a new environment, next to a floor.

The floor is `import boto3` and a DynamoDB client, measured just before each function in each round.
Every measurement is a new process.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from bench import events
from bench.benchmark import Benchmark, Results, Run, Table, summarize
from bench.lambda_runtime import LambdaRuntime, stand_in
from simulation.deployment import functions

GOALS: Final = {"status_callback": 1.10, "send_message": 1.35}
"""The most that a start may take, as a multiple of the floor."""
_FLOOR: Final = "floor"
_FIRST: Final = "first_callback"
_FLOOR_FIRST: Final = "floor_first_callback"
_PARTS: Final = "parts"

type Measure = Callable[[], float]
"""Returns milliseconds."""


def measure(run: Run) -> Results:
    """Return the milliseconds of each start, with the ratio to its own floor."""
    runtime = LambdaRuntime.prepare(run.folder)
    plain = _without_bytecode(runtime.layer, run.folder / "layer_without_bytecode")
    found: dict[str, list[tuple[float, float]]] = {}
    parts: dict[str, list[float]] = {}
    with stand_in() as url:
        measures = dict(_measures(runtime, plain, url))
        for number in range(-1, run.rounds):  # the first round only warms the machine's caches
            run.log(f"round {number + 1} of {run.rounds}" if number >= 0 else "warming up")
            for name, (floor, measured) in measures.items():
                pair = floor(), measured()
                if number >= 0:
                    found.setdefault(name, []).append(pair)
            loaded, _ = runtime.run("parts", function="status_callback", url=url)
            for part, milliseconds in loaded.items():
                if number >= 0:
                    parts.setdefault(part, []).append(milliseconds)
    floors = {
        _FLOOR: [floor for name in found if name != _FIRST for floor, _ in found[name]],
        _FLOOR_FIRST: [floor for floor, _ in found[_FIRST]],
    }
    return (
        {name: summarize(values) for name, values in floors.items()}
        | {
            name: summarize([it for _, it in pairs], [floor for floor, _ in pairs])
            for name, pairs in found.items()
        }
        | {_PARTS: {name: summarize(values) for name, values in parts.items()}}
    )


def _measures(
    runtime: LambdaRuntime, plain_layer: Path, url: str
) -> Iterator[tuple[str, tuple[Measure, Measure]]]:
    """Yield each name with its floor and its start."""

    def floor(*arguments: str) -> float:
        found, _ = runtime.run("floor", *arguments, function="status_callback", url=url)
        return float(found)

    def ready(function: str, layer: Path) -> float:
        return float(runtime.invoke(function, url=url, layer=layer)["ready"])

    def first_callback() -> float:
        found = runtime.invoke("status_callback", [events.callback(1)], url=url)
        return float(found["ready"] + found["invocations"][0][0])

    for name in functions():
        yield name, (floor, partial(ready, name, runtime.layer))
    for name in GOALS:
        yield f"{name}_compiling", (floor, partial(ready, name, plain_layer))
    yield _FIRST, (partial(floor, "--calls"), first_callback)


def _without_bytecode(layer: Path, copy: Path) -> Path:
    """Return a copy of the layer as SAM's own builder would make it."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(layer, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def tables(results: Results) -> Sequence[Table]:
    """Return a row for each start; then those that include the first callback."""
    names = {_FLOOR: "floor: boto3 and a DynamoDB client"}
    for name in functions():
        names[name] = f"`{name}`"
        names[f"{name}_compiling"] = f"`{name}`, layer without bytecode"
    starts = [
        _row(names[name], results[name], GOALS.get(name)) for name in names if name in results
    ]
    answers = [
        _row("floor: boto3, two clients, one secret read, one write", results[_FLOOR_FIRST], None),
        _row("`status_callback`: to the first 204", results[_FIRST], None),
    ]
    columns = ("median", "minimum", "ratio to the floor", "goal")
    return [
        Table(header=("start", *columns), rows=starts),
        Table(header=("start and first callback", *columns), rows=answers),
        *([_parts(results)] if _PARTS in results else []),
    ]


def _parts(results: Results) -> Table:
    """Return what StatusCallbackFunction loads, by the minimum, which other work disturbs least."""
    floor = results[_FLOOR]["min"]
    least = {name: summary["min"] for name, summary in results[_PARTS].items()}
    shown = least | {"**together**": sum(least.values())}
    rows = [
        (name, f"{milliseconds:.1f} ms", f"{milliseconds / floor:.1%}")
        for name, milliseconds in shown.items()
    ]
    return Table(header=("loaded by `status_callback`", "minimum", "of the floor"), rows=rows)


def _row(name: str, summary: Results, goal: float | None) -> Sequence[str]:
    return (
        name,
        f"{summary['median']:.0f} ms",
        f"{summary['min']:.0f} ms",
        f"{summary['ratio']:.2f}" if "ratio" in summary else "",
        f"{goal:.2f}" if goal else "",
    )


COLD_START: Final = Benchmark(
    name="cold_start",
    question="How long until a new environment is ready, compared with the minimum?",
    measure=measure,
    tables=tables,
)
