"""The fields of a send request: one row for each, with its reader and its properties.

Pure. The validator, the sender, and the command line read this table, so that a new field is one
row. A test compares `openapi.yaml` with it.
Source: https://www.twilio.com/docs/messaging/api/message-resource#create-a-message-resource
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from typing import Any, Final

from delivery.domain.messages import within_context_limits
from delivery.domain.texts import damage_in, invisible_in

_MAX_BODY_LENGTH: Final = 1600  # Twilio rejects a longer one with 21617
MAX_VALUE_LENGTH: Final = 256
_MAX_URL_LENGTH: Final = 2048
_MAX_REFERENCE_LENGTH: Final = 128
_MAX_LIST_ITEMS: Final = 10
_MAX_VALIDITY_SECONDS: Final = 36_000
_MAX_ATTEMPT: Final = 1_000_000

# Source: the docstring of `messages.create` in Twilio's SDK for Python 9.13.0.
_INTENTS: Final = (
    *("otp", "notifications", "marketing", "fraud", "security", "customercare", "delivery"),
    *("education", "polling", "announcements", "events"),
)

ADDRESS: Final = re.compile(r"\+[1-9][0-9]{1,14}|[a-z][a-z0-9]*:[!-~]+")
"""A recipient: a number in E.164 form, or an address of a channel."""
URL: Final = re.compile(r"https?://[^\s/]\S*")

type Values = list[str]
"""The values of one Twilio parameter, which is repeated for each."""


class Kind(StrEnum):
    """How a field's value is written on a command line or in a CSV cell."""

    TEXT = "text"
    LIST = "list"
    NUMBER = "number"
    BOOLEAN = "boolean"
    MAP = "map"


class InvalidValue(ValueError):
    """A value that cannot be used. The text follows the field's name, and quotes no value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendField:
    """One field of a send request.

    Args:
        parameter: Twilio's parameter; None for a field of this project.
        read: checks the value of a JSON document, and returns Twilio's values.
        kind: how the command line reads the value.
        is_stored: whether the message in the table has it, under the same name.
        alters_body: whether Twilio then makes or changes the body, so that the body in its list of
            messages differs from the request's.
    """

    parameter: str | None
    read: Callable[[Any], Values]
    kind: Kind = Kind.TEXT
    is_stored: bool = False
    alters_body: bool = False


def read_text(value: object, *, max_length: int = MAX_VALUE_LENGTH) -> Values:
    """Return text that is not blank."""
    if not isinstance(value, str):
        raise InvalidValue("must be text")
    if not value.strip():
        raise InvalidValue("is blank; give a value or omit it")
    if len(value) > max_length:
        raise InvalidValue(f"is longer than {max_length} characters")
    if damage := damage_in(value):
        raise InvalidValue(f"holds {damage}")
    return [value]


def read_sender(value: object) -> Values:
    """Return a sender: a number, a name, or an address of a channel."""
    values = read_text(value)
    if invisible := invisible_in(values[0]):
        raise InvalidValue(f"holds {invisible}, an invisible character; remove it")
    return values


def read_address(value: object) -> Values:
    """Return a recipient."""
    values = read_sender(value)
    if not ADDRESS.fullmatch(values[0]):
        raise InvalidValue(
            "must be a number in E.164 form (+, country code, digits only) "
            "or a channel address such as whatsapp:+ and the number"
        )
    return values


def read_sid(value: object, *, prefix: str) -> Values:
    """Return a SID of Twilio's."""
    if not isinstance(value, str) or not re.fullmatch(prefix + "[0-9a-fA-F]{32}", value):
        raise InvalidValue(f"must be a SID: {prefix} and 32 hex digits")
    return [value]


def read_boolean(value: object) -> Values:
    """Return a boolean as Twilio writes it."""
    if not isinstance(value, bool):
        raise InvalidValue("must be true or false")
    return [str(value).lower()]


def read_number(value: object, *, maximum: int) -> Values:
    """Return a whole number from 1 to the maximum."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= maximum:
        raise InvalidValue(f"must be a whole number from 1 to {maximum}")
    return [str(value)]


def read_choice(value: object, *, choices: tuple[str, ...]) -> Values:
    """Return one of the choices."""
    if value not in choices:
        raise InvalidValue(f"must be one of {', '.join(choices)}")
    return [str(value)]


def read_list(
    value: object, *, read: Callable[[object], Values], max_items: int = _MAX_LIST_ITEMS
) -> Values:
    """Return the texts of a list."""
    if not isinstance(value, list) or not 1 <= len(value) <= max_items:
        raise InvalidValue(f"must be a list of 1 to {max_items} items")
    return [text for item in value for text in read(item)]


def read_url(value: object, *, max_length: int = _MAX_URL_LENGTH) -> Values:
    """Return a URL."""
    if not isinstance(value, str) or not URL.fullmatch(value):
        raise InvalidValue("must hold full URLs, http:// or https://")
    return read_text(value, max_length=max_length)


def read_variables(value: object) -> Values:
    """Return the JSON text of an object, which may be given as JSON text.

    The text is the same whatever the order of the names.
    """
    try:
        content = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        raise InvalidValue("is text but not JSON; give a JSON object") from None
    if not isinstance(content, dict):
        raise InvalidValue('must be an object such as {"1": "Ada"}')
    try:
        text = json.dumps(content, sort_keys=True, allow_nan=False)
        damages = filter(None, map(damage_in, _texts_in(content)))
        damage = next(damages, None)
    except (ValueError, RecursionError):
        raise InvalidValue("must hold finite numbers, and few levels of nesting") from None
    if damage:
        raise InvalidValue(f"holds {damage}")
    return [text]


def _texts_in(value: object) -> Iterator[str]:
    """Yield every text in a JSON value, the names included."""
    match value:
        case str():
            yield value
        case dict():
            for item in (*value, *value.values()):
                yield from _texts_in(item)
        case list():
            for item in value:
                yield from _texts_in(item)


def read_time(value: object) -> Values:
    """Return a time in UTC and whole seconds, as Twilio expects it."""
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
        in_utc = time.astimezone(UTC) if time and time.tzinfo else None
    except (ValueError, OverflowError):
        in_utc = None
    if in_utc is None:
        raise InvalidValue("must be an ISO 8601 time with its zone, such as 2026-12-24T18:00:00Z")
    # strftime does not pad a year before 1000.
    return [in_utc.isoformat(timespec="seconds").replace("+00:00", "Z")]


def read_context(value: object) -> Values:
    """Check a context, and return no values: it is stored as it is and not sent to Twilio."""
    if not isinstance(value, dict):
        raise InvalidValue("must be an object of names and texts")
    for text in (*value, *value.values()):
        if not isinstance(text, str):
            raise InvalidValue("must be flat: each value a text")
        if damage := damage_in(text):
            raise InvalidValue(f"holds {damage}")
    if within_context_limits(value.items()) != value:
        raise InvalidValue("has a blank name, more than 20 names, or more than 1 KB in all")
    return []


SEND_FIELDS: Final[Mapping[str, SendField]] = {
    "to": SendField(parameter="To", read=read_address, is_stored=True),
    "from": SendField(parameter="From", read=read_sender, is_stored=True),
    "messaging_service_sid": SendField(
        parameter="MessagingServiceSid", read=partial(read_sid, prefix="MG"), is_stored=True
    ),
    "body": SendField(
        parameter="Body", read=partial(read_text, max_length=_MAX_BODY_LENGTH), is_stored=True
    ),
    "media_url": SendField(
        parameter="MediaUrl", read=partial(read_list, read=read_url), kind=Kind.LIST
    ),
    "content_sid": SendField(
        parameter="ContentSid", read=partial(read_sid, prefix="HX"), alters_body=True
    ),
    "content_variables": SendField(
        parameter="ContentVariables", read=read_variables, alters_body=True
    ),
    "send_at": SendField(parameter="SendAt", read=read_time, is_stored=True),
    "validity_period": SendField(
        parameter="ValidityPeriod",
        read=partial(read_number, maximum=_MAX_VALIDITY_SECONDS),
        kind=Kind.NUMBER,
    ),
    "smart_encoded": SendField(
        parameter="SmartEncoded", read=read_boolean, kind=Kind.BOOLEAN, alters_body=True
    ),
    "shorten_urls": SendField(
        parameter="ShortenUrls", read=read_boolean, kind=Kind.BOOLEAN, alters_body=True
    ),
    "provide_feedback": SendField(
        parameter="ProvideFeedback", read=read_boolean, kind=Kind.BOOLEAN
    ),
    "attempt": SendField(
        parameter="Attempt", read=partial(read_number, maximum=_MAX_ATTEMPT), kind=Kind.NUMBER
    ),
    "send_as_mms": SendField(parameter="SendAsMms", read=read_boolean, kind=Kind.BOOLEAN),
    "content_retention": SendField(
        parameter="ContentRetention", read=partial(read_choice, choices=("retain", "discard"))
    ),
    "address_retention": SendField(
        parameter="AddressRetention", read=partial(read_choice, choices=("retain", "obfuscate"))
    ),
    "persistent_action": SendField(
        parameter="PersistentAction", read=partial(read_list, read=read_text), kind=Kind.LIST
    ),
    "message_intent": SendField(
        parameter="MessageIntent", read=partial(read_choice, choices=_INTENTS)
    ),
    "risk_check": SendField(
        parameter="RiskCheck", read=partial(read_choice, choices=("enable", "disable"))
    ),
    "force_delivery": SendField(parameter="ForceDelivery", read=read_boolean, kind=Kind.BOOLEAN),
    "fallback_from": SendField(parameter="FallbackFrom", read=read_sender),
    "account_sid": SendField(parameter=None, read=partial(read_sid, prefix="AC"), is_stored=True),
    "reference": SendField(
        parameter=None, read=partial(read_text, max_length=_MAX_REFERENCE_LENGTH), is_stored=True
    ),
    "context": SendField(parameter=None, read=read_context, kind=Kind.MAP, is_stored=True),
    "idempotency_key": SendField(parameter=None, read=read_text),
}
"""Every field by its name, in the order of Twilio's parameters."""

REFUSED_FIELDS: Final[Mapping[str, str]] = {
    "status_callback": "is set by this stack, which needs every status; omit it",
    "status_callback_method": "is always POST; omit it",
    "application_sid": "would send the status callbacks elsewhere; omit it",
    "schedule_type": "follows from send_at; omit it",
    "max_price": "has had no effect at Twilio since June 2024; omit it",
    "traffic_type": "is not documented by Twilio; omit it",
    "raise_on_error": "is for direct invocations only; omit it",
    "tags": "is not a documented parameter of Twilio's; use context",
    "request_id": "is assigned by this stack; use reference for an id of your own",
}
"""Parameters that Twilio or this stack knows and a request cannot set, each with the reason."""
