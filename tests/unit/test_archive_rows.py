"""Rows of the archive: nothing in them is about a person, and any number of them fits Firehose."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delivery.domain.audits import AuditResult, AuditState
from delivery.domain.prices import UNKNOWN_CURRENCY
from delivery.storage.archive import Archive
from delivery.text.archive_rows import archive_row
from tests.functions.outcomes import Firehose
from tests.support.builders import ACCOUNT_SID, NOON, a_message, an_update

KIB = 1024
DIGITS = st.text("0123456789", min_size=7, max_size=12)
SEPARATORS = st.sampled_from(["", " ", "-", ".", ") ", "/", "\u00a0"])
DIMENSIONS = ("campaign", "shop")


@st.composite
def values_about(draw: st.DrawFn, digits: str) -> str:
    """A value that may hold the recipient's number, however it is written."""
    separator = draw(SEPARATORS)
    written = draw(st.sampled_from([digits, f"+1{digits}", separator.join(digits)]))
    return draw(st.text(max_size=8)) + written + draw(st.text(max_size=8))


@given(st.data())
@settings(deadline=None)
def test_a_row_never_has_the_number_text_or_reference_of_a_recipient(data: st.DataObject) -> None:
    digits = data.draw(DIGITS)
    channel = data.draw(st.sampled_from(["", "whatsapp:", "rcs:", "viber:"]))
    secret = data.draw(st.text("abcdefgh", min_size=12))
    update = an_update(
        data.draw(st.sampled_from(["queued", "sent", "undelivered", "delivered", "unheard of"])),
        to=f"{channel}+1{digits}",
        body=f"body {secret}",
        reference=f"reference {secret}",
        request_id="rq_" + "0" * 32,
        error_detail=f"detail {secret}",
        context={
            "campaign": data.draw(values_about(digits)),
            "shop": data.draw(st.emails()),
            "other": f"name {secret}",
        },
    )

    row = archive_row(a_message(update), dimensions=DIMENSIONS)

    ours = {"message_sid", "account_sid", "sequence", "sender", "created_at", "recorded_at"}
    text = json.dumps({name: fact for name, fact in row.items() if name not in ours})
    assert secret not in json.dumps(row)
    assert "rq_" not in text
    assert "@" not in text
    assert digits[-7:] not in "".join(it for it in text if it.isdigit())


@pytest.mark.parametrize("price", ["-0.0075", "free", None])
@pytest.mark.parametrize("price_unit", ["USD", " eur ", "", None, "US Dollar", "u\u00df"])
def test_an_audit_and_the_archive_add_up_the_same_prices_in_the_same_currencies(
    price: str | None, price_unit: str | None
) -> None:
    result = AuditResult(
        account_sid=ACCOUNT_SID, day=NOON.date(), state=AuditState.RUNNING, updated_at=NOON
    )

    spend = result.with_price(price, price_unit).spend
    row = archive_row(a_message(an_update(price=price, price_unit=price_unit)))

    archived = {}
    if "price" in row:  # the report's query puts this in the place of a unit that is missing
        archived = {row.get("price_unit", UNKNOWN_CURRENCY): -Decimal(row["price"])}
    assert spend == archived


# --- Firehose's limits ---------------------------------------------------------------------------


def write(rows: list[Any]) -> Firehose:
    firehose = Firehose()
    archive: Any = Archive(firehose, "archive")  # type: ignore[arg-type]  # a stand-in
    assert archive.write(rows).accepted == len(rows)
    return firehose


@pytest.mark.parametrize(("rows", "characters"), [(0, 0), (1, 10), (30_000, 400), (9, 900 * KIB)])
def test_rows_are_packed_within_the_limits_of_firehose(rows: int, characters: int) -> None:
    given = [{"number": number, "text": "x" * characters} for number in range(rows)]

    firehose = write(given)

    # https://docs.aws.amazon.com/firehose/latest/dev/limits.html
    for call in firehose.calls:
        assert 0 < len(call) <= 500
        assert sum(map(len, call)) <= 4 * KIB * KIB
        assert max(map(len, call)) <= 1000 * KIB
    assert firehose.rows == given


def test_rows_after_a_rejected_record_are_not_counted_as_accepted() -> None:
    firehose = Firehose()
    firehose.rejects = {1}
    archive: Any = Archive(firehose, "archive")  # type: ignore[arg-type]  # a stand-in
    rows = [{"number": number, "text": "x" * 600 * KIB} for number in range(4)]

    archived = archive.write(rows)

    assert (archived.accepted, archived.reason) == (1, "ServiceUnavailableException")
