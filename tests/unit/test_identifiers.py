"""Normalizing numbers, addresses and SIDs as people type them."""

import pytest

from delivery.text.identifiers import (
    InvalidAddress,
    Kind,
    interpret,
    normalize_message_id,
    normalize_recipient,
)

HEX = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("typed", "normalized"),
    [
        ("+15558675310", "+15558675310"),
        ("+1 (555) 867-5310", "+15558675310"),
        ("15558675310", "+15558675310"),
        (" 15558675310", "+15558675310"),  # an unencoded + in a query
        ("00 1 555 867 5310", "+15558675310"),
        ("+44 (0)20 7946 0958", "+442079460958"),
        ("0044 (0) 20/7946-0958", "+442079460958"),
        ("TEL:+1-555-867-5310;phone-context=example.com", "+15558675310"),
        ("WhatsApp: +1 (555) 867-5310", "whatsapp:+15558675310"),
        ("whatsapp: 15558675310", "whatsapp:+15558675310"),
        ("messenger:1234567890123456", "messenger:1234567890123456"),
        ("whatsapp:US.1234567", "whatsapp:US.1234567"),
        ("\u202a+1\u00a0555\u2011867\u20115310\u202c", "+15558675310"),  # pasted
        ("\uff0b15558675310", "+15558675310"),
        ("+\u0661\u0665\u0665\u0665\u0668\u0666\u0667\u0665\u0663\u0661\u0660", "+15558675310"),
        ('"+15558675310",', "+15558675310"),
    ],
)
def test_a_number_in_any_usual_notation_is_normalized(typed: str, normalized: str) -> None:
    assert normalize_recipient(typed) == normalized


@pytest.mark.parametrize(
    "typed",
    [
        *(
            "",
            "+",
            "+0123456",
            "5558675310",
            "+1555CALLNOW",
            "+123456789012345678",
        ),
        *("whatsapp:", "whatsapp:+0", "order-7", "+1 555, +1 556", "\0", "+²"),
    ],
)
def test_text_without_a_country_code_is_an_invalid_address_and_is_not_quoted(typed: str) -> None:
    with pytest.raises(InvalidAddress) as error:
        normalize_recipient(typed)

    assert len(typed.strip()) < 2 or typed not in str(error.value)


def test_the_error_for_a_missing_country_code_shows_the_expected_form() -> None:
    with pytest.raises(InvalidAddress, match=r"\+12025550123"):
        normalize_recipient("(555) 867-5310")


@pytest.mark.parametrize(
    ("typed", "normalized"),
    [
        ("SM" + HEX, "SM" + HEX),
        ("Mm" + HEX.upper(), "MM" + HEX),
        (f"  SM{HEX}\n", "SM" + HEX),
        (f"SM {HEX[:16]} {HEX[16:]}", "SM" + HEX),
        (f'"SM{HEX}",', "SM" + HEX),
        (f"\u200bSM{HEX}", "SM" + HEX),
        ("RQ_" + HEX, "rq_" + HEX),
        ("SM" + HEX + "0", None),
        ("AC" + HEX, None),
        ("", None),
    ],
)
def test_a_sid_with_spaces_or_in_the_wrong_case_is_normalized(
    typed: str, normalized: str | None
) -> None:
    assert normalize_message_id(typed) == normalized


@pytest.mark.parametrize(
    ("typed", "kinds"),
    [
        ("sm" + HEX, [Kind.MESSAGE, Kind.REFERENCE]),
        (" +1 555 867 5310 ", [Kind.RECIPIENT, Kind.REFERENCE]),
        ("123456789012", [Kind.RECIPIENT, Kind.REFERENCE]),
        ("order:7", [Kind.REFERENCE, Kind.RECIPIENT]),
        ("order-7", [Kind.REFERENCE]),
        (" 5558675310", [Kind.REFERENCE]),
        ("  ", []),
    ],
)
def test_a_search_text_has_its_meanings_the_likeliest_first(typed: str, kinds: list[Kind]) -> None:
    assert [candidate.kind for candidate in interpret(typed)] == kinds


def test_a_reference_is_looked_up_as_typed() -> None:
    assert interpret(" Order 7 ")[-1].value == "Order 7"
