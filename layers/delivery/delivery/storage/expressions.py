"""Expressions of a write: its conditions, and what an update changes."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from delivery.storage.items import Item, as_attribute, as_item


class Conditions:
    """The conditions of a write; all of them must hold."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._values: Item = {}
        self._conditions: list[str] = []

    def require(self, condition: str, **values: object) -> None:
        """Write only if `condition` holds; it names attributes as `#name`, values as `:name`."""
        self._conditions.append(f"({condition})")
        self._names |= names_in(condition)
        self._values |= values_of(values)

    def require_unchanged(self, name: str, item: Item) -> None:
        """Write only if the attribute is as in `item`, which may lack it (compare-and-set)."""
        self._names[f"#{name}"] = name
        if name in item:
            self._values[f":seen_{name}"] = item[name]
            self._conditions.append(f"#{name} = :seen_{name}")
        else:
            self._conditions.append(f"attribute_not_exists(#{name})")

    def as_arguments(self) -> dict[str, Any]:
        """Return the arguments of a write; empty expressions, which DynamoDB rejects, left out."""
        arguments = {
            "ConditionExpression": " AND ".join(self._conditions),
            "ExpressionAttributeNames": self._names,
            "ExpressionAttributeValues": self._values,
        }
        return {name: given for name, given in arguments.items() if given}


class Changes(Conditions):
    """One UpdateItem: what it sets and removes, and on which conditions.

    Args:
        key: the key's attributes, e.g. `Changes(message_sid="SM...")`.
    """

    def __init__(self, **key: str) -> None:
        super().__init__()
        self._key = as_item(key)
        self._sets: list[str] = []
        self._removes: list[str] = []

    def set(self, name: str, value: object, *, once: bool = False) -> None:
        """Set the attribute; `once`: only where the item does not have it."""
        self._mention(name, value)
        new = f"if_not_exists(#{name}, :{name})" if once else f":{name}"
        self._sets.append(f"#{name} = {new}")

    def add(self, name: str, number: int) -> None:
        """Add a number to the attribute, which must exist."""
        self._mention(name, number)
        self._sets.append(f"#{name} = #{name} + :{name}")

    def append(self, name: str, value: object) -> None:
        """Append an entry to the list, which is created where it does not exist."""
        self._mention(name, [value])
        self._values[":nothing"] = {"L": []}
        self._sets.append(f"#{name} = list_append(if_not_exists(#{name}, :nothing), :{name})")

    def remove(self, name: str) -> None:
        """Remove the attribute, if it exists."""
        self._names[f"#{name}"] = name
        self._removes.append(f"#{name}")

    def as_arguments(self) -> dict[str, Any]:
        """Return the arguments of `update_item`, without the table and what to return."""
        parts = (("SET", self._sets), ("REMOVE", self._removes))
        expression = " ".join(f"{word} {', '.join(part)}" for word, part in parts if part)
        return {"Key": self._key, "UpdateExpression": expression} | super().as_arguments()

    def _mention(self, name: str, value: object) -> None:
        self._names[f"#{name}"] = name
        self._values[f":{name}"] = as_attribute(value)


@cache  # the expressions are constants
def names_in(expression: str) -> Mapping[str, str]:
    """Return the attributes that an expression refers to, each as `#name`."""
    return {f"#{name}": name for name in re.findall(r"#(\w+)", expression)}


def values_of(values: Mapping[str, object]) -> Item:
    """Return the values of an expression, each as `:name`."""
    return {f":{name}": as_attribute(value) for name, value in values.items()}
