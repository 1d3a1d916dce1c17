"""How long POST /messages/batch takes for a thousand messages, beside the 30 s of an HTTP API."""

from collections.abc import Sequence
from statistics import median
from typing import Final

from bench.benchmark import Benchmark, Known, Results, Run, Sample, Table
from bench.lambda_runtime import LambdaRuntime, stand_in

_BATCHES: Final = 5
_QUICK_BATCHES: Final = 1
_SQS_MS: Final = 20
"""What a request to SQS takes where it is deployed, about."""


def measure(run: Run) -> Results:
    """Milliseconds from Lambda's call to the answer, of the first batch and of later ones."""
    runtime = LambdaRuntime.prepare(run.folder)
    number = _QUICK_BATCHES if run.quick else _BATCHES
    cold: list[float] = []
    warm: list[float] = []
    with stand_in(delay_ms=_SQS_MS) as url:
        for count in range(run.rounds):
            run.tell(f"round {count + 1} of {run.rounds}")
            found, _ = runtime.run(
                "batches",
                str(number),
                function="send_message",
                environment={"AWS_ENDPOINT_URL": url},
            )
            cold.append(found["cold"])
            warm.append(median(found["warm"]))
    return {"cold": Sample.of(cold).as_record(), "warm": Sample.of(warm).as_record()}


def tables(known: Known) -> Sequence[Table]:
    """The first batch of an environment, and the later ones."""
    found = known[BATCH.name]
    names = {"cold": "the first of an environment", "warm": "the others"}
    return [
        Table(
            header=("a batch of 1,000 messages", "median", "least", "may take"),
            rows=[
                (name, f"{found[key]['median']:.0f} ms", f"{found[key]['min']:.0f} ms", "29,000 ms")
                for key, name in names.items()
            ],
        )
    ]


BATCH: Final = Benchmark(
    name="batch",
    title="A batch",
    question="How long does POST /messages/batch take for a thousand messages?",
    measure=measure,
    tables=tables,
)
