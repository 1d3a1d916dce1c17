"""DynamoDB's expressions, as far as the handlers use them: read once, evaluated often.

Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.html
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from moto.dynamodb.parsing.reserved_keywords import ReservedKeywords

type Item = dict[str, Any]
type Typed = Mapping[str, Any]
"""A typed value, e.g. {"S": "sent"}."""

_TOKEN: Final = re.compile(r"\s*([#:]?[A-Za-z_][\w-]*|\d+|<=|>=|<>|[=<>(),.\[\]+-])")
_ORDERS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_COMPARISONS: Final = frozenset({"=", "<>", *_ORDERS})
_SUMS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {"+": operator.add, "-": operator.sub}
_RESERVED: Final = frozenset(ReservedKeywords.get_reserved_keywords())


class Malformed(Exception):
    """DynamoDB would refuse the expression."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What the placeholders of an expression stand for."""

    names: Mapping[str, str]
    values: Mapping[str, Typed]


type Condition = Callable[[Item, Words], bool]
type Operand = Callable[[Item, Words], Typed | None]
type Change = Callable[[Item, Words], tuple[str, Typed | None]]
"""The attribute that it changes, and its new value; None removes it."""


@lru_cache(maxsize=4096)
def condition(text: str) -> Condition:
    """A condition or a key condition."""
    reader = _Reader(text)
    parsed = reader.condition()
    reader.expect_end()
    return parsed


@lru_cache(maxsize=4096)
def update(text: str) -> tuple[Change, ...]:
    """The changes of an update expression: SET and REMOVE of whole attributes."""
    reader = _Reader(text)
    changes: list[Change] = []
    while not reader.at_end():
        match reader.take().upper():
            case "SET":
                changes += reader.separated(reader.assignment)
            case "REMOVE":
                changes += reader.separated(reader.removal)
            case word:
                raise Malformed(f"{word} is not understood here")
    return tuple(changes)


@lru_cache(maxsize=4096)
def placeholders(*texts: str) -> frozenset[str]:
    """Every placeholder that the expressions use."""
    return frozenset(word for text in texts for word in re.findall(r"[#:]\w+", text))


class _Reader:
    """Reads from left to right; each method takes what it names."""

    def __init__(self, text: str) -> None:
        self._tokens: list[str] = []
        place = 0
        text = text.rstrip()
        while place < len(text):
            match = _TOKEN.match(text, place)
            if match is None:
                raise Malformed(f"{text[place:]!r} is not understood")
            self._tokens.append(match[1])
            place = match.end()
        self._place = 0

    def at_end(self) -> bool:
        return self._place >= len(self._tokens)

    def expect_end(self) -> None:
        if not self.at_end():
            raise Malformed(f"{self._tokens[self._place]} is left over")

    def peek(self) -> str:
        return "" if self.at_end() else self._tokens[self._place]

    def take(self, wanted: str | None = None) -> str:
        token = self.peek()
        if not token or (wanted is not None and token.upper() != wanted):
            raise Malformed(f"{wanted or 'more'} is expected instead of {token or 'the end'}")
        self._place += 1
        return token

    def separated[T](self, read: Callable[[], T]) -> list[T]:
        found = [read()]
        while self.peek() == ",":
            self.take()
            found.append(read())
        return found

    # --- conditions ---

    def condition(self) -> Condition:
        parts = [self._both()]
        while self.peek().upper() == "OR":
            self.take()
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else _any_of(parts)

    def _both(self) -> Condition:
        parts = [self._one()]
        while self.peek().upper() == "AND":
            self.take()
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else _all_of(parts)

    def _one(self) -> Condition:
        match self.peek().upper():
            case "NOT":
                self.take()
                negated = self._one()
                return lambda item, words: not negated(item, words)
            case "(":
                self.take()
                inner = self.condition()
                self.take(")")
                return inner
            case "ATTRIBUTE_EXISTS" | "ATTRIBUTE_NOT_EXISTS" | "BEGINS_WITH":
                return self._function()
            case _:
                return self._comparison()

    def _function(self) -> Condition:
        name = self.take().lower()
        self.take("(")
        arguments = self.separated(self.operand)
        self.take(")")
        if name == "attribute_exists":
            return lambda item, words: arguments[0](item, words) is not None
        if name == "attribute_not_exists":
            return lambda item, words: arguments[0](item, words) is None
        return lambda item, words: _begins_with(*(each(item, words) for each in arguments))

    def _comparison(self) -> Condition:
        left = self.operand()
        sign = self.take().upper()
        if sign == "BETWEEN":
            least = self.operand()
            self.take("AND")
            most = self.operand()
            return lambda item, words: (
                _compare(">=", left(item, words), least(item, words))
                and _compare("<=", left(item, words), most(item, words))
            )
        if sign == "IN":
            self.take("(")
            several = self.separated(self.operand)
            self.take(")")
            return lambda item, words: any(
                _compare("=", left(item, words), one(item, words)) for one in several
            )
        if sign not in _COMPARISONS:
            raise Malformed(f"{sign} compares nothing")
        right = self.operand()
        return lambda item, words: _compare(sign, left(item, words), right(item, words))

    # --- values ---

    def operand(self) -> Operand:
        token = self.take()
        if token.startswith(":"):
            return lambda _, words: words.values[token]
        match token.lower():
            case "if_not_exists":
                return self._if_not_exists()
            case "list_append":
                return self._list_append()
        if self.peek() in {".", "["}:
            raise Malformed("nothing uses paths into an attribute")
        _unreserved(token)
        return lambda item, words: item.get(_name(token, words))

    def _if_not_exists(self) -> Operand:
        self.take("(")
        path, other = self.separated(self.operand)
        self.take(")")

        def chosen(item: Item, words: Words) -> Typed | None:
            there = path(item, words)
            return other(item, words) if there is None else there

        return chosen

    def _list_append(self) -> Operand:
        self.take("(")
        first, second = self.separated(self.operand)
        self.take(")")

        def appended(item: Item, words: Words) -> Typed:
            lists = first(item, words), second(item, words)
            return {"L": [entry for one in lists if one is not None for entry in one["L"]]}

        return appended

    # --- changes ---

    def assignment(self) -> Change:
        token = _unreserved(self.take())
        self.take("=")
        value = self._value()
        return lambda item, words: (_name(token, words), value(item, words))

    def _value(self) -> Operand:
        """A value, or a sum or difference of two."""
        first = self.operand()
        if self.peek() not in _SUMS:
            return first
        sign = self.take()
        second = self.operand()
        return lambda item, words: _sum(sign, first(item, words), second(item, words))

    def removal(self) -> Change:
        token = _unreserved(self.take())
        return lambda _, words: (_name(token, words), None)


def _unreserved(token: str) -> str:
    """The name of an attribute, unless it is a word that DynamoDB keeps for itself."""
    if token.upper() in _RESERVED:
        raise Malformed(f"{token} is a reserved word")
    return token


def _sum(sign: str, left: Typed | None, right: Typed | None) -> Typed:
    match left, right:
        case {"N": first}, {"N": second}:
            return {"N": str(_SUMS[sign](Decimal(first), Decimal(second)))}
        case _:
            raise Malformed("only numbers have a sum")


def _name(token: str, words: Words) -> str:
    return words.names[token] if token.startswith("#") else token


def _any_of(parts: list[Condition]) -> Condition:
    return lambda item, words: any(part(item, words) for part in parts)


def _all_of(parts: list[Condition]) -> Condition:
    return lambda item, words: all(part(item, words) for part in parts)


def _begins_with(value: Typed | None, start: Typed | None) -> bool:
    if value is None or start is None or "S" not in value:
        return False
    return bool(value["S"].startswith(start["S"]))


def _compare(sign: str, left: Typed | None, right: Typed | None) -> bool:
    """An attribute that is not there differs from everything, and nothing else is true of it."""
    if left is None or right is None:
        return sign == "<>"
    if sign in {"=", "<>"}:
        return _same(left, right) is (sign == "=")
    if left.keys() != right.keys():
        return False
    return bool(_ORDERS[sign](_ordered(left), _ordered(right)))


def _same(left: Typed, right: Typed) -> bool:
    """Numbers are the same however they are written, also deep inside."""
    match left, right:
        case {"N": one}, {"N": other}:
            return Decimal(one) == Decimal(other)
        case {"L": ones}, {"L": others}:
            return len(ones) == len(others) and all(map(_same, ones, others))
        case {"M": ones}, {"M": others}:
            return ones.keys() == others.keys() and all(_same(ones[n], others[n]) for n in ones)
        case _:
            return left == right


def _ordered(value: Typed) -> Any:
    match value:
        case {"N": number}:
            return Decimal(number)
        case {"S": text}:
            return text.encode()
        case _:
            raise Malformed("only numbers and texts have an order")
