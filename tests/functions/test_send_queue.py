"""SendMessageFunction: what it takes from SendQueue, and what becomes of it there."""

import io
import json
from typing import Any

import pytest

from delivery.domain.notices import NoticeState
from delivery.domain.statuses import Outcome
from tests.builders import ACCOUNT_SID
from tests.embedded_metrics import total
from tests.functions.sender import FROM, REQUEST_ID, SUBACCOUNT_SID, TO, Function, a_document
from tests.support.scripted_twilio import DROPPED, Reply, accepted, rejected


def test_queued_messages_are_sent_and_leave_the_queue(function: Function) -> None:
    function.twilio.will(accepted(sid=f"SM{1:032x}"), accepted(sid=f"SM{2:032x}"))

    stay = function.take(a_document(reference="1"), a_document(reference="2"))

    assert stay == []
    assert sorted(message.reference or "" for message in function.messages()) == ["1", "2"]
    assert function.twilio.connections == 1


@pytest.mark.parametrize(
    ("replies", "stay"),
    [
        ([rejected(400, 21610), accepted(), accepted()], []),
        ([DROPPED, accepted(), accepted()], []),
        ([rejected(500), accepted(), accepted()], []),
        ([rejected(401, 20003), accepted(), accepted()], ["0"]),
        ([accepted(), accepted(), rejected(429)], ["2"]),
        ([rejected(429)], ["0", "1", "2"]),
    ],
)
def test_only_what_provably_was_not_sent_and_may_yet_be_stays_queued(
    function: Function, replies: list[Reply], stay: list[str]
) -> None:
    function.twilio.will(*replies)

    assert function.take(a_document(), a_document(), a_document()) == stay


def test_a_queued_message_that_twilio_refuses_becomes_a_failed_message_to_be_noticed(
    function: Function,
) -> None:
    function.twilio.will(rejected(400, 21610))

    stay = function.take(a_document(reference="order-7", context={"tenant": "blue"}))

    [message] = function.messages()
    assert stay == []
    assert message.message_sid == message.request_id
    assert REQUEST_ID.fullmatch(message.message_sid)
    assert (message.status, message.outcome) == ("rejected", Outcome.FAILED)
    assert (message.error_code, message.notice) == (21610, NoticeState.DUE)
    assert (message.to, message.from_, message.reference) == (TO, FROM, "order-7")
    assert message.context == {"tenant": "blue"}
    assert message.body is None


@pytest.mark.parametrize(
    "body",
    [
        "not JSON",
        "",
        "[]",
        "null",
        "\ud800",
        json.dumps(a_document(to="5558675310")),
        json.dumps(a_document(to={"S": "x"}, reference=["x"], context={"a": 1})),
        json.dumps(a_document(body="half \ud83d", reference="half \ud83d")),
        json.dumps(a_document(account_sid=SUBACCOUNT_SID)),
        "[" * 50_000,
        "x" * 200_000,
    ],
)
def test_bad_input_on_the_queue_becomes_a_failed_message_to_be_noticed(
    function: Function, body: str
) -> None:
    stay = function.take(body)

    [message] = function.messages()
    assert stay == []
    assert (message.status, message.outcome) == ("rejected", Outcome.FAILED)
    assert (message.error_code, message.notice) == (None, NoticeState.DUE)
    assert function.twilio.requests == []


@pytest.mark.parametrize(
    ("document", "account_sid"),
    [
        ("not JSON", ACCOUNT_SID),
        (a_document(to="5558675310"), ACCOUNT_SID),
        (a_document(to="5558675310", account_sid=SUBACCOUNT_SID), SUBACCOUNT_SID),
    ],
)
def test_a_refusal_belongs_to_the_main_account_unless_it_names_another(
    function: Function, document: object, account_sid: str
) -> None:
    function.take(document)

    [message] = function.messages()
    assert message.account_sid == account_sid


def test_what_twilio_refuses_belongs_to_the_account_that_asked(function: Function) -> None:
    function.twilio.will(rejected(400, 21610))

    function.take(a_document())

    [message] = function.messages()
    assert message.account_sid == ACCOUNT_SID


def test_bad_input_is_noticed_without_its_account_while_the_secret_cannot_be_read(
    function: Function,
) -> None:
    function.secret_holds(auth_token="")

    assert function.take("not JSON") == []

    [message] = function.messages()
    assert (message.account_sid, message.notice) == (None, NoticeState.DUE)


def test_bad_input_is_told_by_as_much_of_it_as_makes_sense(function: Function) -> None:
    function.take(a_document(to="5558675310", reference="order-7", context={"tenant": "blue"}))

    [message] = function.messages()
    assert (message.to, message.from_, message.reference) == (None, FROM, "order-7")
    assert message.context == {"tenant": "blue"}


@pytest.mark.parametrize(
    "document", ["not JSON", a_document(to="5558675310"), a_document(body="b", idempotency_key="k")]
)
def test_the_log_says_why_a_queued_request_was_refused_by_the_id_that_people_are_told(
    function: Function, caplog: pytest.LogCaptureFixture, document: object
) -> None:
    function.post(a_document(body="a", idempotency_key="k"))
    function.take(document)

    [request_id] = [it.message_sid for it in function.messages() if it.is_request]
    assert request_id in {getattr(line, "request_id", None) for line in caplog.records}


def test_a_refusal_that_is_handled_twice_is_one_failed_message(function: Function) -> None:
    function.take("not JSON")
    function.take("not JSON")

    assert len(function.messages()) == 1
    assert total(function.data_points(), "MessageFailed", category="content") == 1


def test_each_refusal_of_a_batch_is_counted_by_its_own_category(function: Function) -> None:
    function.twilio.will(rejected(400, 21610), rejected(400, 30034))

    function.take(a_document(), a_document())

    points = function.data_points()
    assert total(points, "MessageFailed") == 2
    assert total(points, "MessageFailed", category="opt_out") == 1
    assert total(points, "MessageFailed", category="registration_compliance") == 1
    assert total(points, "SendRejected", service="tested") == 2


def test_a_refusal_that_cannot_be_stored_stays_queued(function: Function) -> None:
    function.lose_the_table()
    function.twilio.will(rejected(400, 21610))

    assert function.take(a_document(), "not JSON") == ["0", "1"]


def test_a_sent_message_that_cannot_be_stored_leaves_the_queue(function: Function) -> None:
    function.lose_the_table()

    assert function.take(a_document()) == []
    assert len(function.twilio.requests) == 1


def test_a_batch_that_runs_out_of_time_leaves_the_rest_queued(
    function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    next_reply = function.twilio.next_reply

    def slow() -> Reply:
        function.seconds_left -= 6
        return next_reply()

    monkeypatch.setattr(function.twilio, "next_reply", slow)

    assert function.take(a_document(), a_document(), a_document()) == ["2"]


def test_an_error_of_ours_keeps_only_its_own_message_queued_and_is_logged(
    function: Function, monkeypatch: pytest.MonkeyPatch, log_output: io.StringIO
) -> None:
    send_json = function.app.sender.send_json

    def failing(text: str, **arguments: Any) -> Any:
        if "defect" in text:
            raise KeyError(TO)
        return send_json(text, **arguments)

    monkeypatch.setattr(function.app.sender, "send_json", failing)

    assert function.take(a_document(), a_document(reference="defect"), a_document()) == ["1"]
    assert "KeyError" in log_output.getvalue()
