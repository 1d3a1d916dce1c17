"""Returns JSON Schemas of Python types: of the dataclasses that answers are made of."""

from collections.abc import Collection, Mapping
from dataclasses import fields
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

type Schema = dict[str, Any]
type Texts = Mapping[str, str]
"""What each field means, by its name."""


def of_dataclass(
    kind: type,
    texts: Texts,
    *,
    without: Collection[str] = (),
    optional: Collection[str] = (),
    types: Mapping[str, Schema],
) -> Schema:
    """Return the schema of a dataclass as plain data, where unknown facts are left out.

    `optional` are fields that can be left out although they are always known. `types` has the
    schemas of fields whose annotation says too little.

    Raises:
        ValueError: `texts` does not have exactly the fields.
    """
    hints = get_type_hints(kind)
    shown = {it.name.rstrip("_"): hints[it.name] for it in fields(kind) if it.name not in without}
    schemas = {name: types.get(name) or of_type(hint) for name, hint in shown.items()}
    required = [
        name
        for name, hint in shown.items()
        if get_origin(hint) is not UnionType and name not in optional
    ]
    return of_object(schemas, texts, required=required)


def of_object(
    schemas: Mapping[str, Schema], texts: Texts, *, required: Collection[str] = ()
) -> Schema:
    """Return the schema of an object, which may have further members in later versions.

    Raises:
        ValueError: `texts` does not have exactly the members.
    """
    if differing := schemas.keys() ^ texts.keys():
        raise ValueError(f"texts and members differ: {', '.join(sorted(differing))}")
    described = {name: {**schema, "description": texts[name]} for name, schema in schemas.items()}
    shown: Schema = {"type": "object", "properties": described}
    return shown | ({"required": list(required)} if required else {})


def of_type(hint: Any) -> Schema:
    """Return the schema of an annotation's values as plain data."""
    arguments = [it for it in get_args(hint) if it is not NoneType]
    match get_origin(hint) or hint:
        case origin if origin is UnionType:
            (only,) = arguments
            return of_type(only)
        case origin if origin is tuple:
            return {"type": "array", "items": of_type(arguments[0])}
        case origin if origin is Mapping:
            return {"type": "object", "additionalProperties": of_type(arguments[1])}
        case kind if issubclass(kind, StrEnum):
            return of_words(kind)
        case kind:
            return dict(_PLAIN[kind])


def of_words(words: Collection[str]) -> Schema:
    """Return the schema of one of these words."""
    return {"type": "string", "enum": [str(word) for word in words]}


def reference(name: str) -> Schema:
    """Return a reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


_PLAIN: Mapping[type, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    bool: {"type": "boolean"},
    datetime: {"type": "string", "format": "date-time"},
    date: {"type": "string", "format": "date"},
    Decimal: {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"},
}
