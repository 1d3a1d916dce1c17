"""The addresses of one person: a number on every channel and in WhatsApp's variants."""

import pytest

from delivery.text.addresses import addresses_of
from delivery.text.identifiers import InvalidAddress

NUMBER = "+15558675310"
CHANNELS = ("", "whatsapp:", "rcs:", "viber:")


def on_every_channel(*numbers: str) -> set[str]:
    return {channel + number for number in numbers for channel in CHANNELS}


@pytest.mark.parametrize(
    "typed", [NUMBER, "001 (555) 867-5310", "WhatsApp: +1 555 867 5310", f"rcs:{NUMBER}"]
)
def test_a_number_has_an_address_on_every_channel(typed: str) -> None:
    assert set(addresses_of(typed)) == on_every_channel(NUMBER)


def test_a_channel_that_was_named_is_among_the_addresses() -> None:
    assert set(addresses_of(f"line:{NUMBER}")) == {*on_every_channel(NUMBER), f"line:{NUMBER}"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("+5531996883193", "+553196883193"),  # Brazil: the ninth digit
        ("+5491123456789", "+541123456789"),  # Argentina: 9 for mobile phones
        ("+5215512345678", "+525512345678"),  # Mexico: 1 until 2019
    ],
)
def test_a_number_is_also_found_in_the_variant_of_whatsapp(one: str, other: str) -> None:
    assert set(addresses_of(one)) == on_every_channel(one, other)
    assert addresses_of(f"whatsapp:{other}") == addresses_of(other) == addresses_of(one)


@pytest.mark.parametrize(
    "number",
    [
        "+553133334444",  # a landline in Brazil never had a ninth digit
        "+5531933334444",  # without its ninth digit it would be that landline
        "+545491123456",
        "+521551234567",
        "+15531996883",
    ],
)
def test_a_number_of_another_form_has_no_variant(number: str) -> None:
    assert set(addresses_of(number)) == on_every_channel(number)


@pytest.mark.parametrize("typed", ["whatsapp:US.13491208655302741918", "messenger:123456"])
def test_an_id_without_a_number_is_its_only_address(typed: str) -> None:
    assert addresses_of(typed) == (typed,)


def test_text_that_is_not_an_address_is_an_error() -> None:
    with pytest.raises(InvalidAddress):
        addresses_of("5558675310")
