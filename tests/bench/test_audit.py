"""What the audit of a day takes."""

import pytest

from bench.audit import Day, audit

DIFFERING = 20


@pytest.fixture(scope="module")
def taken() -> dict[str, object]:
    return audit(Day(messages=2000, one_differs_in=2000 // DIFFERING, age_days=5))


def test_twilio_receives_one_request_for_a_thousand_messages(taken: dict[str, object]) -> None:
    assert taken["twilio_requests"] == 2


def test_a_message_takes_half_a_read_unit(taken: dict[str, object]) -> None:
    assert taken["read_units"] == 2000 * 0.5


def test_only_a_message_that_differs_is_written(taken: dict[str, object]) -> None:
    assert (taken["written"], taken["write_units"]) == (DIFFERING, DIFFERING)
    assert taken["requests"] == {
        "batch_get_item": 2000 // 100,
        # The accounts, the claim, the requested day three times, and the benchmark's own read.
        "get_item": 1 + 1 + 3 + 1,
        "put_item": 1 + 1 + 3 + 2,  # the accounts, the claim, the requested day, each page
        "update_item": DIFFERING,
    }
