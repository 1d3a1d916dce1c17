"""SendMessageFunction: at most one Twilio message for each idempotency key (I5)."""

import json
import warnings
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from delivery.domain.messages import Source, StatusUpdate
from delivery.domain.send_requests import RequestState, body_digest
from delivery.storage.messages import MessageStore
from tests.functions.sender import BODY, FROM, SERVICE_SID, TO, SenderRig, a_document
from tests.support.builders import ACCOUNT_SID
from tests.support.faults import FailingClient
from tests.support.scripted_twilio import DROPPED, MESSAGE_SID, Reply, accepted, rejected
from tests.support.shared_clients import shared_client

KEY = "order-4711"
OTHER_SID = "SM" + "b" * 32


def posts(sender: SenderRig) -> int:
    """Return the number of requests to send that have reached Twilio."""
    return len(sender.twilio.requests)


def callback_arrives(sender: SenderRig, request_id: str, status: str = "sent") -> None:
    store = MessageStore(sender.dynamodb, "MessagesTable")
    store.record(
        StatusUpdate(
            message_sid=MESSAGE_SID,
            status=status,
            at=sender.clock(),
            source=Source.CALLBACK,
            to=TO,
            from_=FROM,
            request_id=request_id,
        )
    )


# --- duplicate requests --------------------------------------------------------------------------


def test_a_duplicate_request_returns_the_same_message_and_sends_nothing(sender: SenderRig) -> None:
    first = sender.post(a_document(), key=KEY)
    second = sender.post(a_document(), key=KEY)

    assert first[0] == 201
    assert second == (200, first[1])
    assert posts(sender) == 1


def test_a_key_can_be_a_header_or_a_field(sender: SenderRig) -> None:
    _, sent = sender.post(a_document(), key=KEY)
    callback_arrives(sender, sent["request_id"], "delivered")

    by_field = sender.post(a_document(idempotency_key=KEY))
    directly = sender.invoke_directly(a_document(idempotency_key=KEY))

    assert by_field == directly
    assert (by_field[0], by_field[1]["status"]) == (200, "delivered")
    assert posts(sender) == 1


def test_a_message_that_is_no_longer_kept_is_not_sent_again(sender: SenderRig) -> None:
    _, first = sender.post(a_document(), key=KEY)
    sender.dynamodb.delete_item(TableName="MessagesTable", Key={"message_sid": {"S": MESSAGE_SID}})

    second = sender.post(a_document(), key=KEY)

    assert second == (200, {"message_sid": MESSAGE_SID, "request_id": first["request_id"]})
    assert posts(sender) == 1


@pytest.mark.parametrize(
    "changes", [{"body": "Other"}, {"reference": "r"}, {"context": {"a": "1"}}]
)
def test_the_same_key_with_other_content_is_a_conflict(
    sender: SenderRig, changes: dict[str, Any]
) -> None:
    sender.post(a_document(), key=KEY)

    status, _ = sender.post(a_document(**changes), key=KEY)

    assert status == 409
    assert posts(sender) == 1


def test_without_a_key_every_call_is_a_new_request(sender: SenderRig) -> None:
    sender.twilio.will(accepted(), accepted(sid=OTHER_SID))

    assert [sender.post(a_document())[0] for _ in range(2)] == [201, 201]
    assert posts(sender) == 2


# --- keys that are free again, and keys that are not ----------------------------------------------


@pytest.mark.parametrize(
    ("reply", "status"),
    [(rejected(400, 21211), 422), (rejected(401, 20003), 503)],
)
def test_a_key_under_which_nothing_was_sent_is_free_again(
    sender: SenderRig, reply: Reply, status: int
) -> None:
    sender.twilio.will(reply)
    first = sender.post(a_document(), key=KEY)
    sender.twilio.requests.clear()
    sender.twilio.will(accepted())

    second = sender.post(a_document(body="Corrected"), key=KEY)

    assert (first[0], second[0]) == (status, 201)
    assert posts(sender) == 1


@pytest.mark.parametrize("reply", [DROPPED, rejected(500, 20500)])
def test_a_request_that_may_have_been_sent_is_never_posted_again_under_its_key(
    sender: SenderRig, reply: Reply
) -> None:
    sender.twilio.will(reply)

    first = sender.post(a_document(), key=KEY)
    sender.clock.advance(days=20)
    second = sender.post(a_document(), key=KEY)

    assert first == second == (202, {"request_id": first[1]["request_id"], "state": "in_doubt"})
    assert first[1]["request_id"] in sender.parameters()["StatusCallback"]
    assert posts(sender) == 1
    assert sender.metrics() == {"SendInDoubt": 1, "SendDeduplicated": 1}


def test_a_request_that_is_presumed_unsent_needs_a_new_key(sender: SenderRig) -> None:
    sender.presume_unsent(sender.send_in_doubt(key=KEY))

    status, body = sender.post(a_document(), key=KEY)

    assert status == 409
    assert (body["state"], "new key" in body["detail"]) == ("presumed_unsent", True)
    assert posts(sender) == 1


@pytest.mark.parametrize("state", [RequestState.SENT, RequestState.PRESUMED_UNSENT])
def test_a_callback_with_our_request_id_shows_that_the_request_was_sent(
    sender: SenderRig, state: RequestState
) -> None:
    in_doubt = sender.send_in_doubt(key=KEY)
    if state is RequestState.PRESUMED_UNSENT:
        sender.presume_unsent(in_doubt)  # only the reconciler resolves it
    callback_arrives(sender, in_doubt.request_id)

    status, body = sender.post(a_document(), key=KEY)

    assert (status, body["message_sid"]) == (200, MESSAGE_SID)
    request = sender.request(in_doubt.request_id)
    sid = MESSAGE_SID if state is RequestState.SENT else None
    assert (request.state, request.message_sid) == (state, sid)
    assert request.is_unresolved  # what only the request knows is still to be added
    assert posts(sender) == 1


# --- stored requests -----------------------------------------------------------------------------


def test_a_completed_request_is_kept_for_its_time_and_is_on_no_worklist(sender: SenderRig) -> None:
    _, message = sender.post(a_document(reference="order-7", context={"a": "1"}), key=KEY)

    request = sender.request(message["request_id"])
    assert (request.state, request.message_sid) == (RequestState.SENT, MESSAGE_SID)
    assert (request.reference, request.context) == ("order-7", {"a": "1"})
    assert not request.is_unresolved
    assert request.expires_at is not None
    kept = request.expires_at - request.claimed_at.timestamp()
    assert 29.9 * 86400 < kept < 30.1 * 86400


def test_a_request_in_doubt_is_stored_with_what_finds_its_message(sender: SenderRig) -> None:
    send_at = sender.clock().replace(microsecond=0) + timedelta(days=1)
    scheduled = {"messaging_service_sid": SERVICE_SID, "send_at": send_at.isoformat()}

    request = sender.send_in_doubt(reference="order-7", context={"a": "1"}, **scheduled)

    assert (request.account_sid, request.to, request.from_) == (ACCOUNT_SID, TO, FROM)
    assert (request.messaging_service_sid, request.send_at) == (SERVICE_SID, send_at)
    assert (request.reference, request.context) == ("order-7", {"a": "1"})
    assert request.body_digest == body_digest(BODY)
    assert BODY not in str(sender.dynamodb.scan(TableName="SendRequestsTable"))
    assert request.is_unresolved
    assert request.expires_at is None
    lease = request.lease_until - request.claimed_at
    assert lease == timedelta(seconds=sender.seconds_left)  # the function cannot outlive it


# --- the queue, and direct invocations -----------------------------------------------------------


def test_a_queue_message_that_is_delivered_twice_is_sent_once(sender: SenderRig) -> None:
    assert sender.receive(a_document()) == []
    assert sender.receive(a_document()) == []

    assert posts(sender) == 1


def test_a_queue_message_that_another_invocation_is_sending_stays_queued(sender: SenderRig) -> None:
    die(sender, lambda: sender.receive(a_document()), 1, after=True)

    assert sender.receive(a_document()) == ["0"]
    sender.clock.advance(minutes=3)
    assert sender.receive(a_document()) == []
    assert posts(sender) == 0


# --- crashes --------------------------------------------------------------------------------------


class Died(BaseException):
    """The process of the function dies."""


def die(sender: SenderRig, act: Callable[[], Any], call: int, *, after: bool) -> None:
    """Let the function die at its n-th call of DynamoDB, and start it again."""
    sender.restart(dynamodb=FailingClient(sender.dynamodb, call, after=after, error=Died()))
    with warnings.catch_warnings():
        # Powertools warns that nothing was counted: a process that dies counts nothing.
        warnings.simplefilter("ignore", UserWarning)
        with pytest.raises(Died):
            act()
    sender.restart()


@pytest.mark.parametrize("call", [1, 2, 3], ids=["claim", "record", "complete"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("wait", [{}, {"minutes": 1}], ids=["at once", "later"])
def test_a_function_that_dies_at_any_of_its_calls_sends_at_most_once(
    sender: SenderRig, *, call: int, after: bool, wait: dict[str, float]
) -> None:
    die(sender, lambda: sender.post(a_document(), key=KEY), call, after=after)
    died_before_posting = posts(sender) == 0

    sender.clock.advance(**wait)
    status, _ = sender.post(a_document(), key=KEY)

    never_claimed = call == 1 and not after
    assert posts(sender) == (1 if never_claimed or not died_before_posting else 0)
    assert status in ({201} if never_claimed else {200, 202})


@pytest.mark.thorough
@pytest.mark.parametrize("call", [1, 2, 3, 4], ids=["claim", "record", "complete", "later"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    "reply",
    [accepted(), rejected(400, 21211), rejected(401), DROPPED],
    ids=["201", "400", "401", "-"],
)
def test_a_failing_table_never_leads_to_a_second_message(
    sender: SenderRig, *, call: int, after: bool, reply: Reply
) -> None:
    sender.twilio.will(reply, *([reply] if reply.status == 401 else []))
    sender.restart(dynamodb=FailingClient(sender.dynamodb, call, after=after))
    first, _ = sender.post(a_document(), key=KEY)
    sender.restart()
    sender.twilio.will(accepted(sid=OTHER_SID))

    sender.clock.advance(minutes=1)
    sender.post(a_document(), key=KEY)

    refused = 1 if reply.status in {400, 401} else 0
    assert posts(sender) - refused <= 1
    assert first in {201, 202, 422, 503}


@pytest.mark.parametrize("queue_takes_it", [True, False])
def test_a_message_that_the_table_cannot_take_is_queued_and_its_request_stays_unresolved(
    sender: SenderRig, callback_queue: str, *, queue_takes_it: bool
) -> None:
    sender.delete_messages_table()
    sqs = shared_client("sqs")
    if not queue_takes_it:
        sqs.delete_queue(QueueUrl=callback_queue)

    status, body = sender.post(a_document(reference="order-7"), key=KEY)

    request = sender.request(body["request_id"])
    assert (status, body["status"], body["reference"]) == (201, "queued", "order-7")
    assert (request.state, request.message_sid) == (RequestState.SENT, MESSAGE_SID)
    assert request.is_unresolved
    assert ("MessageNotStored" in sender.metrics()) is not queue_takes_it
    if queue_takes_it:
        (queued,) = sqs.receive_message(QueueUrl=callback_queue)["Messages"]
        kept = json.loads(queued["Body"])
        assert (kept["message_sid"], kept["reference"]) == (MESSAGE_SID, "order-7")
        assert kept["source"] == "send"


def test_a_claim_that_cannot_be_stored_posts_nothing(sender: SenderRig) -> None:
    sender.dynamodb.delete_table(TableName="SendRequestsTable")

    status, _ = sender.post(a_document(), key=KEY)

    assert status == 503
    assert posts(sender) == 0


def test_a_claim_whose_answer_was_lost_does_not_keep_its_key(sender: SenderRig) -> None:
    sender.restart(dynamodb=FailingClient(sender.dynamodb, after=True))

    first, _ = sender.post(a_document(), key=KEY)
    second, _ = sender.post(a_document(), key=KEY)

    assert (first, second) == (503, 201)
    assert posts(sender) == 1
