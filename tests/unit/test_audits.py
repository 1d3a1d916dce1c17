from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.domain.audits import (
    AuditProgress,
    AuditResult,
    AuditState,
    Correction,
    Difference,
    compare,
    end_of,
)
from delivery.domain.messages import Source, StatusUpdate, Timings
from delivery.domain.statuses import TWILIO_STATUSES, rank
from tests.support.builders import MESSAGE_SID, NOON, a_message, an_update

DAY = date(2026, 11, 23)
ACCOUNT_SID = "AC" + "1" * 32


def listed(status: str, **facts: Any) -> StatusUpdate:
    return an_update(status, after=86400, source=Source.AUDIT, **facts)


@pytest.mark.parametrize(
    ("known", "status", "facts", "corrections", "differences"),
    [
        (("sent", "delivered"), "delivered", {}, set(), set()),
        (("sent",), "delivered", {}, {Correction.STATUS}, set()),
        (("sent", "undelivered"), "delivered", {}, {Correction.STATUS}, set()),
        (("sent",), "undelivered", {"error_code": 30003}, {Correction.STATUS}, set()),
        (("undelivered",), "undelivered", {"error_code": 30003}, {Correction.ERROR_CODE}, set()),
        (("sent", "delivered"), "sent", {}, set(), {Difference.LOWER_STATUS}),
        (("delivered",), "paused", {}, set(), {Difference.UNKNOWN_STATUS}),
        (("delivered",), "delivered", {"price": "-0.0075"}, {Correction.PRICE}, set()),
        (("delivered",), "delivered", {"num_segments": "2"}, {Correction.SEGMENTS}, set()),
        (("delivered",), "sent", {"price": "-1"}, {Correction.PRICE}, {Difference.LOWER_STATUS}),
    ],
)
def test_what_differs_is_corrected_or_counted_with_its_reason(
    known: tuple[str, ...],
    status: str,
    facts: Mapping[str, Any],
    corrections: set[Correction],
    differences: set[Difference],
) -> None:
    compared = compare(a_message(*known), listed(status, **facts))

    assert set(compared.corrections) == corrections
    assert set(compared.differences) == differences
    assert (compared.update is None) == (not corrections)


def test_the_first_error_code_of_a_status_stays_and_another_one_is_a_difference() -> None:
    message = a_message(an_update("undelivered", error_code=30003))

    compared = compare(message, listed("undelivered", error_code=30005, price="-0.01"))

    assert compared.differences == {Difference.OTHER_ERROR_CODE}
    assert compared.update is not None
    assert message.apply(compared.update, Timings()).error_code == 30003


def test_the_absence_of_a_value_never_replaces_one() -> None:
    message = a_message(an_update("delivered", price="-0.01", price_unit="USD", num_segments="2"))

    assert compare(message, listed("delivered")).corrections == set()


statuses = st.sampled_from([*TWILIO_STATUSES, "paused"])
codes = st.none() | st.integers(30001, 30003)
prices = st.none() | st.sampled_from(["-0.01", "-0.02"])


@given(
    st.lists(st.tuples(statuses, codes), min_size=1, max_size=4), statuses, codes, prices, prices
)
def test_after_an_audit_a_message_is_as_listed_or_the_difference_is_counted(
    known: list[tuple[str, int | None]],
    status: str,
    code: int | None,
    old_price: str | None,
    price: str | None,
) -> None:
    updates = [an_update(word, error_code=it, price=old_price) for word, it in known]
    message = a_message(*updates)
    said = listed(status, error_code=code, price=price, num_segments="3")

    compared = compare(message, said)
    after = message.apply(compared.update, Timings()) if compared.update else message

    assert after.num_segments == "3"
    assert after.price == (price or old_price)
    if not compared.differences:
        assert after.status == status
        entry = next(it for it in after.transitions if it.status == status)
        assert code is None or entry.error_code == code
    assert rank(after.status) >= rank(message.status)
    assert compare(after, said).update is None  # a second audit writes nothing


def a_result(**changes: Any) -> AuditResult:
    facts: dict[str, Any] = {"state": AuditState.RUNNING, "updated_at": NOON}
    return AuditResult(account_sid=ACCOUNT_SID, day=DAY, **(facts | changes))


def test_a_result_is_read_as_it_was_stored() -> None:
    result = (
        a_result(next_page="/page?2", lease_until=NOON + timedelta(minutes=15))
        .with_difference(Difference.LOWER_STATUS, MESSAGE_SID)
        .with_price("-0.0075", "usd")
        .with_price("-0.0025", "USD")
        .with_price("0.1", "EUR")
        .with_price("free", "EUR")
    )

    assert AuditResult.from_record(result.as_item_record()) == result
    assert result.spend == {"USD": Decimal("0.0100"), "EUR": Decimal("-0.1")}
    assert result.priced == 3
    assert not {"next_page", "lease_until", "version", "target"} & result.as_record().keys()


@pytest.mark.parametrize(
    "price", ["9E+999999", "1E-999999", "NaN", "-Infinity", "1_0", " 1", "9" * 13, "free", ""]
)
def test_a_price_that_reports_do_not_add_up_is_not_added_to_the_spend(price: str) -> None:
    result = AuditResult(
        account_sid=ACCOUNT_SID, day=DAY, state=AuditState.RUNNING, updated_at=NOON
    )

    priced = result.with_price(price, "USD").with_price(price, "USD")

    assert (priced.priced, priced.spend) == (0, {})


def test_a_result_keeps_a_hundred_sids_for_each_reason_and_counts_all() -> None:
    result = a_result()
    for number in range(150):
        result = result.with_difference(Difference.ERASED, f"SM{number}")

    assert result.differences == {Difference.ERASED: 150}
    assert len(result.difference_sids[Difference.ERASED]) == 100


def due(progress: AuditProgress, now: datetime, days: float = 400) -> list[tuple[date, AuditState]]:
    return list(progress.due(now, retention=timedelta(days=days)))


def test_a_day_is_audited_six_hours_and_four_days_after_its_end() -> None:
    progress = AuditProgress(account_sid=ACCOUNT_SID, first_day=DAY)
    end = end_of(DAY)

    assert due(progress, end + timedelta(hours=5, minutes=59)) == []
    assert due(progress, end + timedelta(hours=6)) == [(DAY, AuditState.FIRST)]
    later = progress.audited(DAY, AuditState.FIRST).audited(
        DAY + timedelta(days=3), AuditState.FIRST
    )
    assert (DAY, AuditState.FINAL) not in due(later, end + timedelta(days=3, hours=23))
    assert due(later, end + timedelta(days=4))[-1] == (DAY, AuditState.FINAL)


def test_an_outage_is_caught_up_in_order_up_to_thirty_days() -> None:
    progress = AuditProgress(account_sid=ACCOUNT_SID, first_day=DAY, first_until=DAY)
    now = end_of(DAY) + timedelta(days=60, hours=7)

    days = [day for day, state in due(progress, now) if state is AuditState.FIRST]

    assert days == sorted(days)
    assert (days[0], days[-1]) == (now.date() - timedelta(days=30), now.date() - timedelta(days=1))
    assert due(progress, now, days=7)[0][0] == now.date() - timedelta(days=7)
