"""Parses the query of a list: the result is one filter, or every problem that the query has.

A problem names the parameter and the fix. It never quotes a value, which may be a phone number.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final
from urllib.parse import parse_qsl

from delivery.runtime.responses import Problem
from delivery.storage.cursor import Page
from delivery.storage.message_lists import MessageList
from delivery.storage.messages import MessageStore
from delivery.text.addresses import addresses_of
from delivery.text.identifiers import InvalidAddress, normalize_recipient

DEFAULT_LIMIT: Final = 20
MAX_LIMIT: Final = 100
MAX_ADDRESS_LENGTH: Final = 256
MAX_REFERENCE_LENGTH: Final = 128
_MAX_NAME_LENGTH: Final = 20
_MAX_PARAMETERS: Final = 20
_PLUS_IN_A_QUERY: Final = "(encode + as %2B)"


class InvalidQuery(Exception):
    """The query is invalid; `problems` says why."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(f"the query has {len(problems)} problems")
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class ListQuery:
    """A query of a list: one filter with its normalized value, and which part of the list."""

    filter: str
    value: str
    limit: int = DEFAULT_LIMIT
    next_token: str | None = None

    def page(self, messages: MessageStore) -> Page:
        """Return the requested page of the list.

        Raises:
            TokenInvalid: the token belongs to another list.
            StoreUnavailable: DynamoDB did not answer.
        """
        return messages.lists.page(self._list(), limit=self.limit, next_token=self.next_token)

    def _list(self) -> MessageList:
        match self.filter:
            case "to":
                return MessageList.to(*addresses_of(self.value))
            case "reference":
                return MessageList.with_reference(self.value)
            case "failed_on":
                return MessageList.failed_on(date.fromisoformat(self.value))
            case "unconfirmed_on":
                return MessageList.unconfirmed_on(date.fromisoformat(self.value))
            case _:
                return MessageList.pending()


def parse_list(raw_query: str) -> ListQuery:
    """Parse the query of GET /messages.

    Raises:
        InvalidQuery: the query has problems.
    """
    given, problems = _parse(raw_query, {**FILTERS, "limit": _limit, "next_token": _token})
    filters = [name for name in given if name in FILTERS]
    invalid = {it.field for it in problems}
    if len(filters) > 1:
        problem = f"cannot be combined with {filters[0]}; send a request for each"
        problems.append(Problem(field=filters[1], problem=problem))
    if not filters and not invalid & FILTERS.keys():
        problem = "is missing; set it, or reference, failed_on, unconfirmed_on or pending=true"
        problems.append(Problem(field="to", problem=problem))
    if problems:
        raise InvalidQuery(*problems)
    return ListQuery(
        filter=filters[0],
        value=given[filters[0]],
        limit=int(given.get("limit", DEFAULT_LIMIT)),
        next_token=given.get("next_token"),
    )


def parse_day(raw_query: str, name: str = "date") -> date | None:
    """Parse the only parameter of GET /summary or /audits: the day in UTC, None without it.

    Raises:
        InvalidQuery: the query has problems.
    """
    given, problems = _parse(raw_query, {name: _day})
    if problems:
        raise InvalidQuery(*problems)
    return date.fromisoformat(given[name]) if name in given else None


class _InvalidValue(ValueError):
    """An invalid value; the message continues the parameter's name."""


def _parse(
    raw_query: str, known: Mapping[str, Callable[[str], str]]
) -> tuple[dict[str, str], list[Problem]]:
    """Return the valid parameters, normalized, and the problems of the others."""
    try:
        pairs = parse_qsl(raw_query, keep_blank_values=True, max_num_fields=_MAX_PARAMETERS)
    except ValueError:
        problem = f"has more than {_MAX_PARAMETERS} parameters; omit some"
        return {}, [Problem(field="query", problem=problem)]
    given: dict[str, str] = {}
    problems: list[Problem] = []
    for name, value in pairs:
        if name not in known:
            problems.append(_unknown(name, known))
        elif name in given:
            problems.append(Problem(field=name, problem="occurs twice; set it once"))
        else:
            try:
                given[name] = known[name](value)
            except _InvalidValue as error:
                problems.append(Problem(field=name, problem=str(error)))
    return given, problems


def _unknown(name: str, known: Iterable[str]) -> Problem:
    names = list(known)
    shown = name if name.isidentifier() and len(name) <= _MAX_NAME_LENGTH else "?"
    verb = "is" if len(names) == 1 else "are"
    return Problem(field=shown, problem=f"is unknown; known {verb} {', '.join(names)}")


def _to(value: str) -> str:
    if len(value) > MAX_ADDRESS_LENGTH:
        raise _InvalidValue(f"is too long; expected + and digits {_PLUS_IN_A_QUERY}")
    try:
        return normalize_recipient(value)
    except InvalidAddress as error:
        raise _InvalidValue(f"{error} {_PLUS_IN_A_QUERY}") from None


def _reference(value: str) -> str:
    if not value.strip() or len(value) > MAX_REFERENCE_LENGTH:
        raise _InvalidValue(
            f"must be the reference of the request: 1 to {MAX_REFERENCE_LENGTH} characters"
        )
    return value


def _day(value: str) -> str:
    try:
        return date.fromisoformat(value.strip()).isoformat()
    except ValueError:
        raise _InvalidValue("must be a day in UTC, e.g. 2026-11-23") from None


def _true(value: str) -> str:
    if value.strip().lower() != "true":
        raise _InvalidValue("must be true; omit it to use another filter")
    return "true"


def _limit(value: str) -> str:
    # Python does not parse a number of more than 4,300 digits.
    is_short = len(value) <= len(str(MAX_LIMIT))
    if not (is_short and value.isascii() and value.isdigit() and 1 <= int(value) <= MAX_LIMIT):
        raise _InvalidValue(f"must be a whole number from 1 to {MAX_LIMIT}")
    return value


def _token(value: str) -> str:
    if not value:
        raise _InvalidValue("is blank; omit it to get the first page")
    return value


FILTERS: Final[Mapping[str, Callable[[str], str]]] = {
    "to": _to,
    "reference": _reference,
    "failed_on": _day,
    "unconfirmed_on": _day,
    "pending": _true,
}
