"""What it takes to ask about ten thousand quiet messages: requests, time and memory.

The project's own reconciling runs against tables in memory that behave as the template says, and
against the simulator, which has every message. Requests and units are counted; only the time and
the memory are this machine's.
"""

import json
import tracemalloc
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from math import ceil
from time import perf_counter
from typing import Any, Final, override
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from bench.benchmark import Benchmark, Known, Results, Run, Table
from bench.write_units import item_bytes, units_of
from delivery.domain.messages import Message, Source, StatusUpdate, Timings
from delivery.storage.messages import MessageStore
from delivery.storage.send_requests import SendRequestStore
from delivery.twilio.client import TwilioClient
from delivery.twilio.credentials import TwilioSecret
from functions.reconcile_messages.reconcile import Reconciler
from simulation.account import empty_tables
from simulation.deployment import resources
from simulation.fakes import dynamodb
from simulation.fakes.errors import EXCEPTIONS
from tests.support.virtual_twilio import ACCOUNT_SID, AUTH_TOKEN, VirtualTwilio

_MESSAGES: Final = 10_000
_QUICK_MESSAGES: Final = 500
_PAGE_BYTES: Final = 100  # of an entry of an index; DynamoDB gives a MiB at a time
_ITEMS_OF_A_PAGE: Final = 1024 * 1024 // _PAGE_BYTES
_TWILIO: Final = "http://twilio.invalid"
_LIFETIMES: Final = Timings()

# What a request takes where it is deployed, for the estimate of a run.
_WRITE_SECONDS: Final = 0.006
_LIST_SECONDS: Final = 1.5
_FETCH_SECONDS: Final = 0.15


@dataclass(slots=True)
class Quiet:
    """Messages of which nobody heard for an hour, and what asking about them took."""

    messages: int
    asked: Counter[str] = field(default_factory=Counter)
    """Requests to DynamoDB by operation, and to Twilio: `list` and `fetch`."""
    read_units: float = 0.0
    write_units: int = 0
    seconds: float = 0.0
    held_bytes: int = 0
    """Of memory, by the messages that it works on at a time."""
    outcomes: Counter[str] = field(default_factory=Counter)


class _Tables:
    """In a DynamoDB client's place: tables in memory, and what was asked of them."""

    exceptions = EXCEPTIONS

    def __init__(self, quiet: Quiet) -> None:
        self.quiet = quiet
        self.counts = False
        self.tables = empty_tables()
        self._fake = dynamodb.DynamoDb(self.tables, page_size=_ITEMS_OF_A_PAGE)

    def __getattr__(self, operation: str) -> Callable[..., dict[str, Any]]:
        if operation.startswith("_"):
            raise AttributeError(operation)
        return lambda **arguments: self._ask(operation, arguments)

    def _ask(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if not self.counts:
            return self._fake.perform(operation, arguments)
        quiet, key = self.quiet, arguments.get("Key")
        quiet.asked[operation] += 1
        table = self.tables.get(arguments.get("TableName", ""))
        before = table.get(key) if table and key else None
        try:
            answer = self._fake.perform(operation, arguments)
        finally:  # a condition that fails is paid for, too
            if operation == "update_item" and table and key:
                properties = dict(resources("AWS::DynamoDB::Table")[table.name])
                quiet.write_units += units_of(properties, before, table.get(key)).all
        if operation == "query":
            quiet.read_units += max(1, ceil(len(answer["Items"]) * _PAGE_BYTES / 4096)) / 2
        for items in answer.get("Responses", {}).values():
            quiet.read_units += sum(ceil(item_bytes(item) / 4096) for item in items)
        return answer


class _Wire(HTTPAdapter):
    """Leads requests to the simulator."""

    def __init__(self, twilio: VirtualTwilio, asked: Counter[str]) -> None:
        super().__init__()
        self._twilio = twilio
        self._asked = asked

    @override
    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        parts = urlsplit(str(request.url))
        self._asked["list" if parts.path.endswith("Messages.json") else "fetch"] += 1
        answer = self._twilio.ask("GET", parts.path, query=parts.query)
        if answer is None:
            raise requests.ConnectionError
        response = requests.Response()
        response.status_code = answer.status
        response._content = answer.body  # noqa: SLF001 -- requests has no other way to make one
        return response


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Which messages are quiet, and what Twilio knows of them."""

    name: str
    to: str = "+15558675310"
    """The recipient chooses the simulator's scenario."""
    days: int = 1
    listed: bool = True
    """Whether Twilio's list shows them; else each is asked about by itself."""


CASES: Final = (
    Case(name="delivered, and no callback came"),
    Case(name="the same, over three days", days=3),
    Case(name="failed, and no callback came", to="+15555530003"),
    Case(name="still on their way", to="+15555550105"),
    Case(name="delivered, but not in Twilio's list", listed=False),
)


def ask_about(case: Case, messages: int) -> Quiet:
    """Let so many messages be quiet, and reconcile once."""
    twilio = VirtualTwilio(step_seconds=0.001)
    quiet = Quiet(messages)
    tables = _Tables(quiet)
    client: Any = tables
    store = MessageStore(client, "MessagesTable", _LIFETIMES)
    for day in range(case.days):
        if day:
            twilio.run(seconds=timedelta(days=1).total_seconds())
        for _ in range(day, messages, case.days):
            twilio.run(seconds=1)
            document = twilio.send(To=case.to, StatusCallback=None)
            store.record(
                StatusUpdate(
                    message_sid=document["sid"],
                    status=document["status"],
                    at=twilio.now,
                    source=Source.SEND,
                    account_sid=ACCOUNT_SID,
                    to=document["to"],
                    from_=document["from"],
                )
            )
    twilio.run(seconds=timedelta(hours=2).total_seconds())
    if not case.listed:
        settings = twilio.simulator.settings
        twilio.simulator.settings = settings.changed({"list_lag_seconds": 1_000_000.0})
    with requests.Session() as session:
        twilio_client = TwilioClient(session, _TWILIO)
        session.mount(f"{_TWILIO}/", _Wire(twilio, quiet.asked))
        reconciler = Reconciler(
            twilio=twilio_client,
            store=store,
            requests=SendRequestStore(client, "SendRequestsTable"),
            timings=_LIFETIMES,
            stores_body=False,
            now=lambda: twilio.now,
        )
        secret = TwilioSecret.parse(
            json.dumps({"account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN})
        )
        quiet.held_bytes = _held(store.stale_messages(twilio.now))
        tables.counts = True
        started = perf_counter()
        deque(reconciler.reconcile_stale_messages(secret, lambda: 1e9), maxlen=0)
        quiet.seconds = perf_counter() - started
    quiet.outcomes = Counter(
        item["outcome"]["S"] for item in tables.tables["MessagesTable"].items()
    )
    return quiet


def _held(messages: Iterator[Message]) -> int:
    tracemalloc.start()
    held = list(messages)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held
    return size


def measure(run: Run) -> Results:
    """What each case took."""
    number = _QUICK_MESSAGES if run.quick else _MESSAGES
    found = {}
    for case in CASES:
        run.tell(f"{number:,} {case.name}")
        quiet = ask_about(case, number)
        found[case.name] = {
            "twilio_lists": quiet.asked.pop("list", 0),
            "twilio_fetches": quiet.asked.pop("fetch", 0),
            "dynamodb": dict(quiet.asked),
            "read_units": quiet.read_units,
            "write_units": quiet.write_units,
            "seconds": round(quiet.seconds, 2),
            "mebibytes": round(quiet.held_bytes / 1024**2, 1),
            "outcomes": dict(quiet.outcomes),
        }
    return {"messages": number, "cases": found}


def tables(known: Known) -> Sequence[Table]:
    """A row for each case."""
    found = known[RECONCILE.name]
    return [
        Table(
            header=(
                f"{found['messages']:,} quiet messages",
                "requests to Twilio",
                "to DynamoDB",
                "write units",
                "read units",
                "own time",
                "messages held",
                "deployed, about",
            ),
            rows=[(name, *_shown(case)) for name, case in found["cases"].items()],
        )
    ]


def _shown(case: Mapping[str, Any]) -> Iterator[str]:
    lists, fetches = case["twilio_lists"], case["twilio_fetches"]
    requested = sum(case["dynamodb"].values())
    deployed = lists * _LIST_SECONDS + fetches * _FETCH_SECONDS + requested * _WRITE_SECONDS
    yield f"{lists + fetches:,}"
    yield f"{requested:,}"
    yield f"{case['write_units']:,}"
    yield f"{case['read_units']:,.0f}"
    yield f"{case['seconds']:.1f} s"
    yield f"{case['mebibytes']:.0f} MiB"
    yield f"{deployed:,.0f} s"


RECONCILE: Final = Benchmark(
    name="reconcile",
    title="Ten thousand quiet messages",
    question="What does it take to ask Twilio about messages of which nobody heard?",
    measure=measure,
    tables=tables,
)
