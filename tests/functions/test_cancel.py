"""SendMessageFunction: POST /messages/{message_sid}/cancel."""

from typing import Any

import pytest

from delivery.storage.messages import MessageStore
from tests.functions.sender import NEW_TOKEN, SUBACCOUNT_SID, TO, SenderRig, a_document
from tests.support.builders import an_update
from tests.support.scripted_twilio import DROPPED, MESSAGE_SID, Reply, accepted, rejected

ALREADY_FINAL = rejected(409, 30409)


def canceled(**properties: Any) -> Reply:
    return Reply(status=200, body=accepted(status="canceled", **properties).body)


def test_the_response_to_a_cancellation_is_the_stored_message(sender: SenderRig) -> None:
    sender.twilio.will(accepted(status="scheduled"), canceled())
    sender.post(a_document(reference="order-7"))

    status, answer = sender.cancel()

    assert status == 200
    assert (answer["status"], answer["outcome"]) == ("canceled", "canceled")
    assert answer["reference"] == "order-7"
    assert sender.parameters(1) == {"Status": "canceled"}


def test_a_message_that_another_program_scheduled_can_be_canceled(sender: SenderRig) -> None:
    sender.twilio.will(canceled())

    status, answer = sender.cancel()

    assert (status, answer["status"]) == (200, "canceled")
    assert sender.message() is not None


def test_a_subaccounts_message_is_canceled_with_its_token(sender: SenderRig) -> None:
    sender.put_secret(subaccounts={SUBACCOUNT_SID: {"auth_token": NEW_TOKEN}})
    store = MessageStore(sender.dynamodb, "MessagesTable")
    store.record(an_update("scheduled", message_sid=MESSAGE_SID, account_sid=SUBACCOUNT_SID))
    sender.twilio.will(canceled(account_sid=SUBACCOUNT_SID))

    status, _ = sender.cancel()

    assert status == 200
    assert SUBACCOUNT_SID in sender.twilio.requests[0].path
    assert sender.password(0) == NEW_TOKEN


@pytest.mark.parametrize(
    ("replies", "expected", "detail"),
    [
        ([rejected(404, 20404)], 404, "not found"),
        ([rejected(400, 20009)], 422, "rejected"),
        ([ALREADY_FINAL, Reply(status=200, body=accepted(status="delivered").body)], 422, "reject"),
        ([rejected(401, 20003)], 503, "may not be canceled"),
        ([rejected(429, 20429)], 503, "may not be canceled"),
        ([DROPPED], 503, "may not be canceled"),
        ([ALREADY_FINAL, DROPPED], 503, "may not be canceled"),
    ],
)
def test_a_failed_cancellation_says_what_to_do(
    sender: SenderRig, replies: list[Reply], expected: int, detail: str
) -> None:
    sender.twilio.will(*replies)

    status, answer = sender.cancel()

    assert status == expected
    assert detail in answer["detail"]
    assert sender.messages() == []


@pytest.mark.parametrize("message_sid", ["SM1", f"{MESSAGE_SID}/Media", TO])
def test_an_invalid_message_sid_is_not_found_without_calling_twilio(
    sender: SenderRig, message_sid: str
) -> None:
    status, _ = sender.cancel(message_sid)

    assert status == 404
    assert sender.twilio.requests == []


def test_nothing_is_canceled_while_the_account_of_the_message_is_unknown(sender: SenderRig) -> None:
    sender.delete_messages_table()

    status, _ = sender.cancel()

    assert status == 503
    assert sender.twilio.requests == []


def test_a_cancellation_that_cannot_be_stored_is_successful(
    sender: SenderRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender.twilio.will(accepted(status="scheduled"), canceled())
    sender.post(a_document(reference="order-7"))
    monkeypatch.setattr(
        sender.dynamodb,
        "update_item",
        lambda **_: sender.dynamodb.get_item(TableName="MessagesTable", Key={}),
    )

    status, answer = sender.cancel()

    assert status == 200
    assert (answer["status"], answer["reference"]) == ("canceled", "order-7")


def test_a_cancellation_whose_answer_was_lost_can_be_repeated(sender: SenderRig) -> None:
    sender.twilio.will(accepted(status="scheduled"), DROPPED, ALREADY_FINAL, canceled())
    sender.post(a_document(reference="order-7"))

    first, _ = sender.cancel()
    second, answer = sender.cancel()

    assert (first, second) == (503, 200)
    assert (answer["outcome"], answer["reference"]) == ("canceled", "order-7")
