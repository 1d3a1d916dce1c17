"""What can be changed about the simulator while it runs."""

from dataclasses import dataclass, fields, replace
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How this Twilio behaves; every span of time is in seconds."""

    pace: float = 0.2
    """Between two steps of a story."""

    list_lag: float = 0.0
    """Until a new message appears in lists; Twilio's own list is known to lag by minutes."""

    shortest_schedule: float = 300.0
    """`SendAt` must be this far ahead (Twilio, since 2026: five minutes)."""

    concurrency_limit: int | None = None
    """More requests than this at the same time get 429; Twilio doesn't publish its limit."""

    throttle: int = 0
    """So many of the next REST requests get 429."""

    trial: bool = False
    """Put the trial account's sentence before each body."""

    sending: bool = False
    """Play `sending` before `sent`, with a callback: Twilio's own sources disagree about it."""

    def changed(self, changes: dict[str, Any]) -> Self:
        """These settings with some replaced.

        Raises:
            ValueError: a name isn't a setting, or a value isn't of its kind.
        """
        kinds = {field.name: field.type for field in fields(self)}
        for name, value in changes.items():
            if name not in kinds:
                raise ValueError(f"{name} is not a setting; these are: {', '.join(kinds)}")
            if not _fits(value, kinds[name]):
                raise ValueError(f"{name} cannot be {value!r}")
        return replace(self, **changes)


def _fits(value: Any, kind: Any) -> bool:
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    return isinstance(value, int | float if kind is float else kind) and (value or 0) >= 0
