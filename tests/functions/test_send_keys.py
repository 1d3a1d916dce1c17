"""SendMessageFunction: the idempotency key is looked up before anything that can change with time.

Promises I4 and I5.
"""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from delivery.domain.notices import NoticeState
from delivery.domain.send_requests import RequestState
from delivery.domain.statuses import Outcome
from delivery.storage.messages import MessageStore
from functions.send_message.request_ids import request_id_of
from functions.send_message.results import Accepted, Unresolved
from tests.functions.sender import (
    CONTENT_SID,
    SERVICE_SID,
    SUBACCOUNT_SID,
    TO,
    SenderRig,
    a_document,
    an_http_event,
)
from tests.support.builders import ACCOUNT_SID
from tests.support.faults import FailingClient, WrappedClient
from tests.support.scripted_twilio import MESSAGE_SID, accepted, rejected
from tests.support.shared_clients import shared_client

KEY = "order-4711"
NEW_ACCOUNT_SID = "AC" + "8" * 32


def scheduled(sender: SenderRig, **changes: Any) -> dict[str, Any]:
    """A request whose `send_at` is in an hour."""
    send_at = (sender.clock() + timedelta(hours=1)).isoformat()
    fields = {"from": None, "messaging_service_sid": SERVICE_SID, "send_at": send_at}
    return a_document(**fields | {"idempotency_key": KEY} | changes)


def of_subaccount(sender: SenderRig) -> dict[str, Any]:
    """A request of a subaccount that the secret has."""
    sender.put_secret(subaccounts={SUBACCOUNT_SID: {"auth_token": "t"}})
    return a_document(account_sid=SUBACCOUNT_SID, idempotency_key=KEY)


def use_secret(sender: SenderRig, **fields: Any) -> None:
    sender.put_secret(**fields)
    sender.restart()  # a new environment has no cached secret


def failures(sender: SenderRig) -> list[Any]:
    return [message for message in sender.messages() if message.outcome is Outcome.FAILED]


# --- the key in the header -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("route", "key"),
    [
        ("POST /messages", ""),
        ("POST /messages", "  "),
        ("POST /messages", "k" * 257),
        ("POST /messages/batch", "caf\ufffd"),
        ("POST /messages/batch", "k" * 251),
    ],
    ids=["empty", "blank", "too long", "damaged", "without room for the message's number"],
)
def test_a_key_that_cannot_be_used_is_invalid_input(
    sender: SenderRig, route: str, key: str
) -> None:
    document = a_document() if route == "POST /messages" else {"messages": [a_document()]}

    answer = sender.invoke(
        an_http_event(json.dumps(document), route=route, headers={"idempotency-key": key})
    )

    assert answer["statusCode"] == 400
    (problem,) = json.loads(answer["body"])["problems"]
    assert problem["field"] == "Idempotency-Key"
    assert sender.twilio.requests == []


# --- the key comes first -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "happens"),
    [
        (scheduled, lambda sender: sender.clock.advance(hours=2)),
        (scheduled, lambda sender: use_secret(sender, auth_token="")),
        (scheduled, lambda sender: use_secret(sender, account_sid=NEW_ACCOUNT_SID)),
        (scheduled, lambda sender: setattr(sender, "seconds_left", 10)),
        (of_subaccount, use_secret),
    ],
    ids=["time passed", "secret invalid", "main account changed", "little time", "account left"],
)
def test_a_sent_request_stays_a_duplicate_when_it_could_not_be_sent_any_more(
    sender: SenderRig,
    make: Callable[[SenderRig], dict[str, Any]],
    happens: Callable[[SenderRig], None],
) -> None:
    document = make(sender)
    sender.post(document)
    happens(sender)

    status, answer = sender.post(document)

    assert (status, answer["message_sid"]) == (200, MESSAGE_SID)
    assert len(sender.twilio.requests) == 1


@pytest.mark.parametrize("make", [scheduled, of_subaccount])
def test_a_batch_queues_a_request_that_was_sent_although_it_is_too_late_now(
    sender: SenderRig, send_queue: str, make: Any
) -> None:
    document = make(sender)
    sender.post(document)
    free = document | {"idempotency_key": "another"}
    sender.twilio.will(rejected(400, 21610))
    sender.post(free)
    sender.clock.advance(hours=2)
    use_secret(sender)

    _, answer = sender.post_batch(document, free)

    assert (answer["queued"], answer["invalid"]) == (1, 1)
    assert answer["results"][0]["queued"]
    queued = shared_client("sqs").receive_message(QueueUrl=send_queue)["Messages"]
    assert sender.receive(*(it["Body"] for it in queued)) == []
    assert failures(sender) == []


@pytest.mark.parametrize("make", [scheduled, of_subaccount])
def test_a_batch_that_is_repeated_too_late_under_its_key_reports_nothing_as_invalid(
    sender: SenderRig, send_queue: str, make: Any
) -> None:
    document = {name: it for name, it in make(sender).items() if name != "idempotency_key"}
    first = sender.post_batch(document, key="campaign")
    (queued,) = shared_client("sqs").receive_message(QueueUrl=send_queue)["Messages"]
    sender.receive(queued["Body"])
    sender.clock.advance(hours=2)
    use_secret(sender)

    assert sender.post_batch(document, key="campaign") == first


def test_a_batch_cannot_report_invalid_messages_while_their_keys_cannot_be_looked_up(
    sender: SenderRig,
) -> None:
    document = scheduled(sender)
    sender.clock.advance(hours=2)
    sender.dynamodb.delete_table(TableName="SendRequestsTable")

    status, _ = sender.post_batch(document)

    assert status == 503


def test_a_request_with_a_free_key_is_invalid_after_its_send_at_has_passed(
    sender: SenderRig,
) -> None:
    document = scheduled(sender)
    sender.clock.advance(hours=2)

    status, answer = sender.post(document)
    corrected, _ = sender.post(scheduled(sender))

    assert status == 400
    assert [it["field"] for it in answer["problems"]] == ["send_at"]
    assert corrected == 201


def test_a_key_is_not_free_while_a_concurrent_call_finds_its_request_invalid(
    sender: SenderRig,
) -> None:
    """The claim is the look-up: at no time do both calls hold that the key is free."""
    document = scheduled(sender)
    late = sender.clock() + timedelta(hours=2)
    answers: list[Any] = []

    def begin_other(operation: str, call: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        """Let the other call begin when this one has claimed the key."""
        answer = call(**arguments)
        if operation == "put_item" and not answers:
            other = sender.build().sender
            answers.append(None)
            answers[0] = other.send(document, key=None, time_left=lambda: 29)
        return answer

    sender.restart(dynamodb=WrappedClient(sender.dynamodb, begin_other))
    sender.clock.time = late

    status, _ = sender.post(document)

    assert isinstance(answers[0], Unresolved)
    assert (answers[0].state, status) == (RequestState.IN_PROGRESS, 400)
    assert sender.twilio.requests == []


# --- the name space of a key ---------------------------------------------------------------------


def test_a_key_with_an_account_and_the_same_key_without_are_two_keys(sender: SenderRig) -> None:
    sender.twilio.will(accepted(), accepted(sid="SM" + "b" * 32))

    first, _ = sender.post(a_document(), key=KEY)
    second, _ = sender.post(a_document(account_sid=ACCOUNT_SID), key=KEY)

    assert (first, second) == (201, 201)


# --- a key that was rejected before --------------------------------------------------------------


def rejected_request(sender: SenderRig) -> Any:
    (message,) = [it for it in sender.messages() if it.is_request]
    return message


def notified(sender: SenderRig) -> None:
    """Let the notifier publish the notice that is due."""
    message = rejected_request(sender)
    store = MessageStore(sender.dynamodb, "MessagesTable")
    claimed = store.advance_notice(message, sender.clock())
    assert claimed is not None
    assert store.advance_notice(claimed, sender.clock()) is not None


@pytest.mark.parametrize(("code", "reference"), [(21211, "second"), (21610, "first")])
def test_a_second_rejection_on_the_queue_is_a_new_notice_with_its_facts(
    sender: SenderRig, code: int, reference: str
) -> None:
    sender.twilio.will(rejected(400, 21610), rejected(400, code))
    sender.receive(a_document(idempotency_key=KEY, reference="first"))
    notified(sender)
    first = rejected_request(sender)
    sender.clock.advance(minutes=5)

    sender.receive(a_document(idempotency_key=KEY, reference=reference))

    second = rejected_request(sender)
    assert first.notice is NoticeState.PUBLISHED
    assert (second.outcome, second.notice) == (Outcome.FAILED, NoticeState.DUE)
    assert (second.error_code, second.reference) == (code, reference)
    assert second.notice_id != first.notice_id
    assert second.created_at == first.created_at
    assert second.final_at is not None
    assert second.final_at > first.final_at


@pytest.mark.parametrize("document", [a_document(idempotency_key=KEY), a_document(), "not JSON"])
def test_a_queue_message_that_is_delivered_again_is_no_second_rejection(
    sender: SenderRig, document: Any
) -> None:
    sent_at = sender.clock()
    sender.twilio.will(*[rejected(400, 21610)] * 2)
    sender.receive(document, sent_at=sent_at)
    notified(sender)
    sender.clock.advance(minutes=5)

    sender.receive(document, received=2, sent_at=sent_at)

    assert rejected_request(sender).notice is NoticeState.PUBLISHED


@pytest.mark.parametrize("first", ["rejected", "invalid", "too late"])
def test_an_acceptance_makes_the_rejected_request_superseded(sender: SenderRig, first: str) -> None:
    document = scheduled(sender)
    if first == "rejected":
        sender.twilio.will(rejected(400, 21610))
    sender.clock.advance(hours=2 if first == "too late" else 0)
    sender.receive(document | ({"to": "not-a-number"} if first == "invalid" else {}))
    notified(sender)
    sender.clock.advance(minutes=5)
    sender.twilio.will(accepted())

    kept = sender.receive(scheduled(sender))

    superseded = rejected_request(sender)
    assert kept == []
    assert sender.message() is not None
    assert (superseded.outcome, superseded.notice) == (Outcome.SUPERSEDED, NoticeState.RECOVERY_DUE)
    assert (superseded.status, superseded.error_code) == ("rejected", None)
    assert superseded.error_detail is None


def test_a_rejection_that_is_recorded_after_the_acceptance_is_superseded(sender: SenderRig) -> None:
    """The key is free once the rejection is stored, and so before its message is recorded."""
    sender.twilio.will(rejected(400, 21610), accepted())
    posted: list[bool] = []

    def send_other(operation: str, call: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        """Let another call send when this one is about to record the rejection."""
        if operation == "update_item" and not posted:
            posted.append(True)
            other = sender.build().sender
            result = other.send(a_document(), key=KEY, time_left=lambda: 29)
            assert isinstance(result, Accepted)
        return call(**arguments)

    sender.restart(dynamodb=WrappedClient(sender.dynamodb, send_other))

    sender.receive(a_document(idempotency_key=KEY))

    assert rejected_request(sender).outcome is Outcome.SUPERSEDED


def test_an_acceptance_after_a_rejection_stays_on_the_worklist_of_the_reconciler(
    sender: SenderRig,
) -> None:
    sender.twilio.will(rejected(400, 21610), accepted())
    sender.post(a_document(), key=KEY)

    _, answer = sender.post(a_document(), key=KEY)

    request = sender.request(answer["request_id"])
    assert request.state is RequestState.SENT
    assert request.is_unresolved


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"to": "not-a-number"}, "to must be a number in E.164 form"),
        ({"body": "Other content"}, "the idempotency key was used with other content"),
    ],
    ids=["invalid", "conflict"],
)
def test_a_request_that_cannot_be_sent_under_a_used_key_is_recorded_by_its_own_id(
    sender: SenderRig, changes: dict[str, str], reason: str
) -> None:
    _, sent = sender.post(a_document(), key=KEY)

    kept = sender.receive(a_document(idempotency_key=KEY, reference="order-8", **changes))

    (failed,) = failures(sender)
    assert kept == []
    assert failed.message_sid != sent["request_id"]
    assert (failed.reference, failed.notice) == ("order-8", NoticeState.DUE)
    assert reason in failed.error_detail


def test_a_rejected_request_is_superseded_although_an_attempt_between_was_unavailable(
    sender: SenderRig,
) -> None:
    sender.twilio.will(rejected(400, 21610), rejected(401, 20003))
    sender.receive(a_document(idempotency_key=KEY))
    assert sender.receive(a_document(idempotency_key=KEY)) == ["0"]
    sender.seconds_left = 10
    assert sender.receive(a_document(idempotency_key=KEY)) == ["0"]
    sender.seconds_left = 29
    request = sender.request(request_id_of(None, KEY))
    assert (request.state, request.error_code) == (RequestState.REJECTED, 21610)
    sender.twilio.will(accepted())

    sender.receive(a_document(idempotency_key=KEY))

    assert rejected_request(sender).outcome is Outcome.SUPERSEDED


# --- the digest of a request ---------------------------------------------------------------------


def test_the_order_of_names_does_not_make_another_request(sender: SenderRig) -> None:
    fields = {"body": None, "content_sid": CONTENT_SID, "idempotency_key": KEY}
    one, two = {"1": "Ada", "2": {"a": 1, "b": 2}}, {"2": {"b": 2, "a": 1}, "1": "Ada"}

    statuses = [
        sender.post(a_document(**fields, content_variables=variables))[0]
        for variables in (one, two, json.dumps(two))
    ]

    assert statuses == [201, 200, 200]


@pytest.mark.parametrize("make", [scheduled, None], ids=["too late", "invalid"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call", [1, 2, 3])
def test_an_invalid_request_whose_record_fails_is_one_failed_message(
    sender: SenderRig, make: Any, call: int, *, after: bool
) -> None:
    changes = {"reference": "order-7"}
    document = (
        make(sender, **changes) if make else a_document(body="", idempotency_key=KEY, **changes)
    )
    sender.clock.advance(hours=2)
    sent_at = sender.clock()
    sender.restart(dynamodb=FailingClient(sender.dynamodb, call, after=after))
    sender.receive(document, sent_at=sent_at)
    sender.restart()
    sender.clock.advance(minutes=3)

    sender.receive(document, received=2, sent_at=sent_at)

    (request,) = sender.requests.every_to([TO])
    assert (request.account_sid, request.reference) == (ACCOUNT_SID, "order-7")
    failed = [message.message_sid for message in failures(sender)]
    in_doubt = request.state_at(sender.clock()) is RequestState.IN_DOUBT
    assert failed == ([] if in_doubt else [request.request_id])
