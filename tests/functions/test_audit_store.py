"""AuditStore: a day is claimed by one run, and everything that is saved is read again."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
from mypy_boto3_dynamodb import DynamoDBClient

from delivery.domain.audits import AuditProgress, AuditResult, AuditState
from delivery.storage.audits import LEASE, AuditStore
from delivery.storage.table import StoreUnavailable
from tests.support.builders import ACCOUNT_SID, NOON
from tests.support.faults import WrappedClient

DAY = NOON.date()
OTHER_SID = "AC" + "9" * 32
ONE_DAY = timedelta(days=1)
ONE_SECOND = timedelta(seconds=1)


@pytest.fixture
def store(dynamodb: DynamoDBClient, control_table: str) -> AuditStore:
    return AuditStore(dynamodb, control_table)


def slow_store(dynamodb: DynamoDBClient, meanwhile: Callable[[], object]) -> AuditStore:
    """The store of a run; before each of its writes, another run does something."""

    def around(name: str, call: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        if name == "put_item":
            meanwhile()
        return call(**arguments)

    client: Any = WrappedClient(dynamodb, around)
    return AuditStore(client, "ControlTable")


def claim(
    store: AuditStore, at: datetime = NOON, *, target: AuditState = AuditState.FIRST
) -> AuditResult:
    claimed = store.claim(ACCOUNT_SID, DAY, target, at)
    assert claimed is not None
    return claimed


def result_of(day: date, account_sid: str) -> AuditResult:
    state = AuditState.FIRST
    return AuditResult(account_sid=account_sid, day=day, state=state, target=state, updated_at=NOON)


def save(store: AuditStore, result: AuditResult, **changes: Any) -> AuditResult:
    saved = store.save(replace(result, **changes))
    assert saved is not None
    return saved


# --- progress and accounts -----------------------------------------------------------------------


@pytest.mark.parametrize("first_until", [None, DAY + ONE_DAY])
@pytest.mark.parametrize("final_until", [None, DAY])
def test_the_progress_of_an_account_is_read_as_it_was_saved(
    store: AuditStore, first_until: date | None, final_until: date | None
) -> None:
    progress = AuditProgress(
        account_sid=ACCOUNT_SID, first_day=DAY, first_until=first_until, final_until=final_until
    )

    store.save_progress(progress)

    assert store.progress(ACCOUNT_SID, first_day=DAY + ONE_DAY) == progress
    new = store.progress(OTHER_SID, first_day=DAY + ONE_DAY)
    assert new == AuditProgress(account_sid=OTHER_SID, first_day=DAY + ONE_DAY)


def test_accounts_are_remembered_and_none_is_forgotten(store: AuditStore) -> None:
    assert store.accounts() == ()

    store.add_accounts([OTHER_SID])
    store.add_accounts([ACCOUNT_SID])
    store.add_accounts([OTHER_SID])

    assert store.accounts() == (ACCOUNT_SID, OTHER_SID)


# --- requested audits ----------------------------------------------------------------------------


def test_a_requested_audit_is_kept_until_it_is_done(store: AuditStore) -> None:
    assert store.requested() == ()
    for day in (DAY + ONE_DAY, DAY, DAY):
        store.add_requested(day, [OTHER_SID, ACCOUNT_SID])
    requested = store.requested()

    for _ in range(2):
        store.remove_requested(result_of(DAY, ACCOUNT_SID))
    not_done = store.requested()
    for audit in not_done:
        store.remove_requested(result_of(*audit))
    all_done = store.requested()
    store.add_requested(DAY, [ACCOUNT_SID])

    later = ((DAY, OTHER_SID), (DAY + ONE_DAY, ACCOUNT_SID), (DAY + ONE_DAY, OTHER_SID))
    assert requested == ((DAY, ACCOUNT_SID), *later)
    assert (not_done, all_done) == (later, ())
    assert store.requested() == ((DAY, ACCOUNT_SID),)


@pytest.mark.parametrize("kept", [(), (DAY,)], ids=["the first day", "a further day"])
def test_two_requests_at_the_same_time_keep_both_days(
    dynamodb: DynamoDBClient, store: AuditStore, kept: tuple[date, ...]
) -> None:
    for day in kept:
        store.add_requested(day, [ACCOUNT_SID])

    slower = slow_store(dynamodb, lambda: store.add_requested(DAY + ONE_DAY, [ACCOUNT_SID]))
    slower.add_requested(DAY + 2 * ONE_DAY, [ACCOUNT_SID])

    days = [it.day for it in store.requested()]
    assert days == [*kept, DAY + ONE_DAY, DAY + 2 * ONE_DAY]


def test_a_request_that_other_runs_keep_changing_is_an_error(
    dynamodb: DynamoDBClient, store: AuditStore
) -> None:
    days = (DAY + number * ONE_DAY for number in count(1))
    slower = slow_store(dynamodb, lambda: store.add_requested(next(days), [ACCOUNT_SID]))

    with pytest.raises(StoreUnavailable):
        slower.add_requested(DAY, [ACCOUNT_SID])

    assert DAY not in {it.day for it in store.requested()}


def test_an_audit_that_is_requested_while_another_one_is_removed_is_kept(
    dynamodb: DynamoDBClient, store: AuditStore
) -> None:
    store.add_requested(DAY, [ACCOUNT_SID])
    added = [f"AC{number:032x}" for number in (1, 2, 3)]
    others = iter(added)

    def meanwhile() -> None:
        if other := next(others, None):
            store.add_requested(DAY, [other])

    slower = slow_store(dynamodb, meanwhile)

    slower.remove_requested(result_of(DAY, ACCOUNT_SID))

    assert [it.account_sid for it in store.requested()] == added


def test_an_audit_that_was_claimed_again_is_kept_when_the_one_before_is_removed(
    store: AuditStore,
) -> None:
    before = save(store, claim(store), state=AuditState.FIRST, lease_until=None)
    after = claim(store)

    store.remove_requested(before)
    kept = store.requested()
    store.remove_requested(after)

    assert kept == ((DAY, ACCOUNT_SID),)
    assert store.requested() == ()


# --- claims --------------------------------------------------------------------------------------


def test_a_day_that_one_run_audits_is_free_for_others_after_the_lease(store: AuditStore) -> None:
    first = claim(store)

    assert first.lease_until == NOON + timedelta(minutes=15)
    assert store.claim(ACCOUNT_SID, DAY, AuditState.FIRST, NOON + LEASE - ONE_SECOND) is None
    assert claim(store, NOON + LEASE).version == first.version + 1


def test_a_run_that_lost_its_lease_cannot_save(store: AuditStore) -> None:
    lost = claim(store)
    second = claim(store, NOON + LEASE)

    assert store.save(replace(lost, messages=9)) is None
    assert store.result(ACCOUNT_SID, DAY) == second


def test_the_first_of_two_claims_at_the_same_time_gets_the_day(
    dynamodb: DynamoDBClient, store: AuditStore
) -> None:
    slower = slow_store(dynamodb, lambda: store.claim(ACCOUNT_SID, DAY, AuditState.FIRST, NOON))

    assert slower.claim(ACCOUNT_SID, DAY, AuditState.FIRST, NOON) is None
    result = store.result(ACCOUNT_SID, DAY)
    assert result is not None
    assert result.version == 1


def test_an_interrupted_audit_goes_on_from_its_last_page(store: AuditStore) -> None:
    saved = save(store, claim(store), messages=1000, next_page="/page-2")

    again = claim(store, NOON + LEASE)

    assert again == replace(
        saved,
        lease_until=NOON + 2 * LEASE,
        updated_at=NOON + LEASE,
        version=saved.version + 1,
    )


@pytest.mark.parametrize(
    ("state", "target"),
    [(AuditState.RUNNING, AuditState.FINAL), (AuditState.FAILED, AuditState.FIRST)],
    ids=["of another kind", "that failed"],
)
def test_an_audit_starts_again_after_one(
    store: AuditStore, state: AuditState, target: AuditState
) -> None:
    saved = save(
        store, claim(store), messages=1000, next_page="/page-2", state=state, lease_until=None
    )

    again = claim(store, NOON + ONE_SECOND, target=target)

    assert (again.messages, again.next_page, again.target) == (0, None, target)
    assert (again.state, again.version) == (AuditState.RUNNING, saved.version + 1)


def test_a_result_that_expired_during_an_audit_is_an_error(
    dynamodb: DynamoDBClient, control_table: str, store: AuditStore
) -> None:
    claimed = claim(store)
    name = f"audit#{ACCOUNT_SID}#{DAY.isoformat()}"
    dynamodb.delete_item(TableName=control_table, Key={"name": {"S": name}})

    with pytest.raises(StoreUnavailable):
        store.save(claimed)


# --- results -------------------------------------------------------------------------------------


def test_a_result_is_read_as_it_was_saved_and_kept_from_its_last_change(
    dynamodb: DynamoDBClient, control_table: str, store: AuditStore
) -> None:
    saved = save(
        store,
        claim(store),
        state=AuditState.FINAL,
        target=AuditState.FINAL,
        messages=9,
        known=8,
        corrected={"status": 1, "price": 2},
        corrected_messages=3,
        priced=4,
        imported=5,
        rejected_creations=6,
        unknown=7,
        differences={"erased": 1},
        difference_sids={"erased": ("SM1",)},
        spend={"USD": Decimal("1.50")},
        lease_until=None,
        updated_at=NOON + ONE_SECOND,
    )

    assert store.result(ACCOUNT_SID, DAY) == saved
    name = f"audit#{ACCOUNT_SID}#{DAY.isoformat()}"
    item = dynamodb.get_item(TableName=control_table, Key={"name": {"S": name}})["Item"]
    expires_at = NOON + ONE_SECOND + timedelta(days=400)
    assert item["expires_at"] == {"N": str(int(expires_at.timestamp()))}


def test_results_are_listed_by_day_for_every_account_that_has_one(store: AuditStore) -> None:
    store.add_accounts([OTHER_SID, ACCOUNT_SID])
    for account_sid, day in ((OTHER_SID, DAY), (ACCOUNT_SID, DAY - ONE_DAY), (ACCOUNT_SID, DAY)):
        store.claim(account_sid, day, AuditState.FIRST, NOON)

    listed = [(it.day, it.account_sid) for it in store.results([DAY, DAY - ONE_DAY])]

    assert listed == [(DAY, ACCOUNT_SID), (DAY, OTHER_SID), (DAY - ONE_DAY, ACCOUNT_SID)]
