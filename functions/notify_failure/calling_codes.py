"""Which country a phone number belongs to, as far as its calling code says.

The codes lie beside this module: our list of https://www.itu.int/pub/T-SP-E.164D, in everyday
names. Countries that share a code are told apart only where a digit or three more do it.
"""

import json
import re
from functools import cache
from pathlib import Path
from typing import Final

_CODES: Final = Path(__file__).with_suffix(".json")
# With or without a channel: +491701234567, whatsapp:+491701234567.
_INTERNATIONAL: Final = re.compile(r"(?:\w+:)?\+(\d{1,4})")


def country_of(address: str) -> str | None:
    """The country, or the countries, of an address; None of one that has no calling code."""
    found = _INTERNATIONAL.match(address)
    digits = found[1] if found else ""
    codes = _codes()
    longest_first = (digits[:length] for length in range(len(digits), 0, -1))
    return next((codes[start] for start in longest_first if start in codes), None)


@cache
def _codes() -> dict[str, str]:
    """Read on first use: most invocations place nobody."""
    codes: dict[str, str] = json.loads(_CODES.read_text(encoding="utf-8"))
    return codes
