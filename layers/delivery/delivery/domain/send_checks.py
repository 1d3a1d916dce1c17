"""Checks the fields of a send request: each by itself, and what they require of each other.

Pure. SendMessageFunction and the command line's dry run check by these rules. Every problem is
found at once, and no problem quotes a value: values are phone numbers and texts.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Any, Final

from delivery.domain.send_fields import REFUSED_FIELDS, SEND_FIELDS, InvalidValue, Values

# Twilio accepts 35 days and rejects more itself (35117); far beyond that, our times would overflow.
_MAX_SEND_DELAY: Final = timedelta(days=365)

# With at most four digits: more may be a phone number.
_NAME: Final = re.compile(r"(?!(?:.*[0-9]){5})[A-Za-z_][A-Za-z_0-9]{0,63}")

REQUIRED_FIELDS: Final[Mapping[tuple[str, ...], str]] = {
    ("to",): "give the recipient",
    ("from", "messaging_service_sid"): "give it or messaging_service_sid",
    ("body", "media_url", "content_sid"): "give it, media_url, or content_sid",
}
"""The fields of which each request has at least one, with the fix for a request that has none."""

REQUIRED_WITH: Final[Mapping[str, str]] = {
    "content_variables": "content_sid",
    "send_at": "messaging_service_sid",
    "shorten_urls": "messaging_service_sid",
    "fallback_from": "messaging_service_sid",
}
"""Fields that require another one."""

EXCLUSIVE_FIELDS: Final[Mapping[str, str]] = {"fallback_from": "from"}
"""Fields that cannot be combined with another one."""

type FieldProblem = tuple[str, str]
"""The field's name (`?` for a name that may be personal data), and a text that continues the name
and holds the fix.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedFields:
    """The fields of a document.

    `given` are those that are not null; `values` has Twilio's values of the valid ones.
    """

    given: Mapping[str, Any]
    values: Mapping[str, Values]
    problems: tuple[FieldProblem, ...]

    @property
    def send_at(self) -> datetime | None:
        """When the message is to be sent; None without a valid time."""
        return (
            datetime.fromisoformat(self.values["send_at"][0]) if "send_at" in self.values else None
        )


def check_fields(document: Mapping[str, Any]) -> CheckedFields:
    """Check every field of a document. What depends on the time is left to `check_send_at`."""
    given = {name: value for name, value in document.items() if value is not None}
    problems = [_unexpected(name) for name in given if name not in SEND_FIELDS]
    values: dict[str, Values] = {}
    for name, send_field in SEND_FIELDS.items():
        if name in given:
            try:
                values[name] = send_field.read(given[name])
            except InvalidValue as invalid:
                problems.append((name, str(invalid)))
    problems.extend(_contradictions(given))
    return CheckedFields(given=given, values=values, problems=tuple(problems))


def check_send_at(send_at: datetime | None, *, now: datetime) -> tuple[FieldProblem, ...]:
    """Return the problem with the time of a scheduled message, if there is one."""
    if send_at is None or now < send_at <= now + _MAX_SEND_DELAY:
        return ()
    if send_at <= now:
        return (("send_at", "is in the past; omit it to send now"),)
    return (("send_at", "is too late; Twilio accepts 35 days"),)


def _unexpected(name: str) -> FieldProblem:
    if not _NAME.fullmatch(name):
        return ("?", "is not a known field")
    if name in REFUSED_FIELDS:
        return (name, REFUSED_FIELDS[name])
    plain = {known.replace("_", ""): known for known in (*SEND_FIELDS, *REFUSED_FIELDS)}
    near = get_close_matches(name.replace("_", "").lower(), plain, n=1, cutoff=0.75)
    hint = f"; did you mean {plain[near[0]]}?" if near else ""
    return (name, f"is not a known field{hint}")


def _contradictions(given: Mapping[str, Any]) -> Iterator[FieldProblem]:
    """Yield the problems of fields together: one is missing, or does not go with another."""
    for names, fix in REQUIRED_FIELDS.items():
        if not given.keys() & set(names):
            yield names[0], f"is missing; {fix}"
    for name, required in REQUIRED_WITH.items():
        if name in given and required not in given:
            yield name, f"requires {required}"
    for name, other in EXCLUSIVE_FIELDS.items():
        if name in given and other in given:
            yield name, f"cannot be combined with {other}"
