"""How facts are told to people, in whatever notice or on whatever page.

Pure.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from delivery.domain.messages import Source, Transition
from delivery.domain.statuses import MessageStatus
from delivery.twilio.error_codes import Category

_SOURCE_IN_WORDS: Final[Mapping[Source, str]] = {
    Source.SEND: "Twilio's answer to the request",
    Source.CALLBACK: "status callback",
    Source.RECONCILE: "found by asking Twilio",
}

CATEGORY_IN_WORDS: Final[Mapping[Category, str]] = {
    Category.RECIPIENT_UNREACHABLE: "recipient unreachable",
    Category.OPT_OUT: "opted out",
    Category.CARRIER_FILTERING: "filtered by a carrier",
    Category.REGISTRATION_COMPLIANCE: "registration, compliance",
    Category.ACCOUNT_CONFIG: "account, set-up",
    Category.CONTENT: "content",
    Category.RATE_LIMIT: "too many at once",
    Category.TWILIO_INTERNAL: "Twilio's side",
    Category.UNKNOWN: "unknown",
}
"""Few enough for a label; who has to do something about a failure."""

# Five digits or more, however a person or a channel sets them apart.
_LONG_NUMBER: Final = re.compile(r"\+?\(?\d(?:[\s().\-/]*\d){4,}")

_UNITS: Final = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
_SHORT: Final = 10  # so many seconds are told with a fraction


def source_of(transition: Transition) -> str:
    """How a status was learned; our own words do not come from Twilio."""
    match transition:
        case Transition(status=MessageStatus.REJECTED, error_code=None):
            return "refused here, before Twilio was asked"
        case Transition(status=MessageStatus.PRESUMED_UNSENT):
            return "Twilio was asked, and shows no trace of it"
        case _:
            return _SOURCE_IN_WORDS[transition.source]


def mask_number(number: str, *, whole: bool = False) -> str:
    """A phone number or an address: whole, or no more of it than its last four digits."""
    if whole:
        return number
    return _LONG_NUMBER.sub(lambda found: "…" + re.sub(r"\D", "", found[0])[-4:], number)


def format_duration(length: timedelta, *, units: int = 2) -> str:
    """A length of time in its largest units; under ten seconds with a fraction, if it has one."""
    seconds = max(length.total_seconds(), 0)
    if seconds < _SHORT:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    parts, left = [], int(seconds)
    for name, size in _UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {name}")
    return " ".join(parts[:units])
