"""SendMessageFunction: at most one Twilio message for each key, whatever dies when (I5)."""

import json
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from delivery.domain.messages import Source, StatusUpdate
from delivery.domain.notices import NoticeState
from delivery.domain.send_requests import RequestState
from delivery.domain.statuses import Outcome
from delivery.storage.messages import MessageStore
from delivery.storage.table import StoreUnavailable
from tests.functions.sender import FROM, TO, Function, a_document
from tests.made_once import shared_client
from tests.support.scripted_twilio import DROPPED, MESSAGE_SID, Reply, accepted, rejected

KEY = "order-4711"
OTHER_SID = "SM" + "b" * 32


def posts(function: Function) -> int:
    """How many requests to send have reached Twilio."""
    return len(function.twilio.requests)


def callback_arrives(function: Function, request_id: str, status: str = "sent") -> None:
    store = MessageStore(function.dynamodb, "MessagesTable")
    store.record(
        StatusUpdate(
            message_sid=MESSAGE_SID,
            status=status,
            at=function.clock.now(),
            source=Source.CALLBACK,
            to=TO,
            from_=FROM,
            request_id=request_id,
        )
    )


# --- the same key again --------------------------------------------------------------------------


def test_the_same_key_again_gets_the_same_message_and_sends_nothing(function: Function) -> None:
    first = function.post(a_document(), key=KEY)
    second = function.post(a_document(), key=KEY)

    assert first[0] == 201
    assert second == (200, first[1])
    assert posts(function) == 1


def test_a_key_may_be_a_header_or_a_field(function: Function) -> None:
    function.post(a_document(), key=KEY)

    by_field = function.post(a_document(idempotency_key=KEY))
    directly = function.invoke_directly(a_document(idempotency_key=KEY))

    assert by_field[0] == directly[0] == 200
    assert posts(function) == 1


def test_the_message_is_shown_as_it_is_by_now(function: Function) -> None:
    _, first = function.post(a_document(), key=KEY)
    callback_arrives(function, first["request_id"], "delivered")

    _, second = function.post(a_document(), key=KEY)

    assert second["status"] == "delivered"


def test_a_message_that_is_kept_no_more_is_still_not_sent_again(function: Function) -> None:
    _, first = function.post(a_document(), key=KEY)
    function.dynamodb.delete_item(
        TableName="MessagesTable", Key={"message_sid": {"S": MESSAGE_SID}}
    )

    second = function.post(a_document(), key=KEY)

    assert second == (200, {"message_sid": MESSAGE_SID, "request_id": first["request_id"]})
    assert posts(function) == 1


@pytest.mark.parametrize(
    "changes",
    [{"to": "+15558675311"}, {"body": "Other"}, {"reference": "r"}, {"context": {"a": "1"}}],
)
def test_the_same_key_for_other_content_is_answered_409(
    function: Function, changes: dict[str, Any]
) -> None:
    function.post(a_document(), key=KEY)

    status, body = function.post(a_document(**changes), key=KEY)

    assert status == 409
    assert body["request_id"].startswith("rq_")
    assert posts(function) == 1


def test_without_a_key_every_call_is_a_request_of_its_own(function: Function) -> None:
    function.twilio.will(accepted(), accepted(sid=OTHER_SID))

    assert [function.post(a_document())[0] for _ in range(2)] == [201, 201]
    assert posts(function) == 2


# --- what gives the key free, and what does not --------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "status"),
    [(rejected(400, 21211), 422), (rejected(401, 20003), 503), (rejected(429, 20429), 503)],
)
def test_a_key_under_which_nothing_left_is_free_again(
    function: Function, reply: Reply, status: int
) -> None:
    function.twilio.will(*[reply] * 5)
    first = function.post(a_document(), key=KEY)
    function.twilio.requests.clear()
    function.twilio.will(accepted())

    second = function.post(a_document(body="Corrected"), key=KEY)

    assert (first[0], second[0]) == (status, 201)
    assert posts(function) == 1


def test_bad_input_does_not_use_the_key(function: Function) -> None:
    first = function.post(a_document(to="nobody"), key=KEY)
    second = function.post(a_document(), key=KEY)

    assert (first[0], second[0]) == (400, 201)


@pytest.mark.parametrize("reply", [DROPPED, Reply(status=500), Reply(status=503)])
def test_a_key_whose_request_may_have_left_is_never_posted_again(
    function: Function, reply: Reply
) -> None:
    function.twilio.will(reply)

    first = function.post(a_document(), key=KEY)
    function.clock.pass_by(days=20)
    second = function.post(a_document(), key=KEY)

    assert first == second == (202, {"request_id": first[1]["request_id"], "state": "in_doubt"})
    assert posts(function) == 1


def test_a_request_that_was_not_found_takes_a_new_key(function: Function) -> None:
    function.give_up(function.lose_the_answer(key=KEY))

    status, body = function.post(a_document(), key=KEY)

    assert status == 409
    assert (body["state"], "new key" in body["detail"]) == ("presumed_unsent", True)
    assert posts(function) == 1


def test_a_callback_with_our_request_id_settles_a_doubt(function: Function) -> None:
    doubt = function.lose_the_answer(key=KEY)
    callback_arrives(function, doubt.request_id)

    status, body = function.post(a_document(), key=KEY)

    assert (status, body["message_sid"]) == (200, MESSAGE_SID)
    request = function.request(doubt.request_id)
    assert (request.state, request.message_sid) == (RequestState.SENT, MESSAGE_SID)
    assert request.is_unresolved  # what only the request knows is still to be added
    assert posts(function) == 1


def test_a_request_that_was_not_found_and_turns_up_stays_on_the_list_until_people_know(
    function: Function,
) -> None:
    request = function.give_up(function.lose_the_answer(key=KEY))
    callback_arrives(function, request.request_id)

    status, body = function.post(a_document(), key=KEY)

    assert (status, body["message_sid"]) == (200, MESSAGE_SID)
    assert function.request(request.request_id).is_unresolved


# --- what is remembered --------------------------------------------------------------------------


def test_a_settled_request_is_kept_for_its_time_and_stands_on_no_list(function: Function) -> None:
    _, message = function.post(a_document(reference="order-7", context={"a": "1"}), key=KEY)

    request = function.request(message["request_id"])
    assert (request.state, request.message_sid) == (RequestState.SENT, MESSAGE_SID)
    assert (request.reference, request.context) == ("order-7", {"a": "1"})
    assert not request.is_unresolved
    assert request.expires_at is not None
    kept = request.expires_at - request.claimed_at.timestamp()
    assert 29.9 * 86400 < kept < 30.1 * 86400


def test_a_request_in_doubt_is_kept_until_it_is_settled(function: Function) -> None:
    request = function.lose_the_answer()

    assert request.is_unresolved
    assert request.expires_at is None


def test_neither_the_body_nor_its_length_is_remembered_in_the_clear(function: Function) -> None:
    function.lose_the_answer()

    assert a_document()["body"] not in str(function.dynamodb.scan(TableName="SendRequestsTable"))


@pytest.mark.parametrize(
    ("changes", "comparable"),
    [
        ({}, True),
        ({"smart_encoded": True}, False),
        ({"shorten_urls": True, "messaging_service_sid": "MG" + "5" * 32}, False),
        ({"content_sid": "HX" + "6" * 32, "body": None}, False),
    ],
)
def test_a_body_is_remembered_for_comparing_only_where_twilio_leaves_it_as_it_is(
    function: Function, changes: dict[str, Any], *, comparable: bool
) -> None:
    request = function.lose_the_answer(**changes)

    assert (request.body_digest is not None) is comparable


# --- the queue, and direct invocations -----------------------------------------------------------


def test_a_queue_message_that_comes_twice_is_sent_once(function: Function) -> None:
    assert function.take(a_document()) == []
    assert function.take(a_document()) == []

    assert posts(function) == 1


def test_a_queue_message_in_doubt_leaves_the_queue(function: Function) -> None:
    function.twilio.will(DROPPED)

    assert function.take(a_document()) == []
    assert function.take(a_document()) == []

    assert posts(function) == 1


def test_a_queue_message_that_somebody_is_posting_right_now_stays(function: Function) -> None:
    dies(function, lambda: function.take(a_document()), 1, after=True)

    assert function.take(a_document()) == ["0"]
    function.clock.pass_by(minutes=3)
    assert function.take(a_document()) == []
    assert posts(function) == 0


def test_a_key_that_was_used_for_something_else_is_final_on_the_queue_and_told(
    function: Function,
) -> None:
    _, first = function.post(a_document(), key=KEY)

    left = function.take(a_document(body="Other", idempotency_key=KEY, reference="order-8"))

    (told,) = [message for message in function.messages() if message.reference == "order-8"]
    assert left == []
    assert (told.outcome, told.notice) == (Outcome.FAILED, NoticeState.DUE)
    assert told.message_sid != first["request_id"]


# --- whatever dies when --------------------------------------------------------------------------


class Died(BaseException):
    """The function's process, in the middle of what it did."""


class Dying:
    """A DynamoDB client that breaks at one call, before or after it takes effect."""

    def __init__(self, client: Any, call: int, *, after: bool, error: BaseException) -> None:
        self._client = client
        self._left = call
        self._after = after
        self._error = error
        self.exceptions = client.exceptions

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(**arguments: Any) -> Any:
            self._left -= 1
            if self._left != 0:
                return getattr(self._client, name)(**arguments)
            if self._after:
                getattr(self._client, name)(**arguments)
            raise self._error

        return call


def dies(function: Function, act: Callable[[], Any], call: int, *, after: bool) -> None:
    """Let the function die at its n-th call of DynamoDB."""
    function.line.through = Dying(function.dynamodb, call, after=after, error=Died())
    with warnings.catch_warnings():
        # Powertools has nothing to count then, and says so: a process that dies says nothing.
        warnings.simplefilter("ignore", UserWarning)
        with pytest.raises(Died):
            act()
    function.line.through = function.dynamodb


@pytest.mark.parametrize("call", [1, 2, 3], ids=["claiming", "recording", "settling"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("wait", [{}, {"minutes": 1}], ids=["at once", "later"])
def test_a_function_that_dies_at_any_of_its_calls_sends_at_most_once(
    function: Function, *, call: int, after: bool, wait: dict[str, float]
) -> None:
    dies(function, lambda: function.post(a_document(), key=KEY), call, after=after)
    died_before_posting = posts(function) == 0

    function.clock.pass_by(**wait)
    status, _ = function.post(a_document(), key=KEY)

    never_claimed = call == 1 and not after
    assert posts(function) == (1 if never_claimed or not died_before_posting else 0)
    assert status in ({201} if never_claimed else {200, 202})


@pytest.mark.thorough
@pytest.mark.parametrize("call", [1, 2, 3, 4], ids=["claiming", "recording", "settling", "later"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    "reply",
    [accepted(), rejected(400, 21211), rejected(401), DROPPED],
    ids=["201", "400", "401", "-"],
)
def test_a_table_that_fails_at_any_call_never_makes_a_second_message(
    function: Function, *, call: int, after: bool, reply: Reply
) -> None:
    function.twilio.will(reply, *([reply] if reply.status == 401 else []))
    function.line.through = Dying(function.dynamodb, call, after=after, error=unreachable())
    first, _ = function.post(a_document(), key=KEY)
    function.line.through = function.dynamodb
    function.twilio.will(accepted(sid=OTHER_SID))

    function.clock.pass_by(minutes=1)
    function.post(a_document(), key=KEY)

    taken = posts_that_may_have_been_taken(function, reply)
    assert taken <= 1
    assert first in {201, 202, 422, 503}


def posts_that_may_have_been_taken(function: Function, reply: Reply) -> int:
    refusals = {400, 401}
    first_ones = 1 if reply.status in refusals else 0
    return posts(function) - first_ones


def unreachable() -> Exception:
    return ClientError({"Error": {"Code": "InternalServerError", "Message": "try again"}}, "Any")


def test_a_message_that_no_table_can_take_is_kept_in_the_callback_queue(
    function: Function, callback_queue: str
) -> None:
    function.lose_the_table()

    status, body = function.post(a_document(reference="order-7"), key=KEY)

    (message,) = shared_client("sqs").receive_message(QueueUrl=callback_queue)["Messages"]
    kept = json.loads(message["Body"])
    assert status == 201
    assert (kept["message_sid"], kept["reference"]) == (body["message_sid"], "order-7")
    assert kept["source"] == "send"


@pytest.mark.parametrize("queue_takes_it", [True, False])
def test_a_request_whose_message_the_table_did_not_take_stays_on_the_list(
    function: Function, callback_queue: str, *, queue_takes_it: bool
) -> None:
    function.lose_the_table()
    if not queue_takes_it:
        shared_client("sqs").delete_queue(QueueUrl=callback_queue)

    status, body = function.post(a_document(reference="order-7"), key=KEY)

    request = function.request(body["request_id"])
    assert status == 201
    assert (request.state, request.message_sid) == (RequestState.SENT, MESSAGE_SID)
    assert request.is_unresolved
    assert ("MessageNotStored" in function.metrics()) is not queue_takes_it


def test_a_claim_that_cannot_be_stored_posts_nothing(function: Function) -> None:
    function.dynamodb.delete_table(TableName="SendRequestsTable")

    status, _ = function.post(a_document(), key=KEY)

    assert status == 503
    assert posts(function) == 0


def test_the_store_says_when_it_is_not_there(function: Function) -> None:
    function.dynamodb.delete_table(TableName="SendRequestsTable")

    with pytest.raises(StoreUnavailable):
        function.request("rq_" + "0" * 32)
