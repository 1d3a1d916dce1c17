"""Many environments at once, and one environment for long: throughput and memory, without AWS.

Each environment is a process of its own, as on Lambda, which never runs two invocations at once in
one: threads would share what no two invocations share. DynamoDB's stand-in answers after some
milliseconds, so that environments wait for it as they would.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from bench.benchmark import Benchmark, Known, Results, Run, Sample, Table
from bench.lambda_runtime import LambdaRuntime, stand_in

ENVIRONMENTS: Final = (1, 4, 16)
DYNAMODB_MS: Final = 5
_CALLBACKS: Final = 300
_QUICK_CALLBACKS: Final = 50
_LONG: Final = 100_000
_QUICK_LONG: Final = 1_000
_MOST_ROUNDS: Final = 3


def measure(run: Run) -> Results:
    """Callbacks and bare writes a second, and the memory of 100,000 callbacks."""
    runtime = LambdaRuntime.prepare(run.folder)
    number = _QUICK_CALLBACKS if run.quick else _CALLBACKS
    rates: dict[str, list[float]] = {}
    rounds = min(run.rounds, _MOST_ROUNDS)
    with stand_in(delay_ms=DYNAMODB_MS) as url:
        for count in range(rounds):
            for environments in ENVIRONMENTS:
                run.tell(f"round {count + 1} of {rounds}: {environments} environments")
                for task in ("all_day", "bare_all_day"):
                    rate = _rate(runtime, task, environments, number, url)
                    rates.setdefault(f"{task}_{environments}", []).append(rate)
    long = _QUICK_LONG if run.quick else _LONG
    run.tell(f"memory over {long:,} callbacks")
    with stand_in() as url:
        day, _ = runtime.run(
            "callbacks",
            "all_day",
            str(long),
            function="status_callback",
            environment={"AWS_ENDPOINT_URL": url},
        )
    return {
        "rates": {
            str(environments): {
                "handled": Sample.of(
                    rates[f"all_day_{environments}"], rates[f"bare_all_day_{environments}"]
                ).as_record(),
                "bare": Sample.of(rates[f"bare_all_day_{environments}"]).as_record(),
            }
            for environments in ENVIRONMENTS
        },
        "callbacks": long,
        "memory_mib": [round(mib, 1) for mib in day["memory_mib"]],
    }


def _rate(runtime: LambdaRuntime, task: str, environments: int, number: int, url: str) -> float:
    """Calls a second of all environments together."""

    def one(_: int) -> float:
        found, _printed = runtime.run(
            "callbacks",
            task,
            str(number),
            function="status_callback",
            environment={"AWS_ENDPOINT_URL": url},
        )
        return number / float(found["seconds"])

    with ThreadPoolExecutor(environments) as pool:
        return sum(pool.map(one, range(environments)))


def tables(known: Known) -> Sequence[Table]:
    """Throughput by the number of environments, and memory by that of callbacks."""
    found = known[LOAD.name]
    rates = [
        (
            environments,
            f"{rate['handled']['median']:.0f}",
            f"{rate['bare']['median']:.0f}",
            f"{rate['handled']['ratio']:.2f}",
        )
        for environments, rate in found["rates"].items()
    ]
    memory = found["memory_mib"]
    each = found["callbacks"] // len(memory)
    return [
        Table(
            header=("environments", "callbacks a second", "bare writes a second", "ratio"),
            rows=rates,
        ),
        Table(
            header=("callbacks of one environment", "memory then"),
            rows=[(f"{each * (at + 1):,}", f"{mib:.1f} MiB") for at, mib in enumerate(memory)],
        ),
    ]


LOAD: Final = Benchmark(
    name="load",
    title="Load, without an emulator",
    question="How many callbacks a second do environments take, and does their memory grow?",
    measure=measure,
    tables=tables,
)
