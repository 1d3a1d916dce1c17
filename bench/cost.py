"""The monthly AWS bill of this design, and of the queue-first design as a comparison.

In the queue-first design, API Gateway puts each callback into SQS, one function publishes it to
SNS, and another writes it to the table. Sending, data and notices are the same, so the difference
is what callbacks cost until they are stored.

Prices are dated data (prices.json) without free tiers and volume discounts. Write units are
counted, processor time and log sizes measured by other benchmarks. `Assumed` holds the rest.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any, Final, Self

from bench.benchmark import AllResults, Benchmark, Results, Run, Table, keep
from bench.write_units import units_in
from simulation.deployment import resources
from tests.support.cloudformation import load_template
from tests.template.counting import counted

_PRICES: Final = Path(__file__).with_name("prices.json")

_MILLION: Final = 1_000_000
_GIB: Final = 1024**3
_MIB_PER_GIB: Final = 1024
_MS: Final = 1000
_MINUTES_PER_MONTH: Final = 30 * 24 * 60
_DAYS_PER_MONTH: Final = 30
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
type Dollars = dict[str, float]
"""By service."""


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
    item_bytes: int
    request_bytes: int
    metrics: int
    alarms: int

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
            item_bytes=last["bytes"],
            request_bytes=requests[-1]["bytes"],
            metrics=len(counted()),
            # An alarm is billed for each of its metrics.
            alarms=sum(
                sum("MetricStat" in it for it in alarm.get("Metrics", [])) or 1
                for alarm in resources("AWS::CloudWatch::Alarm").values()
            ),
        )


@cache
def regions() -> Mapping[str, Prices]:
    """Return the prices by region."""
    content = json.loads(_PRICES.read_text("utf-8"))
    return {
        name: {**content["everywhere"], **prices} for name, prices in content["regions"].items()
    }


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


def compute(invocations: float, milliseconds: float, memory: int, prices: Prices) -> float:
    """Return the dollars for the duration of invocations, without those for their number."""
    gb_seconds = invocations * milliseconds / _MS * memory / _MIB_PER_GIB
    return gb_seconds * prices["lambda_gb_second"]


def ours(load: Workload, figures: Figures, prices: Prices) -> Dollars:
    """Return a month of this design."""
    callbacks = load.messages * load.callbacks
    size = memory_of("status_callback")
    callback_ms = callback_time(figures, size)
    log_bytes = callbacks * (figures.callback_log_bytes + _LOG_EVENT_BYTES)
    return _sum(
        _shared(load, figures, prices),
        {
            "API Gateway": callbacks * prices["http_api_million_requests"] / _MILLION,
            "Lambda": callbacks * prices["lambda_million_requests"] / _MILLION
            + compute(callbacks, callback_ms, size, prices),
            "CloudWatch logs": _logs(log_bytes, prices),
            "SQS": _idle_queue(prices),  # CallbackQueue, which is usually empty
            "Secrets Manager": _secret_reads(callbacks, callback_ms, prices),
        },
    )


def queue_first(load: Workload, figures: Figures, prices: Prices) -> Dollars:
    """Return a month of API Gateway, SQS, Lambda, SNS, Lambda and DynamoDB."""
    callbacks = load.messages * load.callbacks
    size = memory_of("status_callback")
    batches = callbacks / ASSUMED.batch
    batch_ms = billed_ms(
        figures.callback_cpu_ms * ASSUMED.batch, ASSUMED.sns_ms * ASSUMED.batch, size
    )
    write_ms = callback_time(figures, size)
    log_bytes = batches * (ASSUMED.platform_log_bytes + 3 * _LOG_EVENT_BYTES)
    log_bytes += callbacks * (
        ASSUMED.platform_log_bytes + 2 * ASSUMED.log_line_bytes + 5 * _LOG_EVENT_BYTES
    )
    return _sum(
        _shared(load, figures, prices),
        {
            "API Gateway": callbacks * prices["http_api_million_requests"] / _MILLION,
            # Each callback is one request to send; a batch is one to receive and one to delete.
            "SQS": (callbacks + 2 * batches) * prices["sqs_million_requests"] / _MILLION
            + _idle_queue(prices),
            "SNS": callbacks * prices["sns_million_publishes"] / _MILLION,
            "Lambda": (batches + callbacks) * prices["lambda_million_requests"] / _MILLION
            + compute(batches, batch_ms, size, prices)
            + compute(callbacks, write_ms, size, prices),
            "CloudWatch logs": _logs(log_bytes, prices),
            "Secrets Manager": _secret_reads(batches, batch_ms, prices),
        },
    )


def callback_time(figures: Figures, memory: int) -> int:
    """Return the milliseconds of a callback: processor time and one request to DynamoDB."""
    return billed_ms(figures.callback_cpu_ms, ASSUMED.dynamodb_ms, memory)


def send_time(figures: Figures, memory: int) -> int:
    """Return the milliseconds of a send: processor time, requests to DynamoDB, and Twilio."""
    waiting = figures.send_requests * ASSUMED.dynamodb_ms + ASSUMED.twilio_ms
    return billed_ms(figures.send_cpu_ms, waiting, memory)


def _shared(load: Workload, figures: Figures, prices: Prices) -> Dollars:
    """Return what both designs have in common: sending, data, notices, reconciling, monitoring."""
    sends, failures, stale = (load.messages * share for share in (1, load.failed, load.stale))
    size = memory_of("send_message")
    send_ms = send_time(figures, size)
    writes: float = load.messages * (figures.message_units + figures.request_units)
    writes += failures * figures.failure_units
    # A failure reads the message and its incident; a stale message an index entry and itself.
    reads: float = 2 * failures + 2 * stale
    # The sweep runs every minute and reads a page of two indexes; reconciliation runs every five
    # minutes and queries 16 keys of two indexes.
    runs = _MINUTES_PER_MONTH * (1 + 1 / 5)
    reads += _MINUTES_PER_MONTH * (2 + 2 * 16 / 5) / 2
    log_bytes = sends * (figures.send_log_bytes + figures.send_log_lines * _LOG_EVENT_BYTES)
    egress = load.messages * (
        ASSUMED.send_egress_bytes + load.callbacks * ASSUMED.callback_egress_bytes
    )
    return {
        "API Gateway": sends * prices["http_api_million_requests"] / _MILLION,
        "Lambda": (sends + failures + runs) * prices["lambda_million_requests"] / _MILLION
        + compute(sends, send_ms, size, prices)
        + compute(failures + runs, ASSUMED.notice_ms, memory_of("notify_failure"), prices),
        "DynamoDB writes and reads": writes * prices["dynamodb_million_write_units"] / _MILLION
        + reads * prices["dynamodb_million_read_units"] / _MILLION,
        "DynamoDB storage and backups": _storage(load, figures, prices),
        "SQS": _idle_queue(prices),  # SendQueue
        "SNS": failures * prices["sns_million_publishes"] / _MILLION,
        "CloudWatch logs": _logs(log_bytes, prices),
        "CloudWatch metrics and alarms": figures.metrics * prices["metric_month"]
        + figures.alarms * prices["alarm_month"]
        + prices["dashboard_month"],
        "Secrets Manager": prices["secret_month"] + _secret_reads(sends, send_ms, prices),
        "Data transfer": egress / _GIB * prices["transfer_gb"],
    }


def _storage(load: Workload, figures: Figures, prices: Prices) -> float:
    """Return the dollars for the messages of `kept_days` and the requests of a month."""
    entries = 3 * (_INDEX_ENTRY_BYTES + _STORAGE_OVERHEAD_BYTES)  # more than a delivered one has
    kept = load.messages * load.kept_days / _DAYS_PER_MONTH
    size = kept * (figures.item_bytes + _STORAGE_OVERHEAD_BYTES + entries)
    size += load.messages * (figures.request_bytes + _STORAGE_OVERHEAD_BYTES)
    return size / _GIB * (prices["dynamodb_gb_month"] + prices["dynamodb_backup_gb_month"])


def _logs(size: float, prices: Prices) -> float:
    return size / _GIB * (prices["logs_gb"] + prices["logs_gb_month"])


def _idle_queue(prices: Prices) -> float:
    polls = _MINUTES_PER_MONTH * _POLLERS * _POLLS_PER_MINUTE
    return polls * prices["sqs_million_requests"] / _MILLION


def _secret_reads(invocations: float, milliseconds: float, prices: Prices) -> float:
    """Return the dollars of reads: one per environment in five minutes."""
    busy = invocations * milliseconds / _MS / 60 / _MINUTES_PER_MONTH
    environments = max(1, ceil(busy * ASSUMED.peak))
    return environments * _MINUTES_PER_MONTH / 5 * prices["secret_million_calls"] / _MILLION


def _sum(*parts: Mapping[str, float]) -> Dollars:
    services = dict.fromkeys(service for part in parts for service in part)
    return {service: sum(part.get(service, 0) for part in parts) for service in services}


# --- the benchmark --------------------------------------------------------------------------------

_DESIGNS: Final[Mapping[str, Callable[[Workload, Figures, Prices], Dollars]]] = {
    "this design": ours,
    "queue-first": queue_first,
}


def measure(run: Run) -> Results:
    """Return a month of a million messages, and the marginal costs."""
    figures, prices = Figures.of(run.results), prices_in(REGION)
    return keep(month(Workload(), figures, prices), _marginal(figures, prices))


def month(load: Workload, figures: Figures, prices: Prices) -> Table:
    """Return both designs by service, and what a million callbacks cost until they are stored."""
    bills = {name: design(load, figures, prices) for name, design in _DESIGNS.items()}
    services = dict.fromkeys(service for bill in bills.values() for service in bill)
    shared = sum(_shared(load, figures, prices).values())
    million_callbacks = load.messages * load.callbacks / _MILLION
    totals = [sum(bill.values()) for bill in bills.values()]
    rows = [
        *((it, *(f"${bill.get(it, 0):,.2f}" for bill in bills.values())) for it in services),
        ("**total**", *(f"**${total:,.2f}**" for total in totals)),
        (
            "a million callbacks until stored",
            *(f"${(total - shared) / million_callbacks:,.2f}" for total in totals),
        ),
    ]
    return Table(header=(f"a month of {load.messages:,} messages", *bills), rows=rows)


def _marginal(figures: Figures, prices: Prices) -> Table:
    usual = Workload()

    def dollars(**changes: Any) -> float:
        return sum(ours(replace(usual, **changes), figures, prices).values())

    idle, base = dollars(messages=0), dollars()
    costs = {
        "nothing is sent: metrics, alarms, schedules, idle queues": idle,
        "a million messages": base - idle,
        "one more callback for each of a million messages": dollars(callbacks=4) - base,
        "100,000 failures, each its own incident": dollars(failed=usual.failed + 0.1) - base,
        "100,000 stale messages, reconciled once": dollars(stale=usual.stale + 0.1) - base,
        "400 instead of 30 days of a million messages": base - dollars(kept_days=30),
        "512 instead of 256 MiB for a million messages": _computing(512, figures, prices)
        - _computing(256, figures, prices),
        "a billion messages, without volume discounts": dollars(messages=1000 * _MILLION) - idle,
    }
    return Table(
        header=("a month costs", "dollars"),
        rows=[(name, f"${cost:,.2f}") for name, cost in costs.items()],
    )


def _computing(memory: int, figures: Figures, prices: Prices) -> float:
    """Return the dollars of Lambda's time for a million messages."""
    load = Workload()
    callback_ms, send_ms = (time(figures, memory) for time in (callback_time, send_time))
    callbacks = compute(load.messages * load.callbacks, callback_ms, memory, prices)
    return callbacks + compute(load.messages, send_ms, memory, prices)


COST: Final = Benchmark(
    name="cost",
    question="What does a month cost, here and in the queue-first design? Computed.",
    measure=measure,
)
