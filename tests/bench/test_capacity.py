"""Capacity units follow AWS's documentation."""

from typing import Any

import pytest

from bench.capacity import Units, item_bytes, value_bytes, write_units

TABLE: dict[str, Any] = {
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "by_day",
            "KeySchema": [
                {"AttributeName": "day", "KeyType": "HASH"},
                {"AttributeName": "at", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }
    ],
}
ITEM = {"id": {"S": "1"}, "day": {"S": "monday"}, "at": {"S": "noon"}}
SMALL = {"id": {"S": "1"}}


def a_text(size: int) -> dict[str, str]:
    return {"S": "x" * size}


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ({"S": "fünf"}, 5),
        ({"N": "0"}, 1),
        ({"N": "30003"}, 4),
        ({"N": "1700"}, 2),
        ({"N": "-12"}, 3),
        ({"BOOL": True}, 1),
        ({"L": []}, 3),
        ({"L": [{"S": "ab"}, {"S": "c"}]}, 3 + 1 + 2 + 1 + 1),
        ({"M": {"key": {"S": "value"}}}, 3 + 1 + 3 + 5),
    ],
)
def test_a_value_has_the_documented_size(value: dict[str, Any], size: int) -> None:
    assert value_bytes(value) == size


def test_an_item_is_as_large_as_its_names_and_values() -> None:
    assert item_bytes({"id": {"S": "abc"}, "count": {"N": "5"}}) == 2 + 3 + 5 + 2


def test_an_unsupported_type_is_an_error() -> None:
    with pytest.raises(ValueError, match="SS"):
        value_bytes({"SS": ["a"]})


@pytest.mark.parametrize(("size", "units"), [(0, 1), (1024 - 4, 1), (1024 - 3, 2), (3000, 3)])
def test_a_write_takes_a_unit_per_kibibyte(size: int, units: int) -> None:
    assert write_units(TABLE, None, {"id": {"S": "1"}, "b": a_text(size)}).table == units


def test_the_larger_item_before_or_after_counts() -> None:
    large = {"id": {"S": "1"}, "b": a_text(3000)}

    assert write_units(TABLE, large, SMALL).table == write_units(TABLE, SMALL, large).table == 3


def test_a_write_without_an_item_takes_a_unit() -> None:
    assert write_units(TABLE, None, None) == Units(table=1)


@pytest.mark.parametrize(
    ("before", "after", "units"),
    [
        (None, ITEM, 1),
        (ITEM, None, 1),
        (None, SMALL, 0),
        (SMALL, ITEM, 1),
        (ITEM, SMALL, 1),
        (ITEM, ITEM | {"note": {"S": "new"}}, 0),
        (ITEM, ITEM | {"at": {"S": "night"}}, 2),
        (ITEM, ITEM | {"day": {"S": "sunday"}}, 2),
    ],
)
def test_an_index_takes_units_for_changes_of_its_entry(
    before: dict[str, Any] | None, after: dict[str, Any] | None, units: int
) -> None:
    assert write_units(TABLE, before, after).indexes.get("by_day", 0) == units
