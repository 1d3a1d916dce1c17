"""DynamoDB's capacity units, computed by AWS's rules from an item before and after a write.

Emulators report other figures. Sources:
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html and
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.html#GSI.ThroughputConsiderations.Writes
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Final

type Item = Mapping[str, Mapping[str, Any]]

_WRITE_UNIT_BYTES: Final = 1024
_READ_UNIT_BYTES: Final = 4 * 1024
_BYTES_OF_LIST_OR_MAP: Final = 3
_BYTES_OF_ENTRY: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """The write units of one item: in the table, and in each index that changes."""

    table: int = 0
    indexes: Mapping[str, int] = field(default_factory=dict)

    @property
    def all(self) -> int:
        """The sum, which is billed."""
        return self.table + sum(self.indexes.values())


def write_units(table: Mapping[str, Any], before: Item | None, after: Item | None) -> Units:
    """Return the units of a write; `table` is its properties in the template.

    The table's units follow the larger of the two items. An index takes no unit if neither its keys
    nor its projection change, one to add or remove an entry, and two to move an entry.
    """
    indexes = {
        index["IndexName"]: units
        for index in table.get("GlobalSecondaryIndexes", [])
        if (units := _index_units(table, index, before, after))
    }
    return Units(table=max(_units(before), _units(after), 1), indexes=indexes)


def read_units(item: Item, *, is_consistent: bool) -> float:
    """Return the units of a read of the item: for each four KiB one, or half if eventual."""
    return ceil(item_bytes(item) / _READ_UNIT_BYTES) * (1 if is_consistent else 0.5)


def item_bytes(item: Item) -> int:
    """Return the size of names and values."""
    return sum(_bytes(name) + value_bytes(value) for name, value in item.items())


def value_bytes(attribute: Mapping[str, Any]) -> int:
    """Return the size of a value in the shape of the low-level client.

    Raises:
        ValueError: its type is not supported.
    """
    match attribute:
        case {"S": str(text)}:
            return _bytes(text)
        case {"N": str(number)}:
            return _number_bytes(number)
        case {"L": list(entries)}:
            return _BYTES_OF_LIST_OR_MAP + sum(_BYTES_OF_ENTRY + value_bytes(it) for it in entries)
        case {"M": dict(entries)}:
            inner = sum(
                _BYTES_OF_ENTRY + _bytes(key) + value_bytes(entries[key]) for key in entries
            )
            return _BYTES_OF_LIST_OR_MAP + inner
        case {"BOOL": _} | {"NULL": _}:
            return 1
        case _:
            raise ValueError(f"unsupported attribute type {list(attribute)}")


def _index_units(
    table: Mapping[str, Any], index: Mapping[str, Any], before: Item | None, after: Item | None
) -> int:
    if index["Projection"] != {"ProjectionType": "KEYS_ONLY"}:
        raise ValueError(f"unsupported projection {index['Projection']}: expected KEYS_ONLY")
    keys = [*_keys(index["KeySchema"]), *_keys(table["KeySchema"])]
    old, new = _entry(keys, before), _entry(keys, after)
    return 0 if old == new else _units(old) + _units(new)


def _entry(keys: list[str], item: Item | None) -> Item | None:
    """Return the index entry of an item; None if the item lacks a key."""
    if item is None or not all(key in item for key in keys):
        return None
    return {key: item[key] for key in keys}


def _keys(schema: list[Mapping[str, str]]) -> list[str]:
    return [each["AttributeName"] for each in schema]


def _units(item: Item | None) -> int:
    return ceil(item_bytes(item) / _WRITE_UNIT_BYTES) if item else 0


def _bytes(text: str) -> int:
    return len(text.encode("utf-8"))


def _number_bytes(number: str) -> int:
    """Return one byte for each two significant digits, one more, and one for a minus sign."""
    digits = number.lstrip("-").replace(".", "").strip("0")
    return ceil(len(digits) / 2) + 1 + number.startswith("-")
