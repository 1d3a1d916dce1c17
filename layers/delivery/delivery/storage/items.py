"""Items of DynamoDB as the low-level client has them, and the same as plain data."""

from collections.abc import Mapping
from typing import Any

type Item = dict[str, Any]
"""An item as the low-level client has it, e.g. {"status": {"S": "sent"}}."""


def as_item(record: Mapping[str, Any]) -> Item:
    """Return plain data (str, bool, int, list, dict) as an item."""
    return {name: as_attribute(value) for name, value in record.items()}


def as_attribute(value: object) -> dict[str, Any]:
    """Return a plain value as an attribute.

    It replaces boto3's TypeSerializer, whose import loads boto3's resources at every cold start.
    """
    match value:
        case str():
            return {"S": value}
        case bool():
            return {"BOOL": value}
        case int():
            return {"N": str(value)}
        case list():
            return {"L": [as_attribute(entry) for entry in value]}
        case dict():
            return {"M": as_item(value)}
        case _:
            raise TypeError(f"an item cannot hold a {type(value).__name__}")


def as_record(item: Item) -> dict[str, Any]:
    """Return an item as plain data."""
    return {name: as_value(attribute) for name, attribute in item.items()}


def as_value(attribute: Mapping[str, Any]) -> Any:
    """Return an attribute as a plain value; None for a type that our items do not use."""
    match attribute:
        case {"S": text}:
            return text
        case {"N": number}:
            return int(number) if number.lstrip("-").isdigit() else float(number)
        case {"BOOL": truth}:
            return truth
        case {"L": entries}:
            return [as_value(entry) for entry in entries]
        case {"M": entries}:
            return as_record(entries)
        case _:
            return None
