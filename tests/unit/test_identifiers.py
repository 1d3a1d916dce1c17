"""Numbers and SIDs as people write them."""

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
    ("written", "meant"),
    [
        ("+15558675310", "+15558675310"),
        ("+1 555 867 5310", "+15558675310"),
        ("+1 (555) 867-5310", "+15558675310"),
        ("+1.555.867.5310", "+15558675310"),
        ("1-555-867-5310", "+15558675310"),
        ("15558675310", "+15558675310"),
        (" 15558675310", "+15558675310"),  # a + in a query that was not encoded
        (" 4930123456", "+4930123456"),
        ("0015558675310", "+15558675310"),
        ("00 1 555 867 5310", "+15558675310"),
        ("+44 (0)20 7946 0958", "+442079460958"),
        ("0044 (0) 20/7946-0958", "+442079460958"),
        ("tel:+1-555-867-5310", "+15558675310"),
        ("TEL:+1-555-867-5310;phone-context=example.com", "+15558675310"),
        ("sms:+15558675310", "+15558675310"),
        ("whatsapp:+15558675310", "whatsapp:+15558675310"),
        ("WhatsApp: +1 (555) 867-5310", "whatsapp:+15558675310"),
        ("whatsapp: 15558675310", "whatsapp:+15558675310"),
        ("whatsapp:15558675310", "whatsapp:+15558675310"),
        ("rcs:+15558675310", "rcs:+15558675310"),
        ("messenger:1234567890123456", "messenger:1234567890123456"),
        ("whatsapp:US.1234567", "whatsapp:US.1234567"),
        ("\u202a+1\u00a0555\u2011867\u20115310\u202c", "+15558675310"),  # pasted
        ("\uff0b15558675310", "+15558675310"),
        ("+\u0661\u0665\u0665\u0665\u0668\u0666\u0667\u0665\u0663\u0661\u0660", "+15558675310"),
        ('"+15558675310",', "+15558675310"),
    ],
)
def test_a_number_is_understood_in_any_usual_spelling(written: str, meant: str) -> None:
    assert normalize_recipient(written) == meant


@pytest.mark.parametrize(
    "written",
    [
        *(
            "",
            " ",
            "+",
            "+0123456",
            "5558675310",
            "030 1234567",
            "+1555CALLNOW",
            "+123456789012345678",
        ),
        *("whatsapp:", "whatsapp:+0", "+1555#1", "order-7", "+1 555, +1 556", "\0", "+²"),
    ],
)
def test_what_is_no_number_with_its_countrys_code_is_said_to_be_none(written: str) -> None:
    with pytest.raises(InvalidAddress) as error:
        normalize_recipient(written)

    assert not written.strip() or written not in str(error.value).replace("write it as +", "")


def test_who_left_out_the_countrys_code_is_told_how_to_write_it() -> None:
    with pytest.raises(InvalidAddress, match=r"country's code; write it as \+"):
        normalize_recipient("(555) 867-5310")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("SM" + HEX, "SM" + HEX),
        ("MM" + HEX, "MM" + HEX),
        ("sm" + HEX, "SM" + HEX),
        ("Mm" + HEX.upper(), "MM" + HEX),
        (f"  SM{HEX}\n", "SM" + HEX),
        (f"SM {HEX[:16]} {HEX[16:]}", "SM" + HEX),
        (f'"SM{HEX}",', "SM" + HEX),
        (f"\u200bSM{HEX}", "SM" + HEX),
        ("RQ_" + HEX, "rq_" + HEX),
        ("SM" + HEX[:-1], None),
        ("SM" + HEX + "0", None),
        ("AC" + HEX, None),
        ("SM" + "g" * 32, None),
        ("", None),
    ],
)
def test_a_sid_is_understood_with_spaces_and_in_the_wrong_case(
    written: str, meant: str | None
) -> None:
    assert normalize_message_id(written) == meant


@pytest.mark.parametrize(
    ("written", "kinds"),
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
def test_whatever_somebody_looks_for_has_its_meanings_the_likeliest_first(
    written: str, kinds: list[Kind]
) -> None:
    assert [meaning.kind for meaning in interpret(written)] == kinds


def test_a_reference_is_looked_for_as_it_was_typed() -> None:
    assert interpret(" Order 7 ")[-1].value == "Order 7"
