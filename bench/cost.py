"""What a month costs at AWS: this design, and the usual one that it is measured against.

The usual one: API Gateway puts each callback into SQS, a function takes it from there and publishes
it to SNS, and another function writes what SNS hands it. Both send with the same function, keep the
same item and tell people alike, so what differs is the way of a callback.

Prices are data with their date and sources (prices.json), without free tiers and without discounts
for volume. Write units are counted, processor time, lines and bytes of logs are measured by the
other benchmarks. What none of them can know is in `Assumed`, each with its reason.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any, Final, Self

from bench.benchmark import Benchmark, Known, Results, Run, Table
from bench.life import units_in
from bench.plot import Bar, bars
from simulation.deployment import resources
from tests.cloudformation import load_template
from tests.template.counting import counted

_PRICES: Final = Path(__file__).with_name("prices.json")

_MILLION: Final = 1_000_000
_GIB: Final = 1024**3
_MIB_OF_A_GIB: Final = 1024
_MS: Final = 1000
_MINUTES_OF_A_MONTH: Final = 30 * 24 * 60
_DAYS_OF_A_MONTH: Final = 30
_WORDS_OF_ITS_OWN: Final = 100
"""Bytes that DynamoDB adds to each item, in the table and in each index, where it is stored.

Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
"""
_ENTRY_BYTES: Final = 140
"""An entry of an index: its two keys, and the message's."""
_LOG_EVENT_BYTES: Final = 26
"""What CloudWatch adds to each line.

Source: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
"""
_MIB_OF_A_PROCESSOR: Final = 1769
"""With so much memory a function has one processor, with less its part of one.

Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
"""
_POLLERS: Final = 5
_POLLS_A_MINUTE: Final = 3
"""Lambda looks into an idle queue with five pollers, each for twenty seconds at a time.

Source: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
"""

MEMORY_CHOICES: Final = (128, 256, 512, 1024, 1769)
REGION: Final = "us-east-1"
_SHOWN: Final = 1
"""Dollars: what costs less is one piece of the plot."""
_FIXED: Final = "CloudWatch metrics and alarms"

type Prices = Mapping[str, float]
type Dollars = dict[str, float]
"""By service."""


class UnknownRegion(ValueError):
    """There are no prices for it in prices.json."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A month: how many messages, and what becomes of them."""

    messages: int = _MILLION
    callbacks: float = 3
    """For each message; through a Messaging Service: queued, sent and delivered."""
    failed: float = 0.03
    """The share of messages that fail; each is told alone, which is the worst case."""
    quiet: float = 0.01
    """The share about which Twilio has to be asked."""
    kept_days: float = 400
    """MessageRetentionDays. Storage is that of a table at its full size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumed:
    """What cannot be measured without AWS and Twilio."""

    dynamodb_ms: float = 5
    """A request to DynamoDB, of which AWS says single-digit milliseconds."""
    twilio_ms: float = 200
    """A request to Twilio with its handshake."""
    other_ms: float = 15
    """A request to SNS."""
    platform_log_bytes: int = 600
    """Lambda's own three lines for each invocation, as JSON, where nobody turns them off."""
    log_line_bytes: int = 250
    """A line of the other design's functions."""
    sent_out_bytes: int = 2_500
    """What leaves AWS for each send: the request to Twilio with its handshake, and our answer."""
    answered_bytes: int = 200
    """What leaves AWS for each callback: the answer."""
    batch: int = 5
    """How many callbacks the other design's function takes from SQS at once."""
    peak: float = 5
    """How much busier the busiest minutes are than the average."""


_ASSUMED: Final = Assumed()
_OTHERS_TAKE_MS: Final = 100
"""A notice, or a run that finds nothing to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was counted and measured of this design."""

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
    """Write units that a failure costs beyond those of a message that is delivered."""
    item_bytes: int
    request_bytes: int
    metrics: int
    alarms: int

    @classmethod
    def of(cls, known: Known) -> Self:
        """From the results of the other benchmarks.

        Raises:
            KeyError: one of them was never run.
        """
        warm, delivered, failed = known["warm_path"], *known["life"].values()
        logged = warm["logged"]
        by_name = {write["name"]: write for write in delivered["writes"]}
        last = delivered["writes"][-1]
        a_good_end = units_in({"writes": [failed["writes"][0], last]})
        return cls(
            callback_cpu_ms=warm["handled_cpu"]["median"] / _MS,
            send_cpu_ms=warm["sent_cpu"]["median"],
            callback_log_bytes=logged["status_callback"]["bytes"],
            send_log_bytes=logged["send_message"]["bytes"],
            send_log_lines=logged["send_message"]["lines"],
            message_units=units_in(delivered, "MessagesTable"),
            request_units=units_in(delivered, "SendRequestsTable"),
            send_requests=sum("callback" not in name for name in by_name),
            failure_units=units_in(failed) - a_good_end,
            item_bytes=last["bytes"],
            request_bytes=by_name["settle the key"]["bytes"],
            metrics=len(counted()),
            alarms=sum(
                len(resources(f"AWS::CloudWatch::{kind}")) for kind in ("Alarm", "CompositeAlarm")
            ),
        )


@cache
def regions() -> Mapping[str, Prices]:
    """The prices of each region."""
    content = json.loads(_PRICES.read_text("utf-8"))
    return {
        name: {**content["everywhere"], **prices} for name, prices in content["regions"].items()
    }


def prices_in(region: str) -> Prices:
    """The prices of a region.

    Raises:
        UnknownRegion: there are none; the message says of which there are.
    """
    if region not in regions():
        raise UnknownRegion(
            f"prices.json has no prices of {region}, but of {', '.join(regions())}; add them there"
        )
    return regions()[region]


def memory_of(function: str) -> int:
    """What the template gives it, in MiB."""
    words = "".join(word.capitalize() for word in function.split("_"))
    shared = load_template()["Globals"]["Function"]["MemorySize"]
    own = resources("AWS::Serverless::Function")[f"{words}Function"]
    return int(own.get("MemorySize", shared))


def billed_ms(cpu_ms: float, waiting_ms: float, memory: int) -> int:
    """What an invocation takes with so much memory: less of it is less of a processor."""
    return ceil(cpu_ms / min(memory / _MIB_OF_A_PROCESSOR, 1) + waiting_ms)


def compute(invocations: float, milliseconds: float, memory: int, prices: Prices) -> float:
    """Dollars for the time of a function; its requests are apart."""
    gb_seconds = invocations * milliseconds / _MS * memory / _MIB_OF_A_GIB
    return gb_seconds * prices["lambda_gb_second"]


def ours(
    load: Workload,
    figures: Figures,
    prices: Prices,
    assumed: Assumed = _ASSUMED,
) -> Dollars:
    """A month of this design."""
    callbacks = load.messages * load.callbacks
    size = memory_of("status_callback")
    callback_ms = callback_time(figures, assumed, size)
    shared = _shared(load, figures, prices, assumed)
    log_bytes = callbacks * (figures.callback_log_bytes + _LOG_EVENT_BYTES)
    return _sum(
        shared,
        {
            "API Gateway": callbacks * prices["http_api_million_requests"] / _MILLION,
            "Lambda": callbacks * prices["lambda_million_requests"] / _MILLION
            + compute(callbacks, callback_ms, size, prices),
            "CloudWatch logs": _logs(log_bytes, prices),
            "SQS": _idle_queue(prices),  # CallbackQueue, empty while the table is well
            "Secrets Manager": _secret(callbacks, callback_ms, assumed, prices),
        },
    )


def alternative(
    load: Workload,
    figures: Figures,
    prices: Prices,
    assumed: Assumed = _ASSUMED,
) -> Dollars:
    """A month of API Gateway, SQS, Lambda, SNS, Lambda and DynamoDB."""
    callbacks = load.messages * load.callbacks
    size = memory_of("status_callback")
    batches = callbacks / assumed.batch
    takes_ms = billed_ms(
        figures.callback_cpu_ms * assumed.batch, assumed.other_ms * assumed.batch, size
    )
    writes_ms = callback_time(figures, assumed, size)
    log_bytes = batches * (assumed.platform_log_bytes + 3 * _LOG_EVENT_BYTES)
    log_bytes += callbacks * (
        assumed.platform_log_bytes + 2 * assumed.log_line_bytes + 5 * _LOG_EVENT_BYTES
    )
    return _sum(
        _shared(load, figures, prices, assumed),
        {
            "API Gateway": callbacks * prices["http_api_million_requests"] / _MILLION,
            # Each callback goes in by itself; a batch is received and deleted in two requests.
            "SQS": (callbacks + 2 * batches) * prices["sqs_million_requests"] / _MILLION
            + _idle_queue(prices),
            "SNS": callbacks * prices["sns_million_publishes"] / _MILLION,
            "Lambda": (batches + callbacks) * prices["lambda_million_requests"] / _MILLION
            + compute(batches, takes_ms, size, prices)
            + compute(callbacks, writes_ms, size, prices),
            "CloudWatch logs": _logs(log_bytes, prices),
            "Secrets Manager": _secret(batches, takes_ms, assumed, prices),
        },
    )


def callback_time(figures: Figures, assumed: Assumed, memory: int) -> int:
    """Milliseconds of a callback: its processor time, and one request to DynamoDB."""
    return billed_ms(figures.callback_cpu_ms, assumed.dynamodb_ms, memory)


def send_time(figures: Figures, assumed: Assumed, memory: int) -> int:
    """Milliseconds of a send: its processor time, its requests to DynamoDB, and Twilio."""
    waiting = figures.send_requests * assumed.dynamodb_ms + assumed.twilio_ms
    return billed_ms(figures.send_cpu_ms, waiting, memory)


def _shared(load: Workload, figures: Figures, prices: Prices, assumed: Assumed) -> Dollars:
    """What both designs do alike: sending, the item, telling of failures, asking, watching."""
    sends, failures, quiet = (load.messages * share for share in (1, load.failed, load.quiet))
    size = memory_of("send_message")
    send_ms = send_time(figures, assumed, size)
    writes: float = load.messages * (figures.message_units + figures.request_units)
    writes += failures * figures.failure_units
    # A failure reads the message and its episode; a quiet message an entry of an index and itself.
    reads: float = 2 * failures + 2 * quiet
    # Every minute a sweep, every five a run that asks; each looks into the 16 parts of its indexes.
    runs = _MINUTES_OF_A_MONTH * (1 + 1 / 5)
    reads += _MINUTES_OF_A_MONTH * (2 * 16 + 2 * 16 / 5) / 2
    sent_bytes = sends * (figures.send_log_bytes + figures.send_log_lines * _LOG_EVENT_BYTES)
    out = load.messages * (assumed.sent_out_bytes + load.callbacks * assumed.answered_bytes)
    return {
        "API Gateway": sends * prices["http_api_million_requests"] / _MILLION,
        "Lambda": (sends + failures + runs) * prices["lambda_million_requests"] / _MILLION
        + compute(sends, send_ms, size, prices)
        + compute(failures + runs, _OTHERS_TAKE_MS, memory_of("notify_failure"), prices),
        "DynamoDB writes and reads": writes * prices["dynamodb_million_write_units"] / _MILLION
        + reads * prices["dynamodb_million_read_units"] / _MILLION,
        "DynamoDB storage and backups": _storage(load, figures, prices),
        "SQS": _idle_queue(prices),  # SendQueue
        "SNS": failures * prices["sns_million_publishes"] / _MILLION,
        "CloudWatch logs": _logs(sent_bytes, prices),
        _FIXED: figures.metrics * prices["metric_month"]
        + figures.alarms * prices["alarm_month"]
        + prices["dashboard_month"],
        "Secrets Manager": prices["secret_month"] + _secret(sends, send_ms, assumed, prices),
        "Data transfer": out / _GIB * prices["transfer_gb"],
    }


def _storage(load: Workload, figures: Figures, prices: Prices) -> float:
    """A table that holds the messages of `kept_days`, and the requests of a month."""
    lists = 3 * (_ENTRY_BYTES + _WORDS_OF_ITS_OWN)  # more than a message that has ended is on
    kept = load.messages * load.kept_days / _DAYS_OF_A_MONTH
    size = kept * (figures.item_bytes + _WORDS_OF_ITS_OWN + lists)
    size += load.messages * (figures.request_bytes + _WORDS_OF_ITS_OWN)
    return size / _GIB * (prices["dynamodb_gb_month"] + prices["dynamodb_backup_gb_month"])


def _logs(size: float, prices: Prices) -> float:
    return size / _GIB * (prices["logs_gb"] + prices["logs_gb_month"])


def _idle_queue(prices: Prices) -> float:
    polls = _MINUTES_OF_A_MONTH * _POLLERS * _POLLS_A_MINUTE
    return polls * prices["sqs_million_requests"] / _MILLION


def _secret(invocations: float, milliseconds: float, assumed: Assumed, prices: Prices) -> float:
    """Each environment reads it every five minutes; there are as many as are busy at once."""
    busy = invocations * milliseconds / _MS / 60 / _MINUTES_OF_A_MONTH
    environments = max(1, ceil(busy * assumed.peak))
    return environments * _MINUTES_OF_A_MONTH / 5 * prices["secret_million_calls"] / _MILLION


def _sum(*parts: Mapping[str, float]) -> Dollars:
    services = dict.fromkeys(service for part in parts for service in part)
    return {service: sum(part.get(service, 0) for part in parts) for service in services}


# --- the benchmark --------------------------------------------------------------------------------


def measure(run: Run) -> Results:
    """A month of a million messages, and what each size of memory would make of it."""
    figures, prices, assumed = Figures.of(run.known), prices_in(REGION), _ASSUMED
    return {
        "prices_of": json.loads(_PRICES.read_text("utf-8"))["as_of"],
        "region": REGION,
        **month(Workload(), figures, prices),
        "memory": {
            str(size): {
                "callback_ms": callback_time(figures, assumed, size),
                "callbacks": _rounded(
                    compute(_MILLION, callback_time(figures, assumed, size), size, prices)
                ),
                "send_ms": send_time(figures, assumed, size),
                "sends": _rounded(
                    compute(_MILLION, send_time(figures, assumed, size), size, prices)
                ),
            }
            for size in MEMORY_CHOICES
        },
    }


def month(load: Workload, figures: Figures, prices: Prices) -> Results:
    """Both designs by service, and what a million callbacks cost on their way in each."""
    callbacks = load.messages * load.callbacks / _MILLION
    alike = sum(_shared(load, figures, prices, _ASSUMED).values())
    return {
        "way_of_a_million_callbacks": {
            name: _rounded((sum(design(load, figures, prices).values()) - alike) / callbacks)
            for name, design in (("ours", ours), ("alternative", alternative))
        },
        "messages": load.messages,
        "ours": {name: _rounded(it) for name, it in ours(load, figures, prices).items()},
        "alternative": {
            name: _rounded(it) for name, it in alternative(load, figures, prices).items()
        },
    }


def _rounded(dollars: float) -> float:
    return round(dollars, 2)


def tables(known: Known) -> Sequence[Table]:
    """A month by service, and the sizes of memory."""
    found = known[COST.name]
    memory = [
        (
            f"{size} MiB",
            f"{it['callback_ms']} ms",
            f"${it['callbacks']:.2f}",
            f"{it['send_ms']} ms",
            f"${it['sends']:.2f}",
        )
        for size, it in found["memory"].items()
    ]
    return [
        table_of(found),
        Table(
            header=(
                "memory",
                "a callback",
                "compute of a million callbacks",
                "a send",
                "compute of a million sends",
            ),
            rows=memory,
        ),
    ]


def table_of(found: Mapping[str, Any]) -> Table:
    """Dollars by service, together, and on the way of callbacks alone."""
    here, there = found["ours"], found["alternative"]
    way = found["way_of_a_million_callbacks"]
    rows = [
        *((service, here.get(service, 0), there[service]) for service in there),
        ("**together**", sum(here.values()), sum(there.values())),
        ("of it, what a million callbacks cost on their way", way["ours"], way["alternative"]),
    ]
    return Table(
        header=(f"a month of {found['messages']:,} messages", "this design", "the usual one"),
        rows=[(name, f"${mine:,.2f}", f"${theirs:,.2f}") for name, mine, theirs in rows],
    )


def drawn(known: Known) -> str:
    """The dollars of both designs, by service, without what is paid whether or not one sends."""
    found = known[COST.name]
    services = [name for name in found["alternative"] if name != _FIXED]
    shown = [name for name in services if found["alternative"][name] >= _SHOWN]
    rows = []
    for name, design in (("this design", found["ours"]), ("the usual one", found["alternative"])):
        whole = sum(design.get(service, 0) for service in services)
        parts = [design.get(service, 0) for service in shown]
        rows.append(Bar(name=name, parts=[*parts, whole - sum(parts)], value=f"${whole:,.0f}"))
    title = f"Dollars for {found['messages']:,} messages, without metrics and alarms"
    return bars(title, rows, parts=[*shown, "the rest"])


COST: Final = Benchmark(
    name="cost",
    title="Cost",
    question="What does a month cost, here and in the usual design? Reckoned from the others.",
    measure=measure,
    tables=tables,
    plots={"cost.svg": drawn},
)
