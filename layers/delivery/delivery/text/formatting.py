"""Formats facts for people: sources, categories, phone numbers and durations. Pure."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from delivery.domain.messages import Source, Transition
from delivery.domain.statuses import MessageStatus
from delivery.twilio.error_codes import Category

SOURCE_LABELS: Final[Mapping[Source, str]] = {
    Source.SEND: "Twilio's response to the send request",
    Source.CALLBACK: "status callback",
    Source.RECONCILE: "reconciled with Twilio",
    Source.AUDIT: "found by the audit",
}
"""The label of each source of a status."""

CATEGORY_LABELS: Final[Mapping[Category, str]] = {
    Category.RECIPIENT_UNREACHABLE: "recipient unreachable",
    Category.OPT_OUT: "opted out",
    Category.CARRIER_FILTERING: "filtered by a carrier",
    Category.REGISTRATION_COMPLIANCE: "registration, compliance",
    Category.ACCOUNT_CONFIG: "account, setup",
    Category.CONTENT: "content",
    Category.RATE_LIMIT: "too many at once",
    Category.TWILIO_INTERNAL: "Twilio's side",
    Category.UNKNOWN: "unknown",
}
"""The label of each category of failures."""

# Five digits or more, with the separators that people and channels use.
_LONG_NUMBER: Final = re.compile(r"\+?\(?\d(?:[\s().\-/]*\d){4,}")

_UNITS: Final = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
_SHORT_SECONDS: Final = 10
"""Shorter durations are formatted with a fraction."""


def source_label(transition: Transition) -> str:
    """Return where a status was learned; our own statuses do not come from Twilio."""
    match transition:
        case Transition(status=MessageStatus.REJECTED, error_code=None):
            return "rejected before it was sent to Twilio"
        case Transition(status=MessageStatus.CANCELED, source=Source.SEND):
            return "Twilio's response to the cancel request"
        case Transition(status=MessageStatus.PRESUMED_UNSENT):
            return "reconciled: Twilio has no trace of it"
        case _:
            return SOURCE_LABELS[transition.source]


def mask_number(number: str, *, unmasked: bool = False) -> str:
    """Return a phone number or an address with only the last four digits of each number."""
    if unmasked:
        return number
    return _LONG_NUMBER.sub(lambda found: "…" + re.sub(r"\D", "", found[0])[-4:], number)


def format_duration(length: timedelta, *, units: int = 2) -> str:
    """Return a duration in its largest units; below ten seconds with one decimal place."""
    seconds = max(length.total_seconds(), 0)
    if seconds < _SHORT_SECONDS:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    parts, left = [], int(seconds)
    for name, size in _UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {name}")
    return " ".join(parts[:units])
