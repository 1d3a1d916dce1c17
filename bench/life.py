"""What a message's whole life costs at DynamoDB: the size of its item, and every write unit.

The stores run against a table in memory that behaves as the template says; each write is counted
from the item before and after. Nothing here is measured, so it is the same on every machine.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final

from bench.benchmark import Benchmark, Known, Results, Run, Table
from bench.write_units import Units, item_bytes, units_of
from delivery.domain.messages import Source, StatusUpdate, Timings
from delivery.domain.send_requests import RequestState, SendRequest
from delivery.storage.messages import MessageStore
from delivery.storage.send_requests import SendRequestStore
from functions.notify_failure.episode_store import EpisodeStore
from functions.notify_failure.findings import What
from functions.notify_failure.telling import Teller
from simulation.account import empty_tables
from simulation.deployment import resources
from simulation.fakes import dynamodb
from simulation.fakes.errors import EXCEPTIONS
from tests.builders import ACCOUNT_SID, MESSAGE_SID, NOON, an_update

REQUEST_ID: Final = "rq_0123456789abcdef0123456789abcdef"
REFERENCE: Final = "order-2026-11-23-4711"
# Together with the reference, the 180 bytes of the design.
CONTEXT: Final = {"campaign": "autumn-sale", "customer": "c" * 60, "trace": "t" * 60}

STATUSES: Final = ("accepted", "queued", "sent", "delivered")
"""Through a Messaging Service: Twilio's answer, and three callbacks."""

_READS: Final = {"get_item", "batch_get_item", "query"}
_WRITES: Final = {"put_item", "update_item", "delete_item", "transact_write_items"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One request that wrote, or tried to."""

    name: str
    table: str
    units: Units
    bytes_after: int


@dataclass(slots=True)
class Counting:
    """In a DynamoDB client's place: tables in memory, and what each request cost."""

    writes: list[Write] = field(default_factory=list)
    reads: int = 0
    exceptions: Any = EXCEPTIONS
    doing: str = ""
    """What the next request is for."""
    _tables: dict[str, dynamodb.Table] = field(default_factory=empty_tables)

    def __getattr__(self, operation: str) -> Callable[..., dict[str, Any]]:
        if operation not in _READS | _WRITES:
            raise AttributeError(operation)
        return lambda **arguments: self._ask(operation, arguments)

    def _ask(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        fake = dynamodb.DynamoDb(self._tables, page_size=100)
        if operation in _READS:
            self.reads += 1
            return fake.perform(operation, arguments)
        transaction = arguments.get("TransactItems")
        parts = (
            [part for parts in transaction for part in parts.values()]
            if transaction
            else [arguments]
        )
        touched = [(self._tables[part["TableName"]], self._key(part)) for part in parts]
        before = [table.get(key) for table, key in touched]
        try:
            return fake.perform(operation, arguments)
        finally:  # a condition that fails is paid for, too
            for (table, key), was in zip(touched, before, strict=True):
                after = table.get(key)
                units = units_of(_properties(table.name), was, after)
                if transaction:  # two writes of each item
                    units = replace(units, table=2 * units.table)
                self.writes.append(
                    Write(
                        name=self.doing,
                        table=table.name,
                        units=units,
                        bytes_after=item_bytes(after or {}),
                    )
                )

    def _key(self, part: Mapping[str, Any]) -> dict[str, Any]:
        names = self._tables[part["TableName"]].key_names
        return {name: (part.get("Key") or part["Item"])[name] for name in names}


def _properties(table: str) -> dict[str, Any]:
    return dict(resources("AWS::DynamoDB::Table")[table])


def delivered(statuses: Sequence[str] = STATUSES, *, reference: str | None = REFERENCE) -> Counting:
    """A message that is sent by this stack and delivered: every request it costs."""
    counting = Counting()
    requests = SendRequestStore(counting, "SendRequestsTable")  # type: ignore[arg-type]  # enough of a client
    store = MessageStore(counting, "MessagesTable", Timings())  # type: ignore[arg-type]  # the same

    counting.doing = "claim the key"
    request = requests.claim(a_request(reference))
    counting.doing = f"{statuses[0]}: Twilio's answer"
    first = an_update(
        statuses[0],
        source=Source.SEND,
        request_id=REQUEST_ID,
        reference=reference,
        context=CONTEXT,
        messaging_service_sid="MG" + "0" * 32,
    )
    store.record(first)
    counting.doing = "settle the key"
    sent = request.completed(
        RequestState.SENT, at=NOON, kept_for=timedelta(days=30), message_sid=MESSAGE_SID
    )
    requests.complete(request, sent)
    for number, status in enumerate(statuses[1:], 1):
        counting.doing = f"{status}: a callback"
        store.record(a_callback(status, after=number))
    return counting


def failed() -> Counting:
    """A message that another program sends, and that is not delivered."""
    counting = Counting()
    store = MessageStore(counting, "MessagesTable", Timings())  # type: ignore[arg-type]  # enough of a client
    counting.doing = "sent: a callback"
    store.record(a_callback("sent", after=1))
    counting.doing = "undelivered: a callback"
    due = store.record(a_callback("undelivered", after=2, error_code=30003)).message
    counting.doing = "tell of the first of its kind"
    teller = Teller(
        messages=store,
        episodes=EpisodeStore(counting, "IncidentsTable", "MessagesTable"),  # type: ignore[arg-type]  # the same
        publish_message=lambda _: None,
        publish_range=lambda _key, _telling: None,
        shown=lambda number: number[-4:],
        quiet=timedelta(minutes=15),
        muted=(),
        now=lambda: NOON + timedelta(seconds=3),
    )
    told = teller.settle([due.message_sid], abandoned_before=NOON, time_left=lambda: 60)
    assert [it.what for it in told][-1] is What.PUBLISHED
    return counting


def a_request(reference: str | None) -> SendRequest:
    """What the sender remembers of a request."""
    return SendRequest(
        request_id=REQUEST_ID,
        claim_id="0123456789abcdef",
        content_digest="d" * 64,
        account_sid=ACCOUNT_SID,
        to="+15558675310",
        from_="+15005550006",
        body_digest="b" * 64,
        reference=reference,
        context=CONTEXT,
        claimed_at=NOON,
        lease_until=NOON + timedelta(seconds=29),
    )


def a_callback(status: str, *, after: int, **facts: Any) -> StatusUpdate:
    """What a callback says of the message."""
    return an_update(
        status,
        after=after,
        request_id=REQUEST_ID,
        messaging_service_sid="MG" + "0" * 32,
        carrier_time="2611231200" if status == "delivered" else None,
        **facts,
    )


def measure(_: Run) -> Results:
    """Count two lives."""
    lives = {"delivered": delivered(), "failed": failed()}
    return {
        name: {
            "writes": [
                {
                    "name": write.name,
                    "table": write.table,
                    "table_units": write.units.table,
                    "index_units": dict(sorted(write.units.indexes.items())),
                    "bytes": write.bytes_after,
                }
                for write in life.writes
            ],
            "reads": life.reads,
        }
        for name, life in lives.items()
    }


def units_in(life: Results, table: str | None = None) -> int:
    """All write units of a life, or those of one table."""
    return sum(
        write["table_units"] + sum(write["index_units"].values())
        for write in life["writes"]
        if table in {None, write["table"]}
    )


def tables(known: Known) -> Sequence[Table]:
    """Each write of the two lives."""
    return [_table(life) for life in known[LIFE.name].values()]


def _table(life: Results) -> Table:
    rows = [
        (
            write["name"],
            write["table"],
            str(write["bytes"]),
            str(write["table_units"]),
            ", ".join(f"{name} {units}" for name, units in write["index_units"].items()),
        )
        for write in life["writes"]
    ]
    total = ("**together**", "", "", str(units_in(life)), "")
    messages = ("of these in MessagesTable", "", "", str(units_in(life, "MessagesTable")), "")
    header = ("write", "table", "bytes of the item after it", "write units", "units of indexes")
    return Table(header=header, rows=[*rows, total, messages], words=2)


LIFE: Final = Benchmark(
    name="life",
    title="Writes of a message's life",
    question="What does each write of a message cost at DynamoDB? Counted, not measured.",
    measure=measure,
    tables=tables,
)
