"""ReconcileMessagesFunction resolves requests in doubt by evidence: the promise I6."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from delivery.domain.messages import Source, StatusUpdate
from delivery.domain.notices import NoticeState
from delivery.domain.send_requests import RequestState
from delivery.domain.statuses import Outcome
from delivery.storage.index_keys import list_key_of
from delivery.twilio import client as delivery_twilio
from tests.functions.reconciler import (
    LAGGING_LIST,
    OTHER_ACCOUNT_SID,
    OTHER_REQUEST_ID,
    ReconcilerRig,
    always,
)
from tests.functions.tracked_account import REQUEST_ID
from tests.support.embedded_metrics import total
from tests.support.faults import WrappedClient, make_unreadable
from tests.support.virtual_twilio import (
    ACCOUNT_SID,
    MESSAGES,
    RECIPIENT,
    SUBACCOUNT_SID,
    a_response,
)

# --- evidence ------------------------------------------------------------------------------------


def evidence_in(reconciler: ReconcilerRig) -> list[str]:
    return [line["evidence"] for line in reconciler.lines("InDoubtResolved")]


def test_a_callback_with_the_request_id_resolves_the_request_as_sent(
    reconciler: ReconcilerRig,
) -> None:
    """However the callback writes the recipient."""
    sid = reconciler.send_and_die()
    reconciler.apply(sid, "sent", request_id=REQUEST_ID, to="whatsapp:+5215558675310")

    reconciler.run_after(minutes=1)

    request = reconciler.request()
    assert (request.state, request.message_sid) == (RequestState.SENT, sid)
    assert not request.is_unresolved
    assert request.expires_at == int((reconciler.twilio.now + timedelta(days=30)).timestamp())
    assert reconciler.twilio_requests() == []
    assert reconciler.counted() == {"InDoubtResolved": 1}
    assert evidence_in(reconciler) == ["request_id"]


def test_a_message_gets_the_facts_that_only_its_request_knows(reconciler: ReconcilerRig) -> None:
    send_at = reconciler.twilio.now + timedelta(days=2)
    request = reconciler.claim(send_at=send_at)
    sid = reconciler.send(known=False)
    reconciler.apply(sid, "from_the_future", request_id=REQUEST_ID, context={"lane": "3"})

    reconciler.run_after(minutes=1)

    message = reconciler.message(sid)
    assert (message.reference, message.send_at) == (request.reference, send_at)
    assert message.context == {"lane": "3", **request.context}
    assert [entry.status for entry in message.transitions] == ["from_the_future"]


def a_message_that_only_its_request_knows(reconciler: ReconcilerRig) -> str:
    """Send a request while neither the table nor the queue accepts its message."""
    claimed = reconciler.claim()
    reconciler.advance(seconds=1)
    sid = reconciler.send(known=False)
    sent = reconciler.complete(claimed, RequestState.SENT, message_sid=sid)
    reconciler.requests.complete(sent, sent.awaiting_message())
    return sid


def test_a_message_that_only_its_request_knows_is_fetched_and_stored(
    reconciler: ReconcilerRig,
) -> None:
    sid = a_message_that_only_its_request_knows(reconciler)

    reconciler.run_after(minutes=1)

    message = reconciler.message(sid)
    assert (message.status, message.request_id) == ("delivered", REQUEST_ID)
    assert (message.reference, message.context) == ("order-1", {"shop": "7"})
    assert reconciler.twilio_requests() == [f"{sid}.json"]
    request = reconciler.request()
    assert (request.state, request.is_unresolved) == (RequestState.SENT, False)
    assert reconciler.counted() == {"MessageReconciled": 1}


def test_a_message_that_was_stored_meanwhile_is_not_fetched(reconciler: ReconcilerRig) -> None:
    sid = a_message_that_only_its_request_knows(reconciler)
    reconciler.apply(sid, "sent", request_id=REQUEST_ID)

    reconciler.run_after(minutes=1)

    assert reconciler.message(sid).reference == "order-1"
    request = reconciler.request()
    assert (request.state, request.is_unresolved) == (RequestState.SENT, False)
    assert reconciler.twilio_requests() == []
    assert reconciler.counted() == {}


def test_a_message_that_cannot_be_fetched_yet_belongs_to_no_other_request(
    reconciler: ReconcilerRig,
) -> None:
    sid = a_message_that_only_its_request_knows(reconciler)
    reconciler.claim(OTHER_REQUEST_ID)
    reconciler.wire.fault = lambda it: a_response(500) if sid in str(it.url) else None

    reconciler.run_after(minutes=15)

    assert reconciler.request(OTHER_REQUEST_ID).state is RequestState.PRESUMED_UNSENT
    assert reconciler.messages.get(sid) is None
    assert reconciler.request().is_unresolved
    assert reconciler.counted() == {"ReconcileError": 1, "InDoubtPresumedUnsent": 1}


def test_a_message_that_twilio_does_not_have_is_not_requested_for_ever(
    reconciler: ReconcilerRig,
) -> None:
    sid = a_message_that_only_its_request_knows(reconciler)
    reconciler.wire.fault = lambda it: a_response(404) if sid in str(it.url) else None

    reconciler.run_after(hours=73)

    request = reconciler.request()
    assert (request.state, request.is_unresolved) == (RequestState.SENT, False)


def test_a_request_in_progress_is_left_alone(reconciler: ReconcilerRig) -> None:
    sid = reconciler.send_and_die()
    reconciler.apply(sid, "sent", request_id=REQUEST_ID)

    reconciler.run_after(seconds=20)

    assert reconciler.request().state is RequestState.IN_PROGRESS


def test_after_the_timeout_the_only_match_in_the_list_is_the_requests_message(
    reconciler: ReconcilerRig,
) -> None:
    send_at = reconciler.twilio.now + timedelta(days=2)
    reconciler.claim(send_at=send_at)
    sid = reconciler.send(known=False)

    reconciler.run_after(minutes=14)
    early = (reconciler.twilio_requests(), reconciler.state())
    reconciler.run_after(minutes=1)

    assert early == ([], RequestState.IN_DOUBT)
    assert reconciler.twilio_requests() == [f"Messages.json?To={RECIPIENT}&PageSize=1000"]

    message = reconciler.message(sid)
    request = reconciler.request()
    assert (request.state, request.message_sid) == (RequestState.SENT, sid)
    assert message.request_id == REQUEST_ID
    assert (message.reference, message.context, message.send_at) == (
        "order-1",
        {"shop": "7"},
        send_at,
    )
    assert (message.status, message.transitions[0].source) == ("delivered", Source.RECONCILE)
    assert reconciler.messages.get(REQUEST_ID) is None
    assert reconciler.counted() == {"InDoubtResolved": 1}
    assert evidence_in(reconciler) == ["match"]


@pytest.mark.parametrize("form", [{"Body": "Good bye"}, {"To": "+15558675311"}], ids=str)
def test_a_message_that_differs_is_no_match(
    reconciler: ReconcilerRig, form: dict[str, str]
) -> None:
    reconciler.claim()
    sid = reconciler.send(known=False, **form)

    reconciler.run_after(minutes=15)

    assert reconciler.request().state is RequestState.PRESUMED_UNSENT
    assert reconciler.messages.get(sid) is None


def test_two_matches_leave_the_request_in_doubt(reconciler: ReconcilerRig) -> None:
    reconciler.claim()
    sids = [reconciler.send(known=False) for _ in range(2)]

    reconciler.run_after(minutes=15)

    assert reconciler.state() is RequestState.IN_DOUBT
    assert reconciler.request().is_unresolved
    assert [reconciler.messages.get(sid) for sid in (*sids, REQUEST_ID)] == [None] * 3
    assert reconciler.counted() == {"InDoubtAmbiguous": 1}
    (line,) = reconciler.lines()
    assert line["level"] == "ERROR"
    assert (line["request_id"], set(line["message_sids"])) == (REQUEST_ID, set(sids))


def test_an_ambiguous_request_is_presumed_unsent_in_the_end(reconciler: ReconcilerRig) -> None:
    reconciler.claim()
    reconciler.claim(OTHER_REQUEST_ID)
    reconciler.send(known=False)
    reconciler.run_after(hours=72)
    reconciler.counted()

    reconciler.run_after(minutes=2)

    for request_id in (REQUEST_ID, OTHER_REQUEST_ID):
        request = reconciler.request(request_id)
        assert (request.state, request.expires_at is None) == (RequestState.PRESUMED_UNSENT, False)
        assert reconciler.message(request_id).notice is NoticeState.DUE
    assert reconciler.counted()["InDoubtPresumedUnsent"] == 2


def test_a_callback_ends_the_ambiguity_of_the_other_request(reconciler: ReconcilerRig) -> None:
    reconciler.claim()
    reconciler.claim(OTHER_REQUEST_ID)
    sids = [reconciler.send(known=False) for _ in range(2)]
    reconciler.run_after(minutes=15)
    reconciler.apply(sids[1], "delivered", request_id=OTHER_REQUEST_ID)

    reconciler.run()

    assert reconciler.request(OTHER_REQUEST_ID).message_sid == sids[1]
    assert reconciler.request().message_sid == sids[0]


@pytest.mark.parametrize("state", ["presumed unsent", "in progress"])
def test_a_competing_request_in_any_state_makes_a_match_ambiguous(
    reconciler: ReconcilerRig, state: str
) -> None:
    lease = timedelta(days=1 if state == "in progress" else 0, seconds=29)
    other = reconciler.claim(OTHER_REQUEST_ID, lease_until=reconciler.twilio.now + lease)
    if state == "presumed unsent":
        reconciler.presume_unsent(other)
    reconciler.send_and_die()

    reconciler.run_after(minutes=15)

    assert reconciler.state() is RequestState.IN_DOUBT
    assert reconciler.counted()["InDoubtAmbiguous"] == 1


@pytest.mark.parametrize(
    ("source", "request_id", "is_match"),
    [
        (Source.SEND, OTHER_REQUEST_ID, False),
        (Source.CALLBACK, None, False),
        (Source.AUDIT, None, True),
    ],
    ids=["of another request", "of another program", "imported"],
)
def test_a_stored_message_is_a_candidate_only_if_it_may_be_the_requests(
    reconciler: ReconcilerRig, source: Source, request_id: str | None, *, is_match: bool
) -> None:
    sid = reconciler.send_and_die()
    reconciler.apply(sid, "queued", source=source, request_id=request_id)

    reconciler.run_after(minutes=15)

    state = RequestState.SENT if is_match else RequestState.PRESUMED_UNSENT
    assert (reconciler.state(), reconciler.request().message_sid == sid) == (state, is_match)
    assert reconciler.message(sid).request_id == (REQUEST_ID if is_match else request_id)


def test_a_match_that_another_request_claims_meanwhile_stays_that_requests_message(
    reconciler: ReconcilerRig,
) -> None:
    sid = reconciler.send_and_die()
    reconciler.advance(minutes=15)

    def claimed_meanwhile(operation: str, call: Callable[..., Any], arguments: Any) -> Any:
        if operation == "update_item":
            reconciler.apply(sid, "queued", source=Source.SEND, request_id=OTHER_REQUEST_ID)
        return call(**arguments)

    reconciler.run(dynamodb=WrappedClient(reconciler.dynamodb, claimed_meanwhile))

    assert reconciler.state() is RequestState.IN_DOUBT
    assert reconciler.message(sid).request_id == OTHER_REQUEST_ID


def test_a_message_with_the_request_id_is_found_through_the_list_if_the_index_lacks_it(
    reconciler: ReconcilerRig,
) -> None:
    sid = reconciler.send_and_die()
    reconciler.apply(sid, "sent", request_id=REQUEST_ID)
    reconciler.advance(minutes=15)

    def lagging(_: str, call: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        is_lagging = arguments.get("IndexName") in {"by_request", "by_to"}
        return {"Items": []} if is_lagging else call(**arguments)

    reconciler.run(dynamodb=WrappedClient(reconciler.dynamodb, lagging))

    assert reconciler.request().message_sid == sid
    assert evidence_in(reconciler) == ["request_id"]


def test_a_throttled_account_is_left_alone_and_its_requests_stay_in_doubt(
    reconciler: ReconcilerRig,
) -> None:
    reconciler.claim()
    reconciler.claim(OTHER_REQUEST_ID, to="+15558675311")
    reconciler.advance(minutes=15)
    reconciler.wire.fault = always(429)

    reconciler.run()

    assert reconciler.state() is RequestState.IN_DOUBT
    assert reconciler.messages.get(REQUEST_ID) is None
    assert len(reconciler.twilio_requests()) == 1


@pytest.mark.parametrize("known", [False, True])
def test_a_rejected_creation_is_no_candidate_unless_the_table_knows_it_as_a_message(
    reconciler: ReconcilerRig, *, known: bool
) -> None:
    to = "+15005550001"
    reconciler.claim(to=to)
    reconciler.twilio.post(To=to)  # the answer, HTTP 400, is lost
    if known:
        (listed,) = reconciler.twilio.json("GET", f"{MESSAGES}.json", query={"To": to})["messages"]
        reconciler.apply(listed["sid"], "failed", source=Source.AUDIT, to=to)

    reconciler.run_after(minutes=15)

    state = RequestState.SENT if known else RequestState.PRESUMED_UNSENT
    assert reconciler.state() is state
    metric = "InDoubtResolved" if known else "InDoubtPresumedUnsent"
    assert reconciler.counted()[metric] == 1


@pytest.mark.parametrize("account_sid", [SUBACCOUNT_SID, OTHER_ACCOUNT_SID])
def test_a_callback_of_another_account_is_no_evidence(
    reconciler: ReconcilerRig, account_sid: str
) -> None:
    sid = reconciler.send_and_die()
    reconciler.apply("SM" + "d" * 32, "delivered", request_id=REQUEST_ID, account_sid=account_sid)

    reconciler.run_after(minutes=1)
    early = reconciler.state()
    reconciler.run_after(minutes=14)

    assert early is RequestState.IN_DOUBT
    assert reconciler.request().message_sid == sid


def test_an_account_is_left_alone_after_three_errors_in_a_row(reconciler: ReconcilerRig) -> None:
    for number in range(5):
        reconciler.claim(f"rq_{number:032x}", to=f"+1555867531{number}")
    reconciler.advance(minutes=15)
    reconciler.wire.fault = always(500)

    reconciler.run()

    assert len(reconciler.twilio_requests()) == 3 * 2  # each list is read once more
    assert reconciler.counted() == {"ReconcileError": 3, "ReconcileInterrupted": 1}
    errors = [it["request_ids"] for it in reconciler.lines("ReconcileError")]
    assert errors == [[f"rq_{number:032x}"] for number in range(3)]
    (interrupted,) = reconciler.lines("ReconcileInterrupted")
    assert interrupted["account_sid"] == ACCOUNT_SID


def test_errors_that_a_success_separates_do_not_stop_an_account(
    reconciler: ReconcilerRig,
) -> None:
    for number in range(5):
        reconciler.claim(f"rq_{number:032x}", to=f"+1555867531{number}")
        reconciler.advance(seconds=1)
    reconciler.advance(minutes=15)
    reconciler.wire.fault = lambda it: None if "5558675312" in str(it.url) else a_response(500)

    reconciler.run()

    assert reconciler.counted() == {"ReconcileError": 4, "InDoubtPresumedUnsent": 1}


def test_a_list_is_read_until_its_messages_are_older_than_the_request(
    reconciler: ReconcilerRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_twilio, "PAGE_SIZE", 3)
    for _ in range(12):
        reconciler.send(known=False)
    reconciler.advance(hours=1)
    sid = reconciler.send_and_die()
    for _ in range(6):
        reconciler.send(known=False, Body="Something else")

    reconciler.run_after(minutes=15)

    assert reconciler.request().message_sid == sid
    assert len(reconciler.twilio_requests()) == 4  # of seven pages


def test_a_recipient_with_too_many_messages_does_not_stop_the_others(
    reconciler: ReconcilerRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_twilio, "PAGE_SIZE", 1)
    reconciler.claim()
    reconciler.claim(OTHER_REQUEST_ID, to="+15558675311")
    for _ in range(11):
        reconciler.send(known=False, Body="Something else")

    reconciler.run_after(minutes=15)
    states = [reconciler.state(), reconciler.state(OTHER_REQUEST_ID)]
    reconciler.run_after(hours=72)

    assert states == [RequestState.IN_DOUBT, RequestState.PRESUMED_UNSENT]
    assert reconciler.state() is RequestState.PRESUMED_UNSENT


def test_the_search_for_a_callback_is_bounded(reconciler: ReconcilerRig) -> None:
    reconciler.claim()
    reconciler.advance(minutes=14)
    for number in range(5):
        reconciler.apply(f"SM{number:032x}", "sent")
    client = WrappedClient(reconciler.dynamodb)

    reconciler.run(dynamodb=client)

    assert reconciler.state() is RequestState.IN_DOUBT
    assert "get_item" not in client.calls
    assert client.calls.count("batch_get_item") == 1  # of the request itself


# --- shares of a run -----------------------------------------------------------------------------


def slow_client(reconciler: ReconcilerRig, *, seconds: float) -> WrappedClient:
    """A client each of whose calls takes so many seconds of the run."""

    def around(_: str, call: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        reconciler.seconds_left -= seconds
        return call(**arguments)

    return WrappedClient(reconciler.dynamodb, around)


def test_a_backlog_that_is_presumed_unsent_starves_no_other_worklist(
    reconciler: ReconcilerRig,
) -> None:
    for number in range(40):
        reconciler.presume_unsent(reconciler.claim(f"rq_{number:032x}", to=f"+15558600{number:03}"))
    stale = reconciler.send()
    reconciler.advance(minutes=60)
    sid = reconciler.send_and_die()
    reconciler.advance(minutes=15)

    reconciler.run(dynamodb=slow_client(reconciler, seconds=2))

    assert reconciler.request().message_sid == sid
    assert reconciler.message(stale).outcome is Outcome.DELIVERED


def test_a_backlog_is_rechecked_over_several_runs(
    reconciler: ReconcilerRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.reconcile_messages.in_doubt._BATCH_SIZE", 5)
    request_ids = [f"rq_{number:032x}" for number in range(24)]
    for number, request_id in enumerate(request_ids):
        reconciler.presume_unsent(reconciler.claim(request_id, to=f"+15558600{number:03}"))

    left_over = []
    for _ in range(3):
        reconciler.seconds_left = 40
        reconciler.run(dynamodb=slow_client(reconciler, seconds=0.4))
        left_over += [line["task"] for line in reconciler.lines("WorkLeftOver")]
        reconciler.advance(minutes=5)

    assert set(left_over) == {"recheck_presumed_unsent"}
    assert len(list(reconciler.messages.get_many(request_ids))) == 24


def test_an_unreadable_request_does_not_stop_the_others(reconciler: ReconcilerRig) -> None:
    reconciler.claim(OTHER_REQUEST_ID)
    make_unreadable(reconciler.dynamodb, "SendRequestsTable", request_id=OTHER_REQUEST_ID)
    sid = reconciler.send_and_die()

    reconciler.run_after(minutes=15)

    assert reconciler.request().message_sid == sid
    assert reconciler.counted() == {"ItemUnreadable": 1, "InDoubtResolved": 1}


def test_an_unreadable_candidate_leaves_the_request_in_doubt(reconciler: ReconcilerRig) -> None:
    sid = reconciler.send_and_die()
    reconciler.apply(sid, "sent", source=Source.RECONCILE)
    make_unreadable(reconciler.dynamodb, "MessagesTable", message_sid=sid)
    reconciler.claim(OTHER_REQUEST_ID, to="+15558675311")

    reconciler.run_after(minutes=15)

    assert reconciler.state() is RequestState.IN_DOUBT
    assert reconciler.state(OTHER_REQUEST_ID) is RequestState.PRESUMED_UNSENT
    assert reconciler.counted()["ReconcileError"] == 1


def without_messages_to(reconciler: ReconcilerRig, recipient: str) -> WrappedClient:
    """A client that cannot list the messages to a recipient."""

    def around(_: str, call: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        if {"S": recipient} in arguments.get("ExpressionAttributeValues", {}).values():
            raise EndpointConnectionError(endpoint_url="https://aws.example.com")
        return call(**arguments)

    return WrappedClient(reconciler.dynamodb, around)


@pytest.mark.parametrize("presumed_unsent", [False, True])
def test_requests_whose_messages_cannot_be_read_are_named_and_do_not_stop_the_others(
    reconciler: ReconcilerRig, *, presumed_unsent: bool
) -> None:
    failing = reconciler.claim(OTHER_REQUEST_ID, to="+15558675311")
    request = reconciler.claim()
    if presumed_unsent:
        reconciler.presume_unsent(failing)
        reconciler.presume_unsent(request)
    reconciler.apply("SM" + "d" * 32, "delivered", request_id=REQUEST_ID)
    reconciler.advance(minutes=15)

    reconciler.run(dynamodb=without_messages_to(reconciler, "+15558675311"))

    assert reconciler.state() is RequestState.SENT
    assert [it["request_ids"] for it in reconciler.lines("ReconcileError")] == [[OTHER_REQUEST_ID]]


# --- presumed unsent -----------------------------------------------------------------------------


def test_a_request_without_evidence_becomes_a_failed_message(reconciler: ReconcilerRig) -> None:
    reconciler.claim()
    reconciler.advance(minutes=15)

    for _ in range(2):
        reconciler.invoke(reconciler.build(MESSAGE_RETENTION_DAYS="7"), {})

    points = reconciler.data_points()
    assert total(points, "MessageFailed", category="unknown") == 1
    assert total(points, "InDoubtPresumedUnsent", service="tested") == 1
    request, message = reconciler.request(), reconciler.message(REQUEST_ID)
    assert request.state is RequestState.PRESUMED_UNSENT
    assert request.is_unresolved
    assert (message.status, message.outcome, message.notice) == (
        "presumed_unsent",
        Outcome.FAILED,
        NoticeState.DUE,
    )
    assert (message.request_id, message.to, message.reference) == (
        REQUEST_ID,
        RECIPIENT,
        "order-1",
    )
    kept_until = reconciler.twilio.now + timedelta(days=7)
    assert message.expires_at == int(kept_until.timestamp())


def test_a_request_that_is_resolved_meanwhile_gets_no_failed_message(
    reconciler: ReconcilerRig,
) -> None:
    request = reconciler.claim()
    reconciler.advance(minutes=15)

    def resolved_meanwhile(operation: str, call: Callable[..., Any], arguments: Any) -> Any:
        if operation == "put_item":
            reconciler.complete(request, RequestState.SENT, message_sid="SM" + "d" * 32)
        return call(**arguments)

    reconciler.run(dynamodb=WrappedClient(reconciler.dynamodb, resolved_meanwhile))

    assert reconciler.state() is RequestState.SENT
    assert reconciler.messages.get(REQUEST_ID) is None


def test_a_request_that_was_sent_after_a_rejection_supersedes_its_failed_message(
    reconciler: ReconcilerRig,
) -> None:
    rejected = reconciler.complete(reconciler.claim(), RequestState.REJECTED)
    reconciler.messages.record_unsent_request(
        StatusUpdate(
            message_sid=REQUEST_ID,
            request_id=REQUEST_ID,
            status="rejected",
            at=reconciler.twilio.now,
            source=Source.SEND,
        )
    )
    assert reconciler.claim(claim_id="second").rejected_claim_id == rejected.claim_id
    reconciler.apply(reconciler.send(known=False), "sent", request_id=REQUEST_ID)

    reconciler.run_after(minutes=1)

    assert reconciler.state() is RequestState.SENT
    assert reconciler.message(REQUEST_ID).outcome is Outcome.SUPERSEDED


def test_a_request_that_stays_presumed_unsent_is_not_written_again(
    reconciler: ReconcilerRig,
) -> None:
    reconciler.claim()
    reconciler.run_after(minutes=15)
    client = WrappedClient(reconciler.dynamodb)

    reconciler.run(dynamodb=client)

    assert "query" in client.calls
    assert {"put_item", "update_item", "delete_item"}.isdisjoint(client.calls)


@pytest.mark.parametrize(
    ("steps", "notice"),
    [(0, NoticeState.WITHDRAWN), (1, NoticeState.RECOVERY_DUE), (2, NoticeState.RECOVERY_DUE)],
)
def test_a_late_callback_turns_presumed_unsent_into_sent(
    reconciler: ReconcilerRig, steps: int, notice: NoticeState
) -> None:
    sid = reconciler.send_and_die()
    reconciler.wire.fault = LAGGING_LIST  # the list lags
    reconciler.run_after(minutes=15)
    reconciler.counted()
    for _ in range(steps):
        reconciler.messages.advance_notice(reconciler.message(REQUEST_ID), reconciler.twilio.now)
    reconciler.apply(sid, "delivered", request_id=REQUEST_ID)

    reconciler.run()

    request, message = reconciler.request(), reconciler.message(REQUEST_ID)
    assert (request.state, request.message_sid) == (RequestState.SENT, sid)
    assert not request.is_unresolved
    assert (message.status, message.outcome) == ("presumed_unsent", Outcome.SUPERSEDED)
    assert (list_key_of(message), message.list_at) == (None, None)
    assert [it.status for it in message.transitions] == ["presumed_unsent"]
    if message.notice is not notice:  # the notifier's step
        reconciler.messages.advance_notice(message, reconciler.twilio.now)
    assert reconciler.message(REQUEST_ID).notice is notice
    assert reconciler.counted() == {"InDoubtResolved": 1}
    assert evidence_in(reconciler) == ["request_id"]


def test_the_list_is_not_read_again_for_a_request_that_is_presumed_unsent(
    reconciler: ReconcilerRig,
) -> None:
    sid = reconciler.send_and_die()
    reconciler.wire.fault = LAGGING_LIST
    reconciler.run_after(minutes=15)
    reconciler.wire.fault = lambda _: None
    assert reconciler.twilio_requests()

    reconciler.run()

    assert reconciler.twilio_requests() == []
    assert reconciler.request().state is RequestState.PRESUMED_UNSENT
    assert reconciler.messages.get(sid) is None


def test_a_request_that_is_presumed_unsent_leaves_the_worklist_after_three_days(
    reconciler: ReconcilerRig,
) -> None:
    reconciler.claim()
    reconciler.run_after(minutes=15)

    reconciler.run_after(hours=71.7)
    waited_for = reconciler.request().is_unresolved
    reconciler.run_after(hours=0.3)

    assert waited_for
    assert not reconciler.request().is_unresolved
    assert reconciler.request().state is RequestState.PRESUMED_UNSENT
    assert reconciler.message(REQUEST_ID).outcome is Outcome.FAILED


def test_a_scheduled_request_stays_on_the_worklist_until_its_callbacks_are_overdue(
    reconciler: ReconcilerRig,
) -> None:
    send_at = reconciler.twilio.now + timedelta(days=34)
    reconciler.claim(send_at=send_at)
    reconciler.run_after(minutes=15)
    reconciler.run_after(hours=34 * 24)
    assert reconciler.request().state is RequestState.PRESUMED_UNSENT
    assert (reconciler.request().expires_at or 0) >= (send_at + timedelta(hours=72)).timestamp()
    sid = "SM" + "d" * 32
    reconciler.apply(sid, "delivered", request_id=REQUEST_ID)

    reconciler.run()

    request = reconciler.request()
    assert (request.state, request.message_sid) == (RequestState.SENT, sid)
    assert reconciler.message(REQUEST_ID).outcome is Outcome.SUPERSEDED


def test_the_next_run_records_the_failed_message_of_a_run_that_died(
    reconciler: ReconcilerRig,
) -> None:
    request = reconciler.claim()
    reconciler.advance(minutes=15)
    reconciler.presume_unsent(request)

    reconciler.run()

    assert reconciler.message(REQUEST_ID).notice is NoticeState.DUE


def test_a_request_of_an_account_that_the_secret_lacks_is_presumed_unsent(
    reconciler: ReconcilerRig,
) -> None:
    reconciler.claim(account_sid=OTHER_ACCOUNT_SID)

    reconciler.run_after(hours=71)
    waiting = reconciler.state()
    reconciler.run_after(hours=1)

    assert waiting is RequestState.IN_DOUBT
    assert reconciler.request().state is RequestState.PRESUMED_UNSENT


def test_competing_requests_expire_together(
    reconciler: ReconcilerRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("delivery.storage.messages.PENDING_KEYS", ())  # the others are empty
    monkeypatch.setattr(
        "delivery.storage.send_requests.UNRESOLVED_KEYS", ("unresolved#a", "unresolved#b")
    )
    reconciler.claim()
    reconciler.advance(seconds=20)
    reconciler.claim(OTHER_REQUEST_ID)
    sid = reconciler.send(known=False)
    reconciler.advance(hours=71.95)

    for _ in range(32):
        reconciler.run()
        reconciler.advance(seconds=10)

    for request_id in (REQUEST_ID, OTHER_REQUEST_ID):
        assert reconciler.request(request_id).state is RequestState.PRESUMED_UNSENT
        assert not reconciler.request(request_id).is_unresolved
    assert reconciler.messages.get(sid) is None
