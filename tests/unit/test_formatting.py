"""Formatting of numbers, sources and durations."""

from datetime import timedelta

import pytest

from delivery.domain.messages import Source, Transition
from delivery.text.formatting import format_duration, mask_number, source_label
from tests.support.builders import NOON


@pytest.mark.parametrize(
    ("number", "ending"),
    [
        ("+15558675310", "…5310"),
        ("whatsapp:+15558675310", "whatsapp:…5310"),
        ("call 555.867.5310 or +49 170 1234567", "call …5310 or …4567"),
        ("72975", "…2975"),
        ("1234", "1234"),
    ],
)
def test_a_number_is_masked_up_to_its_last_four_digits(number: str, ending: str) -> None:
    assert mask_number(number) == ending
    assert mask_number(number, unmasked=True) == number


@pytest.mark.parametrize(
    ("status", "source", "error_code", "label"),
    [
        ("queued", Source.SEND, None, "Twilio's response to the send request"),
        ("sent", Source.CALLBACK, None, "status callback"),
        ("canceled", Source.SEND, None, "Twilio's response to the cancel request"),
        ("canceled", Source.CALLBACK, None, "status callback"),
        ("delivered", Source.RECONCILE, None, "reconciled with Twilio"),
        ("rejected", Source.SEND, 21211, "Twilio's response to the send request"),
        ("rejected", Source.SEND, None, "rejected before it was sent to Twilio"),
        ("presumed_unsent", Source.RECONCILE, None, "reconciled: Twilio has no trace of it"),
    ],
)
def test_a_status_has_a_label_for_where_it_was_learned(
    status: str, source: Source, error_code: int | None, label: str
) -> None:
    transition = Transition(status=status, at=NOON, source=source, error_code=error_code)

    assert source_label(transition) == label


@pytest.mark.parametrize(
    ("seconds", "label"),
    [
        (-3, "0 s"),
        (0, "0 s"),
        (9.94, "9.9 s"),
        (10, "10 s"),
        (60, "1 min"),
        (258, "4 min 18 s"),
        (3601, "1 h 1 s"),
        (90061, "1 d 1 h"),
    ],
)
def test_a_duration_is_formatted_in_its_two_largest_units(seconds: float, label: str) -> None:
    assert format_duration(timedelta(seconds=seconds)) == label
