"""ReconcileMessagesFunction finds out what became of requests in doubt: the promise I6."""

import io
import json
from datetime import timedelta
from typing import Any

import pytest

from delivery.domain.messages import Source, StatusUpdate
from delivery.domain.notices import NoticeState
from delivery.domain.send_requests import RequestState
from delivery.domain.statuses import Outcome
from delivery.storage.index_keys import list_key_of
from delivery.twilio import client as delivery_twilio
from tests.embedded_metrics import data_points, total
from tests.functions.reconciler import (
    LAGGING_LIST,
    OTHER_REQUEST_ID,
    REQUEST_ID,
    Counted,
    World,
    a_lost_answer,
    always,
)
from tests.support.virtual_twilio import RECIPIENT, SERVICE_SID, a_response

# --- requests in doubt ---------------------------------------------------------------------------


def evidence_of(log_output: io.StringIO) -> list[str]:
    lines = [json.loads(line) for line in log_output.getvalue().splitlines()]
    return [line["evidence"] for line in lines if line["message"] == "InDoubtResolved"]


def test_a_callback_that_carries_the_requests_id_settles_it_as_sent(
    world: World, counted: Counted
) -> None:
    sid = a_lost_answer(world)
    world.apply(sid, "sent", request_id=REQUEST_ID)
    world.pass_by(minutes=1)

    world.run()

    request = world.request()
    assert (request.state, request.message_sid) == (RequestState.SENT, sid)
    assert not request.is_unresolved
    assert request.expires_at == int((world.twilio.now + timedelta(days=30)).timestamp())
    assert world.asked == []
    assert counted() == {"InDoubtResolved": 1}


def test_what_only_the_request_knows_is_added_to_a_message_that_callbacks_told_of(
    world: World,
) -> None:
    send_at = world.twilio.now + timedelta(days=2)
    request = world.claim(send_at=send_at)
    sid = world.send(known=False)
    world.apply(sid, "from_the_future", request_id=REQUEST_ID, context={"lane": "3"})
    world.pass_by(minutes=1)

    world.run()

    message = world.message(sid)
    assert (message.reference, message.send_at) == (request.reference, send_at)
    assert message.context == {"lane": "3", **request.context}
    assert [entry.status for entry in message.transitions] == ["from_the_future"]


def a_message_that_nobody_took(world: World, request_id: str = REQUEST_ID, **form: Any) -> str:
    """A request that was sent while table and queue took nothing: it alone knows its message."""
    claimed = world.claim(request_id)
    world.pass_by(seconds=1)
    sid = world.send(known=False, **form)
    sent = claimed.completed(
        RequestState.SENT, at=world.twilio.now, kept_for=timedelta(days=30), message_sid=sid
    )
    world.requests.complete(claimed, sent.awaiting_message())
    return sid


def test_a_message_of_which_only_its_request_knows_is_brought_in(
    world: World, counted: Counted
) -> None:
    sid = a_message_that_nobody_took(world)
    world.pass_by(minutes=1)

    world.run()

    message = world.message(sid)
    assert (message.status, message.request_id) == ("delivered", REQUEST_ID)
    assert (message.reference, message.context) == ("order-1", {"shop": "7"})
    assert world.asked == [f"{sid}.json"]
    assert (world.request().state, world.request().is_unresolved) == (RequestState.SENT, False)
    assert counted() == {"MessageReconciled": 1}


def test_a_message_that_was_taken_in_meanwhile_needs_no_question(
    world: World, counted: Counted
) -> None:
    sid = a_message_that_nobody_took(world)
    world.apply(sid, "sent", request_id=REQUEST_ID)
    world.pass_by(minutes=1)

    world.run()

    assert world.message(sid).reference == "order-1"
    assert (world.request().state, world.request().is_unresolved) == (RequestState.SENT, False)
    assert world.asked == []
    assert counted() == {}


@pytest.mark.parametrize("status", [404, 500])
def test_a_message_that_cannot_be_brought_in_yet_is_still_nobody_elses(
    world: World, counted: Counted, status: int
) -> None:
    sid = a_message_that_nobody_took(world)
    world.claim(OTHER_REQUEST_ID)
    world.wire.fault = lambda it: a_response(status) if sid in str(it.url) else None
    world.pass_by(minutes=15)

    world.run()

    assert world.request(OTHER_REQUEST_ID).state is RequestState.PRESUMED_UNSENT
    assert world.store.get(sid) is None
    assert world.request().is_unresolved
    assert counted() == {"ReconcileError": 1, "InDoubtPresumedUnsent": 1}


def test_a_message_that_twilio_does_not_have_is_not_asked_for_for_ever(world: World) -> None:
    sid = a_message_that_nobody_took(world)
    world.wire.fault = lambda it: a_response(404) if sid in str(it.url) else None
    world.pass_by(hours=73)

    world.run()

    assert (world.request().state, world.request().is_unresolved) == (RequestState.SENT, False)


def test_a_request_whose_function_may_still_be_at_work_is_left_alone(world: World) -> None:
    sid = a_lost_answer(world)
    world.apply(sid, "sent", request_id=REQUEST_ID)
    world.pass_by(seconds=20)

    world.run()

    assert world.request().state is RequestState.IN_PROGRESS


def test_twilios_list_which_lags_is_asked_when_the_doubt_is_old_enough(world: World) -> None:
    sid = a_lost_answer(world)

    world.pass_by(minutes=14)
    world.run()
    asked_early, state_early = world.asked, world.request().state_at(world.twilio.now)
    world.pass_by(minutes=1)
    world.run()

    assert (asked_early, state_early) == ([], RequestState.IN_DOUBT)
    assert world.asked == [f"Messages.json?To={RECIPIENT}&PageSize=1000"]
    assert world.request().message_sid == sid


def test_the_only_message_that_looks_like_the_request_is_its(
    world: World, counted: Counted, log_output: io.StringIO
) -> None:
    send_at = world.twilio.now + timedelta(days=2)
    world.claim(send_at=send_at)
    sid = world.send(known=False)
    world.pass_by(minutes=15)

    world.run()

    message = world.message(sid)
    assert (world.request().state, world.request().message_sid) == (RequestState.SENT, sid)
    assert message.request_id == REQUEST_ID
    assert (message.reference, message.context, message.send_at) == (
        "order-1",
        {"shop": "7"},
        send_at,
    )
    assert (message.status, message.transitions[0].source) == ("delivered", Source.RECONCILE)
    assert world.store.get(REQUEST_ID) is None
    assert counted() == {"InDoubtResolved": 1}
    assert evidence_of(log_output) == ["its looks"]


@pytest.mark.parametrize(
    ("claim", "form"),
    [
        ({"body_digest": None}, {"Body": "made from a template"}),
        ({"from_": None, "messaging_service_sid": SERVICE_SID}, {}),
        ({"messaging_service_sid": SERVICE_SID}, {}),
    ],
    ids=["content template", "sender from a service", "both"],
)
def test_a_look_alike_needs_only_what_the_request_said(
    world: World, claim: dict[str, Any], form: dict[str, Any]
) -> None:
    world.claim(**claim)
    if "messaging_service_sid" in claim:
        form = form | {"MessagingServiceSid": SERVICE_SID}
    sid = world.send(known=False, **form)
    world.pass_by(minutes=15)

    world.run()

    assert world.request().message_sid == sid


def test_a_trial_accounts_prefix_does_not_hide_a_message(world: World) -> None:
    world.twilio.simulator.settings = world.twilio.simulator.settings.changed({"trial": True})
    sid = a_lost_answer(world)
    world.pass_by(minutes=15)

    world.run()

    assert world.request().message_sid == sid


@pytest.mark.parametrize(
    ("form", "later"),
    [
        ({"Body": "Good bye"}, 0),
        ({"From": "+15557650000"}, 0),
        ({"To": "+15558675311"}, 0),
        ({"MessagingServiceSid": SERVICE_SID, "From": None}, 0),
        ({}, 60),
    ],
    ids=["other text", "other sender", "other recipient", "other service", "too late"],
)
def test_a_message_that_differs_is_not_the_requests(
    world: World, form: dict[str, Any], later: float
) -> None:
    world.claim()
    world.pass_by(seconds=later)
    sid = world.send(known=False, **form)
    world.pass_by(minutes=15)

    world.run()

    assert world.request().state is RequestState.PRESUMED_UNSENT
    assert world.store.get(sid) is None


def test_a_message_from_before_the_request_is_not_its(world: World) -> None:
    world.send(known=False)
    world.pass_by(minutes=1)
    world.claim()
    world.pass_by(minutes=15)

    world.run()

    assert world.request().state is RequestState.PRESUMED_UNSENT


def test_two_messages_that_look_alike_are_never_guessed_between(
    world: World, counted: Counted, log_output: io.StringIO
) -> None:
    world.claim()
    sids = [world.send(known=False) for _ in range(2)]
    world.pass_by(minutes=15)

    world.run()

    assert world.request().state_at(world.twilio.now) is RequestState.IN_DOUBT
    assert world.request().is_unresolved
    assert [world.store.get(sid) for sid in (*sids, REQUEST_ID)] == [None] * 3
    assert counted() == {"InDoubtAmbiguous": 1}
    (line,) = (json.loads(it) for it in log_output.getvalue().splitlines())
    assert line["level"] == "ERROR"
    assert (line["request_id"], set(line["message_sids"])) == (REQUEST_ID, set(sids))


def test_one_message_is_never_given_to_one_of_two_requests(world: World, counted: Counted) -> None:
    world.claim()
    world.claim(OTHER_REQUEST_ID)
    sid = world.send(known=False)
    world.pass_by(minutes=15)

    world.run()

    for request_id in (REQUEST_ID, OTHER_REQUEST_ID):
        assert world.request(request_id).state_at(world.twilio.now) is RequestState.IN_DOUBT
    assert world.store.get(sid) is None
    assert counted() == {"InDoubtAmbiguous": 2}


def test_what_stays_ambiguous_is_told_as_not_found_in_the_end(
    world: World, counted: Counted
) -> None:
    world.claim()
    world.claim(OTHER_REQUEST_ID)
    world.send(known=False)
    world.pass_by(hours=72)
    world.run()
    counted()

    world.pass_by(minutes=2)
    world.run()

    for request_id in (REQUEST_ID, OTHER_REQUEST_ID):
        request = world.request(request_id)
        assert (request.state, request.expires_at is None) == (RequestState.PRESUMED_UNSENT, False)
        assert world.message(request_id).notice is NoticeState.DUE
    assert counted()["InDoubtPresumedUnsent"] == 2


def test_a_callback_ends_the_ambiguity_of_the_other_request(world: World) -> None:
    world.claim()
    world.claim(OTHER_REQUEST_ID)
    sids = [world.send(known=False) for _ in range(2)]
    world.pass_by(minutes=15)
    world.run()
    world.apply(sids[1], "delivered", request_id=OTHER_REQUEST_ID)

    world.run()

    assert world.request(OTHER_REQUEST_ID).message_sid == sids[1]
    assert world.request().message_sid == sids[0]


@pytest.mark.parametrize("state", ["not found", "at work"])
def test_a_request_that_may_have_sent_the_message_too_makes_it_ambiguous(
    world: World, counted: Counted, state: str
) -> None:
    lease = timedelta(days=1 if state == "at work" else 0, seconds=29)
    other = world.claim(OTHER_REQUEST_ID, lease_until=world.twilio.now + lease)
    if state == "not found":
        world.give_up(other)
    a_lost_answer(world)
    world.pass_by(minutes=15)

    world.run()

    assert world.request().state_at(world.twilio.now) is RequestState.IN_DOUBT
    assert counted()["InDoubtAmbiguous"] == 1


def test_a_message_of_another_request_is_no_candidate(world: World) -> None:
    world.claim()
    sid = world.send(known=False)
    world.apply(sid, "queued", source=Source.SEND, request_id=OTHER_REQUEST_ID)
    world.pass_by(minutes=15)

    world.run()

    assert world.request().state is RequestState.PRESUMED_UNSENT
    assert world.message(sid).request_id == OTHER_REQUEST_ID


def test_a_message_that_was_called_back_about_without_our_id_is_another_programs(
    world: World,
) -> None:
    world.claim()
    sid = world.send(known=False)
    world.apply(sid, "sent")
    world.pass_by(minutes=15)

    world.run()

    assert world.request().state is RequestState.PRESUMED_UNSENT
    assert world.message(sid).request_id is None


def test_a_message_that_is_known_from_twilios_list_only_may_be_the_requests(world: World) -> None:
    sid = a_lost_answer(world)
    world.apply(sid, "sent", source=Source.RECONCILE)
    world.pass_by(minutes=15)

    world.run()

    assert world.request().message_sid == sid
    assert world.message(sid).request_id == REQUEST_ID


def test_a_message_that_carries_the_id_counts_even_if_the_index_lags(
    world: World, log_output: io.StringIO
) -> None:
    sid = a_lost_answer(world)
    # Under another number the index does not show it: as good as one that lags.
    world.apply(sid, "sent", request_id=REQUEST_ID, to="+15550000000")
    world.pass_by(minutes=15)

    world.run()

    assert world.request().message_sid == sid
    assert evidence_of(log_output) == ["its id"]


@pytest.mark.parametrize("status", [429, 401, 500])
def test_a_doubt_stays_a_doubt_while_twilio_does_not_say(world: World, status: int) -> None:
    world.claim()
    world.claim(OTHER_REQUEST_ID, to="+15558675311")
    world.pass_by(minutes=15)
    world.wire.fault = always(status)

    world.run()

    assert world.request().state_at(world.twilio.now) is RequestState.IN_DOUBT
    assert world.store.get(REQUEST_ID) is None
    assert len(world.asked) == (2 if status == 500 else 1)  # and not for the other recipient


def test_every_page_of_the_list_is_looked_at(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_twilio, "PAGE_SIZE", 3)
    sid = a_lost_answer(world)
    for _ in range(10):
        world.send(known=False, Body="Something else")
    world.pass_by(minutes=15)

    world.run()

    assert len(world.asked) == 4
    assert world.request().message_sid == sid


# --- not found -----------------------------------------------------------------------------------


def test_without_evidence_a_request_is_told_as_probably_not_sent(
    world: World, counted: Counted
) -> None:
    world.claim()
    world.pass_by(minutes=15)

    world.run()

    request, message = world.request(), world.message(REQUEST_ID)
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
    assert counted() == {"InDoubtPresumedUnsent": 1}


def test_a_request_that_was_not_found_is_counted_as_a_failure_once(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.claim()
    world.pass_by(minutes=16)

    world.run()
    world.run()

    points = data_points(capsys.readouterr().out)
    assert total(points, "MessageFailed", category="unknown") == 1
    assert total(points, "InDoubtPresumedUnsent", service="tested") == 1


@pytest.mark.parametrize(
    ("told", "notice"),
    [(0, NoticeState.WITHDRAWN), (1, NoticeState.RECOVERY_DUE), (2, NoticeState.RECOVERY_DUE)],
)
def test_a_callback_that_comes_late_still_turns_it_into_sent(
    world: World, counted: Counted, told: int, notice: NoticeState
) -> None:
    sid = a_lost_answer(world)
    world.wire.fault = LAGGING_LIST  # the list lags
    world.pass_by(minutes=15)
    world.run()
    counted()
    for _ in range(told):
        world.store.advance_notice(world.message(REQUEST_ID), world.twilio.now)
    world.apply(sid, "delivered", request_id=REQUEST_ID)

    world.run()

    request, message = world.request(), world.message(REQUEST_ID)
    assert (request.state, request.message_sid) == (RequestState.SENT, sid)
    assert not request.is_unresolved
    assert (message.status, message.outcome) == ("sent", Outcome.PENDING)
    assert (list_key_of(message), message.list_at, message.final_at) == (None, None, None)
    assert [it.status for it in message.transitions] == ["presumed_unsent", "sent"]
    if message.notice is not notice:  # the notifier's step
        world.store.advance_notice(message, world.twilio.now)
    assert world.message(REQUEST_ID).notice is notice
    assert counted() == {"InDoubtResolved": 1}


def test_what_was_not_found_is_not_looked_for_in_the_list_again(world: World) -> None:
    sid = a_lost_answer(world)
    world.wire.fault = LAGGING_LIST
    world.pass_by(minutes=15)
    world.run()
    world.wire.fault = lambda _: None
    assert world.asked

    world.run()

    assert world.asked == []
    assert world.request().state is RequestState.PRESUMED_UNSENT
    assert world.store.get(sid) is None


def test_a_request_that_was_not_found_is_waited_for_as_long_as_a_message(world: World) -> None:
    world.claim()
    world.pass_by(minutes=15)
    world.run()

    world.pass_by(hours=71.7)
    world.run()
    waited_for = world.request().is_unresolved
    world.pass_by(hours=0.3)
    world.run()

    assert waited_for
    assert not world.request().is_unresolved
    assert world.request().state is RequestState.PRESUMED_UNSENT
    assert world.message(REQUEST_ID).outcome is Outcome.FAILED


def test_a_scheduled_request_that_was_not_found_is_waited_for_from_its_time_on(
    world: World,
) -> None:
    send_at = world.twilio.now + timedelta(days=34)
    world.claim(send_at=send_at)
    world.pass_by(minutes=15)
    world.run()
    world.pass_by(hours=34 * 24)
    world.run()
    assert world.request().state is RequestState.PRESUMED_UNSENT
    sid = "SM" + "d" * 32
    world.apply(sid, "delivered", request_id=REQUEST_ID)

    world.run()

    assert (world.request().state, world.request().message_sid) == (RequestState.SENT, sid)
    assert world.message(REQUEST_ID).outcome is Outcome.PENDING


def test_whoever_found_nothing_and_died_leaves_the_notice_to_the_next_run(world: World) -> None:
    request = world.claim()
    world.pass_by(minutes=15)
    world.give_up(request)

    world.run()

    assert world.message(REQUEST_ID).notice is NoticeState.DUE


def test_a_run_that_is_slow_to_tell_does_not_undo_what_was_found_since(world: World) -> None:
    sid = a_lost_answer(world)
    world.pass_by(minutes=16)
    world.give_up(world.request())
    world.apply(sid, "delivered", request_id=REQUEST_ID)
    world.run()
    assert world.request().state is RequestState.SENT

    world.store.record_unsent_request(
        StatusUpdate(
            message_sid=REQUEST_ID,
            request_id=REQUEST_ID,
            status="presumed_unsent",
            at=world.twilio.now,
            source=Source.RECONCILE,
        )
    )

    assert world.message(REQUEST_ID).outcome is Outcome.PENDING


def test_a_request_of_an_account_that_is_gone_ends_as_well(world: World) -> None:
    world.claim(account_sid="AC" + "9" * 32)

    world.pass_by(hours=71)
    world.run()
    waiting = world.request().state_at(world.twilio.now)
    world.pass_by(hours=1)
    world.run()

    assert waiting is RequestState.IN_DOUBT
    assert world.request().state is RequestState.PRESUMED_UNSENT


def test_rivals_never_leave_one_of_them_alone_with_a_message(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("delivery.storage.index_keys.PENDING_KEYS", ())  # the others are empty
    monkeypatch.setattr(
        "delivery.storage.index_keys.UNRESOLVED_KEYS", ("unresolved#a", "unresolved#b")
    )
    world.claim()
    world.pass_by(seconds=20)
    world.claim(OTHER_REQUEST_ID)
    sid = world.send(known=False)
    world.pass_by(hours=71.95)

    for _ in range(32):
        world.run()
        world.pass_by(seconds=10)

    for request_id in (REQUEST_ID, OTHER_REQUEST_ID):
        assert world.request(request_id).state is RequestState.PRESUMED_UNSENT
        assert not world.request(request_id).is_unresolved
    assert world.store.get(sid) is None
