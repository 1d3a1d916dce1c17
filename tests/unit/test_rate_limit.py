"""When each message of a sender may go: the rules, without a table."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.send_message.rate_limit import BURST, HORIZON, IDLE, RateLimit, Reservation, length

NOW = 1_795_435_200_000
SECOND = 1000


def turns_of(
    pace: RateLimit, *lengths: int, until: int = 5 * SECOND, chance: float = 0
) -> list[Reservation]:
    _, turns = pace.reserved(lengths, now=NOW, until=NOW + until, chance=chance)
    return turns


def goes(after: int) -> Reservation:
    return Reservation(at=NOW + after, goes=True)


def comes_back(after: int) -> Reservation:
    return Reservation(at=NOW + after, goes=False)


def test_the_messages_of_a_sender_go_one_after_the_other() -> None:
    pace = RateLimit(free_at=NOW)

    assert turns_of(pace, SECOND, SECOND, SECOND) == [goes(0), goes(1000), goes(2000)]


def test_a_message_of_several_segments_takes_so_much_longer() -> None:
    pace = RateLimit(free_at=NOW)

    assert turns_of(pace, 3 * SECOND, SECOND) == [goes(0), goes(3000)]


def test_after_a_pause_a_second_is_made_up_for_at_once() -> None:
    assert turns_of(RateLimit(), 500, 500, 500, 500) == [goes(0), goes(0), goes(0), goes(500)]


def test_what_others_have_reserved_is_theirs() -> None:
    pace, _ = RateLimit(free_at=NOW).reserved([SECOND] * 2, now=NOW, until=NOW + 5000, chance=0)

    assert turns_of(pace, SECOND) == [goes(2000)]


def test_who_cannot_go_soon_comes_back_when_it_may_be_its_turn() -> None:
    turns = turns_of(RateLimit(free_at=NOW), *[SECOND] * 8, until=2 * SECOND)

    assert turns == [
        *(goes(1000 * number) for number in range(3)),
        *(comes_back(1000 * number) for number in range(3, 8)),
    ]


def test_those_who_come_later_come_back_after_those_who_came_before() -> None:
    pace, _ = RateLimit(free_at=NOW).reserved([SECOND] * 8, now=NOW, until=NOW + 2000, chance=0)

    assert turns_of(pace, SECOND, SECOND, until=2 * SECOND) == [comes_back(8000), comes_back(9000)]


def test_who_comes_back_goes_if_there_is_room_whoever_it_is() -> None:
    pace = RateLimit(free_at=NOW + SECOND, return_at=NOW + 100 * SECOND)

    assert turns_of(pace, SECOND) == [goes(1000)]


@pytest.mark.parametrize("chance", [0, 0.5, 1])
def test_beyond_the_horizon_they_come_back_spread_and_take_nobodys_place(chance: float) -> None:
    pace = RateLimit(free_at=NOW + 10 * SECOND, return_at=NOW + HORIZON + 1)

    after, (turn,) = pace.reserved([SECOND], now=NOW, until=NOW, chance=chance)

    assert after == pace
    assert turn == comes_back(int(HORIZON * (1 + chance) / 2))


def test_a_sender_that_has_sent_nothing_for_long_has_nobody_who_comes_back() -> None:
    emptied = RateLimit(free_at=NOW - IDLE, return_at=NOW + HORIZON)

    turns = turns_of(emptied, *[SECOND] * 3, until=0)

    assert turns == [goes(0), goes(0), comes_back(1000)]


@pytest.mark.parametrize(
    ("units", "per_second", "milliseconds"),
    [(1, 1, 1000), (3, 1, 3000), (1, 0.1, 10_000), (1, 100, 10), (2, 80, 25), (1, 10_000, 1)],
)
def test_a_segment_takes_its_part_of_a_second(
    units: int, per_second: float, milliseconds: int
) -> None:
    assert length(units, per_second) == milliseconds


@given(
    st.lists(
        st.tuples(st.integers(0, 20_000), st.lists(st.integers(1, 5_000), min_size=1, max_size=10)),
        max_size=40,
    )
)
def test_in_no_stretch_of_time_more_goes_than_the_rate_and_the_burst_allow(
    batches: list[tuple[int, list[int]]],
) -> None:
    pace, now = RateLimit(), NOW
    gone: list[tuple[int, int]] = []
    for passed, lengths in batches:
        now += passed
        pace, turns = pace.reserved(lengths, now=now, until=now + 5000, chance=0)
        gone += [(turn.at, each) for turn, each in zip(turns, lengths, strict=True) if turn.goes]

    assert all(before <= after for (before, _), (after, _) in pairwise(gone))
    for first in range(len(gone)):
        taken = 0
        for at, each in gone[first:]:
            assert taken <= at - gone[first][0] + BURST
            taken += each
