"""The time, processor time and log output of a callback and of a send in a warm environment.

A callback is measured next to its DynamoDB write alone.
"""

from collections.abc import Sequence
from statistics import median
from typing import Final

from bench import events
from bench.benchmark import Benchmark, Results, Run, Table, summarize
from bench.lambda_runtime import LambdaRuntime, stand_in

_INVOCATIONS: Final = 400
_QUICK_INVOCATIONS: Final = 50
_GOAL_RATIO: Final = 1.25


def measure(run: Run) -> Results:
    """Return microseconds of a callback and its write, milliseconds of a send, and log sizes."""
    runtime = LambdaRuntime.prepare(run.folder)
    number = _QUICK_INVOCATIONS if run.quick else _INVOCATIONS
    callbacks = [events.callback(it) for it in range(number)]
    sends = [events.send(it) for it in range(number)]
    rounds: dict[str, list[float]] = {}
    logged: dict[str, Results] = {}
    with stand_in() as url:
        for count in range(run.rounds):
            run.log(f"round {count + 1} of {run.rounds}")
            times, log = runtime.run(
                "bare_write", function="status_callback", events=callbacks, url=url
            )
            logged["status_callback"] = _log_size(log, number)
            sent, log = runtime.run(
                "invoke", "send_message.app", function="send_message", events=sends, url=url
            )
            logged["send_message"] = _log_size(log, number)
            _, *warm = sent["invocations"]
            times["sent"], times["sent_cpu"] = zip(*warm, strict=True)
            for name, values in times.items():
                rounds.setdefault(name, []).append(median(values))
    return {
        **{name: summarize(values) for name, values in rounds.items()},
        "handled": summarize(rounds["handled"], rounds["bare"]),
        "handled_beside_same": summarize(rounds["handled"], rounds["same"]),
        "logged": logged,
    }


def _log_size(log: str, invocations: int) -> Results:
    """Return lines and bytes for each invocation."""
    lines = log.splitlines()
    size = sum(len(line.encode()) for line in lines)
    return {"lines": round(len(lines) / invocations, 1), "bytes": round(size / invocations)}


def tables(results: Results) -> Sequence[Table]:
    """Return the callback next to its write; then the send."""
    callback, send = (results["logged"][name] for name in ("status_callback", "send_message"))
    same_ratio = results["handled_beside_same"]["ratio"]
    return [
        Table(
            header=("one callback", "measured", "goal"),
            rows=[
                ("handler, from event to answer", f"{results['handled']['median']:.0f} µs", ""),
                ("of this, processor time", f"{results['handled_cpu']['median']:.0f} µs", ""),
                ("its write alone, boto3's client", f"{results['bare']['median']:.0f} µs", ""),
                ("its write alone, our client", f"{results['same']['median']:.0f} µs", ""),
                (
                    "ratio to the write, boto3's client",
                    f"{results['handled']['ratio']:.2f}",
                    f"{_GOAL_RATIO:.2f}",
                ),
                ("ratio to the write, our client", f"{same_ratio:.2f}", ""),
                ("log lines", f"{callback['lines']:.0f}", "1"),
                ("log bytes", f"{callback['bytes']}", ""),
            ],
        ),
        Table(
            header=("one send", "measured"),
            rows=[
                ("handler, without Twilio's time", f"{results['sent']['median']:.1f} ms"),
                ("of this, processor time", f"{results['sent_cpu']['median']:.1f} ms"),
                ("log lines", f"{send['lines']:.0f}"),
                ("log bytes", f"{send['bytes']}"),
            ],
        ),
    ]


WARM_PATH: Final = Benchmark(
    name="warm_path",
    question="How long does a callback take compared with its write alone, and how long a send?",
    measure=measure,
    tables=tables,
)
