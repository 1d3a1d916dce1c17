"""What grows with what, and how far each is from its limit.

Shares of quotas are computed from the results of other benchmarks. The size of the deployed code,
the time of the largest batch and the memory of a long-lived environment are measured.
"""

from collections.abc import Iterator, Sequence
from http import HTTPStatus
from pathlib import Path
from statistics import median
from typing import Final

from bench import events
from bench.benchmark import AllResults, Benchmark, Results, Run, Table, keep
from bench.cost import ASSUMED, Figures, Workload, callback_time, memory_of, send_time
from bench.lambda_runtime import LambdaRuntime, stand_in
from bench.reconcile import deployed_seconds, reconcile
from delivery.storage.index_keys import PENDING_KEYS
from simulation.deployment import functions, parameter

_HEADER: Final = (
    "what",
    "grows with",
    "at a million messages a month",
    "limit",
    "reached at, messages a month",
)
_SECONDS_PER_MONTH: Final = 30 * 24 * 60 * 60
_MILLION: Final = 1_000_000
_MIB: Final = 1024 * 1024
_LOAD: Final = Workload()

_CALLBACKS: Final = 20_000
_QUICK_CALLBACKS: Final = 2_000
_STALE: Final = 10_000
_QUICK_STALE: Final = 500
_BATCHES: Final = 5
_SQS_MS: Final = 20
"""What a deployed function waits for a request to SQS, about."""


def measure(run: Run) -> Results:
    """Return one table of all limits."""
    runtime = LambdaRuntime.prepare(run.folder)
    callbacks = _QUICK_CALLBACKS if run.quick else _CALLBACKS
    stale = _QUICK_STALE if run.quick else _STALE
    run.log(f"memory over {callbacks:,} callbacks")
    with stand_in() as url:
        many = [events.callback(number) for number in range(callbacks)]
        memory = runtime.invoke("status_callback", many, url=url)["memory"]
    run.log(f"{_BATCHES} batches")
    with stand_in(delay_ms=_SQS_MS) as url:
        batches = [events.batch(number) for number in range(_BATCHES)]
        taken = runtime.invoke("send_message", batches, url=url)
    assert taken["answer"]["statusCode"] == HTTPStatus.ACCEPTED, taken["answer"]
    batch_ms = median(wall for wall, _ in taken["invocations"])
    code = [runtime.layer, runtime.code(next(iter(functions())))]
    run.log(f"{stale:,} stale messages")
    listed, missing = (deployed_seconds(reconcile(stale, listed=it)) for it in (True, False))
    memory_limit = f"{memory_of('status_callback')} MiB"
    code_mib = sum(map(_size, code)) / _MIB
    measured = [
        ("batch of 1,000 messages", "messages in it", f"{batch_ms / 1000:.2f} s", "29 s"),
        (
            f"reconciliation of {stale:,} stale messages",
            "backlog",
            f"about {listed:,.0f} s",
            "240 s",
        ),
        ("the same, missing from Twilio's list", "backlog", f"about {missing:,.0f} s", "240 s"),
        ("memory after 1,000 callbacks", "", f"{memory[0]:.0f} MiB", memory_limit),
        (f"memory after {callbacks:,} callbacks", "", f"{memory[-1]:.0f} MiB", memory_limit),
        ("layer and functions, unzipped", "code", f"{code_mib:.1f} MiB", "250 MiB"),
    ]
    rows = [*quotas(run.results), *((*row, "") for row in measured)]
    return keep(Table(header=_HEADER, rows=rows, text_columns=2))


def quotas(results: AllResults) -> list[Sequence[str]]:
    """Return the quotas that grow with messages, the one that is reached first on top.

    Defaults of new accounts in us-east-1. Sources:
    https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
    https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html
    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
    """
    per_second = _MILLION / _SECONDS_PER_MONTH * ASSUMED.peak
    rows = []
    for what, grows_with, per_message, limit in _quotas(results):
        now = per_message * per_second
        reached = f"{limit / now:,.0f} million"
        rows.append((limit / now, (what, grows_with, f"{now:.2g}", f"{limit:,.0f}", reached)))
    return [row for _, row in sorted(rows)]


def _quotas(results: AllResults) -> Iterator[tuple[str, str, float, float]]:
    """Yield what, what it grows with, how much of it one message takes, and the limit."""
    figures = Figures.of(results)
    callback_s = callback_time(figures, memory_of("status_callback")) / 1000
    send_s = send_time(figures, memory_of("send_message")) / 1000
    writes = [it for it in results["write_units"]["delivered"] if it["table"] == "MessagesTable"]
    list_units = sum(write["index_units"].get("by_list", 0) for write in writes)
    table_units = sum(write["table_units"] for write in writes)
    queue_concurrency = float(parameter("SendConcurrency"))
    executions = send_s + _LOAD.callbacks * callback_s
    rate_limit = float(parameter("CallbackRateLimit"))
    both = "messages, callbacks"
    yield "requests/s to `CallbackApi`", "callbacks", _LOAD.callbacks, rate_limit
    yield "concurrent sends from `SendQueue`", "queued messages", send_s, queue_concurrency
    yield "requests/s to all APIs of the account", both, 1 + _LOAD.callbacks, 10_000
    yield "concurrent executions of the account", both, executions, 1_000
    yield "write units/s of `MessagesTable`", both, table_units, 40_000
    yield "write units/s of a key of `by_list`", "messages", list_units / len(PENDING_KEYS), 1_000


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


SCALING: Final = Benchmark(
    name="scaling",
    question="What grows with what, and which limit is reached first?",
    measure=measure,
)
