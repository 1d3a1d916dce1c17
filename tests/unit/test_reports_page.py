"""The queries on docs/reports.md give the answers that their titles promise."""

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.archive import Row, archived, on_day, open_archive, select

PAGE: Final = (Path(__file__).parents[2] / "docs" / "reports.md").read_text("utf-8")
QUERIES: Final = dict(
    re.findall(r"^### ([^\n]+)\n[^#]*?```sql\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL)
)
"""The page's queries by title."""

RATE_BY_COUNTRY = "Delivery rate by country in the last seven days"
SLOWEST_COUNTRIES = "Countries with the slowest delivery in the last 30 days"
FAILURES_BY_CAMPAIGN = "Failures by campaign and reason in the last seven days"
SPEND_BY_SENDER = "Spend by sender and month"
FAILURES_BY_DAY = "Failures by category and day in the last 30 days"

TODAY: Final = datetime.now(UTC).date()
RECENTLY: Final = on_day(TODAY - timedelta(days=3))


def two_months_before(day: date) -> date:
    """The first day of the month before the last."""
    this_month = day.replace(day=1)
    last_month = (this_month - timedelta(days=1)).replace(day=1)
    return (last_month - timedelta(days=1)).replace(day=1)


def answer(title: str, *rows: Row) -> list[Row]:
    with open_archive(rows) as database:
        return select(database, QUERIES[title])


def recent(number: int, **changes: Any) -> Row:
    return archived(number, **({"created_at": RECENTLY} | changes))


def test_the_page_has_five_queries() -> None:
    assert len(QUERIES) == PAGE.count("```sql") == 5


def test_every_query_gives_an_empty_answer_for_an_empty_archive() -> None:
    assert {title: answer(title) for title in QUERIES} == {title: [] for title in QUERIES}


@pytest.mark.parametrize(
    ("title", "first", "outcome"),
    [
        (RATE_BY_COUNTRY, TODAY - timedelta(days=7), "delivered"),
        (SLOWEST_COUNTRIES, TODAY - timedelta(days=30), "delivered"),
        (FAILURES_BY_CAMPAIGN, TODAY - timedelta(days=7), "failed"),
        (SPEND_BY_SENDER, two_months_before(TODAY), "delivered"),
        (FAILURES_BY_DAY, TODAY - timedelta(days=30), "failed"),
    ],
)
def test_every_query_reads_the_partition_before_its_first_day(
    title: str, first: date, outcome: str
) -> None:
    def found(created_on: date, partition: date) -> list[Row]:
        changes: dict[str, Any] = {"outcome": outcome, "price": "-1", "day": f"{partition}"}
        return answer(title, archived(created_at=on_day(created_on), **changes))

    a_day = timedelta(days=1)
    assert found(first, first)
    assert found(first, first - a_day)
    assert not found(first - a_day, first)
    assert not found(first, first - 2 * a_day)


def test_the_rate_by_country_counts_the_last_row_of_each_message_of_the_last_seven_days() -> None:
    pending = recent(1, outcome="pending", recorded_at=RECENTLY)
    found = answer(
        RATE_BY_COUNTRY,
        recent(1),
        pending,
        recent(1),
        recent(2, outcome="failed"),
        recent(3, outcome="unconfirmed"),
        recent(4, outcome="pending", country="FR"),
        recent(5, outcome="superseded"),
        recent(6, created_at=on_day(TODAY)),
        recent(7, created_at=on_day(TODAY - timedelta(days=8))),
    )

    assert found == [
        {"country": "DE", "messages": 3, "delivered": 1, "delivery_rate_percent": 33.3},
        {"country": "FR", "messages": 1, "delivered": 0, "delivery_rate_percent": None},
    ]


def test_the_slowest_countries_are_those_with_the_greatest_95th_percentile() -> None:
    hundred = [recent(n, seconds_to_final=float(n)) for n in range(1, 101)]
    slow = recent(101, country="IN", channel="whatsapp", seconds_to_final=97.5)
    untimed = recent(102, country="IN", seconds_to_final=None)
    failed = recent(103, country="IN", outcome="failed", seconds_to_final=900.0)

    found = answer(SLOWEST_COUNTRIES, *hundred, slow, untimed, failed)

    assert [tuple(row.values()) for row in found] == [
        ("IN", "whatsapp", 1, 97.5, 97.5),
        ("DE", "sms", 100, 50.0, 95.0),
    ]


def test_the_failures_by_campaign_have_their_reasons() -> None:
    switched_off = {"category": "recipient_unreachable", "error_code": 30003}
    found = answer(
        FAILURES_BY_CAMPAIGN,
        recent(1, outcome="failed", **switched_off, dimensions={"campaign": "spring"}),
        recent(2, outcome="failed", **switched_off, dimensions={"campaign": "spring"}),
        recent(3, outcome="failed", category="unknown", dimensions={"team": "shop"}),
        recent(4, dimensions={"campaign": "spring"}),
    )

    assert found == [
        {"campaign": "spring", **switched_off, "failed": 2},
        {"campaign": None, "category": "unknown", "error_code": None, "failed": 1},
    ]


def test_the_spend_is_exact_for_each_sender_month_and_currency() -> None:
    month = f"{RECENTLY:%Y-%m}"
    cents = {"price": "-0.00750", "price_unit": "USD", "num_segments": 2}
    found = answer(
        SPEND_BY_SENDER,
        recent(1, **cents),
        recent(2, **cents, outcome="failed"),
        recent(3, price="-0.1", price_unit="EUR"),
        recent(4, sender=None, messaging_service_sid="MG1", price="-3", price_unit="USD"),
        recent(5, outcome="superseded", price="-9", price_unit="USD"),
        recent(6),
    )

    assert [tuple(row.values()) for row in found] == [
        (month, "MG1", "USD", 1, 1, Decimal(3)),
        (month, "+15005550006", "EUR", 1, 1, Decimal("0.1")),
        (month, "+15005550006", "USD", 2, 4, Decimal("0.015")),
    ]


def test_the_failures_by_day_are_in_the_order_of_the_days() -> None:
    yesterday = on_day(TODAY - timedelta(days=1))
    found = answer(
        FAILURES_BY_DAY,
        recent(1, outcome="failed", category="opt_out", created_at=yesterday),
        recent(2, outcome="failed", category="opt_out"),
        recent(3, outcome="failed", category="carrier_filtering"),
        recent(4, outcome="failed", category="carrier_filtering"),
        recent(5),
    )

    assert [tuple(row.values()) for row in found] == [
        (f"{RECENTLY:%Y-%m-%d}", "carrier_filtering", 2),
        (f"{RECENTLY:%Y-%m-%d}", "opt_out", 1),
        (f"{yesterday:%Y-%m-%d}", "opt_out", 1),
    ]
