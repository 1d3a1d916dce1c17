"""Dataclasses as plain data for DynamoDB, and back.

Pure.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any, Final

from delivery.domain.records import Record, plain

_TIMES: Final = frozenset(
    {"claimed_at", "first_at", "last_at", "last_failure_at", "next_at", "opened_at"}
    | {"since", "until"}
)


def as_record(instance: Any) -> Record:
    """Return the fields of a dataclass as plain data, None left out, dataclasses in it included."""
    values = {item.name: getattr(instance, item.name) for item in fields(instance)}
    return {name: _plain(value) for name, value in values.items() if value is not None}


def field_values(kind: type, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a record has for the fields of a dataclass, times read."""
    known = {item.name for item in fields(kind)} & record.keys()
    return {
        name: datetime.fromisoformat(record[name]) if name in _TIMES else record[name]
        for name in known
    }


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    return as_record(value) if is_dataclass(value) else plain(value)
