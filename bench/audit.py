"""What the audit of a large day takes: requests, units, processor time, memory.

The function's own auditor runs on stand-ins that make a day's messages when they are asked for, in
Twilio's list and in the MessagesTable, so that their memory does not grow with the day. Each day is
audited in a process of its own, whose memory is the auditor's. In the first audit of a day every
message gets its price; in the second one, few messages differ.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from math import ceil
from multiprocessing import get_context
from pathlib import Path
from threading import Lock
from typing import Any, Final, override
from urllib.parse import parse_qs

import requests
from requests.adapters import BaseAdapter

from bench import wiring
from bench.benchmark import Benchmark, Results, Run, Table
from bench.capacity import read_units
from bench.counting import CountingDynamoDb
from delivery.domain.audits import AuditResult
from delivery.domain.messages import Source
from sandbox.twilio.resource import Message, message_document
from simulation.fakes.errors import EXCEPTIONS
from tests.support.builders import NOON, an_update
from tests.support.virtual_twilio import ACCOUNT_SID, MESSAGES, a_response

PAGE_SIZE: Final = 1000
DAY: Final = date(2026, 11, 23)
_SMALL: Final = 10_000
_LARGE: Final = 1_000_000
_QUICK_LARGE: Final = 20_000
_DIFFERING: Final = 100
"""In the second audit, one message in so many differs."""
_PRICE: Final = "-0.00790"
_PAGE_SECONDS: Final = 1.5
_REQUEST_SECONDS: Final = 0.006
"""Of a page of Twilio's list and a request to DynamoDB in a deployed stack, about."""
_WRITERS: Final = 16

_ANY_SID: Final = "SM" + "x" * 32
_RESOURCE: Final = json.dumps(
    message_document(
        Message(
            sid=_ANY_SID,
            account_sid=ACCOUNT_SID,
            to="+15558675310",
            sender="+15557654321",
            messaging_service_sid=None,
            body="Your order 4711 is on its way and arrives tomorrow between 9 and 12.",
            status="delivered",
            created=NOON,
            updated=NOON,
            sent=NOON,
            num_segments=1,
            price=_PRICE,
        )
    )
)
"""A delivered message as Twilio lists it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A day of the main account: how many messages, and which of them lack their price."""

    messages: int
    one_differs_in: int
    age_days: int


def _resident_mib() -> float:
    """Return the resident memory; the peak would include what the process had before exec."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


class _Clock:
    """Processor time in the stand-ins, over all threads."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._lock = Lock()

    @contextmanager
    def measured(self) -> Iterator[None]:
        began = time.thread_time()
        try:
            yield
        finally:
            with self._lock:
                self.seconds += time.thread_time() - began


class TwilioList(BaseAdapter):
    """Stands in for Twilio's list of the day, page by page."""

    def __init__(self, day: Day, clock: _Clock) -> None:
        super().__init__()
        self.requests = 0
        self.memory: list[float] = []
        """The memory that the process holds at each page, in MiB."""
        self._day = day
        self._clock = clock

    @override
    def send(
        self, request: requests.PreparedRequest, *_args: Any, **_kwargs: Any
    ) -> requests.Response:
        with self._clock.measured():
            self.requests += 1
            self.memory.append(_resident_mib())
            query = parse_qs(str(request.path_url).partition("?")[2])
            assert query["PageSize"] == [str(PAGE_SIZE)], query
            return a_response(200, self._page(int(query.get("Page", ["0"])[0])))

    @override
    def close(self) -> None:
        """Keep nothing open."""

    def _page(self, number: int) -> bytes:
        first, end = number * PAGE_SIZE, min((number + 1) * PAGE_SIZE, self._day.messages)
        following = None
        if end < self._day.messages:
            following = f"{MESSAGES}.json?PageSize={PAGE_SIZE}&Page={number + 1}&PageToken=PASM"
        messages = (_RESOURCE.replace(_ANY_SID, f"SM{it:032x}") for it in range(first, end))
        entries = ", ".join(messages)
        return f'{{"messages": [{entries}], "next_page_uri": {json.dumps(following)}}}'.encode()


@dataclass(slots=True)
class TablesOfDay:
    """Stands in for DynamoDB: the ControlTable in memory, the day's messages made on demand."""

    day: Day
    clock: _Clock
    requests: dict[str, int] = field(default_factory=dict)
    read_units: float = 0.0
    write_units: int = 0
    written: int = 0
    exceptions: Any = EXCEPTIONS
    control: CountingDynamoDb = field(default_factory=CountingDynamoDb)
    _item: dict[str, Any] = field(init=False)
    _lock: Any = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self._item = _delivered_item()

    def __getattr__(self, operation: str) -> Callable[..., dict[str, Any]]:
        return lambda **arguments: self._perform(operation, arguments)

    def _perform(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        with self.clock.measured(), self._lock:
            self.requests[operation] = self.requests.get(operation, 0) + 1
            match operation:
                case "batch_get_item":
                    return self._batch_get(arguments["RequestItems"]["MessagesTable"])
                case "update_item":
                    return self._update(arguments)
                case _:
                    perform: Callable[..., dict[str, Any]] = getattr(self.control, operation)
                    return perform(**arguments)

    def _batch_get(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        items = [self._message(key["message_sid"]["S"]) for key in asked["Keys"]]
        # All items are of one size, but for the price.
        one = read_units(self._item, is_consistent=bool(asked.get("ConsistentRead")))
        self.read_units += one * len(items)
        return {"Responses": {"MessagesTable": items}, "UnprocessedKeys": {}}

    def _update(self, arguments: dict[str, Any]) -> dict[str, Any]:
        one = CountingDynamoDb()
        item = self._message(arguments["Key"]["message_sid"]["S"])
        one.tables["MessagesTable"].put(arguments["Key"], item)
        try:
            return one.update_item(**arguments)
        finally:
            self.written += 1
            self.write_units += sum(write.units.all for write in one.writes)

    def _message(self, message_sid: str) -> dict[str, Any]:
        item = self._item | {"message_sid": {"S": message_sid}}
        if int(message_sid.removeprefix("SM"), 16) % self.day.one_differs_in == 0:
            del item["price"], item["price_unit"]
        return item


def _delivered_item() -> dict[str, Any]:
    """Return the item of a delivered message with its price, as the stores write it."""
    counting = CountingDynamoDb()
    store = wiring.message_store(counting)
    known: dict[str, Any] = {
        "account_sid": ACCOUNT_SID,
        "to": "+15558675310",
        "from_": "+15557654321",
    }
    store.record(an_update("queued", source=Source.SEND, reference="order-4711", **known))
    store.record(an_update("sent", after=1, **known))
    priced: dict[str, Any] = {"num_segments": "1", "price": _PRICE, "price_unit": "USD"}
    store.record(an_update("delivered", after=2, **known))
    store.record(an_update("delivered", after=3, source=Source.AUDIT, **known, **priced))
    (item,) = counting.tables["MessagesTable"].items()
    return dict(item)


def audit(day: Day) -> Results:
    """Audit a day; returns what it took. Runs in a process of its own."""
    clock = _Clock()
    twilio, tables = TwilioList(day, clock), TablesOfDay(day, clock)
    began, began_cpu = time.perf_counter(), time.process_time()
    result = wiring.audit(tables, twilio, DAY, now=NOON + timedelta(days=day.age_days))
    cpu = time.process_time() - began_cpu - clock.seconds
    _check(result, day, tables)
    memory = twilio.memory
    reads = tables.requests["batch_get_item"]
    deployed = (
        twilio.requests * _PAGE_SECONDS
        + reads * _REQUEST_SECONDS
        + ceil(tables.written / _WRITERS) * _REQUEST_SECONDS
    )
    return {
        "messages": day.messages,
        "twilio_requests": twilio.requests,
        "requests": dict(sorted(tables.requests.items())),
        "read_units": tables.read_units,
        "written": tables.written,
        "write_units": tables.write_units,
        "control_write_units": sum(it.units.all for it in tables.control.writes),
        "cpu_seconds": round(cpu, 2),
        "wall_seconds": round(time.perf_counter() - began, 1),
        "waiting_seconds": round(deployed),
        "memory": [round(memory[len(memory) // 10], 1), round(max(memory), 1)],
    }


def _check(result: AuditResult, day: Day, tables: TablesOfDay) -> None:
    """Check that the audit did its work: it read every message and wrote each that differs."""
    differing = ceil(day.messages / day.one_differs_in)
    assert (result.messages, result.known) == (day.messages, day.messages), result
    assert result.corrected["price"] == tables.written == differing, result
    assert not result.differences, result


def measure(run: Run) -> Results:
    """Return the first audit of a usual day and the second one of a large day."""
    days = {
        "first": Day(messages=_SMALL, one_differs_in=1, age_days=1),
        "second": Day(
            messages=_QUICK_LARGE if run.quick else _LARGE, one_differs_in=_DIFFERING, age_days=5
        ),
    }
    results = {}
    for name, day in days.items():
        run.log(f"{name} audit of a day of {day.messages:,} messages")
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as processes:
            results[name] = processes.submit(audit, day).result()
    return results


def tables(results: Results) -> list[Table]:
    """Return one column for each audit."""
    audits = {name: results[name] for name in ("first", "second")}
    header = [
        f"{name} audit of a day of {it['messages']:,} messages" for name, it in audits.items()
    ]
    columns = [_column(it) for it in audits.values()]
    rows = [(name, *(column[name] for column in columns)) for name in columns[0]]
    return [Table(header=("", *header), rows=rows)]


def _column(it: Results) -> dict[str, str]:
    thousands = it["messages"] / 1000
    milliseconds = it["cpu_seconds"] * 1000
    return {
        "messages that differ, each written once": f"{it['written']:,}",
        "requests to Twilio": f"{it['twilio_requests']:,}",
        "requests to Twilio per 1,000 messages": f"{it['twilio_requests'] / thousands:.3f}",
        "BatchGetItem requests": f"{it['requests']['batch_get_item']:,}",
        "read units per message": f"{it['read_units'] / it['messages']:.2f}",
        "UpdateItem requests": f"{it['requests']['update_item']:,}",
        "write units per message that differs": f"{it['write_units'] / it['written']:.2f}",
        "write units of the saved progress": f"{it['control_write_units']:,}",
        "processor time per 1,000 messages": f"{milliseconds / thousands:.0f} ms",
        "waiting for Twilio and DynamoDB": f"about {it['waiting_seconds']:,} s",
        "memory after a tenth of the day": f"{it['memory'][0]:.0f} MiB",
        "the most memory": f"{it['memory'][1]:.0f} MiB",
    }


AUDIT: Final = Benchmark(
    name="audit",
    question="What does the audit of a large day take? Counted, with processor time and memory.",
    measure=measure,
    tables=tables,
)
