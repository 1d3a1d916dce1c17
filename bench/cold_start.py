"""The time until a function is ready in a new environment, beside the least that one starts with.

The floor is `import boto3` and a DynamoDB client, measured just before each function in each round.
Every process is new.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from bench.benchmark import Benchmark, Known, Results, Run, Sample, Table
from bench.lambda_runtime import LambdaRuntime, stand_in
from bench.plot import Bar, bars
from simulation.deployment import functions

# The sentences of the issue, as numbers.
GOALS: Final = {"status_callback": 1.10, "send_message": 1.35}
_FLOOR: Final = "floor"
_FIRST: Final = "first_callback"
_FLOOR_FIRST: Final = "floor_first_callback"

type Measure = Callable[[], float]


def measure(run: Run) -> Results:
    """Milliseconds of each start, each beside a floor of its own."""
    runtime = LambdaRuntime.prepare(run.folder)
    plain = _without_bytecode(runtime.layer, run.folder / "layer_without_bytecode")
    found: dict[str, list[tuple[float, float]]] = {}
    with stand_in() as url:
        measures = dict(_measures(runtime, plain, {"AWS_ENDPOINT_URL": url}))
        for number in range(-1, run.rounds):  # the first round only warms the machine's caches
            run.tell(f"round {number + 1} of {run.rounds}" if number >= 0 else "warming up")
            for name, (floor, measured) in measures.items():
                pair = floor(), measured()
                if number >= 0:
                    found.setdefault(name, []).append(pair)
    floors = {
        _FLOOR: [floor for name in found if name != _FIRST for floor, _ in found[name]],
        _FLOOR_FIRST: [floor for floor, _ in found[_FIRST]],
    }
    return {name: Sample.of(values).as_record() for name, values in floors.items()} | {
        name: Sample.of([it for _, it in pairs], [floor for floor, _ in pairs]).as_record()
        for name, pairs in found.items()
    }


def _measures(
    runtime: LambdaRuntime, plain_layer: Path, environment: dict[str, str]
) -> Iterator[tuple[str, tuple[Measure, Measure]]]:
    """What is measured by its name, with the floor of it."""

    def floor(what: str, *arguments: str) -> float:
        found, _ = runtime.run(
            "floor", *arguments, function="status_callback", environment=environment
        )
        return float(found[what])

    def ready(function: str, layer: Path) -> float:
        found, _ = runtime.run("ready", f"{function}.app", function=function, layer=layer)
        return float(found["ready"])

    def first_callback() -> float:
        found, _ = runtime.run(
            "callbacks", "first", "1", function="status_callback", environment=environment
        )
        return float(found["called"])

    for name in functions():
        yield name, (partial(floor, "ready"), partial(ready, name, runtime.layer))
    for name in GOALS:
        yield f"{name}_compiling", (partial(floor, "ready"), partial(ready, name, plain_layer))
    yield _FIRST, (partial(floor, "called", "--calls"), first_callback)


def _without_bytecode(layer: Path, copy: Path) -> Path:
    """The layer as SAM's own builder would make it."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(layer, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def tables(known: Known) -> Sequence[Table]:
    """A row for each function, and the same without bytecode; then the first callback."""
    found = known[COLD_START.name]
    names = {_FLOOR: "floor: boto3 and a DynamoDB client"}
    for name in functions():
        names[name] = f"`{name}`"
        names[f"{name}_compiling"] = f"`{name}`, layer without bytecode"
    starts = [_row(names[name], found[name], GOALS.get(name)) for name in names if name in found]
    answers = [
        _row("floor: boto3, two clients, read the secret, one write", found[_FLOOR_FIRST], None),
        _row("`status_callback`: to the first 204", found[_FIRST], None),
    ]
    header = ("milliseconds", "median", "least", "times the floor", "goal")
    return [
        Table(header=("start", *header[1:]), rows=starts),
        Table(header=("start and first callback", *header[1:]), rows=answers),
    ]


def _row(name: str, sample: Results, goal: float | None) -> Sequence[str]:
    ratio = f"{sample['ratio']:.2f}" if "ratio" in sample else ""
    return (
        name,
        f"{sample['median']:.0f} ms",
        f"{sample['min']:.0f} ms",
        ratio,
        f"{goal:.2f}" if goal else "",
    )


def drawn(known: Known) -> str:
    """The starts of all functions beside the floor."""
    found = known[COLD_START.name]
    rows = [
        Bar(name=name, parts=[found[name]["median"]], value=f"{found[name]['median']:.0f} ms")
        for name in (_FLOOR, *functions())
        if name in found
    ]
    return bars("Until a new environment is ready", rows, line=found[_FLOOR]["median"])


COLD_START: Final = Benchmark(
    name="cold_start",
    title="Cold start",
    question="How long until a new environment is ready, beside the least that one starts with?",
    measure=measure,
    tables=tables,
    plots={"cold-start.svg": drawn},
)
