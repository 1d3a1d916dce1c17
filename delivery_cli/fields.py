"""The fields of a request to send, as they are typed: on the command line or in a cell."""

from typing import Final

from delivery_cli.drawing import visible
from delivery_cli.errors import CommandError
from delivery_cli.messages_api import Json

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


def document_of(fields: Json, *, context: list[str], more: list[str]) -> Json:
    """A request's JSON, of options that were given; `context` and `more` are NAME=VALUE pairs.

    Raises:
        CommandError: a pair is none.
    """
    document = {name: value for name, value in fields.items() if value is not None}
    if context:
        document["context"] = dict(pair(text, "--context") for text in context)
    pairs = [pair(text, "--set") for text in more]
    return document | {name: value_of(name, value) for name, value in pairs}


def pair(text: str, option: str) -> tuple[str, str]:
    """The two sides of NAME=VALUE.

    Raises:
        CommandError: it is no pair; names the option.
    """
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise CommandError(f"{option} {visible(text)} is not NAME=VALUE.")
    return name, value
