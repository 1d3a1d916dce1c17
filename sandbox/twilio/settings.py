"""What can be changed about the simulator while it runs."""

from dataclasses import dataclass, fields, replace
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How this Twilio behaves."""

    step_seconds: float = 0.2
    """Seconds between two statuses of a message."""

    list_lag_seconds: float = 0.0
    """Seconds until a new message appears in lists; Twilio's own list can lag by minutes."""

    price_delay_seconds: float = 2.0
    """Seconds from the last status of a message that was sent until it has a price."""

    min_schedule_seconds: float = 300.0
    """`SendAt` must be this far ahead (Twilio, since 2026: five minutes)."""

    concurrency_limit: int = 0
    """More requests at the same time get 429; 0: no limit. Twilio doesn't publish its own."""

    throttle_next: int = 0
    """This many of the next REST requests get 429."""

    trial: bool = False
    """Put the trial account's prefix before each body."""

    report_sending: bool = False
    """Report `sending` before `sent`; Twilio's own sources disagree whether it does."""

    def changed(self, changes: dict[str, Any]) -> Self:
        """Return these settings with some replaced.

        Raises:
            ValueError: a setting is unknown, or its value is invalid.
        """
        kinds = {field.name: field.type for field in fields(self)}
        for name, value in changes.items():
            if name not in kinds:
                raise ValueError(f"unknown setting {name!r}: expected one of {', '.join(kinds)}")
            if not _is_valid(value, kinds[name]):
                expected = _describe(kinds[name])
                raise ValueError(f"invalid value {value!r} for {name}: expected {expected}")
        return replace(self, **changes)


def _is_valid(value: Any, kind: Any) -> bool:
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    return isinstance(value, int | float if kind is float else kind) and value >= 0


def _describe(kind: Any) -> str:
    if kind is bool:
        return "true or false"
    return f"{'a number' if kind is float else 'a whole number'}, 0 or more"
