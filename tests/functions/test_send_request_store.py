"""SendRequestStore: a write applies only while the request is as its writer saw it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from mypy_boto3_dynamodb import DynamoDBClient

from delivery.domain.send_requests import RequestState, SendRequest
from delivery.storage.send_requests import SendRequestStore
from delivery.storage.table import ItemUnreadable, StoreUnavailable
from tests.support.builders import ACCOUNT_SID, NOON

REQUEST_ID = "rq_" + "a" * 32
KEPT_FOR = timedelta(days=30)


@pytest.fixture
def store(dynamodb: DynamoDBClient, requests_table: str) -> SendRequestStore:
    return SendRequestStore(dynamodb, requests_table)


def a_claim(claim_id: str = "first", *, after: float = 0, **facts: Any) -> SendRequest:
    claimed_at = NOON + timedelta(seconds=after)
    defaults: dict[str, Any] = {
        "request_id": REQUEST_ID,
        "account_sid": ACCOUNT_SID,
        "to": "+15558675310",
        "claimed_at": claimed_at,
        "lease_until": claimed_at + timedelta(seconds=29),
    }
    return SendRequest(claim_id=claim_id, **(defaults | facts))


def as_ended(request: SendRequest, state: RequestState) -> SendRequest:
    return request.completed(state, at=NOON, kept_for=KEPT_FOR)


def complete(store: SendRequestStore, request: SendRequest, state: RequestState) -> SendRequest:
    return store.complete(request, as_ended(request, state))


# --- the claim -----------------------------------------------------------------------------------


def test_the_first_claim_of_a_key_holds_it(store: SendRequestStore) -> None:
    first = store.claim(a_claim("first"))
    second = store.claim(a_claim("second", after=60))

    assert (first.claim_id, first.is_unresolved) == ("first", True)
    assert second == first == store.get(REQUEST_ID)


@pytest.mark.parametrize(
    "state",
    [it for it in RequestState if it not in {RequestState.IN_PROGRESS, RequestState.REJECTED}],
)
def test_a_key_that_may_have_been_used_to_send_is_not_claimed_again(
    store: SendRequestStore, state: RequestState
) -> None:
    held = complete(store, store.claim(a_claim("first")), state)

    assert store.claim(a_claim("second")) == held
    assert store.get(REQUEST_ID) == held


def test_a_claim_after_a_rejection_names_the_rejected_one(store: SendRequestStore) -> None:
    complete(store, store.claim(a_claim("first")), RequestState.REJECTED)

    claimed = store.claim(a_claim("second", after=60))

    assert (claimed.claim_id, claimed.rejected_claim_id) == ("second", "first")
    assert store.get(REQUEST_ID) == claimed
    assert claimed.is_unresolved


@pytest.mark.parametrize(
    ("held_as", "is_stored"),
    [(None, True)] + [(state, state is RequestState.REJECTED) for state in RequestState],
)
def test_a_rejection_without_a_post_is_stored_only_under_a_free_key(
    store: SendRequestStore, held_as: RequestState | None, *, is_stored: bool
) -> None:
    if held_as is not None:
        complete(store, store.claim(a_claim("first")), held_as)
    rejected = as_ended(a_claim("second"), RequestState.REJECTED)

    assert store.reject(rejected) is is_stored
    held = store.get(REQUEST_ID)
    assert held is not None
    assert held.claim_id == ("second" if is_stored else "first")


# --- results -------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", list(RequestState))
def test_a_result_is_stored_only_in_the_state_that_its_writer_saw(
    store: SendRequestStore, state: RequestState
) -> None:
    seen = store.claim(a_claim())
    held = complete(store, seen, state)

    result = complete(store, seen, RequestState.SENT)

    expected = RequestState.SENT if state is RequestState.IN_PROGRESS else state
    assert (result.state, store.get(REQUEST_ID)) == (expected, result)
    assert result == held or state is RequestState.IN_PROGRESS


def test_a_result_of_an_earlier_claim_does_not_end_a_later_one(store: SendRequestStore) -> None:
    first = store.claim(a_claim("first"))
    complete(store, first, RequestState.REJECTED)
    second = store.claim(a_claim("second"))

    assert complete(store, first, RequestState.IN_DOUBT) == second
    assert store.get(REQUEST_ID) == second


@pytest.mark.parametrize("state", [it for it in RequestState if it is not RequestState.IN_PROGRESS])
def test_a_key_is_released_only_while_its_request_is_in_progress(
    store: SendRequestStore, state: RequestState
) -> None:
    claim = store.claim(a_claim())
    held = complete(store, claim, state)

    store.release(claim)
    store.release(held)

    assert store.get(REQUEST_ID) == held


def test_a_key_is_released_only_by_the_claim_that_holds_it(store: SendRequestStore) -> None:
    held = store.claim(a_claim("first"))

    store.release(a_claim("second"))
    assert store.get(REQUEST_ID) == held

    store.release(held)
    assert store.get(REQUEST_ID) is None


def test_a_result_of_a_request_that_has_expired_is_not_stored(
    dynamodb: DynamoDBClient, requests_table: str, store: SendRequestStore
) -> None:
    claim = store.claim(a_claim())
    dynamodb.delete_item(TableName=requests_table, Key={"request_id": {"S": REQUEST_ID}})

    with pytest.raises(StoreUnavailable) as raised:
        complete(store, claim, RequestState.SENT)

    assert not isinstance(raised.value, ItemUnreadable)
    assert store.get(REQUEST_ID) is None


# --- lists ---------------------------------------------------------------------------------------


def request_id(shard: int, number: int = 0) -> str:
    return f"rq_{number:031x}{shard:x}"


def ids(requests: Any) -> list[str]:
    return [it.request_id for it in requests]


def test_the_worklist_has_what_has_no_result_the_oldest_first(store: SendRequestStore) -> None:
    for number, shard in enumerate((5, 1, 15)):
        store.claim(a_claim(after=60 * number, request_id=request_id(shard)))
    sent = store.claim(a_claim(request_id=request_id(2)))
    complete(store, sent, RequestState.SENT)
    in_doubt = store.claim(a_claim(after=30, request_id=request_id(3)))
    complete(store, in_doubt, RequestState.IN_DOUBT)
    presumed = store.claim(a_claim(request_id=request_id(4)))
    complete(store, presumed, RequestState.PRESUMED_UNSENT)

    assert ids(store.unresolved()) == [request_id(shard) for shard in (5, 3, 1, 15)]


def test_requests_that_are_presumed_unsent_are_listed_from_a_shard_on_and_all_of_them(
    store: SendRequestStore,
) -> None:
    for shard in (0, 7, 8, 15):
        claim = store.claim(a_claim(request_id=request_id(shard)))
        complete(store, claim, RequestState.PRESUMED_UNSENT)

    listed = ids(store.presumed_unsent(first_shard=16 * 1000 + 8))

    assert listed == [request_id(shard) for shard in (8, 15, 0, 7)]


def test_requests_that_are_presumed_unsent_are_found_by_the_time_of_their_claim(
    store: SendRequestStore,
) -> None:
    for second in range(5):
        claim = store.claim(a_claim(after=second, request_id=request_id(second)))
        complete(store, claim, RequestState.PRESUMED_UNSENT)

    found = store.presumed_unsent_between(NOON + timedelta(seconds=1), NOON + timedelta(seconds=3))

    assert ids(found) == [request_id(shard) for shard in (1, 2, 3)]


def test_every_request_to_one_of_some_addresses_is_found(store: SendRequestStore) -> None:
    for shard, to in enumerate(("+15558675310", "whatsapp:+15558675310", "+15558675311")):
        store.claim(a_claim(request_id=request_id(shard), to=to))

    found = store.every_to(["+15558675310", "whatsapp:+15558675310"])

    assert sorted(ids(found)) == [request_id(0), request_id(1)]


def test_a_request_is_stored_and_read_as_it_is(store: SendRequestStore) -> None:
    request = replace(
        a_claim(),
        content_digest="c" * 64,
        from_="+15005550006",
        body_digest="b" * 64,
        send_at=NOON + timedelta(days=1),
        reference="order-1",
        context={"shop": "7"},
    )

    assert store.claim(request) == replace(request, is_unresolved=True) == store.get(REQUEST_ID)
