"""What a write costs at DynamoDB: counted by AWS's rules from the item before and after.

The emulators' own figures are not exact. Sources:
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html and
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.html#GSI.ThroughputConsiderations.Writes
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Final, Self

type Item = Mapping[str, Mapping[str, Any]]

_UNIT_BYTES: Final = 1024
_OF_A_LIST_OR_MAP: Final = 3
_OF_AN_ENTRY: Final = 1


def item_bytes(item: Item) -> int:
    """The names and the values; what DynamoDB adds for its own use counts for storage only."""
    return sum(_bytes(name) + value_bytes(value) for name, value in item.items())


def value_bytes(attribute: Mapping[str, Any]) -> int:
    """A value as the low-level client has it."""
    match attribute:
        case {"S": str(text)}:
            return _bytes(text)
        case {"N": str(number)}:
            return _number_bytes(number)
        case {"L": list(entries)}:
            return _OF_A_LIST_OR_MAP + sum(_OF_AN_ENTRY + value_bytes(it) for it in entries)
        case {"M": dict(entries)}:
            inner = sum(_OF_AN_ENTRY + _bytes(key) + value_bytes(entries[key]) for key in entries)
            return _OF_A_LIST_OR_MAP + inner
        case {"BOOL": _} | {"NULL": _}:
            return 1
        case _:
            raise ValueError(f"the size of {list(attribute)} is not known here")


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """The write units of one request, or of several together."""

    table: int = 0
    indexes: Mapping[str, int] = field(default_factory=dict)

    @property
    def all(self) -> int:
        """What is paid for."""
        return self.table + sum(self.indexes.values())

    def __add__(self, other: Self) -> "Units":
        names = self.indexes.keys() | other.indexes.keys()
        both = {name: self.indexes.get(name, 0) + other.indexes.get(name, 0) for name in names}
        return Units(table=self.table + other.table, indexes=both)


def units_of(table: Mapping[str, Any], before: Item | None, after: Item | None) -> Units:
    """The units of a write; `table` is its properties in the template.

    The table's are those of the larger of the two items. An index costs nothing where neither its
    keys nor what it projects change, one write to add, change or remove an entry, and two where an
    entry moves to other keys.
    """
    indexes = {
        index["IndexName"]: units
        for index in table.get("GlobalSecondaryIndexes", [])
        if (units := _index_units(table, index, before, after))
    }
    return Units(table=max(_units(before), _units(after), 1), indexes=indexes)


def _index_units(
    table: Mapping[str, Any], index: Mapping[str, Any], before: Item | None, after: Item | None
) -> int:
    if index["Projection"] != {"ProjectionType": "KEYS_ONLY"}:
        raise ValueError("what an index projects beside its keys is not counted here")
    keys = [*_keys(index["KeySchema"]), *_keys(table["KeySchema"])]
    old, new = _entry(keys, before), _entry(keys, after)
    return 0 if old == new else _units(old) + _units(new)


def _entry(keys: list[str], item: Item | None) -> Item | None:
    """What the index holds of the item; None where it lacks a key."""
    if item is None or not all(key in item for key in keys):
        return None
    return {key: item[key] for key in keys}


def _keys(schema: list[Mapping[str, str]]) -> list[str]:
    return [each["AttributeName"] for each in schema]


def _units(item: Item | None) -> int:
    return ceil(item_bytes(item) / _UNIT_BYTES) if item else 0


def _bytes(text: str) -> int:
    return len(text.encode("utf-8"))


def _number_bytes(number: str) -> int:
    """One byte for two significant digits, one more, and one for a sign."""
    digits = number.lstrip("-").replace(".", "").strip("0")
    return ceil(len(digits) / 2) + 1 + number.startswith("-")
