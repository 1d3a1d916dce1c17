"""The viewer of the widget: theme, time zone, and whether numbers are shown in full.

CloudWatch passes them with every invocation:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/add_custom_widget_dashboard_about.html
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any, Final, Self

from delivery.text.formatting import format_duration, mask_number

FIELD: Final = "lookup"
"""The form's only field. CloudWatch removes names that a document or a form has itself, such as
`search` or `query`.
"""

_OFFSET: Final = re.compile(r"([+-])(\d\d):(\d\d)")
_MINUTE: Final = 60
_JUST_NOW: Final = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    """What a view depends on besides its content."""

    now: datetime
    endpoint: str
    """The ARN that buttons invoke: the function's own."""
    zone: tzinfo = UTC
    is_dark: bool = False
    shows_numbers: bool = False
    typed: str = ""
    """The content of the form's field."""

    @classmethod
    def of(cls, widget_context: object, *, endpoint: str, now: datetime) -> Self:
        """Read CloudWatch's `widgetContext`; missing or invalid values get the defaults.

        Only the widget's own parameters on the dashboard (`params`) can show numbers, not a button.
        """
        typed = _part(widget_context, "forms", "all").get(FIELD)
        return cls(
            now=now,
            endpoint=endpoint,
            zone=_zone(_part(widget_context, "timezone").get("offsetISO")),
            is_dark=_part(widget_context).get("theme") == "dark",
            shows_numbers=_part(widget_context, "params").get("showNumbers") is True,
            typed=typed if isinstance(typed, str) else "",
        )

    @property
    def zone_name(self) -> str:
        """The zone of all shown times, e.g. `UTC+02:00`."""
        return self.now.astimezone(self.zone).strftime("UTC%:z").removesuffix("+00:00")

    def number(self, number: str | None) -> str | None:
        """Return a phone number, masked unless the viewer sees numbers in full."""
        return None if number is None else mask_number(number, unmasked=self.shows_numbers)

    def time(self, time: datetime) -> str:
        """Return the time of day, to the second."""
        return f"{time.astimezone(self.zone):%H:%M:%S}"

    def day(self, time: datetime, *, short: bool = False) -> str:
        """Return the day, relative if it is today or yesterday."""
        day, today = time.astimezone(self.zone).date(), self.now.astimezone(self.zone).date()
        match (today - day).days:
            case 0:
                return "Today"
            case 1:
                return "Yesterday"
            case _ if short:
                return f"{day:%-d %b %Y}"
            case _:
                return f"{day:%A, %-d %B %Y}"

    def ago(self, time: datetime) -> str:
        """Return how long ago it was, in one unit."""
        since = self.now - time
        if since < _JUST_NOW:
            return "just now"
        return f"{format_duration(since, units=1)} ago"


def _zone(offset: object) -> tzinfo:
    found = _OFFSET.fullmatch(offset) if isinstance(offset, str) else None
    if found is None:
        return UTC
    minutes = int(found[2]) * _MINUTE + int(found[3])
    if minutes >= 24 * _MINUTE:
        return UTC
    return timezone(timedelta(minutes=minutes if found[1] == "+" else -minutes))


def _part(whole: object, *names: str) -> Mapping[str, Any]:
    """Return the object under nested names; an empty one where there is none."""
    part = whole
    for name in names:
        part = part.get(name) if isinstance(part, Mapping) else None
    return part if isinstance(part, Mapping) else {}
