import json
from pathlib import Path

import pytest

from functions.notify_failure import calling_codes
from functions.notify_failure.calling_codes import country_of


@pytest.mark.parametrize(
    ("address", "country"),
    [
        ("+15558675310", "US or Canada"),
        ("+18765550100", "Jamaica"),
        ("+491701234567", "Germany"),
        ("whatsapp:+447700900123", "United Kingdom"),
        ("rcs:+33612345678", "France"),
        ("+77012345678", "Kazakhstan"),
        ("+79012345678", "Russia"),
        ("+35312345678", "Ireland"),
        ("+999123", None),
        ("12345", None),
        ("messenger:100012345", None),
        ("", None),
    ],
)
def test_a_number_is_placed_by_its_calling_code(address: str, country: str | None) -> None:
    assert country_of(address) == country


def test_every_code_is_digits_and_every_name_a_name() -> None:
    codes = json.loads(Path(calling_codes.__file__).with_suffix(".json").read_text("utf-8"))

    assert all(code.isdecimal() and 1 <= len(code) <= 4 for code in codes)
    assert all(name == name.strip() and len(name) > 2 for name in codes.values())


def test_codes_of_one_length_do_not_begin_another_countrys_by_accident() -> None:
    """A longer code is only there where the shorter one's countries are told apart."""
    codes = json.loads(Path(calling_codes.__file__).with_suffix(".json").read_text("utf-8"))

    shared = {
        short
        for code in codes
        for length in range(1, len(code))
        if (short := code[:length]) in codes
    }

    assert shared == {"1", "7"}
