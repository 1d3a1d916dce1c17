"""Which key is hot: the write units that each key of a table or an index takes, a message.

The stores write many messages of random ids into tables in memory, and each write is put down to
the keys that it changes. A key carries a thousand units a second, whatever its table does:
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
"""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from bench.benchmark import Benchmark, Known, Results, Run, Table
from bench.write_units import Item, units_of
from delivery.message import Lifetimes, Notice, Source
from delivery.request_store import RequestStore
from delivery.send_request import RequestState, SendRequest
from delivery.store import MessageStore
from functions.send_message.pace import BURST
from functions.send_message.pace_store import PaceStore
from simulation.account import empty_tables
from simulation.deployment import resources
from simulation.fakes import dynamodb
from simulation.fakes.errors import EXCEPTIONS
from tests.builders import ACCOUNT_SID, NOON, an_update

_MESSAGES: Final = 10_000
_QUICK_MESSAGES: Final = 500
_KEY_CARRIES: Final = 1000
_AT_ONCE: Final = 5
"""Messages of SendQueue that reserve their turns together, at best."""
_SENDER: Final = "+15005550006"

# Whose each key is; what is in none of these must be argued for.
_WHOSE: Final[Mapping[str, str]] = {
    "MessagesTable": "one message",
    "MessagesTable by_watch": "a sixteenth of all messages",
    "MessagesTable by_to": "one recipient",
    "MessagesTable by_reference": "one reference of the caller's",
    "MessagesTable by_notice_due": "a sixteenth of all failures",
    "SendRequestsTable": "one request; one sender's pace",
    "SendRequestsTable by_unsettled": "a sixteenth of all requests",
}


class Heat:
    """In a DynamoDB client's place: tables in memory, and the units of each key."""

    exceptions = EXCEPTIONS

    def __init__(self) -> None:
        self.units: defaultdict[str, Counter[str]] = defaultdict(Counter)
        """By the table and the index, then by the key."""
        self._properties = {
            name: dict(properties) for name, properties in resources("AWS::DynamoDB::Table").items()
        }
        self._tables = empty_tables()
        self._fake = dynamodb.DynamoDb(self._tables, page_size=100)

    def __getattr__(self, operation: str) -> Callable[..., dict[str, Any]]:
        if operation not in {"put_item", "update_item", "delete_item"}:
            raise AttributeError(operation)
        return lambda **arguments: self._write(operation, arguments)

    def _write(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        table = self._tables[arguments["TableName"]]
        key = arguments.get("Key") or {name: arguments["Item"][name] for name in table.key_names}
        before = table.get(key)
        try:
            return self._fake.perform(operation, arguments)
        finally:
            self._put_down(table, key, before, table.get(key))

    def _put_down(
        self, table: dynamodb.Table, key: Item, before: Item | None, after: Item | None
    ) -> None:
        properties = self._properties[table.name]
        units = units_of(properties, before, after)
        self.units[table.name][str(key[table.key_names[0]]["S"])] += units.table
        for index in units.indexes:
            partition = table.indexes[index][0]
            touched = [
                item[partition]["S"] for item in (before, after) if item and partition in item
            ]
            for value in set(touched):
                share = units.indexes[index] / len(set(touched))
                self.units[f"{table.name} {index}"][value] += round(share)


def lives(heat: Heat, messages: int, *, end: str) -> None:
    """Let so many messages be sent for one sender, each to its own recipient, and end so."""
    draws = random.Random(1)  # noqa: S311 -- repeatable, no secrets
    client: Any = heat
    requests = RequestStore(client, "SendRequestsTable")
    store = MessageStore(client, "MessagesTable", Lifetimes())
    for number in range(messages):
        at = NOON + timedelta(seconds=number)
        message_sid = f"SM{draws.randbytes(16).hex()}"
        request_id = f"rq_{draws.randbytes(16).hex()}"
        recipient = f"+1555{number:07d}"
        request = requests.claim(
            SendRequest(
                request_id=request_id,
                claim_id="0123456789abcdef",
                content_digest="d" * 64,
                account_sid=ACCOUNT_SID,
                to=recipient,
                from_=_SENDER,
                reference=f"order-{number}",
                claimed_at=at,
                lease_until=at,
            )
        )
        facts: dict[str, Any] = {"message_sid": message_sid, "to": recipient, "from_": _SENDER}
        first = an_update(
            "queued",
            source=Source.SEND,
            request_id=request_id,
            reference=f"order-{number}",
            **facts,
        )
        store.record(replace(first, at=at))
        settled = request.settled(
            RequestState.SENT, at=at, kept_for=timedelta(days=30), message_sid=message_sid
        )
        requests.settle(request, settled)
        store.record(replace(an_update("sent", **facts), at=at + timedelta(seconds=1)))
        last = replace(an_update(end, **facts), at=at + timedelta(seconds=2))
        message = store.record(last).message
        for _ in (Notice.TELLING, Notice.SENT):
            if message.notice is not None:
                message = store.advance_notice(message, at) or message


def paces(heat: Heat, batches: int) -> None:
    """Let batches of one sender reserve one after the other, as in the middle of a campaign."""
    store = PaceStore(heat, "SendRequestsTable")  # type: ignore[arg-type]  # enough of a client
    now = int(NOON.timestamp() * 1000)
    for number in range(batches):
        moment = now + number * BURST
        store.reserve(
            f"{ACCOUNT_SID}#{_SENDER}",
            [BURST // _AT_ONCE] * _AT_ONCE,
            now=moment,
            until=moment + BURST,
            chance=lambda: 0.0,
        )


def measure(run: Run) -> Results:
    """The hottest key of each table and index, for messages that are all delivered or all fail."""
    number = _QUICK_MESSAGES if run.quick else _MESSAGES
    found: dict[str, Results] = {}
    for end in ("delivered", "undelivered"):
        run.tell(f"{number:,} messages, all {end}")
        heat = Heat()
        lives(heat, number, end=end)
        for where, units in heat.units.items():
            hottest = max(units.values())
            whole = sum(units.values())
            row = {
                "keys": len(units),
                "units_a_message": round(whole / number, 2),
                "hottest_of_average": round(hottest * len(units) / whole, 2),
                "hottest_a_message": round(hottest / number, 4),
                "shared": len(units) < number,
            }
            if found.get(where, row)["units_a_message"] <= row["units_a_message"]:
                found[where] = row
    heat = Heat()
    paces(heat, number // _AT_ONCE)
    pace = heat.units["SendRequestsTable"]
    writes_a_message = round(sum(pace.values()) / (number // _AT_ONCE) / _AT_ONCE, 2)
    return {"messages": number, "keys": found, "pace_units_a_message": writes_a_message}


def tables(known: Known) -> Sequence[Table]:
    """A row for each kind of key."""
    found = known[HEAT.name]
    rows = [
        (
            f"`{where}`" if " " not in where else "`{}`, `{}`".format(*where.split()),
            _WHOSE[where],
            f"{row['keys']:,}",
            f"{row['units_a_message']:g}",
            f"{row['hottest_of_average']:g}",
            f"{_KEY_CARRIES / row['hottest_a_message']:,.0f} a second" if row["shared"] else "any",
        )
        for where, row in sorted(found["keys"].items())
    ]
    pace = found["pace_units_a_message"]
    rows.append(
        (
            "`SendRequestsTable`, a pace",
            "one sender, where `MaxSendsPerSecond` is set",
            "1",
            f"{pace:g} to 2",
            "",
            f"{_KEY_CARRIES / 2:,.0f} to {_KEY_CARRIES / pace:,.0f} a second and sender",
        )
    )
    return [
        Table(
            header=(
                f"keys of {found['messages']:,} messages",
                "whose a key is",
                "keys",
                "units a message",
                "hottest key, times the average",
                "messages that all keys carry",
            ),
            rows=rows,
            words=2,
        )
    ]


HEAT: Final = Benchmark(
    name="heat",
    title="Hot keys",
    question="Which key of DynamoDB's takes the most writes, and how many messages can all carry?",
    measure=measure,
    tables=tables,
)
