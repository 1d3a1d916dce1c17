"""The fields of a send request, as text from the command line or from a CSV cell."""

import argparse
from typing import Final

from delivery.domain.send_fields import SEND_FIELDS, Kind
from delivery_cli.messages_api import Json

KEY_FIELD: Final = "idempotency_key"
"""In a batch a field of each message; for one message it is a header."""

_MAX_DIGITS: Final = 9  # no field allows a larger number

NAMES: Final = tuple(name for name, it in SEND_FIELDS.items() if it.kind is not Kind.MAP)
"""Every field of the API except `context`."""


def parse_field(name: str, text: str) -> object:
    """Return the JSON value of a field.

    The items of a list are separated by spaces. Text that cannot be parsed is returned unchanged,
    and the API reports it.
    """
    match SEND_FIELDS[name].kind:
        case Kind.LIST:
            return text.split()
        case Kind.NUMBER if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS:
            return int(text)
        case Kind.BOOLEAN if text.lower() in {"true", "false"}:
            return text.lower() == "true"
        case _:
            return text


def read_fields(options: argparse.Namespace, body: str | None = None) -> Json:
    """Return the JSON of a send request: options named like a field, `--context` and `--set`."""
    fields = {name: getattr(options, name, None) for name in NAMES if name != KEY_FIELD}
    fields["body"] = body
    document = {name: value for name, value in fields.items() if value is not None}
    if options.context:
        document["context"] = dict(options.context)
    return document | {name: parse_field(name, text) for name, text in options.set}
