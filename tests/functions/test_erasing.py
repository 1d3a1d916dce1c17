"""Erasing a person's data against moto and the simulated Twilio: nothing brings it back."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any, NoReturn

import pytest
import requests
from mypy_boto3_dynamodb import DynamoDBClient

from delivery.domain.messages import Effect, Source, StatusUpdate
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
from tests.functions.interleaving import Writer, every_interleaving
from tests.functions.sender import FROM, TO, SenderRig, a_document
from tests.functions.tracked_account import BODY, REQUEST_ID, TWILIO, TrackedAccount
from tests.support.builders import MESSAGE_SID, NOON, an_update
from tests.support.embedded_metrics import data_points, total
from tests.support.faults import FailingClient, WrappedClient
from tests.support.virtual_twilio import (
    ACCOUNT_SID,
    AUTH_TOKEN,
    SENDER,
    SUBACCOUNT_SID,
    a_response,
)

OTHER = "+15558675311"
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


class ErasureRig(TrackedAccount):
    """The tables, a Twilio, and the operator with both."""

    def __init__(self, dynamodb: DynamoDBClient, session: requests.Session) -> None:
        super().__init__(dynamodb)
        self.slept: list[float] = []
        client = TwilioClient(session, TWILIO, sleep=self.slept.append)
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
            now=lambda: self.twilio.now,
        )

    def erase(self, address: str = TO, **options: Any) -> dict[str, str]:
        """Erase, and return the reasons of what is left, by id."""
        steps = list(self.eraser(**options).erase(address))
        return {step.id: step.reason for step in steps if step.is_left}

    def a_message(self, to: str = TO, *, known: bool = True, ended: bool = True) -> str:
        """A message at Twilio, and in the table if it is known."""
        channel = to.rpartition("+")[0]
        sid = self.send(known=False, To=to, From=f"{channel}{SENDER}")
        if ended:
            self.advance(minutes=10)
        if known:
            self.apply(sid, "delivered" if ended else "sent", to=to, body=BODY)
        return sid

    def a_request(self, state: RequestState, **facts: Any) -> SendRequest:
        """A request that ended in this state."""
        return self.complete(self.claim(**facts), state, message_sid=facts.get("message_sid"))

    def is_at_twilio(self, sid: str) -> bool:
        return "sid" in self.twilio.fetch(sid)

    def everything(self) -> str:
        """All that both tables hold."""
        tables = ("MessagesTable", "SendRequestsTable")
        return str([self.dynamodb.scan(TableName=table)["Items"] for table in tables])


@pytest.fixture
def rig(
    dynamodb: DynamoDBClient,
    messages_table: str,  # noqa: ARG001 -- the rig uses it
    requests_table: str,  # noqa: ARG001 -- the same
    control_table: str,  # noqa: ARG001 -- the same
) -> Iterator[ErasureRig]:
    with requests.Session() as session:
        yield ErasureRig(dynamodb, session)


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
        an_update("sent"),
        an_update("read", after=5, context={"a": "1"}),
        an_update("undelivered", after=5, error_code=30003),
        an_update("a_new_word"),
        an_update("queued", source=Source.SEND, body="Hello", reference="order-1"),
    ],
)
@pytest.mark.usefixtures("erased")
def test_no_update_restores_an_erased_message(
    dynamodb: DynamoDBClient, store: MessageStore, late: StatusUpdate
) -> None:
    client: Any = WrappedClient(dynamodb)

    recorded = MessageStore(client, "MessagesTable").record(late)
    store.erase(MESSAGE_SID, at=NOON + timedelta(days=1), expires_at=UNTIL + 1)

    assert (recorded.effect, recorded.outcome_changed) == (Effect.ERASED, False)
    assert recorded.message.message_sid == MESSAGE_SID
    assert client.calls == ["update_item"]
    assert raw(dynamodb) == MARKER


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


@pytest.mark.thorough
@pytest.mark.parametrize("statuses", [("delivered",), ("queued",), ("undelivered", "delivered")])
@pytest.mark.parametrize("before", [None, "sent", "failed"])
def test_a_message_stays_erased_in_any_interleaving_with_callbacks(
    dynamodb: DynamoDBClient, store: MessageStore, statuses: tuple[str, ...], before: str | None
) -> None:
    def writers(run: int) -> list[Writer]:
        message_sid = f"SM{run:032x}"
        if before:
            store.record(an_update(before, message_sid=message_sid))

        def recording(status: str) -> Writer:
            update = an_update(status, message_sid=message_sid, context={"b": "2"})
            return lambda client: MessageStore(client, "MessagesTable").record(update)

        def erasing(client: Any) -> None:
            MessageStore(client, "MessagesTable").erase(message_sid, at=NOON, expires_at=UNTIL)

        return [erasing, *map(recording, statuses)]

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


def test_only_the_recipient_s_messages_are_erased_here_and_at_twilio(rig: ErasureRig) -> None:
    mine = [rig.a_message(), rig.a_message(), rig.a_message(f"whatsapp:{TO}")]
    of_another = rig.a_message(OTHER)

    left = rig.erase("+1 (555) 867-5310")

    assert left == {}
    assert TO not in rig.everything()
    assert not any(rig.is_at_twilio(sid) for sid in mine)
    assert rig.messages.get(of_another)
    assert rig.is_at_twilio(of_another)


def test_a_message_that_only_twilio_knows_is_erased_and_never_stored(rig: ErasureRig) -> None:
    sid = rig.a_message(known=False)

    rig.erase()
    rig.apply(sid, "delivered")

    assert not rig.is_at_twilio(sid)
    assert TO not in rig.everything()


@pytest.mark.parametrize("channel", ["", "whatsapp:"])
def test_a_list_that_breaks_off_is_erased_as_far_as_it_was_read(
    rig: ErasureRig, monkeypatch: pytest.MonkeyPatch, channel: str
) -> None:
    monkeypatch.setattr("delivery.twilio.client.PAGE_SIZE", 2)
    older, *newer = (rig.a_message(f"{channel}{TO}", known=False) for _ in range(3))

    def without_later_pages(request: requests.PreparedRequest) -> requests.Response | None:
        is_later = "PageToken=" in str(request.path_url)
        return a_response(400, b'{"code": 21481, "status": 400}') if is_later else None

    rig.wire.fault = without_later_pages
    left = rig.erase()

    assert list(left) == [ACCOUNT_SID]
    assert rig.is_at_twilio(older)
    assert not any(rig.is_at_twilio(sid) for sid in newer)


def test_a_tombstone_stays_as_long_as_its_message_and_at_least_a_month(rig: ErasureRig) -> None:
    kept_long, kept_short = rig.a_message(), rig.a_message()
    message = rig.messages.get(kept_long)
    assert message
    rig.dynamodb.update_item(
        TableName="MessagesTable",
        Key={"message_sid": {"S": kept_short}},
        UpdateExpression="SET expires_at = :soon",
        ExpressionAttributeValues={":soon": {"N": str(int(rig.twilio.now.timestamp()) + 60)}},
    )

    rig.erase()

    month = int((rig.twilio.now + timedelta(days=30)).timestamp())
    assert raw(rig.dynamodb, kept_long)["expires_at"] == {"N": str(message.expires_at)}
    assert raw(rig.dynamodb, kept_short)["expires_at"] == {"N": str(month)}


@pytest.mark.parametrize("known", [True, False])
def test_a_message_in_processing_is_redacted_and_erased_by_the_next_run(
    rig: ErasureRig, *, known: bool
) -> None:
    sid = rig.a_message(known=known, ended=False)

    left = rig.erase()

    assert "redacted" in left[sid]
    assert rig.twilio.fetch(sid)["body"] == ""
    assert bool(rig.messages.get(sid)) is known

    rig.advance(minutes=10)
    rig.apply(sid, "delivered")

    assert rig.erase() == {}
    assert not rig.is_at_twilio(sid)
    assert TO not in rig.everything()


@pytest.mark.parametrize("call", range(1, 10))
def test_after_a_crash_at_any_write_the_next_run_finds_everything(
    rig: ErasureRig, call: int
) -> None:
    sid = rig.a_message()
    rig.a_request(RequestState.SENT, message_sid=rig.a_message(known=False))

    with suppress(StoreUnavailable):
        client = FailingClient(rig.dynamodb, call, after=True)
        list(rig.eraser(dynamodb=client).erase(TO))

    assert rig.erase() == {}
    assert TO not in rig.everything()
    assert not rig.is_at_twilio(sid)


def test_after_a_crash_between_deletion_and_tombstone_nothing_is_restored(
    rig: ErasureRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    sid = rig.a_message(known=False)
    delete = rig.at_twilio.delete

    def delete_and_exit(*which: Any) -> NoReturn:
        delete(*which)
        raise SystemExit

    monkeypatch.setattr(rig.at_twilio, "delete", delete_and_exit)
    with pytest.raises(SystemExit):
        rig.erase()
    monkeypatch.undo()
    rig.erase()  # neither Twilio nor the table knows that there was anything
    rig.apply(sid, "delivered")

    assert not rig.is_at_twilio(sid)
    assert TO not in rig.everything()


@pytest.mark.parametrize(("seconds", "is_left"), [(20, False), (86_400, True)])
def test_the_erasure_waits_as_long_as_twilio_names_but_not_for_hours(
    rig: ErasureRig, seconds: int, *, is_left: bool
) -> None:
    sid = rig.a_message()
    throttled = a_response(429)
    throttled.headers["Retry-After"] = str(seconds)
    answers = iter([throttled])
    rig.wire.fault = lambda it: next(answers, None) if it.method == "DELETE" else None

    left = rig.erase()

    assert (sid in left) is is_left
    assert rig.slept == ([] if is_left else [seconds])


def test_if_twilio_does_not_answer_everything_is_left_after_one_request(rig: ErasureRig) -> None:
    sids = [rig.a_message() for _ in range(3)]
    rig.wire.fault = cut

    left = rig.erase()

    assert set(left) == {*sids, ACCOUNT_SID}
    assert len({it for it in rig.wire.requests if it.startswith("DELETE")}) == 1
    assert all(rig.messages.get(sid) for sid in sids)


def test_without_twilio_only_the_tables_are_erased(rig: ErasureRig) -> None:
    sid = rig.a_message()

    assert rig.erase(twilio=False) == {}

    assert rig.messages.get(sid) is None
    assert rig.is_at_twilio(sid)


def test_a_message_of_an_account_that_the_secret_lacks_is_left(rig: ErasureRig) -> None:
    sid = rig.a_message(known=False)
    rig.apply(sid, "delivered", account_sid=SUBACCOUNT_SID)

    assert SUBACCOUNT_SID in rig.erase()[sid]
    assert rig.messages.get(sid)


def test_finding_counts_the_data_and_changes_nothing(rig: ErasureRig) -> None:
    rig.a_message()
    rig.a_message(known=False)
    rig.a_request(RequestState.PRESUMED_UNSENT)

    found = rig.eraser().find(TO)

    assert (found.messages, found.requests, found.at_twilio) == (1, 1, 2)
    assert rig.erase(OTHER) == {}
    assert rig.eraser().find(TO) == found


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        (f"viber:{TO}", TO),
        (TO, f"viber:{TO}"),
        (f"line:{TO}", f"line:{TO}"),
        ("whatsapp:+541123456789", "+5491123456789"),
        ("messenger:123", "messenger:123"),
    ],
)
def test_a_person_is_erased_under_every_address(rig: ErasureRig, typed: str, stored: str) -> None:
    rig.apply(MESSAGE_SID, "delivered", to=stored)
    rig.a_request(RequestState.REJECTED, to=stored)

    assert rig.eraser().find(typed).messages == 1
    assert rig.erase(typed) == {}
    assert "erased_at" in raw(rig.dynamodb)
    assert rig.request().to == ""


def test_a_channel_that_twilio_does_not_know_leaves_nothing(rig: ErasureRig) -> None:
    rig.apply(MESSAGE_SID, "delivered", to=f"viber:{TO}")
    rig.wire.fault = without_viber

    assert rig.erase() == {}
    assert any("viber" in it for it in rig.wire.requests)
    assert "erased_at" in raw(rig.dynamodb)


# --- a person's requests -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "state", [RequestState.SENT, RequestState.PRESUMED_UNSENT, RequestState.REJECTED], ids=str
)
def test_an_erased_request_keeps_only_its_used_key(rig: ErasureRig, state: RequestState) -> None:
    before = rig.a_request(state)

    assert rig.erase() == {}

    request = rig.request()
    assert (request.state, request.content_digest) == (state, before.content_digest)
    assert request.expires_at == before.expires_at
    assert (request.to, request.from_, request.body_digest) == ("", None, None)
    assert (request.reference, request.context, request.is_unresolved) == (None, {}, False)
    for word in (TO, SENDER, "order-1", "shop", str(before.body_digest)):
        assert word not in rig.everything()


def test_a_request_in_progress_or_in_doubt_is_left(rig: ErasureRig) -> None:
    rig.claim()

    in_progress = rig.erase()[REQUEST_ID]
    rig.advance(minutes=1)
    in_doubt = rig.erase()[REQUEST_ID]

    assert "in progress" in in_progress
    assert "in doubt" in in_doubt
    assert rig.request().to == TO


@pytest.mark.parametrize("state", [RequestState.PRESUMED_UNSENT, RequestState.SENT], ids=str)
def test_a_writer_that_read_the_request_before_the_erasure_cannot_complete_it(
    rig: ErasureRig, state: RequestState
) -> None:
    seen = rig.a_request(state)
    rig.erase()

    resolved = seen.completed(
        RequestState.SENT, at=rig.twilio.now, kept_for=timedelta(days=30), message_sid="SM1"
    )
    for later in (resolved, seen.closed(), resolved.awaiting_message()):
        rig.requests.complete(seen, later)

    assert TO not in rig.everything()
    assert list(rig.requests.unresolved()) == []


def test_a_message_that_only_its_request_names_is_erased_with_it(rig: ErasureRig) -> None:
    sid = rig.a_message(OTHER, known=False)  # Twilio's list by number does not show it
    sent = rig.a_request(RequestState.SENT, message_sid=sid)
    rig.requests.complete(sent, sent.awaiting_message())

    rig.erase()
    rig.apply(sid, "delivered")

    assert not rig.is_at_twilio(sid)
    assert TO not in rig.everything()


@pytest.mark.usefixtures("rig")
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
