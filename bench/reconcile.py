"""The requests that it takes to reconcile a backlog of stale messages.

The function's own reconciliation runs on tables in memory and on the Twilio simulator.
"""

from collections import Counter
from datetime import timedelta
from typing import Final

from bench import wiring
from bench.counting import CountingDynamoDb
from delivery.domain.messages import Source, StatusUpdate
from tests.support.virtual_twilio import ACCOUNT_SID, VirtualTwilio, Wire

_DEPLOYED_SECONDS: Final = {"list": 1.5, "fetch": 0.15, "dynamodb": 0.006}
"""Of a request in a deployed stack, about."""


def reconcile(messages: int, *, listed: bool) -> Counter[str]:
    """Reconcile messages whose callbacks were lost, and count the requests by kind.

    If they are not `listed`, Twilio's list lacks them and each message is fetched.
    """
    twilio, dynamodb = VirtualTwilio(step_seconds=0.001), CountingDynamoDb()
    store = wiring.message_store(dynamodb)
    for _ in range(messages):
        twilio.run(seconds=1)
        document = twilio.send(StatusCallback=None)
        update = StatusUpdate(
            message_sid=document["sid"],
            status=document["status"],
            at=twilio.now,
            source=Source.SEND,
            account_sid=ACCOUNT_SID,
            to=document["to"],
            from_=document["from"],
        )
        store.record(update)
    twilio.run(seconds=timedelta(hours=2).total_seconds())
    if not listed:
        settings = twilio.simulator.settings
        twilio.simulator.settings = settings.changed({"list_lag_seconds": 1_000_000.0})

    dynamodb.reset()
    wire = Wire(twilio)
    wiring.reconcile(dynamodb, wire, twilio.now)
    items = dynamodb.tables["MessagesTable"].items()
    assert all(item["outcome"] == {"S": "delivered"} for item in items)
    lists = sum("Messages.json" in request for request in wire.requests)
    return Counter(list=lists, fetch=len(wire.requests) - lists, dynamodb=dynamodb.requests.total())


def deployed_seconds(counts: Counter[str]) -> float:
    """Estimate the time of these requests in a deployed stack."""
    return sum(_DEPLOYED_SECONDS[kind] * number for kind, number in counts.items())
