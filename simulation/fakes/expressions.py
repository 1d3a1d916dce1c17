"""DynamoDB's expressions, as far as the project uses them: parsed once, evaluated often.

Syntax that the project does not use is a NotImplementedError, which ends a run.

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

_TOKEN: Final = re.compile(r"\s*([#:]?[A-Za-z_][\w-]*|\d+|<=|>=|<>|[=<>(),.\[\]+])")
_ORDERS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_COMPARISONS: Final = frozenset({"=", "<>", *_ORDERS})
_RESERVED: Final = frozenset(ReservedKeywords.get_reserved_keywords())


class InvalidExpression(Exception):
    """DynamoDB would reject the expression."""


@dataclass(slots=True, kw_only=True)
class Scope:
    """An item, and the values of an expression's placeholders."""

    item: Item
    names: Mapping[str, str]
    values: Mapping[str, Typed]

    def name(self, token: str) -> str:
        """Return the attribute that a token names."""
        return self.names[token] if token.startswith("#") else token


type Condition = Callable[[Scope], bool]
type Operand = Callable[[Scope], Typed | None]
type Change = Callable[[Scope], tuple[str, Typed | None]]
"""Returns the attribute that it changes, and its new value; None removes it."""


@lru_cache(maxsize=4096)
def parse_condition(text: str) -> Condition:
    """Parse a condition or a key condition."""
    reader = _Reader(text)
    parsed = reader.condition()
    reader.expect_end()
    return parsed


@lru_cache(maxsize=4096)
def parse_update(text: str) -> tuple[Change, ...]:
    """Parse the SET and REMOVE clauses of an update expression, about whole attributes."""
    reader = _Reader(text)
    changes: list[Change] = []
    while not reader.at_end():
        match reader.take().upper():
            case "SET":
                changes += reader.separated(reader.assignment)
            case "REMOVE":
                changes += reader.separated(reader.removal)
            case word:
                raise NotImplementedError(f"the fake does not support {word}")
    return tuple(changes)


@lru_cache(maxsize=4096)
def placeholders(*texts: str) -> frozenset[str]:
    """Return every placeholder that the expressions use."""
    return frozenset(word for text in texts for word in re.findall(r"[#:]\w+", text))


class _Reader:
    """Reads tokens from left to right; each method consumes what it names."""

    def __init__(self, text: str) -> None:
        self._tokens: list[str] = []
        place = 0
        text = text.rstrip()
        while place < len(text):
            match = _TOKEN.match(text, place)
            if match is None:
                raise NotImplementedError(f"the fake does not support {text[place:]!r}")
            self._tokens.append(match[1])
            place = match.end()
        self._place = 0

    def at_end(self) -> bool:
        return self._place >= len(self._tokens)

    def expect_end(self) -> None:
        if not self.at_end():
            raise NotImplementedError(f"the fake does not support {self.peek()!r} here")

    def peek(self) -> str:
        return "" if self.at_end() else self._tokens[self._place]

    def take(self, expected: str | None = None) -> str:
        token = self.peek()
        if not token or (expected is not None and token.upper() != expected):
            raise NotImplementedError(f"expected {expected or 'more'}, found {token!r}")
        self._place += 1
        return token

    def separated[T](self, read: Callable[[], T]) -> list[T]:
        found = [read()]
        while self.peek() == ",":
            self.take()
            found.append(read())
        return found

    def arguments(self) -> list[Operand]:
        self.take("(")
        operands = self.separated(self.operand)
        self.take(")")
        return operands

    # --- conditions ---

    def condition(self) -> Condition:
        return self._joined("OR", any, lambda: self._joined("AND", all, self._one))

    def _joined(
        self, word: str, combine: Callable[[Any], bool], read: Callable[[], Condition]
    ) -> Condition:
        parts = [read()]
        while self.peek().upper() == word:
            self.take()
            parts.append(read())
        return parts[0] if len(parts) == 1 else lambda scope: combine(it(scope) for it in parts)

    def _one(self) -> Condition:
        match self.peek().upper():
            case "NOT":
                raise NotImplementedError("the fake does not support NOT")
            case "(":
                self.take()
                inner = self.condition()
                self.take(")")
                return inner
            case "ATTRIBUTE_EXISTS" | "ATTRIBUTE_NOT_EXISTS":
                return self._function()
            case _:
                return self._comparison()

    def _function(self) -> Condition:
        exists = self.take().upper() == "ATTRIBUTE_EXISTS"
        (path,) = self.arguments()
        return lambda scope: (path(scope) is not None) is exists

    def _comparison(self) -> Condition:
        left = self.operand()
        sign = self.take().upper()
        if sign == "BETWEEN":
            low = self.operand()
            self.take("AND")
            high = self.operand()
            return lambda scope: (
                _compare(">=", left(scope), low(scope)) and _compare("<=", left(scope), high(scope))
            )
        if sign == "IN":
            several = self.arguments()
            return lambda scope: any(_compare("=", left(scope), one(scope)) for one in several)
        if sign not in _COMPARISONS:
            raise NotImplementedError(f"the fake does not support {sign!r} as a comparison")
        right = self.operand()
        return lambda scope: _compare(sign, left(scope), right(scope))

    # --- values ---

    def operand(self) -> Operand:
        token = self.take()
        if token.startswith(":"):
            return lambda scope: scope.values[token]
        match token.lower():
            case "if_not_exists":
                return self._if_not_exists()
            case "list_append":
                return self._list_append()
        if self.peek() in {".", "[", "("}:
            raise NotImplementedError(f"the fake does not support {token}{self.peek()}")
        _refuse_reserved(token)
        return lambda scope: scope.item.get(scope.name(token))

    def _if_not_exists(self) -> Operand:
        path, default = self.arguments()

        def chosen(scope: Scope) -> Typed | None:
            value = path(scope)
            return default(scope) if value is None else value

        return chosen

    def _list_append(self) -> Operand:
        operands = self.arguments()

        def appended(scope: Scope) -> Typed:
            lists = (operand(scope) for operand in operands)
            return {"L": [entry for one in lists if one is not None for entry in one["L"]]}

        return appended

    # --- changes ---

    def assignment(self) -> Change:
        token = _refuse_reserved(self.take())
        self.take("=")
        value = self._value()
        return lambda scope: (scope.name(token), value(scope))

    def _value(self) -> Operand:
        """Read a value, or the sum of two."""
        first = self.operand()
        if self.peek() != "+":
            return first
        self.take()
        second = self.operand()
        return lambda scope: _sum(first(scope), second(scope))

    def removal(self) -> Change:
        token = _refuse_reserved(self.take())
        return lambda scope: (scope.name(token), None)


def _refuse_reserved(token: str) -> str:
    """Return the token, unless it is one of DynamoDB's reserved words."""
    if token.upper() in _RESERVED:
        raise InvalidExpression(f"{token} is a reserved word")
    return token


def _sum(left: Typed | None, right: Typed | None) -> Typed:
    match left, right:
        case {"N": first}, {"N": second}:
            return {"N": str(Decimal(first) + Decimal(second))}
        case _:
            raise InvalidExpression("the operands of a sum must be numbers")


def _compare(sign: str, left: Typed | None, right: Typed | None) -> bool:
    """Compare two values; of a missing attribute only `<>` is true."""
    if left is None or right is None:
        return sign == "<>"
    if sign in {"=", "<>"}:
        return _same(left, right) is (sign == "=")
    if left.keys() != right.keys():
        return False
    return bool(_ORDERS[sign](_ordered(left), _ordered(right)))


def _same(left: Typed, right: Typed) -> bool:
    """Return whether two values are equal; numbers by their value, also in lists and maps."""
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
            raise InvalidExpression("only numbers and strings have an order")
