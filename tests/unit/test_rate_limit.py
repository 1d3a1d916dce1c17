"""The rules of the rate limiter (GCRA), without a table."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.send_message.rate_limit import (
    BURST_MS,
    IDLE_MS,
    MAX_DEFERRAL_MS,
    RateLimit,
    Reservation,
    cost_ms,
)

NOW = 1_795_435_200_000
SECOND = 1000


def reservations_of(
    limit: RateLimit, *costs: int, until: int = 5 * SECOND, jitter: float = 0
) -> list[Reservation]:
    _, reservations = limit.reserve(costs, now=NOW, until=NOW + until, jitter=jitter)
    return reservations


def immediate(after: int) -> Reservation:
    return Reservation(at=NOW + after, immediate=True)


def deferred(after: int) -> Reservation:
    return Reservation(at=NOW + after, immediate=False)


def test_a_message_is_sent_after_the_cost_of_the_messages_before_it() -> None:
    limit, first = RateLimit(next_slot_at=NOW).reserve(
        [SECOND, 3 * SECOND], now=NOW, until=NOW + 5000, jitter=0
    )

    assert first == [immediate(0), immediate(1000)]
    assert reservations_of(limit, SECOND) == [immediate(4000)]


def test_an_idle_sender_may_send_a_burst_of_one_second() -> None:
    assert reservations_of(RateLimit(), 500, 500, 500, 500) == [
        immediate(0),
        immediate(0),
        immediate(0),
        immediate(500),
    ]


def test_messages_without_a_slot_soon_are_deferred_one_after_the_other() -> None:
    limit, first = RateLimit(next_slot_at=NOW).reserve(
        [SECOND] * 8, now=NOW, until=NOW + 2000, jitter=0
    )

    assert first == [
        *(immediate(1000 * number) for number in range(3)),
        *(deferred(1000 * number) for number in range(3, 8)),
    ]
    assert reservations_of(limit, SECOND, SECOND, until=2 * SECOND) == [
        deferred(8000),
        deferred(9000),
    ]


def test_a_free_slot_is_given_to_the_first_message_that_asks() -> None:
    limit = RateLimit(next_slot_at=NOW + SECOND, retry_at=NOW + 100 * SECOND)

    assert reservations_of(limit, SECOND) == [immediate(1000)]


@pytest.mark.parametrize("jitter", [0, 0.5, 1])
def test_deferrals_beyond_the_maximum_are_spread_and_reserve_nothing(jitter: float) -> None:
    limit = RateLimit(next_slot_at=NOW + 10 * SECOND, retry_at=NOW + MAX_DEFERRAL_MS + 1)

    after, (reservation,) = limit.reserve([SECOND], now=NOW, until=NOW, jitter=jitter)

    assert after == limit
    assert reservation == deferred(int(MAX_DEFERRAL_MS * (1 + jitter) / 2))


def test_the_deferred_messages_of_an_idle_sender_are_forgotten() -> None:
    emptied = RateLimit(next_slot_at=NOW - IDLE_MS, retry_at=NOW + MAX_DEFERRAL_MS)

    reservations = reservations_of(emptied, *[SECOND] * 3, until=0)

    assert reservations == [immediate(0), immediate(0), deferred(1000)]


@pytest.mark.parametrize(
    ("segments", "per_second", "milliseconds"),
    [(3, 1, 3000), (1, 0.1, 10_000), (2, 80, 25), (1, 10_000, 1)],
)
def test_the_cost_of_a_segment_is_a_second_divided_by_the_rate(
    segments: int, per_second: float, milliseconds: int
) -> None:
    assert cost_ms(segments, per_second) == milliseconds


@given(
    st.lists(
        st.tuples(st.integers(0, 20_000), st.lists(st.integers(1, 5_000), min_size=1, max_size=10)),
        max_size=40,
    )
)
def test_no_interval_has_more_messages_than_the_rate_and_the_burst_allow(
    batches: list[tuple[int, list[int]]],
) -> None:
    limit, now = RateLimit(), NOW
    gone: list[tuple[int, int]] = []
    for passed, costs in batches:
        now += passed
        limit, reservations = limit.reserve(costs, now=now, until=now + 5000, jitter=0)
        gone += [
            (it.at, each) for it, each in zip(reservations, costs, strict=True) if it.immediate
        ]

    assert all(before <= after for (before, _), (after, _) in pairwise(gone))
    for first in range(len(gone)):
        taken = 0
        for at, each in gone[first:]:
            assert taken <= at - gone[first][0] + BURST_MS
            taken += each
