"""The monthly AWS bill of this design, and of the queue-first design as a comparison.

In the queue-first design, API Gateway puts each callback into SQS, one function publishes it to
SNS, and another writes it to the table. Sending, data and notices are the same, so the difference
is what callbacks cost until they are stored.

The model adds up what AWS bills (`Usage`). It is priced with dated data (prices.json), without
volume discounts, with or without the free tier that does not expire. Requests and units are
counted, and processor time and log sizes measured, by other benchmarks. `Assumed` holds the rest.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any, Final, Self

from bench import wiring
from bench.benchmark import AllResults, Benchmark, Results, Run, Table, keep
from bench.counting import CountingDynamoDb
from bench.write_units import units_in
from simulation.deployment import resources
from tests.support.builders import NOON
from tests.support.cloudformation import load_template
from tests.template.counting import counted
from tests.template.dashboard import lines_of, widgets_of
from tests.template.deployment import translate

_PRICES: Final = Path(__file__).with_name("prices.json")

_MILLION: Final = 1_000_000
_GIB: Final = 1024**3
_MIB_PER_GIB: Final = 1024
_MS: Final = 1000
_DAYS_PER_MONTH: Final = 30
_HOURS_PER_MONTH: Final = _DAYS_PER_MONTH * 24
_MINUTES_PER_MONTH: Final = _HOURS_PER_MONTH * 60
_SWEEPS: Final = _MINUTES_PER_MONTH
_RECONCILIATIONS: Final = _MINUTES_PER_MONTH / 5
_AUDIT_RUNS: Final = _HOURS_PER_MONTH
_AUDITED_DAYS: Final = 2 * _DAYS_PER_MONTH
"""Each day is audited twice."""
_FREE_DASHBOARD_METRICS: Final = 50
"""A dashboard with more metrics is not in the free tier."""
_HALF_A_CENT: Final = 0.005
_PAGE_SIZE: Final = 1000
_FIREHOSE_RECORD_BYTES: Final = 5 * 1024
"""Firehose bills each record in steps of this size.

Source: https://aws.amazon.com/firehose/pricing/
"""
_STORAGE_OVERHEAD_BYTES: Final = 100
"""Bytes that DynamoDB adds to each item, in the table and in each index, where it is stored.

Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
"""
_INDEX_ENTRY_BYTES: Final = 140
"""An entry of an index: its two keys and the message's."""
_LOG_EVENT_BYTES: Final = 26
"""Bytes that CloudWatch adds to each line.

Source: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
"""
_MIB_PER_PROCESSOR: Final = 1769
"""The memory with which a function has one processor; with less it has a share of one.

Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
"""
_POLLERS: Final = 5
_POLLS_PER_MINUTE: Final = 3
"""Lambda polls an idle queue with five pollers, each waiting twenty seconds.

Source: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
"""

REGION: Final = "us-east-1"

type Prices = Mapping[str, float]
"""By what AWS bills: the names in prices.json."""
type Usage = dict[str, float]
"""The quantities of a month, by the same names."""
type Dollars = dict[str, float]
"""By service."""

SERVICES: Final[Mapping[str, tuple[str, ...]]] = {
    "API Gateway": ("http_api_million_requests",),
    "Lambda": ("lambda_million_requests", "lambda_gb_second"),
    "EventBridge Scheduler": ("scheduler_million_invocations",),
    "DynamoDB writes and reads": (
        "dynamodb_million_write_units",
        "dynamodb_million_read_units",
    ),
    "DynamoDB storage and backups": ("dynamodb_gb_month", "dynamodb_backup_gb_month"),
    "SQS": ("sqs_million_requests",),
    "SNS": ("sns_million_publishes",),
    "CloudWatch logs": ("logs_gb", "logs_gb_month"),
    "CloudWatch metrics": ("metric_month",),
    "CloudWatch alarms": ("alarm_metric_month",),
    "CloudWatch dashboard": ("dashboard_month",),
    "Secrets Manager": ("secret_month", "secret_million_calls"),
    "Archive: Firehose, S3": (
        "firehose_gb",
        "firehose_conversion_gb",
        "s3_gb_month",
        "s3_million_puts",
    ),
    "Data transfer": ("transfer_gb",),
}
"""What a service bills."""


class UnknownRegion(ValueError):
    """prices.json has no prices of the region."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """The messages of a month."""

    messages: int = _MILLION
    callbacks: float = 3
    """For each message; through a Messaging Service: queued, sent and delivered."""
    failed: float = 0.03
    """The share that fails; each opens its own incident, which is the worst case."""
    stale: float = 0.01
    """The share that is reconciled."""
    kept_days: float = 400
    """MessageRetentionDays; the table is as large as it gets."""
    audited: bool = True
    """AuditMode; each message is read twice and gets its price."""
    archived: bool = False
    """ArchiveOutcomes; each message has three rows: stored, final, priced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumed:
    """Figures that cannot be measured without AWS and Twilio."""

    dynamodb_ms: float = 5
    """A request to DynamoDB; AWS says single-digit milliseconds."""
    twilio_ms: float = 200
    """A request to Twilio with its handshake."""
    sns_ms: float = 15
    """A request to SNS."""
    notice_ms: float = 100
    """A notice, or a scheduled run that finds nothing to do."""
    platform_log_bytes: int = 600
    """Lambda's own three log lines for each invocation, as JSON, unless they are turned off."""
    log_line_bytes: int = 250
    """A log line in the queue-first design."""
    send_egress_bytes: int = 2_500
    """Bytes that leave AWS for each send: the request to Twilio with its handshake, our answer."""
    callback_egress_bytes: int = 200
    """Bytes that leave AWS for each callback: the answer."""
    batch: int = 5
    """Callbacks that the queue-first design's function receives from SQS at once."""
    page_ms: float = 1_500
    """A page of a thousand messages from Twilio's list."""
    run_log_bytes: int = 300
    """The log line of a scheduled run."""
    archived_row_bytes: int = 400
    """A row of the archive as JSON."""
    archive_ms: float = 50
    """An invocation that archives rows; at worst one row each."""
    peak: float = 5
    """The busiest minutes, as a multiple of the average."""


ASSUMED: Final = Assumed()


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Counted and measured figures of this design."""

    callback_cpu_ms: float
    send_cpu_ms: float
    callback_log_bytes: float
    send_log_bytes: float
    send_log_lines: float
    message_units: int
    """Write units in MessagesTable until a message is delivered."""
    request_units: int
    """Write units in SendRequestsTable."""
    send_requests: int
    """Requests to DynamoDB of a send."""
    failure_units: int
    """Write units of a failure beyond those of a delivery."""
    audit_cpu_ms: float
    """Of a message in the first audit of its day, and in the second."""
    price_units: float
    """Write units of a price that an audit learns."""
    item_bytes: int
    request_bytes: int
    sweep_reads: float
    """Read units of a sweep that finds nothing."""
    reconcile_reads: float
    """Read units of a reconciliation that finds nothing."""
    alarm_metrics: int
    """An alarm is billed for each of its metrics."""
    dashboard_metrics: int

    @classmethod
    def of(cls, results: AllResults) -> Self:
        """Take the figures from the results of the other benchmarks.

        Raises:
            KeyError: one of them has no results.
        """
        warm, written = results["warm_path"], results["write_units"]
        logged, delivered, failed = warm["logged"], written["delivered"], written["failed"]
        last = delivered[-1]
        requests = [write for write in delivered if write["table"] == "SendRequestsTable"]
        first_and_last = units_in([failed[0], last])
        audits = [results["audit"]["first"], results["audit"]["second"]]
        swept, reconciled = CountingDynamoDb(), CountingDynamoDb()
        wiring.sweep(swept, NOON)
        wiring.reconcile_nothing(reconciled, NOON)
        return cls(
            callback_cpu_ms=warm["handled_cpu"]["median"] / _MS,
            send_cpu_ms=warm["sent_cpu"]["median"],
            callback_log_bytes=logged["status_callback"]["bytes"],
            send_log_bytes=logged["send_message"]["bytes"],
            send_log_lines=logged["send_message"]["lines"],
            message_units=units_in(delivered, "MessagesTable"),
            request_units=units_in(requests),
            send_requests=sum("callback" not in write["step"] for write in delivered),
            failure_units=units_in(failed) - first_and_last,
            audit_cpu_ms=sum(it["cpu_seconds"] / it["messages"] for it in audits) * _MS,
            price_units=audits[0]["write_units"] / audits[0]["written"],
            item_bytes=last["bytes"],
            request_bytes=requests[-1]["bytes"],
            sweep_reads=swept.requests.total() / 2,  # an empty page is half a unit
            reconcile_reads=reconciled.requests.total() / 2,
            alarm_metrics=sum(map(metrics_of_alarm, alarms_by_default())),
            dashboard_metrics=dashboard_metrics(),
        )


def alarms_by_default() -> list[Mapping[str, Any]]:
    """Return the properties of the alarms that a stack without options has."""
    return [
        resource["Properties"]
        for resource in load_template()["Resources"].values()
        if resource["Type"] == "AWS::CloudWatch::Alarm"
        if resource.get("Condition") in {None, "AuditsMessages"}
    ]


def metrics_of_alarm(alarm: Mapping[str, Any]) -> int:
    """Return how many metrics an alarm is billed for."""
    return sum("MetricStat" in it for it in alarm.get("Metrics", [])) or 1


def dashboard_metrics() -> int:
    """Return how many metrics the dashboard shows."""
    stack = translate(load_template())
    graphs = [it["properties"] for it in widgets_of(stack) if it["type"] == "metric"]
    return len(
        {(it.namespace, it.name, it.dimensions) for graph in graphs for it in lines_of(graph)}
    )


@cache
def regions() -> Mapping[str, Prices]:
    """Return the prices by region."""
    content = json.loads(_PRICES.read_text("utf-8"))
    return {
        name: {**content["everywhere"], **prices} for name, prices in content["regions"].items()
    }


@cache
def free_tier() -> Usage:
    """Return what an account gets every month without an end, by what AWS bills."""
    free: Usage = json.loads(_PRICES.read_text("utf-8"))["free_tier"]
    return free


def prices_in(region: str) -> Prices:
    """Return the prices of a region.

    Raises:
        UnknownRegion: prices.json lacks it.
    """
    if region not in regions():
        raise UnknownRegion(
            f"unknown region {region!r}: prices.json has {', '.join(regions())}; add yours there"
        )
    return regions()[region]


def memory_of(function: str) -> int:
    """Return the memory of a function in the template, in MiB."""
    words = "".join(word.capitalize() for word in function.split("_"))
    shared = load_template()["Globals"]["Function"]["MemorySize"]
    own = resources("AWS::Serverless::Function")[f"{words}Function"]
    return int(own.get("MemorySize", shared))


def billed_ms(cpu_ms: float, waiting_ms: float, memory: int) -> int:
    """Return the duration of an invocation; with less memory it has less of a processor."""
    return ceil(cpu_ms / min(memory / _MIB_PER_PROCESSOR, 1) + waiting_ms)


def bill(usage: Usage, prices: Prices, free: Mapping[str, float] | None = None) -> Dollars:
    """Return the dollars of a usage by service, beyond what is free."""
    billed = {
        name: max(0.0, quantity - (free or {}).get(name, 0)) for name, quantity in usage.items()
    }
    assert billed.keys() <= {name for names in SERVICES.values() for name in names}
    return {
        service: sum(billed.get(name, 0) * prices[name] for name in names)
        for service, names in SERVICES.items()
    }


def ours(load: Workload, figures: Figures) -> Usage:
    """Return a month of this design."""
    callbacks = load.messages * load.callbacks
    size = memory_of("status_callback")
    callback_ms = callback_time(figures, size)
    return _sum(
        _shared(load, figures),
        {"http_api_million_requests": callbacks / _MILLION},
        _invocations(callbacks, callback_ms, size),
        _logs(callbacks * (figures.callback_log_bytes + _LOG_EVENT_BYTES)),
        _idle_queue(),  # CallbackQueue, which is usually empty
        _secret_reads(callbacks, callback_ms),
    )


def queue_first(load: Workload, figures: Figures) -> Usage:
    """Return a month of API Gateway, SQS, Lambda, SNS, Lambda and DynamoDB."""
    callbacks = load.messages * load.callbacks
    size = memory_of("status_callback")
    batches = callbacks / ASSUMED.batch
    batch_ms = billed_ms(
        figures.callback_cpu_ms * ASSUMED.batch, ASSUMED.sns_ms * ASSUMED.batch, size
    )
    log_bytes = batches * (ASSUMED.platform_log_bytes + 3 * _LOG_EVENT_BYTES)
    log_bytes += callbacks * (
        ASSUMED.platform_log_bytes + 2 * ASSUMED.log_line_bytes + 5 * _LOG_EVENT_BYTES
    )
    return _sum(
        _shared(load, figures),
        {
            "http_api_million_requests": callbacks / _MILLION,
            # Each callback is one request to send; a batch is one to receive and one to delete.
            "sqs_million_requests": (callbacks + 2 * batches) / _MILLION,
            "sns_million_publishes": callbacks / _MILLION,
        },
        _idle_queue(),
        _invocations(batches, batch_ms, size),
        _invocations(callbacks, callback_time(figures, size), size),
        _logs(log_bytes),
        _secret_reads(batches, batch_ms),
    )


def callback_time(figures: Figures, memory: int) -> int:
    """Return the milliseconds of a callback: processor time and one request to DynamoDB."""
    return billed_ms(figures.callback_cpu_ms, ASSUMED.dynamodb_ms, memory)


def send_time(figures: Figures, memory: int) -> int:
    """Return the milliseconds of a send: processor time, requests to DynamoDB, and Twilio."""
    waiting = figures.send_requests * ASSUMED.dynamodb_ms + ASSUMED.twilio_ms
    return billed_ms(figures.send_cpu_ms, waiting, memory)


def _shared(load: Workload, figures: Figures) -> Usage:
    """Return what both designs have in common: sending, data, notices, reconciling, monitoring."""
    sends, failures, stale = (load.messages * share for share in (1, load.failed, load.stale))
    size = memory_of("send_message")
    send_ms = send_time(figures, size)
    writes: float = load.messages * (figures.message_units + figures.request_units)
    writes += failures * figures.failure_units
    # A failure reads the message and its incident; a stale message an index entry and itself.
    reads: float = 2 * failures + 2 * stale
    reads += _SWEEPS * figures.sweep_reads + _RECONCILIATIONS * figures.reconcile_reads
    log_bytes = sends * (figures.send_log_bytes + figures.send_log_lines * _LOG_EVENT_BYTES)
    runs = _SWEEPS + _RECONCILIATIONS + (_AUDIT_RUNS if load.audited else 0)
    log_bytes += (runs - _SWEEPS) * ASSUMED.run_log_bytes  # a sweep of nothing logs nothing
    egress = load.messages * (
        ASSUMED.send_egress_bytes + load.callbacks * ASSUMED.callback_egress_bytes
    )
    is_free = figures.dashboard_metrics <= _FREE_DASHBOARD_METRICS
    return _sum(
        {
            "http_api_million_requests": sends / _MILLION,
            "scheduler_million_invocations": runs / _MILLION,
            "dynamodb_million_write_units": writes / _MILLION,
            "dynamodb_million_read_units": reads / _MILLION,
            "sns_million_publishes": failures / _MILLION,
            "metric_month": metric_months(load),
            "alarm_metric_month": figures.alarm_metrics,
            # As many as would be billed: the free tier has three that are small enough.
            "dashboard_month": 1 if is_free else 1 + free_tier()["dashboard_month"],
            "secret_month": 1,
            # The scheduled functions read the secret in each run.
            "secret_million_calls": (runs - _SWEEPS) / _MILLION,
            "transfer_gb": egress / _GIB,
        },
        _invocations(sends, send_ms, size),
        _invocations(failures + runs, ASSUMED.notice_ms, memory_of("notify_failure")),
        _idle_queue(),  # SendQueue
        _logs(log_bytes),
        _secret_reads(sends, send_ms),
        _storage(load, figures),
        _audits(load, figures) if load.audited else {},
        _archive(load) if load.archived else {},
    )


def _audits(load: Workload, figures: Figures) -> Usage:
    """Return the two audits of each day, of which one learns the price of each message."""
    size = memory_of("audit_messages")
    pages = 2 * load.messages / _PAGE_SIZE
    waiting_ms = pages * (ASSUMED.page_ms + _PAGE_SIZE / 100 * ASSUMED.dynamodb_ms)
    waiting_ms += load.messages * ASSUMED.dynamodb_ms / 16  # writes in parallel
    milliseconds = billed_ms(figures.audit_cpu_ms * load.messages, waiting_ms, size)
    return {
        "dynamodb_million_read_units": 2 * load.messages * 0.5 / _MILLION,
        "dynamodb_million_write_units": load.messages * figures.price_units / _MILLION,
        "lambda_gb_second": milliseconds / _MS * size / _MIB_PER_GIB,
    }


def _archive(load: Workload) -> Usage:
    """Return the archive's worst case: every row is a record of its own, in every five minutes."""
    rows = 3 * load.messages
    gib = rows * max(_FIREHOSE_RECORD_BYTES, ASSUMED.archived_row_bytes) / _GIB
    kept = rows * ASSUMED.archived_row_bytes * load.kept_days / _DAYS_PER_MONTH / _GIB
    return _sum(
        {
            "firehose_gb": gib,
            "firehose_conversion_gb": gib,
            "s3_gb_month": kept,
            "s3_million_puts": min(rows, _MINUTES_PER_MONTH / 5) / _MILLION,
        },
        _invocations(rows, ASSUMED.archive_ms, memory_of("publish_outcomes")),
    )


def _invocations(number: float, milliseconds: float, memory: int) -> Usage:
    gb_seconds = number * milliseconds / _MS * memory / _MIB_PER_GIB
    return {"lambda_million_requests": number / _MILLION, "lambda_gb_second": gb_seconds}


def _storage(load: Workload, figures: Figures) -> Usage:
    """Return the messages of `kept_days` and the requests of a month."""
    entries = 3 * (_INDEX_ENTRY_BYTES + _STORAGE_OVERHEAD_BYTES)  # more than a delivered one has
    kept = load.messages * load.kept_days / _DAYS_PER_MONTH
    size = kept * (figures.item_bytes + _STORAGE_OVERHEAD_BYTES + entries)
    size += load.messages * (figures.request_bytes + _STORAGE_OVERHEAD_BYTES)
    return {"dynamodb_gb_month": size / _GIB, "dynamodb_backup_gb_month": size / _GIB}


def _logs(size: float) -> Usage:
    return {"logs_gb": size / _GIB, "logs_gb_month": size / _GIB}


def _idle_queue() -> Usage:
    polls = _MINUTES_PER_MONTH * _POLLERS * _POLLS_PER_MINUTE
    return {"sqs_million_requests": polls / _MILLION}


def _secret_reads(invocations: float, milliseconds: float) -> Usage:
    """Return the reads of the secret: one per environment in five minutes with invocations."""
    busy = invocations * milliseconds / _MS / 60 / _MINUTES_PER_MONTH
    reads = max(1, ceil(busy * ASSUMED.peak)) * _MINUTES_PER_MONTH / 5
    return {"secret_million_calls": min(invocations, reads) / _MILLION}


def _sum(*parts: Mapping[str, float]) -> Usage:
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: sum(part.get(name, 0) for part in parts) for name in names}


# --- metrics --------------------------------------------------------------------------------------

SCHEDULED: Final[Mapping[str, float]] = {
    "ReconcileRun": _RECONCILIATIONS,
    "AuditRun": _AUDIT_RUNS,
    "AuditCorrectedPercent": _AUDITED_DAYS,
}
"""How often a schedule counts a metric, also in an idle stack."""

COUNTED: Final = frozenset(
    {
        *("MessageSent", "TransitionRecorded", "MessageFailed", "TimeToDelivered"),
        *("DuplicateReceived", "OutOfOrderStatusRecorded", "MessageReconciled"),
        *("NoticePublished", "IncidentOpened", "IncidentClosed"),
    }
)
"""Metrics with values in every hour of a month with messages.

All others show problems; a usual month has none.
"""


def metric_months(load: Workload) -> float:
    """Return the custom metrics of a month, each for the share of hours in which it has values."""
    scheduled = {name: min(1.0, times / _HOURS_PER_MONTH) for name, times in SCHEDULED.items()}
    shares = scheduled | dict.fromkeys(COUNTED if load.messages else (), 1.0)
    return sum(shares.get(name, 0.0) for name, _ in counted())


# --- the benchmark --------------------------------------------------------------------------------

_DESIGNS: Final[Mapping[str, Callable[[Workload, Figures], Usage]]] = {
    "this design": ours,
    "queue-first": queue_first,
}


def measure(run: Run) -> Results:
    """Return a month of a million messages, an idle month, and the marginal costs."""
    figures, prices = Figures.of(run.results), prices_in(REGION)
    return keep(
        month(Workload(), figures, prices), idle(figures, prices), _marginal(figures, prices)
    )


def month(load: Workload, figures: Figures, prices: Prices) -> Table:
    """Return both designs by service, and what a million callbacks cost until they are stored."""
    bills = {name: bill(design(load, figures), prices) for name, design in _DESIGNS.items()}
    shared = sum(bill(_shared(load, figures), prices).values())
    million_callbacks = load.messages * load.callbacks / _MILLION
    totals = [sum(it.values()) for it in bills.values()]
    rows = [
        *_rows(*bills.values()),
        (
            "a million callbacks until stored",
            *(f"${(total - shared) / million_callbacks:,.2f}" for total in totals),
        ),
    ]
    return Table(header=(f"a month of {load.messages:,} messages", *bills), rows=rows)


def idle(figures: Figures, prices: Prices) -> Table:
    """Return the month of a stack that sends nothing, with and without the free tier."""
    usage = ours(Workload(messages=0), figures)
    full, free = bill(usage, prices), bill(usage, prices, free_tier())
    return Table(
        header=("a month in which nothing is sent", "dollars", "with the free tier"),
        rows=_rows(full, free),
    )


def _rows(*bills: Dollars) -> list[tuple[str, ...]]:
    """Return a row for each service that costs anything, and the total."""
    services = [it for it in SERVICES if any(bill[it] >= _HALF_A_CENT for bill in bills)]
    totals = (f"**${sum(bill.values()):,.2f}**" for bill in bills)
    return [
        *((it, *(f"${bill[it]:,.2f}" for bill in bills)) for it in services),
        ("**total**", *totals),
    ]


def _marginal(figures: Figures, prices: Prices) -> Table:
    usual = Workload()

    def dollars(**changes: Any) -> float:
        return sum(bill(ours(replace(usual, **changes), figures), prices).values())

    without_messages, base = dollars(messages=0), dollars()
    costs = {
        "a million messages": base - without_messages,
        "one more callback for each of a million messages": dollars(callbacks=4) - base,
        "100,000 failures, each its own incident": dollars(failed=usual.failed + 0.1) - base,
        "100,000 stale messages, reconciled once": dollars(stale=usual.stale + 0.1) - base,
        "400 instead of 30 days of a million messages": base - dollars(kept_days=30),
        "512 instead of 256 MiB for a million messages": _computing(512, figures, prices)
        - _computing(256, figures, prices),
        "the audit of a million messages, twice": base - dollars(audited=False),
        "the archive of a million messages, kept for 400 days": dollars(archived=True) - base,
        "a billion messages, without volume discounts": dollars(messages=1000 * _MILLION)
        - without_messages,
    }
    return Table(
        header=("a month costs", "dollars"),
        rows=[(name, f"${cost:,.2f}") for name, cost in costs.items()],
    )


def _computing(memory: int, figures: Figures, prices: Prices) -> float:
    """Return the dollars of Lambda's time for a million messages."""
    load = Workload()
    callback_ms, send_ms = (time(figures, memory) for time in (callback_time, send_time))
    callbacks = _invocations(load.messages * load.callbacks, callback_ms, memory)
    sends = _invocations(load.messages, send_ms, memory)
    return sum(bill(_sum(callbacks, sends), prices).values())


COST: Final = Benchmark(
    name="cost",
    question="What does a month cost, here and in the queue-first design? Computed.",
    measure=measure,
)
