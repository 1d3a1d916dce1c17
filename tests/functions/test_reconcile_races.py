"""ReconcileMessagesFunction beside others, and cut short: in every order and at every call."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, cast

import pytest
from botocore.exceptions import ConnectTimeoutError
from mypy_boto3_dynamodb import DynamoDBClient

from delivery.domain.messages import Source, StatusUpdate
from delivery.domain.notices import NoticeState
from delivery.domain.send_requests import RequestState
from delivery.domain.statuses import Outcome
from delivery.storage.control import ControlStore
from delivery.storage.index_keys import list_key_of
from delivery.storage.messages import MessageStore
from delivery.storage.send_requests import SendRequestStore
from tests.functions.interleaving import Writer, every_interleaving
from tests.functions.reconciler import LAGGING_LIST, STAYS_SENT, UNDELIVERED, World, a_lost_answer
from tests.support.virtual_twilio import RECIPIENT

# --- others at the same time ---------------------------------------------------------------------


class Gated:
    """Stops at the gate for every write, and for the look for evidence; the rest is no choice."""

    def __init__(self, gated: Any, client: DynamoDBClient) -> None:
        self._gated = gated
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._gated if name in {"update_item", "put_item"} else self._client, name)

    def query(self, **arguments: Any) -> Any:
        looks_for_evidence = arguments["IndexName"] == "by_to"
        return (self._gated if looks_for_evidence else self._client).query(**arguments)


def a_reconciler(world: World) -> Writer:
    """A run of the function's own parts through the client that it is given."""

    def run(client: Any) -> None:
        from functions.reconcile_messages.reconcile import (  # noqa: PLC0415 -- moto first
            Reconciler,
        )

        line = cast("DynamoDBClient", Gated(client, world.dynamodb))
        reconciler = Reconciler(
            twilio=world.app.twilio,
            store=MessageStore(line, "MessagesTable"),
            control=ControlStore(line, "ControlTable"),
            timings=world.app.TIMINGS,
            stores_body=False,
            now=lambda: world.twilio.now,
        )
        for _ in reconciler.reconcile_stale_messages(
            world.app.secrets.current(), lambda: world.seconds_left
        ):
            pass

    return run


def a_callback(world: World, message_sid: str, status: str) -> Writer:
    update = StatusUpdate(
        message_sid=message_sid, status=status, at=world.twilio.now, source=Source.CALLBACK
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
def test_two_runs_and_a_callback_at_once_end_with_the_truth(
    world: World, monkeypatch: pytest.MonkeyPatch, to: str, said: str, outcome: Outcome
) -> None:
    sids: list[str] = []

    def writers_of_run(_: int) -> list[Writer]:
        sids.append(world.send(To=to))
        monkeypatch.setattr(
            "delivery.storage.index_keys.PENDING_KEYS", (list_key_of(world.message(sids[-1])),)
        )
        world.pass_by(days=3)
        return [a_reconciler(world), a_reconciler(world), a_callback(world, sids[-1], said)]

    for _ in every_interleaving(world.dynamodb, writers_of_run, at_most=60):
        message = world.message(sids[-1])
        statuses = [transition.status for transition in message.transitions]
        assert message.outcome is outcome
        assert len(statuses) == len(set(statuses))
        assert (message.final_at is None) is (outcome is Outcome.UNCONFIRMED)
    assert len(sids) > 1


class Breaking:
    """A client one of whose calls fails, before or after it takes effect."""

    def __init__(self, client: Any, call: int, *, after: bool) -> None:
        self._client = client
        self._left = call
        self._after = after

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._client, name)
        if name == "exceptions":
            return attribute

        def call(**arguments: Any) -> Any:
            self._left -= 1
            if self._left != 0:
                return attribute(**arguments)
            if self._after:
                attribute(**arguments)
            raise ConnectTimeoutError(endpoint_url="dynamodb")

        return call

    @property
    def broke(self) -> bool:
        return self._left <= 0


@pytest.fixture
def breaking(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Iterator[Breaking]]:
    """Each call of a run broken in turn, before and after it takes effect, until none is left."""

    def lines() -> Iterator[Breaking]:
        for after in (False, True):
            call = 1
            while True:
                line = Breaking(world.dynamodb, call, after=after)
                client = cast("DynamoDBClient", line)
                messages = MessageStore(client, "MessagesTable", world.app.TIMINGS)
                with monkeypatch.context() as patch:
                    patch.setattr(world.app, "store", messages)
                    patch.setattr(
                        world.app, "request_store", SendRequestStore(client, "SendRequestsTable")
                    )
                    yield line
                if not line.broke:
                    break
                call += 1

    return lines


@pytest.mark.thorough
def test_a_run_that_loses_any_of_its_calls_is_made_good_by_the_next(
    world: World, breaking: Callable[[], Iterator[Breaking]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("delivery.storage.index_keys.PENDING_KEYS", ("pending#0", "pending#1"))
    monkeypatch.setattr("delivery.storage.index_keys.UNRESOLVED_KEYS", ("unresolved#a",))
    whole = MessageStore(world.dynamodb, "MessagesTable", world.app.TIMINGS)
    for number, _ in enumerate(breaking()):
        sid, lost = f"SM{2 * number:031x}1", f"SM{2 * number:031x}0"
        world.apply(lost, "sent", at=world.twilio.now - timedelta(days=4))
        world.apply(sid, "sent", at=world.twilio.now - timedelta(hours=5))
        world.run()

        monkeypatch.setattr(world.app, "store", whole)
        monkeypatch.setattr(world.app, "request_store", world.requests)
        world.run()

        assert world.message(lost).outcome is Outcome.UNCONFIRMED
        assert world.message(sid).list_at == world.twilio.now + timedelta(hours=5)


# --- requests, and others at the same time -------------------------------------------------------


def a_settler(world: World) -> Writer:
    def run(client: Any) -> None:
        from functions.reconcile_messages.in_doubt import InDoubtResolver  # noqa: PLC0415 -- moto first

        line = cast("DynamoDBClient", Gated(client, world.dynamodb))
        resolver = InDoubtResolver(
            twilio=world.app.twilio,
            store=MessageStore(line, "MessagesTable"),
            requests=SendRequestStore(line, "SendRequestsTable"),
            doubt=timedelta(minutes=15),
            search=timedelta(hours=72),
            kept_for=timedelta(days=30),
            stores_body=False,
            now=lambda: world.twilio.now,
        )
        for _ in resolver.resolve_requests(world.app.secrets.current(), lambda: world.seconds_left):
            pass

    return run


@pytest.mark.thorough
def test_two_runs_at_once_and_a_callback_agree_on_what_became_of_a_request(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("delivery.storage.index_keys.PENDING_KEYS", ())
    monkeypatch.setattr("delivery.storage.index_keys.UNRESOLVED_KEYS", ("unresolved#a",))
    request_ids: list[str] = []

    def writers_of_run(number: int) -> list[Writer]:
        request_ids.append(f"rq_{number:031x}a")
        sid = a_lost_answer(world, request_ids[-1])
        world.pass_by(minutes=16)
        world.wire.fault = LAGGING_LIST
        callback = StatusUpdate(
            message_sid=sid,
            status="delivered",
            at=world.twilio.now,
            source=Source.CALLBACK,
            to=RECIPIENT,
            request_id=request_ids[-1],
        )
        return [
            a_settler(world),
            a_settler(world),
            lambda client: MessageStore(client, "MessagesTable").record(callback),
        ]

    for _ in every_interleaving(world.dynamodb, writers_of_run, at_most=60):
        world.run()

        request = world.request(request_ids[-1])
        never_sent = world.store.get(request.request_id)
        assert request.state is RequestState.SENT
        assert never_sent is None or never_sent.outcome is Outcome.PENDING
    assert len(request_ids) > 1


@pytest.mark.thorough
@pytest.mark.parametrize("evidence", ["none", "looks", "late"])
def test_a_settlement_that_loses_any_of_its_calls_is_made_good_by_the_next_run(
    world: World,
    breaking: Callable[[], Iterator[Breaking]],
    monkeypatch: pytest.MonkeyPatch,
    evidence: str,
) -> None:
    monkeypatch.setattr("delivery.storage.index_keys.PENDING_KEYS", ())
    monkeypatch.setattr("delivery.storage.index_keys.UNRESOLVED_KEYS", ("unresolved#a",))
    whole = MessageStore(world.dynamodb, "MessagesTable", world.app.TIMINGS)
    for number, _ in enumerate(breaking()):
        request_id, to = f"rq_{number:031x}a", f"+1555{number:07}"
        request = world.claim(request_id, to=to)
        sid = None if evidence == "none" else world.send(known=False, To=to)
        world.pass_by(minutes=16)
        if evidence == "late":
            world.give_up(request)
            world.apply(str(sid), "sent", request_id=request_id, to=to)
        world.run()

        with monkeypatch.context() as patch:
            patch.setattr(world.app, "store", whole)
            patch.setattr(world.app, "request_store", world.requests)
            world.run()

        never_sent = world.store.get(request_id)
        assert world.request(request_id).message_sid == sid
        if sid is None:
            assert world.request(request_id).state is RequestState.PRESUMED_UNSENT
            assert never_sent
            assert never_sent.notice is NoticeState.DUE
            world.requests.complete(world.request(request_id), world.request(request_id).closed())
        else:
            assert never_sent is None or never_sent.outcome is Outcome.PENDING
