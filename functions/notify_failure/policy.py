"""What the operators of the stack decided about notices, in its parameters.

Pure.
"""

from dataclasses import dataclass
from datetime import timedelta

from delivery.text.formatting import mask_number
from delivery.twilio.error_codes import Category


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticePolicy:
    """The parameters of the stack that decide which notices there are, and what they show."""

    interval: timedelta
    """The minimum time between two notices of one incident."""
    muted: frozenset[Category]
    """Failures of these categories are counted and not published."""
    shows_full_numbers: bool

    def mask(self, number: str) -> str:
        """Return the phone number as notices show it."""
        return mask_number(number, unmasked=self.shows_full_numbers)
