"""The fields of a request to send, as they are typed: on the command line or in a cell."""

from collections.abc import Sequence
from typing import Final

from delivery_cli.messages_api import Json

type Pairs = Sequence[tuple[str, str]]
"""Each NAME=VALUE of an option that may be repeated."""

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
    "idempotency_key",
    "content_retention",
    "address_retention",
    "risk_check",
    "fallback_from",
)
_LISTS: Final = ("media_url", "persistent_action")
_NUMBERS: Final = ("validity_period", "attempt")
_TRUTHS: Final = (
    "smart_encoded",
    "shorten_urls",
    "provide_feedback",
    "send_as_mms",
    "force_delivery",
)

NAMES: Final = (*_TEXTS, *_LISTS, *_NUMBERS, *_TRUTHS)
"""Every field that the API takes, but for `context`."""


def value_of(name: str, text: str) -> object:
    """The text as the API wants that field; what cannot be read goes as it is, to be refused there.

    A list's parts stand between spaces.
    """
    if name in _LISTS:
        return text.split()
    if name in _NUMBERS and text.isascii() and text.isdigit():
        return int(text)
    if name in _TRUTHS and text.lower() in {"true", "false"}:
        return text.lower() == "true"
    return text


def document_of(fields: Json, *, context: Pairs, more: Pairs) -> Json:
    """A request's JSON, of the options that were given; `more` is any other field's text."""
    document = {name: value for name, value in fields.items() if value is not None}
    if context:
        document["context"] = dict(context)
    return document | {name: value_of(name, text) for name, text in more}
