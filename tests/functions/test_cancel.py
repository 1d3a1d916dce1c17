"""SendMessageFunction: POST /messages/{message_sid}/cancel."""

from typing import Any

import pytest

from delivery.storage.messages import MessageStore
from tests.builders import an_update
from tests.functions.sender import NEW_TOKEN, SUBACCOUNT_SID, TO, Function, a_document
from tests.support.scripted_twilio import DROPPED, MESSAGE_SID, Reply, accepted, rejected


def canceled(**properties: Any) -> Reply:
    return Reply(status=200, body=accepted(status="canceled", **properties).body)


def test_a_canceled_message_is_answered_as_it_is_stored(function: Function) -> None:
    function.twilio.will(accepted(status="scheduled"), canceled())
    function.post(a_document(reference="order-7"))

    status, answer = function.cancel()

    assert status == 200
    assert (answer["status"], answer["outcome"]) == ("canceled", "canceled")
    assert answer["reference"] == "order-7"
    assert function.parameters(1) == {"Status": "canceled"}


def test_a_message_that_another_program_scheduled_can_be_canceled(function: Function) -> None:
    function.twilio.will(canceled())

    status, answer = function.cancel()

    assert (status, answer["status"]) == (200, "canceled")
    assert function.message() is not None


def test_a_subaccounts_message_is_canceled_with_its_token(function: Function) -> None:
    function.secret_holds(subaccounts={SUBACCOUNT_SID: {"auth_token": NEW_TOKEN}})
    store = MessageStore(function.dynamodb, "MessagesTable")
    store.record(an_update("scheduled", message_sid=MESSAGE_SID, account_sid=SUBACCOUNT_SID))
    function.twilio.will(canceled(account_sid=SUBACCOUNT_SID))

    status, _ = function.cancel()

    assert status == 200
    assert SUBACCOUNT_SID in function.twilio.requests[0].path
    assert function.password(0) == NEW_TOKEN


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (rejected(404, 20404), 404),
        (rejected(400, 30409), 422),
        (rejected(401, 20003), 503),
        (rejected(429, 20429), 503),
        (rejected(500, 20500), 503),
        (DROPPED, 503),
    ],
)
def test_a_cancellation_that_fails_says_what_to_do(
    function: Function, reply: Reply, expected: int
) -> None:
    function.twilio.will(reply)

    status, answer = function.cancel()

    assert status == expected
    assert answer["detail"]
    assert function.messages() == []


@pytest.mark.parametrize(
    "reply", [rejected(401, 20003), rejected(429, 20429), rejected(500), DROPPED]
)
def test_a_cancellation_that_fails_does_not_say_that_no_message_was_sent(
    function: Function, reply: Reply
) -> None:
    function.twilio.will(reply)

    _, answer = function.cancel()

    assert answer["detail"].startswith("It is not known to be canceled: ")


def test_a_message_that_is_final_cannot_be_canceled_and_twilios_code_says_so(
    function: Function,
) -> None:
    function.twilio.will(rejected(400, 30409))

    _, answer = function.cancel()

    assert answer["error_code"] == 30409


@pytest.mark.parametrize("message_sid", ["none", "SM1", f"{MESSAGE_SID}/Media", "../Keys", TO])
def test_what_is_no_message_sid_is_not_found_without_asking_twilio(
    function: Function, message_sid: str
) -> None:
    status, _ = function.cancel(message_sid)

    assert status == 404
    assert function.twilio.requests == []


def test_nothing_is_canceled_while_nobody_knows_whose_message_it_is(function: Function) -> None:
    function.lose_the_table()

    status, _ = function.cancel()

    assert status == 503
    assert function.twilio.requests == []


def test_a_cancellation_that_cannot_be_stored_has_happened_all_the_same(
    function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    function.twilio.will(accepted(status="scheduled"), canceled())
    function.post(a_document(reference="order-7"))
    monkeypatch.setattr(
        function.dynamodb,
        "update_item",
        lambda **_: function.dynamodb.get_item(TableName="none", Key={}),
    )

    status, answer = function.cancel()

    assert status == 200
    assert (answer["status"], answer["reference"]) == ("canceled", "order-7")


def test_canceling_twice_is_harmless(function: Function) -> None:
    function.twilio.will(accepted(status="scheduled"), canceled())
    function.post(a_document())
    _, first = function.cancel()

    status, second = function.cancel()

    assert status == 200
    assert second == first
