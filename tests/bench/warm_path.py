"""What a callback costs an environment that is up: time beside the bare write, and its log."""

from collections.abc import Sequence
from statistics import median
from typing import Final

from tests.bench.benchmark import Benchmark, Known, Results, Run, Sample, Table
from tests.bench.lambda_runtime import LambdaRuntime, stand_in

_CALLBACKS: Final = 400
_QUICK_CALLBACKS: Final = 50
_PURE: Final = ("parsed", "ruled")
_GOAL_RATIO: Final = 1.25
_GOAL_PURE_MICROSECONDS: Final = 100


def measure(run: Run) -> Results:
    """Microseconds of a callback and its parts, and what it logs."""
    runtime = LambdaRuntime.prepare(run.folder)
    number = _QUICK_CALLBACKS if run.quick else _CALLBACKS
    rounds: dict[str, list[float]] = {}
    logged = ""
    with stand_in() as url:
        for count in range(run.rounds):
            run.tell(f"round {count + 1} of {run.rounds}")
            for task in ("beside_bare_writes", "pure_parts"):
                found, printed = runtime.run(
                    "callbacks",
                    task,
                    str(number),
                    function="status_callback",
                    environment={"AWS_ENDPOINT_URL": url},
                )
                for name, values in found.items():
                    rounds.setdefault(name, []).append(median(values))
                logged = printed or logged
    lines = logged.splitlines()
    return {
        "handled": Sample.of(rounds["handled"], rounds["bare"]).as_record(),
        "handled_beside_same": Sample.of(rounds["handled"], rounds["same"]).as_record(),
        **{name: Sample.of(rounds[name]).as_record() for name in ("bare", "same", *_PURE)},
        "log_lines": len(lines) / number,
        "log_bytes": round(sum(len(line.encode()) + 1 for line in lines) / number),
    }


def tables(known: Known) -> Sequence[Table]:
    """The callback, the bare write, and what of the callback is not waiting for AWS."""
    found = known[WARM_PATH.name]
    pure = sum(found[name]["median"] for name in _PURE)
    beside_same = found["handled_beside_same"]["ratio"]
    header = ("one callback", "found", "goal")
    return [
        Table(
            header=header,
            rows=[
                ("handler, from call to answer", f"{found['handled']['median']:.0f} µs", ""),
                (
                    "bare: its write with boto3's client",
                    f"{found['bare']['median']:.0f} µs",
                    "",
                ),
                ("its write with our client", f"{found['same']['median']:.0f} µs", ""),
                ("times the bare write", f"{found['handled']['ratio']:.2f}", f"{_GOAL_RATIO:.2f}"),
                ("times the write with our client", f"{beside_same:.2f}", ""),
                ("signature, parsing and rules", f"{pure:.0f} µs", f"{_GOAL_PURE_MICROSECONDS} µs"),
                ("lines in the log", f"{found['log_lines']:g}", "1"),
                ("bytes in the log", f"{found['log_bytes']}", ""),
            ],
        )
    ]


WARM_PATH: Final = Benchmark(name="warm_path", title="Warm path", measure=measure, tables=tables)
