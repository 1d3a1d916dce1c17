"""What an environment that is up needs for a callback, and for a send: time, and lines of the log.

A callback is measured beside the bare write that it makes.
"""

from collections.abc import Sequence
from statistics import median
from typing import Final

from bench.benchmark import Benchmark, Known, Results, Run, Sample, Table
from bench.lambda_runtime import LambdaRuntime, stand_in

_CALLBACKS: Final = 400
_QUICK_CALLBACKS: Final = 50
_PROGRAMS: Final = (
    ("status_callback", "callbacks", "beside_bare_writes"),
    ("status_callback", "callbacks", "pure_parts"),
    ("send_message", "sends"),
)
_PURE: Final = ("parsed", "ruled")
_ALONE: Final = ("bare", "same", *_PURE, "handled_cpu", "sent", "sent_cpu")
_GOAL_RATIO: Final = 1.25
_GOAL_PURE_MICROSECONDS: Final = 100


def measure(run: Run) -> Results:
    """Microseconds of a callback and its parts and of a send, and what they log."""
    runtime = LambdaRuntime.prepare(run.folder)
    number = _QUICK_CALLBACKS if run.quick else _CALLBACKS
    rounds: dict[str, list[float]] = {}
    logged: dict[str, Results] = {}
    with stand_in() as url:
        for count in range(run.rounds):
            run.tell(f"round {count + 1} of {run.rounds}")
            for function, program, *task in _PROGRAMS:
                found, printed = runtime.run(
                    program,
                    *task,
                    str(number),
                    function=function,
                    environment={"AWS_ENDPOINT_URL": url, "TWILIO_API_BASE_URL": url},
                )
                for name, values in found.items():
                    rounds.setdefault(name, []).append(median(values))
                if printed:
                    logged[function] = _logged(printed, number)
    return {
        "handled": Sample.of(rounds["handled"], rounds["bare"]).as_record(),
        "handled_beside_same": Sample.of(rounds["handled"], rounds["same"]).as_record(),
        **{name: Sample.of(rounds[name]).as_record() for name in _ALONE},
        "logged": logged,
    }


def _logged(printed: str, number: int) -> Results:
    """Lines and bytes for each call."""
    lines = printed.splitlines()
    size = sum(len(line.encode()) for line in lines)
    return {"lines": round(len(lines) / number, 1), "bytes": round(size / number)}


def tables(known: Known) -> Sequence[Table]:
    """The callback, the bare write, and what of the callback is not waiting for AWS."""
    found = known[WARM_PATH.name]
    pure = sum(found[name]["median"] for name in _PURE)
    beside_same = found["handled_beside_same"]["ratio"]
    logged = found["logged"]
    return [
        Table(
            header=("one callback", "found", "goal"),
            rows=[
                ("handler, from call to answer", f"{found['handled']['median']:.0f} µs", ""),
                ("in it the processor's work", f"{found['handled_cpu']['median']:.0f} µs", ""),
                (
                    "bare: its write with boto3's client",
                    f"{found['bare']['median']:.0f} µs",
                    "",
                ),
                ("its write with our client", f"{found['same']['median']:.0f} µs", ""),
                ("times the bare write", f"{found['handled']['ratio']:.2f}", f"{_GOAL_RATIO:.2f}"),
                ("times the write with our client", f"{beside_same:.2f}", ""),
                ("signature, parsing and rules", f"{pure:.0f} µs", f"{_GOAL_PURE_MICROSECONDS} µs"),
                ("lines in the log", f"{logged['status_callback']['lines']:.0f}", "1"),
                ("bytes in the log", f"{logged['status_callback']['bytes']}", ""),
            ],
        ),
        Table(
            header=("one send", "found"),
            rows=[
                ("handler, but for what Twilio takes", f"{found['sent']['median']:.1f} ms"),
                ("in it the processor's work", f"{found['sent_cpu']['median']:.1f} ms"),
                ("lines in the log", f"{logged['send_message']['lines']:.0f}"),
                ("bytes in the log", f"{logged['send_message']['bytes']}"),
            ],
        ),
    ]


WARM_PATH: Final = Benchmark(
    name="warm_path",
    title="Warm path",
    question="What does a callback cost beside the bare write that it makes, and what a send?",
    measure=measure,
    tables=tables,
)
