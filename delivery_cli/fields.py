"""The fields of a send request, as text from the command line or from a CSV cell."""

import argparse
from typing import Final

from delivery_cli.messages_api import Json

KEY_FIELD: Final = "idempotency_key"
"""In a batch a field of each message; for one message it is a header."""

_TEXTS: Final = (
    "to",
    "from",
    "messaging_service_sid",
    "body",
    "content_sid",
    "content_variables",
    "send_at",
    "account_sid",
    "reference",
    KEY_FIELD,
    "content_retention",
    "address_retention",
    "risk_check",
    "fallback_from",
)
_LISTS: Final = ("media_url", "persistent_action")
_NUMBERS: Final = ("validity_period", "attempt")
_BOOLEANS: Final = (
    "smart_encoded",
    "shorten_urls",
    "provide_feedback",
    "send_as_mms",
    "force_delivery",
)

NAMES: Final = (*_TEXTS, *_LISTS, *_NUMBERS, *_BOOLEANS)
"""Every field of the API except `context`."""


def parse_field(name: str, text: str) -> object:
    """Return the JSON value of a field.

    The items of a list are separated by spaces. Text that cannot be parsed is returned unchanged,
    and the API reports it.
    """
    if name in _LISTS:
        return text.split()
    if name in _NUMBERS and text.isascii() and text.isdigit():
        return int(text)
    if name in _BOOLEANS and text.lower() in {"true", "false"}:
        return text.lower() == "true"
    return text


def read_fields(options: argparse.Namespace, body: str | None = None) -> Json:
    """Return the JSON of a send request: options named like a field, `--context` and `--set`."""
    fields = {name: getattr(options, name, None) for name in NAMES if name != KEY_FIELD}
    fields["body"] = body
    document = {name: value for name, value in fields.items() if value is not None}
    if options.context:
        document["context"] = dict(options.context)
    return document | {name: parse_field(name, text) for name, text in options.set}
