"""The write units of a message from its first write to its last.

The stores run on tables in memory, and each write is counted: the numbers are the same on every
machine. They prove what docs/architecture.md promises about the data model.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from bench import wiring
from bench.benchmark import Benchmark, Results, Run, Table
from bench.counting import CountingDynamoDb
from delivery.domain.messages import Source, StatusUpdate
from delivery.domain.send_requests import RequestState, SendRequest
from tests.support.builders import ACCOUNT_SID, MESSAGE_SID, NOON, an_update

REQUEST_ID: Final = "rq_0123456789abcdef0123456789abcdef"
REFERENCE: Final = "order-2026-11-23-4711"
CONTEXT: Final = {"campaign": "autumn-sale", "customer": "c" * 60, "trace": "t" * 60}
"""With the reference, the 180 bytes with which an item must still fit in one unit."""
STATUSES: Final = ("accepted", "queued", "sent", "delivered")
"""Through a Messaging Service: Twilio's answer, and three callbacks."""


def delivered(
    statuses: Sequence[str] = STATUSES, *, reference: str | None = REFERENCE
) -> CountingDynamoDb:
    """Count the requests of a message that this stack sends and that is delivered."""
    counting = CountingDynamoDb()
    requests, messages = wiring.request_store(counting), wiring.message_store(counting)
    counting.step = "claim the idempotency key"
    request = requests.claim(_send_request(reference))
    counting.step = f"{statuses[0]}: Twilio's answer"
    first = an_update(
        statuses[0],
        source=Source.SEND,
        request_id=REQUEST_ID,
        reference=reference,
        context=CONTEXT,
        messaging_service_sid="MG" + "0" * 32,
    )
    messages.record(first)
    counting.step = "complete the send request"
    sent = request.completed(
        RequestState.SENT, at=NOON, kept_for=timedelta(days=30), message_sid=MESSAGE_SID
    )
    requests.complete(request, sent)
    for second, status in enumerate(statuses[1:], 1):
        counting.step = f"{status}: callback"
        messages.record(_callback(status, after=second, request_id=REQUEST_ID))
    return counting


def failed() -> CountingDynamoDb:
    """Count the requests of a message that another program sends and that is not delivered."""
    counting = CountingDynamoDb()
    messages = wiring.message_store(counting)
    counting.step = "sent: callback"
    messages.record(_callback("sent", after=1))
    counting.step = "undelivered: callback"
    messages.record(_callback("undelivered", after=2, error_code=30003))
    counting.step = "publish the notice that opens an incident"
    wiring.notify(counting, [MESSAGE_SID], now=NOON + timedelta(seconds=3))
    return counting


def _send_request(reference: str | None) -> SendRequest:
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


def _callback(
    status: str, *, after: int, request_id: str | None = None, **facts: Any
) -> StatusUpdate:
    return an_update(
        status,
        after=after,
        request_id=request_id,
        messaging_service_sid="MG" + "0" * 32,
        carrier_time="2611231200" if status == "delivered" else None,
        **facts,
    )


def measure(_: Run) -> Results:
    """Return the writes of a delivered and of a failed message."""
    return {
        name: [
            {
                "step": write.step,
                "table": write.table,
                "table_units": write.units.table,
                "index_units": dict(sorted(write.units.indexes.items())),
                "bytes": write.bytes_after,
            }
            for write in counting.writes
        ]
        for name, counting in {"delivered": delivered(), "failed": failed()}.items()
    }


def units_in(writes: Sequence[Results], table: str | None = None) -> int:
    """Return the units of all writes, or of those to one table."""
    return sum(
        write["table_units"] + sum(write["index_units"].values())
        for write in writes
        if table in {None, write["table"]}
    )


def tables(results: Results) -> Sequence[Table]:
    """Return the writes of the delivered and of the failed message."""
    return [_table(name, writes) for name, writes in results.items()]


def _table(name: str, writes: Sequence[Results]) -> Table:
    rows = [
        (
            write["step"],
            write["table"],
            ", ".join(f"{index} {units}" for index, units in write["index_units"].items()),
            str(write["bytes"]),
            str(write["table_units"] + sum(write["index_units"].values())),
        )
        for write in writes
    ]
    messages = ("of this, in MessagesTable", "", "", "", str(units_in(writes, "MessagesTable")))
    total = ("**total**", "", "", "", f"**{units_in(writes)}**")
    header = (f"{name} message", "table", "units in indexes", "item bytes", "write units")
    return Table(header=header, rows=[*rows, total, messages], text_columns=3)


WRITE_UNITS: Final = Benchmark(
    name="write_units",
    question="How many write units does a message take in DynamoDB? Counted, not measured.",
    measure=measure,
    tables=tables,
)
