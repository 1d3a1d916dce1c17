"""The prices that audits and reports add up. Pure.

A message keeps price and unit as Twilio wrote them. Audits and archive read them here, so that
their sums agree.
"""

import re
from typing import Final

UNKNOWN_CURRENCY: Final = "UNKNOWN"
"""The currency of spend whose unit Twilio did not name, or not as a currency code."""

_AMOUNT: Final = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,12})?")
_CURRENCY: Final = re.compile(r"[A-Za-z]{3}")


def amount_of(price: str | None) -> str | None:
    """Return the price; None unless it is a decimal number that can be added up."""
    return price if price is not None and _AMOUNT.fullmatch(price) else None


def currency_of(price_unit: str | None) -> str | None:
    """Return the currency code in upper case; None if the unit is not one."""
    code = (price_unit or "").strip()
    return code.upper() if _CURRENCY.fullmatch(code) else None
