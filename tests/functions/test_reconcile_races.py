"""ReconcileMessagesFunction with concurrent writers, and with each of its calls failing."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from mypy_boto3_dynamodb import DynamoDBClient

from delivery.domain.messages import Source, StatusUpdate
from delivery.domain.notices import NoticeState
from delivery.domain.send_requests import RequestState
from delivery.domain.statuses import Outcome
from delivery.storage.index_keys import list_key_of
from delivery.storage.messages import MessageStore
from tests.functions.interleaving import Writer, every_interleaving
from tests.functions.reconciler import LAGGING_LIST, UNDELIVERED, ReconcilerRig
from tests.functions.tracked_account import STAYS_SENT
from tests.support.faults import FailingClient
from tests.support.virtual_twilio import RECIPIENT


@pytest.fixture
def few_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the shards that the tests use, because the others are empty."""
    monkeypatch.setattr("delivery.storage.messages.PENDING_KEYS", ("pending#0", "pending#1"))
    for name, keys in {
        "UNRESOLVED_KEYS": ("unresolved#a",),
        "PRESUMED_UNSENT_KEYS": ("presumed_unsent#a",),
    }.items():
        monkeypatch.setattr(f"delivery.storage.send_requests.{name}", keys)


# --- messages ------------------------------------------------------------------------------------


class Gated:
    """A client that waits for its turn before writes and the search for evidence only."""

    def __init__(self, gated: Any, client: DynamoDBClient) -> None:
        self._gated = gated
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._gated if name in {"update_item", "put_item"} else self._client, name)

    def query(self, **arguments: Any) -> Any:
        searches_evidence = arguments["IndexName"] == "by_request"
        return (self._gated if searches_evidence else self._client).query(**arguments)


def a_run(reconciler: ReconcilerRig) -> Writer:
    """A run of the function through the client that it is given, without its shared metrics."""

    def run(client: Any) -> None:
        function = reconciler.build(dynamodb=Gated(client, reconciler.dynamodb))
        function.reconcile(lambda: reconciler.seconds_left)

    return run


def a_callback(reconciler: ReconcilerRig, message_sid: str, status: str, **facts: Any) -> Writer:
    update = StatusUpdate(
        message_sid=message_sid,
        status=status,
        at=reconciler.twilio.now,
        source=Source.CALLBACK,
        **facts,
    )
    return lambda client: MessageStore(client, "MessagesTable").record(update)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("to", "said", "outcome"),
    [
        (RECIPIENT, "delivered", Outcome.DELIVERED),
        (RECIPIENT, "sent", Outcome.DELIVERED),
        (UNDELIVERED, "undelivered", Outcome.FAILED),
        (STAYS_SENT, "delivered", Outcome.DELIVERED),
        (STAYS_SENT, "sent", Outcome.UNCONFIRMED),
    ],
)
def test_two_concurrent_runs_and_a_callback_end_with_the_highest_status(
    reconciler: ReconcilerRig, monkeypatch: pytest.MonkeyPatch, to: str, said: str, outcome: Outcome
) -> None:
    sids: list[str] = []

    def writers_of_run(_: int) -> list[Writer]:
        sids.append(reconciler.send(To=to))
        monkeypatch.setattr(
            "delivery.storage.messages.PENDING_KEYS", (list_key_of(reconciler.message(sids[-1])),)
        )
        reconciler.advance(days=3)
        return [a_run(reconciler), a_run(reconciler), a_callback(reconciler, sids[-1], said)]

    for _ in every_interleaving(reconciler.dynamodb, writers_of_run, at_most=60):
        message = reconciler.message(sids[-1])
        statuses = [transition.status for transition in message.transitions]
        assert message.outcome is outcome
        assert len(statuses) == len(set(statuses))
        assert (message.final_at is None) is (outcome is Outcome.UNCONFIRMED)
    assert len(sids) > 1


def failing_clients(reconciler: ReconcilerRig) -> Iterator[FailingClient]:
    """Fail each call of a run in turn, before and after it takes effect, until none is left."""
    for after in (False, True):
        for call in count(1):
            client = FailingClient(reconciler.dynamodb, call, after=after)
            yield client
            if not client.has_failed:
                break


@pytest.mark.thorough
@pytest.mark.usefixtures("few_shards")
def test_the_next_run_completes_a_run_of_which_any_call_failed(reconciler: ReconcilerRig) -> None:
    for number, client in enumerate(failing_clients(reconciler)):
        sid, lost = f"SM{2 * number:031x}1", f"SM{2 * number:031x}0"
        reconciler.apply(lost, "sent", at=reconciler.twilio.now - timedelta(days=4))
        reconciler.apply(sid, "sent", at=reconciler.twilio.now - timedelta(hours=5))
        reconciler.run(dynamodb=client)

        reconciler.run()

        assert reconciler.message(lost).outcome is Outcome.UNCONFIRMED
        assert reconciler.message(sid).list_at == reconciler.twilio.now + timedelta(hours=5)


# --- requests ------------------------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.usefixtures("few_shards")
def test_two_concurrent_runs_and_a_callback_resolve_a_request_as_sent(
    reconciler: ReconcilerRig,
) -> None:
    request_ids: list[str] = []

    def writers_of_run(number: int) -> list[Writer]:
        request_ids.append(f"rq_{number:031x}a")
        sid = reconciler.send_and_die(request_ids[-1])
        reconciler.advance(minutes=16)
        reconciler.wire.fault = LAGGING_LIST
        facts = {"to": RECIPIENT, "request_id": request_ids[-1]}
        callback = a_callback(reconciler, sid, "delivered", **facts)
        return [a_run(reconciler), a_run(reconciler), callback]

    for _ in every_interleaving(reconciler.dynamodb, writers_of_run, at_most=60):
        reconciler.run()

        request = reconciler.request(request_ids[-1])
        unsent = reconciler.messages.get(request.request_id)
        assert request.state is RequestState.SENT
        assert unsent is None or unsent.outcome is Outcome.SUPERSEDED
    assert len(request_ids) > 1


@pytest.mark.thorough
@pytest.mark.usefixtures("few_shards")
@pytest.mark.parametrize("evidence", ["none", "match", "late"])
def test_the_next_run_completes_a_resolution_of_which_any_call_failed(
    reconciler: ReconcilerRig, evidence: str
) -> None:
    for number, client in enumerate(failing_clients(reconciler)):
        request_id, to = f"rq_{number:031x}a", f"+1555{number:07}"
        request = reconciler.claim(request_id, to=to)
        sid = None if evidence == "none" else reconciler.send(known=False, To=to)
        reconciler.advance(minutes=16)
        if evidence == "late":
            reconciler.presume_unsent(request)
            reconciler.apply(str(sid), "sent", request_id=request_id, to=to)
        reconciler.run(dynamodb=client)

        reconciler.run()

        unsent = reconciler.messages.get(request_id)
        assert reconciler.request(request_id).message_sid == sid
        if sid is None:
            assert reconciler.request(request_id).state is RequestState.PRESUMED_UNSENT
            assert unsent
            assert unsent.notice is NoticeState.DUE
            reconciler.requests.complete(
                reconciler.request(request_id), reconciler.request(request_id).closed()
            )
        else:
            assert unsent is None or unsent.outcome is Outcome.SUPERSEDED
