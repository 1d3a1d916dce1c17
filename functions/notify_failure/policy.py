"""What the operators of the stack decided about notices, in its parameters.

Pure.
"""

from dataclasses import dataclass
from datetime import timedelta

from delivery.text.formatting import mask_number
from delivery.twilio.error_codes import Category

from .notice import on_one_line


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticePolicy:
    """The parameters of the stack that decide which notices there are, and what they show."""

    interval: timedelta
    """The minimum time between two notices of one incident."""
    muted: frozenset[Category]
    """Failures of these categories are counted and not published."""
    shows_full_numbers: bool

    def mask(self, number: str) -> str:
        """Return the phone number as notices show it.

        It is masked on one line, so that an invisible character cannot split it into numbers that
        are too short to be masked.
        """
        return mask_number(on_one_line(number), unmasked=self.shows_full_numbers)
