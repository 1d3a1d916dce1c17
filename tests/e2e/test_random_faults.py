"""Many messages at the same time while requests, callbacks and Twilio fail at random.

The simulation does this with thousands of runs over fakes; here the deployed stack does it once.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final

import pytest
import requests

from sandbox.aws.gateway import MESSAGES_API_PREFIX, Fault, FaultKind, Gateway
from sandbox.lifecycle import Sandbox
from sandbox.polling import wait_for
from tests.e2e.external_client import SENDER, ExternalClient, Inbox, Json, a_body, a_key, facts_of
from tests.e2e.test_scenarios import SCENARIOS

CALLBACKS: Final = "/twilio/status"
FAULTS: Final = (
    Fault(kind=FaultKind.FAIL, path=CALLBACKS, times=None, chance=0.1),
    Fault(kind=FaultKind.FAIL, path=CALLBACKS, times=None, chance=0.05, status=429),
    Fault(kind=FaultKind.DROP, path=CALLBACKS, times=None, chance=0.15),
    Fault(kind=FaultKind.LOSE_RESPONSE, path=CALLBACKS, times=None, chance=0.1),
    Fault(kind=FaultKind.STALL, path=CALLBACKS, times=None, chance=0.05, seconds=6),
    Fault(kind=FaultKind.FAIL, path=MESSAGES_API_PREFIX, times=None, chance=0.1),
    Fault(kind=FaultKind.DROP, path=MESSAGES_API_PREFIX, times=None, chance=0.1),
    Fault(kind=FaultKind.LOSE_RESPONSE, path=MESSAGES_API_PREFIX, times=None, chance=0.1),
)
IN_DOUBT: Final = ("+15555550107", "+15555550108")
ACCEPTED: Final = (*SCENARIOS, *IN_DOUBT, "+15555550105", "+15555550110")
NOT_ACCEPTED: Final = ("+15555550111", "+15005550001")
OUTCOMES: Final = {
    "sent": "unconfirmed",
    "failed": "failed",
    "undelivered": "failed",
    "delivered": "delivered",
    "read": "delivered",
}
"""By the last status that Twilio reports, in the order of their ranks."""
TIMES: Final = 3
AT_REST_TIMEOUT_SECONDS: Final = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A message that is requested twice with one key, over the API or through the queue."""

    to: str
    key: str
    body: str
    through_queue: bool

    @property
    def document(self) -> Json:
        """The body of the request; the key is its reference, too."""
        return {"to": self.to, "from": SENDER, "body": self.body, "reference": self.key}


def draw_wanted() -> list[Wanted]:
    return [
        Wanted(to=to, key=a_key(), body=a_body(), through_queue=number == 0)
        for to in (*ACCEPTED, *NOT_ACCEPTED)
        for number in range(TIMES)
    ]


def request(client: ExternalClient, wanted: Wanted) -> None:
    """Request the message; over the API, repeat it until the API responds."""
    if wanted.through_queue:
        client.enqueue(wanted.document | {"idempotency_key": wanted.key})
        return

    def has_response() -> bool:
        try:
            response = client.send(key=wanted.key, **wanted.document)
        except requests.ConnectionError:
            return False
        return response.status_code not in {429, 503}

    wait_for(has_response, timeout=AT_REST_TIMEOUT_SECONDS, what=f"A response to {wanted.key}")


@pytest.fixture
def failing(client: ExternalClient, gateway: Gateway) -> Iterator[None]:
    """Requests and callbacks fail at random, and Twilio throttles some requests."""
    for fault in FAULTS:
        gateway.add_fault(fault)
    client.configure_twilio(list_lag_seconds=1.5, throttle_next=5)
    yield
    client.configure_twilio(list_lag_seconds=0, throttle_next=0)


class Observer:
    """The state of these messages at Twilio and in the tables."""

    def __init__(self, client: ExternalClient, sandbox: Sandbox, wanted: Sequence[Wanted]) -> None:
        self._client = client
        self._sandbox = sandbox
        self._bodies = {it.body for it in wanted}
        self._keys = {it.key for it in wanted}

    def at_twilio(self) -> list[Json]:
        return [it for it in self._client.simulator_messages() if it["body"] in self._bodies]

    def items(self) -> dict[str, Json]:
        """The items of the messages, and of the requests for which Twilio accepted none."""
        sids = {it["sid"] for it in self.at_twilio()}
        return {
            it["message_sid"]: it
            for it in self._table("MessagesTable")
            if it["message_sid"] in sids or it.get("reference") in self._keys
        }

    def requests(self) -> list[Json]:
        return [it for it in self._table("SendRequestsTable") if it.get("reference") in self._keys]

    def is_at_rest(self) -> bool:
        items = self.items()
        callbacks = [it["state"] for message in self.at_twilio() for it in message["callbacks"]]
        return (
            {it["sid"] for it in self.at_twilio()} <= items.keys()
            and not any(it["outcome"] == "pending" and is_message(it) for it in items.values())
            and not {"in_progress", "in_doubt"} & {it["state"] for it in self.requests()}
            and not any("notice_due" in it for it in items.values())
            and not any("open" in it for it in self._table("IncidentsTable"))
            and set(callbacks) <= {"answered", "failed", "lost"}
            and self._client.send_queue_is_empty()
        )

    def _table(self, logical_id: str) -> list[Json]:
        return self._sandbox.account.scan(self._sandbox.stack.resources[logical_id])


def is_message(item: Json) -> bool:
    """Whether the item is a message's, not a request's."""
    return not item["message_sid"].startswith("rq_")


def acknowledged(message: Json) -> set[str]:
    """The statuses of a message for which Twilio got a 2xx."""
    return {
        dict(callback["parameters"])["MessageStatus"]
        for callback in message["callbacks"]
        if callback["state"] == "answered"
    }


def recorded(item: Json) -> list[str]:
    return [entry["status"] for entry in item["transitions"]]


@pytest.mark.usefixtures("failing")
def test_under_random_faults_no_message_is_lost_or_sent_twice_and_every_failure_is_notified(
    client: ExternalClient, gateway: Gateway, sandbox: Sandbox, inbox: Inbox
) -> None:
    wanted = draw_wanted()
    twice = random.Random(1).sample(wanted * 2, 2 * len(wanted))  # noqa: S311 -- repeatable
    observer = Observer(client, sandbox, wanted)

    with ThreadPoolExecutor(6) as clients:
        list(clients.map(partial(request, client), twice))
    gateway.clear_faults()
    wait_for(observer.is_at_rest, timeout=AT_REST_TIMEOUT_SECONDS, what="Every outcome")

    at_twilio, items = observer.at_twilio(), observer.items()
    assert {FaultKind.FAIL, FaultKind.DROP, FaultKind.LOSE_RESPONSE} <= gateway.fault_counts.keys()
    sent = Counter(message["body"] for message in at_twilio)
    assert sent == {it.body: 1 for it in wanted if it.to in ACCEPTED}
    for message in at_twilio:
        item = items[message["sid"]]
        best = max(OUTCOMES.keys() & recorded(item), key=list(OUTCOMES).index)
        assert acknowledged(message) <= set(recorded(item)), item
        assert len(recorded(item)) == len(set(recorded(item))), item
        assert (item["status"], item["outcome"]) == (best, OUTCOMES[best]), item
    # tests/e2e/test_notices.py checks that the notices of an incident add up.
    notice_ids = {facts_of(it)["notice_id"] for it in inbox.all()}
    for item in items.values():
        is_failed, notice = item["outcome"] == "failed", item.get("notice")
        assert is_failed == (notice in {"published", "grouped"}), item
        assert notice != "published" or item["notice_id"] in notice_ids, item
