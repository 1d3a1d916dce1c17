from datetime import timedelta

import pytest

from delivery.domain.messages import Source, Transition
from delivery.text.formatting import format_duration, mask_number, source_of
from tests.builders import NOON


@pytest.mark.parametrize(
    ("number", "ending"),
    [
        ("+15558675310", "…5310"),
        ("whatsapp:+15558675310", "whatsapp:…5310"),
        ("+1 (555) 867-5310", "…5310"),
        ("call 555.867.5310 or +49 170 1234567", "call …5310 or …4567"),
        ("Acme", "Acme"),
        ("72975", "…2975"),
        ("1234", "1234"),
    ],
)
def test_no_more_is_shown_of_a_number_than_its_end(number: str, ending: str) -> None:
    assert mask_number(number) == ending
    assert mask_number(number, whole=True) == number


@pytest.mark.parametrize(
    ("status", "source", "error_code", "words"),
    [
        ("queued", Source.SEND, None, "Twilio's answer to the request"),
        ("sent", Source.CALLBACK, None, "status callback"),
        ("delivered", Source.RECONCILE, None, "found by asking Twilio"),
        ("rejected", Source.SEND, 21211, "Twilio's answer to the request"),
        ("rejected", Source.SEND, None, "refused here, before Twilio was asked"),
        ("presumed_unsent", Source.RECONCILE, None, "Twilio was asked, and shows no trace of it"),
    ],
)
def test_a_status_says_how_it_was_learned(
    status: str, source: Source, error_code: int | None, words: str
) -> None:
    transition = Transition(status=status, at=NOON, source=source, error_code=error_code)

    assert source_of(transition) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-3, "0 s"),
        (0, "0 s"),
        (0.84, "0.8 s"),
        (9.94, "9.9 s"),
        (10, "10 s"),
        (59.99, "59 s"),
        (60, "1 min"),
        (258, "4 min 18 s"),
        (3600, "1 h"),
        (3601, "1 h 1 s"),
        (90061, "1 d 1 h"),
    ],
)
def test_a_length_of_time_is_told_in_its_two_largest_units(seconds: float, words: str) -> None:
    assert format_duration(timedelta(seconds=seconds)) == words
