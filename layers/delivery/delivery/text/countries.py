"""Returns the country of a phone number.

Pure. Importing this module loads the metadata of every numbering plan, which takes about 20 ms: a
function that answers requests must not import it.
"""

from typing import Final

from phonenumbers import (
    NumberParseException,
    parse,
    region_code_for_country_code,
    region_code_for_number,
)

_NO_COUNTRY: Final = frozenset({"001", "ZZ"})
"""Codes of the library for numbers of no country, such as +800, and for unknown country codes."""


def country_of(number: str) -> str | None:
    """Return the ISO 3166 code of the country of an E.164 number; None where it has none.

    Several countries share a country code, such as +1. A number that none of them has assigned
    counts as the code's main country.
    """
    try:
        parsed = parse(number)
    except NumberParseException:
        return None
    found = region_code_for_number(parsed) or region_code_for_country_code(parsed.country_code or 0)
    return None if found in _NO_COUNTRY else found
