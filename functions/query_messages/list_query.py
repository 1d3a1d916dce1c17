"""What can be asked of the lists: a query becomes one question, or a list of problems.

Every problem names the parameter and the fix, and none quotes a value: it may be a phone number.
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
from delivery.text.identifiers import InvalidAddress, normalize_recipient

_USUAL_LIMIT: Final = 20
_HIGHEST_LIMIT: Final = 100
_LONGEST_VALUE: Final = 256
_LONGEST_REFERENCE: Final = 128
_LONGEST_NAME: Final = 20
_MAX_PARAMETERS: Final = 20
_HOW_A_PLUS_IS_SENT: Final = "(in a query a + is %2B)"


class InvalidQuery(Exception):
    """The query asks nothing that can be answered."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(f"the query has {len(problems)} problems")
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question whose answer is a list; `value` is spelled as the table has it."""

    about: str
    value: str
    limit: int = _USUAL_LIMIT
    next_token: str | None = None

    def ask(self, store: MessageStore) -> Page:
        """Return the requested page of the list.

        Raises:
            TokenInvalid: the token belongs to another list.
        """
        return store.lists.page(self._list(), limit=self.limit, next_token=self.next_token)

    def _list(self) -> MessageList:
        match self.about:
            case "to":
                return MessageList.to(self.value)
            case "reference":
                return MessageList.with_reference(self.value)
            case "failed_on":
                return MessageList.failed_on(date.fromisoformat(self.value))
            case "unconfirmed_on":
                return MessageList.unconfirmed_on(date.fromisoformat(self.value))
            case _:
                return MessageList.pending()


def parse_list(raw_query: str) -> Question:
    """Read the query of GET /messages.

    Raises:
        InvalidQuery: with every problem that it has.
    """
    given, problems = _read(raw_query, {**_QUESTIONS, "limit": _limit, "next_token": _token})
    asked = [name for name in given if name in _QUESTIONS]
    wrong = {it.field for it in problems}
    if len(asked) > 1:
        problem = f"cannot be combined with {asked[0]}; ask one at a time"
        problems.append(Problem(field=asked[1], problem=problem))
    if not asked and not wrong & _QUESTIONS.keys():
        problem = "is missing; give it, or reference, failed_on, unconfirmed_on or pending=true"
        problems.append(Problem(field="to", problem=problem))
    if problems:
        raise InvalidQuery(*problems)
    return Question(
        about=asked[0],
        value=given[asked[0]],
        limit=int(given.get("limit", _USUAL_LIMIT)),
        next_token=given.get("next_token"),
    )


def parse_day(raw_query: str) -> date | None:
    """Read the query of GET /summary: the day in UTC, None where none is named.

    Raises:
        InvalidQuery: with every problem that it has.
    """
    given, problems = _read(raw_query, {"date": _day})
    if problems:
        raise InvalidQuery(*problems)
    return date.fromisoformat(given["date"]) if "date" in given else None


class _Unfit(ValueError):
    """A value that cannot be used; the message goes on from the parameter's name."""


def _read(
    raw_query: str, known: Mapping[str, Callable[[str], str]]
) -> tuple[dict[str, str], list[Problem]]:
    """The parameters as they are understood, and what is wrong with the others."""
    try:
        pairs = parse_qsl(raw_query, keep_blank_values=True, max_num_fields=_MAX_PARAMETERS)
    except ValueError:
        problem = f"has more than {_MAX_PARAMETERS} parameters; leave some out"
        return {}, [Problem(field="query", problem=problem)]
    given: dict[str, str] = {}
    problems: list[Problem] = []
    for name, value in pairs:
        if name not in known:
            problems.append(_unknown(name, known))
        elif name in given:
            problems.append(Problem(field=name, problem="is there twice; give it once"))
        else:
            try:
                given[name] = known[name](value)
            except _Unfit as unfit:
                problems.append(Problem(field=name, problem=str(unfit)))
    return given, problems


def _unknown(name: str, known: Iterable[str]) -> Problem:
    names = list(known)
    shown = name if name.isidentifier() and len(name) <= _LONGEST_NAME else "?"
    verb = "is" if len(names) == 1 else "are"
    return Problem(field=shown, problem=f"is not known; known {verb} {', '.join(names)}")


def _to(value: str) -> str:
    if len(value) > _LONGEST_VALUE:
        raise _Unfit(f"is too long for a number; write it as + and digits {_HOW_A_PLUS_IS_SENT}")
    try:
        return normalize_recipient(value)
    except InvalidAddress as unfit:
        raise _Unfit(f"{unfit} {_HOW_A_PLUS_IS_SENT}") from None


def _reference(value: str) -> str:
    if not value.strip() or len(value) > _LONGEST_REFERENCE:
        raise _Unfit(
            f"must be what the message was sent with: 1 to {_LONGEST_REFERENCE} characters"
        )
    return value


def _day(value: str) -> str:
    try:
        return date.fromisoformat(value.strip()).isoformat()
    except ValueError:
        raise _Unfit("must be a day in UTC, such as 2026-11-23") from None


def _true(value: str) -> str:
    if value.strip().lower() != "true":
        raise _Unfit("can only be true; leave it out to ask another question")
    return "true"


def _limit(value: str) -> str:
    if not (value.isascii() and value.isdigit() and 1 <= int(value) <= _HIGHEST_LIMIT):
        raise _Unfit(f"must be a whole number from 1 to {_HIGHEST_LIMIT}")
    return value


def _token(value: str) -> str:
    if not value:
        raise _Unfit("is blank; leave it out to begin with the first page")
    return value


_QUESTIONS: Final[Mapping[str, Callable[[str], str]]] = {
    "to": _to,
    "reference": _reference,
    "failed_on": _day,
    "unconfirmed_on": _day,
    "pending": _true,
}
