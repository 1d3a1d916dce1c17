"""Erasing a person's data against moto and the simulated Twilio: nothing brings it back."""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import date, timedelta
from types import ModuleType
from typing import Any, NoReturn

import pytest
import requests
from mypy_boto3_dynamodb import DynamoDBClient
from mypy_boto3_secretsmanager import SecretsManagerClient

from delivery.domain.messages import Effect, Source, StatusUpdate, Timings
from delivery.domain.notices import NoticeState
from delivery.domain.send_requests import RequestState, SendRequest
from delivery.domain.statuses import Outcome
from delivery.storage.message_lists import MessageList
from delivery.storage.messages import MessageStore
from delivery.storage.send_requests import SendRequestStore
from delivery.storage.table import StoreUnavailable
from delivery.twilio.client import TwilioClient
from delivery.twilio.credentials import Account, TwilioSecret
from delivery_cli.commands.erase.eraser import Eraser, TwilioAccounts
from tests.functions.callbacks import StatusCallbackRig, a_callback, a_request
from tests.functions.conftest import ENVIRONMENT
from tests.functions.interleaving import Writer, every_interleaving
from tests.functions.sender import FROM, TO, SenderRig, a_document
from tests.support.builders import MESSAGE_SID, NOON, an_update
from tests.support.embedded_metrics import data_points, total
from tests.support.faults import FailingClient
from tests.support.virtual_twilio import (
    ACCOUNT_SID,
    AUTH_TOKEN,
    SENDER,
    SUBACCOUNT_SID,
    VirtualTwilio,
    Wire,
    a_response,
)

TWILIO = "https://twilio.example"
OTHER = "+15558675311"
REQUEST_ID = "rq_" + "a" * 32
UNTIL = int((NOON + timedelta(days=400)).timestamp())
MARKER = {
    "message_sid": {"S": MESSAGE_SID},
    "erased_at": {"S": "2026-11-23T12:00:00.000Z"},
    "status_rank": {"N": "1000"},
    "expires_at": {"N": str(UNTIL)},
}


def raw(dynamodb: DynamoDBClient, message_sid: str = MESSAGE_SID) -> dict[str, Any]:
    return dynamodb.get_item(
        TableName="MessagesTable", Key={"message_sid": {"S": message_sid}}
    ).get("Item", {})


def cut(_: requests.PreparedRequest) -> NoReturn:
    raise requests.ConnectionError


def without_viber(request: requests.PreparedRequest) -> requests.Response | None:
    is_about_viber = "viber" in str(request.path_url)
    return a_response(400, b'{"code": 21211, "status": 400}') if is_about_viber else None


class World:
    """The tables, a Twilio, and the operator with both."""

    def __init__(self, dynamodb: DynamoDBClient, session: requests.Session) -> None:
        self.dynamodb = dynamodb
        self.virtual = VirtualTwilio()
        self.wire = Wire(self.virtual)
        self.store = MessageStore(dynamodb, "MessagesTable", Timings())
        self.requests = SendRequestStore(dynamodb, "SendRequestsTable")
        client = TwilioClient(session, TWILIO, sleep=lambda _: None)
        session.mount(f"{TWILIO}/", self.wire)
        secret = TwilioSecret(main=Account(account_sid=ACCOUNT_SID, auth_token=AUTH_TOKEN))
        self.at_twilio = TwilioAccounts(client, secret)

    def eraser(self, *, dynamodb: Any = None, twilio: bool = True) -> Eraser:
        client = dynamodb or self.dynamodb
        return Eraser(
            messages=MessageStore(client, "MessagesTable"),
            requests=SendRequestStore(client, "SendRequestsTable"),
            twilio=self.at_twilio if twilio else None,
            key_retention=timedelta(days=30),
            now=lambda: self.virtual.now,
        )

    def erase(self, address: str = TO, **options: Any) -> dict[str, str]:
        """Erase, and return the reasons of what is left, by id."""
        steps = list(self.eraser(**options).erase(address))
        return {step.id: step.reason for step in steps if step.is_left}

    def send(self, to: str = TO, *, known: bool = True, ended: bool = True) -> str:
        """A message at Twilio, and in the table if it is known."""
        channel = to.rpartition("+")[0]
        sid = str(self.virtual.send(To=to, From=f"{channel}{SENDER}")["sid"])
        if ended:
            self.virtual.run(seconds=600)
        if known:
            self.apply("delivered" if ended else "sent", message_sid=sid, to=to)
        return sid

    def apply(self, status: str, **facts: Any) -> None:
        facts = {"account_sid": ACCOUNT_SID, "to": TO, "body": "Hello"} | facts
        self.store.record(replace(an_update(status, **facts), at=self.virtual.now))

    def claim(self, state: RequestState, **facts: Any) -> SendRequest:
        defaults: dict[str, Any] = {
            "claim_id": "claim-1",
            "content_digest": "c" * 64,
            "account_sid": ACCOUNT_SID,
            "to": TO,
            "from_": SENDER,
            "body_digest": "b" * 64,
            "reference": "order-1",
            "context": {"shop": "7"},
            "claimed_at": self.virtual.now,
            "lease_until": self.virtual.now + timedelta(seconds=29),
        }
        claim = self.requests.claim(SendRequest(request_id=REQUEST_ID, **(defaults | facts)))
        if state is RequestState.IN_PROGRESS:
            return claim
        settled = claim.completed(
            state,
            at=self.virtual.now,
            kept_for=timedelta(days=30),
            message_sid=facts.get("message_sid"),
        )
        return self.requests.complete(claim, settled)

    def request(self) -> SendRequest:
        request = self.requests.get(REQUEST_ID)
        assert request is not None
        return request

    def is_at_twilio(self, sid: str) -> bool:
        return "sid" in self.virtual.fetch(sid)

    def everything(self) -> str:
        """All that both tables hold."""
        tables = ("MessagesTable", "SendRequestsTable")
        return str([self.dynamodb.scan(TableName=table)["Items"] for table in tables])


@pytest.fixture
def world(
    dynamodb: DynamoDBClient, messages_table: str, requests_table: str, control_table: str
) -> Iterator[World]:
    assert control_table
    assert messages_table
    assert requests_table
    with requests.Session() as session:
        yield World(dynamodb, session)


# --- a message that was erased -------------------------------------------------------------------


@pytest.fixture
def erased(store: MessageStore) -> StatusUpdate:
    """The update that a message knew before it was erased."""
    update = an_update("sent", reference="order-1", body="Hello", context={"shop": "7"})
    store.record(update)
    store.erase(MESSAGE_SID, at=NOON, expires_at=UNTIL)
    return update


def test_a_tombstone_holds_only_the_sid_and_two_times(
    dynamodb: DynamoDBClient, store: MessageStore, erased: StatusUpdate
) -> None:
    assert raw(dynamodb) == MARKER
    assert store.get(MESSAGE_SID) is None
    assert list(store.get_many([MESSAGE_SID])) == []
    assert erased.to
    assert store.lists.page(MessageList.to(erased.to), limit=9).messages == ()
    assert store.lists.page(MessageList.with_reference("order-1"), limit=9).messages == ()
    assert store.lists.page(MessageList.pending(), limit=9).messages == ()
    assert list(store.stale_messages(NOON + timedelta(days=9))) == []
    assert list(store.notices_due(NOON + timedelta(days=9))) == []


@pytest.mark.parametrize(
    "late",
    [
        an_update("queued"),
        an_update("sent"),
        an_update("delivered", after=5),
        an_update("read", after=5, context={"a": "1"}),
        an_update("undelivered", after=5, error_code=30003),
        an_update("canceled"),
        an_update("a_new_word"),
        an_update("scheduled", send_at=NOON + timedelta(days=3)),
        an_update("queued", source=Source.SEND, body="Hello", reference="order-1"),
    ],
)
@pytest.mark.usefixtures("erased")
def test_no_update_restores_an_erased_message(
    dynamodb: DynamoDBClient, store: MessageStore, late: StatusUpdate
) -> None:
    recorded = store.record(late)

    assert (recorded.effect, recorded.outcome_changed) == (Effect.ERASED, False)
    assert recorded.message.message_sid == MESSAGE_SID
    assert raw(dynamodb) == MARKER


class Watched:
    """A client that records its calls."""

    def __init__(self, client: DynamoDBClient) -> None:
        self._client = client
        self.exceptions = client.exceptions
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(**arguments: Any) -> Any:
            self.calls.append(name)
            return getattr(self._client, name)(**arguments)

        return call


@pytest.mark.usefixtures("erased")
def test_a_late_callback_costs_one_request(dynamodb: DynamoDBClient) -> None:
    client = Watched(dynamodb)

    MessageStore(client, "MessagesTable").record(an_update("delivered"))  # type: ignore[arg-type]  # as far as used

    assert client.calls == ["update_item"]


def test_a_writer_that_read_the_message_before_the_erasure_restores_nothing(
    dynamodb: DynamoDBClient, store: MessageStore
) -> None:
    pending = store.record(an_update("sent")).message
    store.record(an_update("failed"))
    failed = store.get(MESSAGE_SID)
    assert failed
    claimed_notice = store.advance_notice(failed, NOON)
    assert claimed_notice
    store.erase(MESSAGE_SID, at=NOON, expires_at=UNTIL)

    store.schedule_check(pending, NOON + timedelta(days=1))
    unconfirmed = store.record_unconfirmed(pending, NOON)
    claimed = store.advance_notice(failed, NOON)
    sent = store.advance_notice(claimed_notice, NOON)
    taken_over = store.take_over_notice(claimed_notice, NOON + timedelta(hours=1))

    assert (claimed, sent, taken_over) == (None, None, None)
    assert unconfirmed.outcome is Outcome.PENDING
    assert raw(dynamodb) == MARKER


def test_an_erased_unsent_request_is_not_notified(
    dynamodb: DynamoDBClient, store: MessageStore
) -> None:
    update = an_update("presumed_unsent", message_sid=REQUEST_ID, source=Source.RECONCILE)
    store.record_unsent_request(update)
    store.erase(REQUEST_ID, at=NOON, expires_at=UNTIL)

    again = store.record_unsent_request(update)
    after_all = store.record_superseded(update)

    assert (again.effect, again.outcome_changed) == (Effect.ERASED, False)
    assert after_all.is_superseded
    assert raw(dynamodb, REQUEST_ID) == MARKER | {"message_sid": {"S": REQUEST_ID}}


def test_erasing_again_changes_nothing(
    dynamodb: DynamoDBClient, store: MessageStore, erased: StatusUpdate
) -> None:
    store.erase(erased.message_sid, at=NOON + timedelta(days=1), expires_at=UNTIL + 1)

    assert raw(dynamodb) == MARKER


CONCURRENT: dict[str, list[Callable[[MessageStore, str], object]]] = {
    "a callback": [lambda store, sid: store.record(an_update("delivered", message_sid=sid))],
    "a late callback with its context": [
        lambda store, sid: store.record(
            an_update("queued", message_sid=sid, context={"b": "2"}, reference="order-1")
        )
    ],
    "two callbacks": [
        lambda store, sid: store.record(an_update("undelivered", message_sid=sid)),
        lambda store, sid: store.record(an_update("delivered", message_sid=sid)),
    ],
    "the notifier": [
        lambda store, sid: (
            (known := store.get(sid)) and known.notice and store.advance_notice(known, NOON)
        )
    ],
    "reconciling": [
        lambda store, sid: (known := store.get(sid)) and store.record_unconfirmed(known, NOON)
    ],
}


@pytest.mark.thorough
@pytest.mark.parametrize("others", CONCURRENT.values(), ids=CONCURRENT.keys())
@pytest.mark.parametrize("before", [None, "sent", "failed"])
def test_a_message_stays_erased_in_any_interleaving_with_other_writers(
    dynamodb: DynamoDBClient,
    messages_table: str,
    others: list[Callable[[MessageStore, str], object]],
    before: str | None,
) -> None:
    def writers(run: int) -> list[Writer]:
        message_sid = f"SM{run:032x}"
        if before:
            MessageStore(dynamodb, messages_table).record(
                an_update(before, message_sid=message_sid)
            )

        def writing(write: Callable[[MessageStore, str], object]) -> Writer:
            return lambda client: write(MessageStore(client, messages_table), message_sid)

        def erasing(client: Any) -> None:
            MessageStore(client, messages_table).erase(message_sid, at=NOON, expires_at=UNTIL)

        return [erasing, *map(writing, others)]

    runs = 0
    for run in every_interleaving(dynamodb, writers):
        message_sid = f"SM{run:032x}"
        assert raw(dynamodb, message_sid) == MARKER | {"message_sid": {"S": message_sid}}
        runs += 1
    assert runs >= 2


@pytest.mark.usefixtures("erased")
def test_a_callback_for_an_erased_message_gets_204_and_is_dropped(
    callbacks: StatusCallbackRig,  # before capsys: its logger keeps the stream that it finds
    dynamodb: DynamoDBClient,
    capsys: pytest.CaptureFixture[str],
) -> None:
    callbacks.function.queue.put(an_update("delivered"))

    status = callbacks.call(a_request(a_callback("delivered")))
    returned = callbacks.replay(callbacks.queued())

    ignored = total(data_points(capsys.readouterr().out), "ErasedIgnored", service="tested")
    assert (status, returned, ignored) == (204, [], 2)
    assert raw(dynamodb) == MARKER


# --- a person ------------------------------------------------------------------------------------


def test_only_the_recipient_s_messages_are_erased_here_and_at_twilio(world: World) -> None:
    mine = [world.send(), world.send(), world.send(f"whatsapp:{TO}")]
    of_another = world.send(OTHER)

    left = world.erase("+1 (555) 867-5310")

    assert left == {}
    assert TO not in world.everything()
    assert not any(world.is_at_twilio(sid) for sid in mine)
    assert world.store.get(of_another)
    assert world.is_at_twilio(of_another)


def test_a_message_that_only_twilio_knows_is_erased_and_never_stored(
    world: World,
) -> None:
    sid = world.send(known=False)

    world.erase()
    world.apply("delivered", message_sid=sid)

    assert not world.is_at_twilio(sid)
    assert TO not in world.everything()


def test_a_tombstone_stays_as_long_as_its_message_and_at_least_a_month(
    world: World,
) -> None:
    kept_long, kept_short = world.send(), world.send()
    message = world.store.get(kept_long)
    assert message
    world.dynamodb.update_item(
        TableName="MessagesTable",
        Key={"message_sid": {"S": kept_short}},
        UpdateExpression="SET expires_at = :soon",
        ExpressionAttributeValues={":soon": {"N": str(int(world.virtual.now.timestamp()) + 60)}},
    )

    world.erase()

    month = int((world.virtual.now + timedelta(days=30)).timestamp())
    assert raw(world.dynamodb, kept_long)["expires_at"] == {"N": str(message.expires_at)}
    assert raw(world.dynamodb, kept_short)["expires_at"] == {"N": str(month)}


def test_a_message_in_processing_is_redacted_and_erased_by_the_next_run(
    world: World,
) -> None:
    sid = world.send(ended=False)

    left = world.erase()

    assert "redacted" in left[sid]
    assert world.virtual.fetch(sid)["body"] == ""
    assert world.store.get(sid)

    world.virtual.run(seconds=600)

    assert world.erase() == {}
    assert not world.is_at_twilio(sid)
    assert world.store.get(sid) is None


def test_the_next_run_completes_an_interrupted_erasure(world: World) -> None:
    sids = [world.send() for _ in range(3)]
    world.claim(RequestState.SENT, message_sid=sids[0])

    first = next(iter(world.eraser().erase(TO)))
    left = world.erase()

    assert not first.is_left
    assert left == {}
    assert TO not in world.everything()
    assert world.erase() == {}


@pytest.mark.parametrize("call", range(1, 10))
def test_after_a_crash_at_any_write_the_next_run_finds_everything(world: World, call: int) -> None:
    sid = world.send()
    world.claim(RequestState.SENT, message_sid=world.send(known=False))

    with suppress(StoreUnavailable):
        client = FailingClient(world.dynamodb, call, after=True)
        list(world.eraser(dynamodb=client).erase(TO))

    assert world.erase() == {}
    assert TO not in world.everything()
    assert not world.is_at_twilio(sid)


class Died(BaseException):
    """The operator's process, in the middle of what it did."""


def test_after_a_crash_between_deletion_and_tombstone_nothing_is_restored(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sid = world.send(known=False)
    delete = world.at_twilio.delete

    def delete_and_die(*which: Any) -> str:
        delete(*which)
        raise Died

    monkeypatch.setattr(world.at_twilio, "delete", delete_and_die)
    with pytest.raises(Died):
        world.erase()
    monkeypatch.undo()
    world.erase()  # neither Twilio nor the table knows that there was anything
    world.apply("delivered", message_sid=sid)

    assert not world.is_at_twilio(sid)
    assert TO not in world.everything()


def test_a_message_in_processing_that_only_twilio_knows_is_erased_next_time(world: World) -> None:
    sid = world.send(known=False, ended=False)

    left = world.erase()
    world.virtual.run(seconds=600)
    world.apply("delivered", message_sid=sid)

    assert left.keys() == {sid}
    assert TO not in world.everything()
    assert world.erase() == {}
    assert not world.is_at_twilio(sid)


def test_if_twilio_does_not_answer_everything_is_left_after_one_request(
    world: World,
) -> None:
    sids = [world.send() for _ in range(3)]
    world.wire.fault = cut

    left = world.erase()

    assert set(left) == {*sids, ACCOUNT_SID}
    assert len({it for it in world.wire.requests if it.startswith("DELETE")}) == 1
    assert all(world.store.get(sid) for sid in sids)


def test_without_twilio_only_the_tables_are_erased(world: World) -> None:
    sid = world.send()

    assert world.erase(twilio=False) == {}

    assert world.store.get(sid) is None
    assert world.is_at_twilio(sid)


def test_a_message_of_an_account_that_the_secret_lacks_is_left(world: World) -> None:
    sid = world.send(known=False)
    world.apply("delivered", message_sid=sid, account_sid=SUBACCOUNT_SID)

    assert SUBACCOUNT_SID in world.erase()[sid]
    assert world.store.get(sid)


def test_finding_counts_the_data_and_changes_nothing(world: World) -> None:
    world.send()
    world.send(known=False)
    world.claim(RequestState.PRESUMED_UNSENT)

    found = world.eraser().find(TO)

    assert (found.messages, found.requests, found.at_twilio) == (1, 1, 2)
    assert world.erase(OTHER) == {}
    assert world.eraser().find(TO) == found


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        (f"viber:{TO}", f"viber:{TO}"),
        (f"viber:{TO}", TO),
        (TO, f"viber:{TO}"),
        (f"line:{TO}", f"line:{TO}"),
        ("+5531996883193", "whatsapp:+553196883193"),
        ("whatsapp:+541123456789", "+5491123456789"),
        ("+525512345678", "whatsapp:+5215512345678"),
        ("messenger:123", "messenger:123"),
    ],
)
def test_a_person_is_erased_under_every_address(world: World, typed: str, stored: str) -> None:
    world.apply("delivered", to=stored)
    world.claim(RequestState.REJECTED, to=stored)

    assert world.eraser().find(typed).messages == 1
    assert world.erase(typed) == {}
    assert "erased_at" in raw(world.dynamodb)
    assert world.request().to == ""


def test_a_channel_that_twilio_does_not_know_leaves_nothing(world: World) -> None:
    world.apply("delivered", to=f"viber:{TO}")
    world.wire.fault = without_viber

    assert world.erase() == {}
    assert any("viber" in it for it in world.wire.requests)
    assert "erased_at" in raw(world.dynamodb)


# --- a person's requests -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "state", [RequestState.SENT, RequestState.PRESUMED_UNSENT, RequestState.REJECTED], ids=str
)
def test_an_erased_request_keeps_only_its_used_key(world: World, state: RequestState) -> None:
    before = world.claim(state)

    assert world.erase() == {}

    request = world.request()
    assert (request.state, request.content_digest) == (state, before.content_digest)
    assert request.expires_at == before.expires_at
    assert (request.to, request.from_, request.body_digest) == ("", None, None)
    assert (request.reference, request.context, request.is_unresolved) == (None, {}, False)
    for word in (TO, SENDER, "order-1", "shop", "b" * 64):
        assert word not in world.everything()


def test_a_request_in_progress_or_in_doubt_is_left(world: World) -> None:
    world.claim(RequestState.IN_PROGRESS)

    in_progress = world.erase()[REQUEST_ID]
    world.virtual.run(seconds=60)
    in_doubt = world.erase()[REQUEST_ID]

    assert "in progress" in in_progress
    assert "in doubt" in in_doubt
    assert world.request().to == TO


@pytest.mark.parametrize("state", [RequestState.PRESUMED_UNSENT, RequestState.SENT], ids=str)
def test_a_writer_that_read_the_request_before_the_erasure_cannot_complete_it(
    world: World, state: RequestState
) -> None:
    seen = world.claim(state)
    world.erase()

    settled = seen.completed(
        RequestState.SENT, at=world.virtual.now, kept_for=timedelta(days=30), message_sid="SM1"
    )
    for later in (settled, seen.closed(), settled.awaiting_message()):
        world.requests.complete(seen, later)

    assert TO not in world.everything()
    assert list(world.requests.unresolved()) == []


def test_an_erased_unsent_request_cannot_be_notified_by_an_earlier_reader(world: World) -> None:
    seen = world.claim(RequestState.PRESUMED_UNSENT)
    world.erase()

    recorded = world.store.record_unsent_request(
        an_update("presumed_unsent", message_sid=seen.request_id, source=Source.RECONCILE)
    )

    assert recorded.effect is Effect.ERASED
    assert TO not in world.everything()


def test_a_message_that_only_its_request_names_is_erased_with_it(world: World) -> None:
    sid = world.send(OTHER, known=False)  # Twilio's list by number does not show it
    sent = world.claim(RequestState.SENT, message_sid=sid)
    world.requests.complete(sent, sent.awaiting_message())

    world.erase()
    world.apply("delivered", message_sid=sid)

    assert not world.is_at_twilio(sid)
    assert TO not in world.everything()


@pytest.mark.usefixtures("world")
def test_an_erased_request_s_key_never_sends_again(
    sender: SenderRig, dynamodb: DynamoDBClient
) -> None:
    _, message = sender.post(a_document(reference="order-7"), key="key-1")
    eraser = Eraser(
        messages=MessageStore(dynamodb, "MessagesTable"),
        requests=SendRequestStore(dynamodb, "SendRequestsTable"),
        twilio=None,
        key_retention=timedelta(days=30),
        now=sender.clock,
    )

    assert not any(step.is_left for step in eraser.erase(TO))
    again = sender.post(a_document(reference="order-7"), key="key-1")
    other = sender.post(a_document(body="Another"), key="key-1")

    ids = {name: message[name] for name in ("message_sid", "request_id")}
    assert again == (200, ids)
    assert other[0] == 409
    assert len(sender.twilio.requests) == 1
    tables = [dynamodb.scan(TableName=it)["Items"] for it in ("MessagesTable", "SendRequestsTable")]
    assert not any(word in str(tables) for word in (TO, FROM, "order-7"))


@pytest.mark.usefixtures("world")
def test_an_erased_unsent_request_s_key_stays_used(sender: SenderRig) -> None:
    _, message = sender.post(a_document(), key="key-1")
    not_found = sender.presume_unsent(sender.request(message["request_id"]))
    erased = not_found.erased(at=NOON, kept_for=timedelta(days=30))
    sender.requests.complete(not_found, erased)

    status, problem = sender.post(a_document(), key="key-1")

    assert (status, problem["state"]) == (409, "presumed_unsent")
    assert len(sender.twilio.requests) == 1


# --- reconciling ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("twilio_secret", "control_table")
def test_reconciling_and_auditing_restore_nothing_that_twilio_still_has(
    world: World,
    secrets_manager: SecretsManagerClient,
    reconcile_messages: ModuleType,
    audit_messages: ModuleType,
) -> None:
    sid = world.send(ended=False)
    world.claim(RequestState.PRESUMED_UNSENT)
    world.erase(twilio=False)
    world.virtual.run(seconds=2 * 86_400)
    secret = json.dumps({"account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN})
    secrets_manager.put_secret_value(SecretId="delivery/twilio", SecretString=secret)
    environ = {"TWILIO_API_BASE_URL": TWILIO, "AUDIT_MODE": "all"}
    with requests.Session() as session:
        reconciler, auditor = (
            app.build(
                ENVIRONMENT | environ,
                app.Clients(dynamodb=world.dynamodb, secrets_manager=secrets_manager, http=session),
                now=lambda: world.virtual.now,
            )
            for app in (reconcile_messages, audit_messages)
        )
        session.mount(f"{TWILIO}/", world.wire)

        reconciler.reconcile(lambda: 240)
        auditor.audit(world.virtual.now.date() - timedelta(days=2), lambda: 900)

    assert world.is_at_twilio(sid)
    assert any(it.startswith("GET Messages.json") for it in world.wire.requests)
    assert TO not in world.everything()
    assert list(world.store.notices_due(world.virtual.now)) == []
    assert world.store.lists.page(MessageList.failed_on(date(2026, 11, 25)), limit=9).messages == ()
    assert NoticeState.DUE not in world.everything()
