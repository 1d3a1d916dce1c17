"""Describes what callers send: the fields of a send request, and the parameters of queries.

The schema of a field follows from the reader that validates it, its limits from the reader's
parameters.
"""

from collections.abc import Callable, Mapping
from functools import partial
from inspect import Parameter, signature
from typing import Any, Final

from delivery.domain import send_fields
from delivery.domain.messages import MAX_CONTEXT_NAMES
from delivery.domain.send_checks import EXCLUSIVE_FIELDS, REQUIRED_FIELDS, REQUIRED_WITH
from delivery.domain.send_fields import SEND_FIELDS
from functions.query_messages.list_query import (
    DEFAULT_LIMIT,
    FILTERS,
    MAX_ADDRESS_LENGTH,
    MAX_LIMIT,
    MAX_REFERENCE_LENGTH,
)
from functions.send_message.batch import MAX_MESSAGES

from .schema import Schema, Texts, reference

NUMBER: Final = "+15558675310"
SENDER: Final = "+15005550006"
NEXT_PAGE: Final = "MjAyNi0xMS0yM1QxMjowMDowMC4wMDBa"

_FIELDS: Final[Texts] = {
    "to": "The recipient: a number in E.164 form, or a channel address such as "
    "`whatsapp:+15558675310`.",
    "from": "The sender: a number, a name, or a channel address.",
    "messaging_service_sid": "A messaging service, which chooses the sender.",
    "body": "The text.",
    "media_url": "URLs of media to attach.",
    "content_sid": "A content template.",
    "content_variables": "Variables of the template: an object, or its JSON text.",
    "send_at": "When to send, with a time zone. In the future, at most 35 days.",
    "validity_period": "Seconds for which Twilio tries to send.",
    "smart_encoded": "Whether Twilio replaces Unicode characters that look like GSM-7 characters.",
    "shorten_urls": "Whether Twilio shortens the links.",
    "provide_feedback": "Whether you report the outcome to Twilio's Message Feedback API.",
    "attempt": "The number of this attempt, if your program counts them.",
    "send_as_mms": "Whether to send as an MMS.",
    "content_retention": "What Twilio keeps of the text.",
    "address_retention": "What Twilio keeps of the recipient's number.",
    "persistent_action": "Actions of a channel, such as `geo:` coordinates for WhatsApp.",
    "message_intent": "The purpose of the message, for compliance.",
    "risk_check": "Whether Twilio checks the message for SMS pumping.",
    "force_delivery": "Twilio's parameter ForceDelivery.",
    "fallback_from": "The sender if the channel of the message cannot be used.",
    "account_sid": "A subaccount in the secret; by default the main account sends.",
    "reference": "Your own id. It is shown in lists, notices, logs, and events.",
    "context": "Your own name-value pairs, at most 1 KB in all. They are stored with the message "
    "and shown in events.",
    "idempotency_key": "The idempotency key. The header `Idempotency-Key` is used if it is absent.",
}

_EXAMPLES: Final[Mapping[str, Any]] = {
    "to": NUMBER,
    "from": SENDER,
    "messaging_service_sid": "MG" + "5" * 32,
    "body": "Your table is ready",
    "media_url": ["https://example.com/menu.jpg"],
    "content_sid": "HX" + "6" * 32,
    "content_variables": {"1": "Ada"},
    "send_at": "2026-12-24T18:00:00Z",
    "validity_period": 600,
    "attempt": 1,
    "content_retention": "discard",
    "address_retention": "obfuscate",
    "persistent_action": ["geo:37.787890,-122.391664|375 Beale St"],
    "message_intent": "notifications",
    "risk_check": "enable",
    "fallback_from": SENDER,
    "account_sid": "AC" + "7" * 32,
    "reference": "order-4711",
    "context": {"order": "4711"},
    "idempotency_key": "order-4711-ready",
}

# At least one visible character. What a text must not hold is in the description of the document.
_NOT_BLANK: Final = r"\S"


def send_request() -> Schema:
    """Return the schema of the JSON of one message."""
    properties: dict[str, Schema] = {}
    for name, field in SEND_FIELDS.items():
        schema = _of_reader(field.read)
        if (name,) not in REQUIRED_FIELDS:
            schema = _or_null(schema)
        example = {"examples": [_EXAMPLES[name]]} if name in _EXAMPLES else {}
        properties[name] = {**schema, "description": _FIELDS[name], **example}
    return {
        "description": "A message to send. A field that is null counts as absent.",
        "type": "object",
        "required": [names[0] for names in REQUIRED_FIELDS if len(names) == 1],
        "properties": properties,
        "additionalProperties": {"type": "null"},
        "allOf": [
            *({"anyOf": list(map(_given, names))} for names in REQUIRED_FIELDS if len(names) > 1),
            *(
                {"if": _given(name), "then": _given(required)}
                for name, required in REQUIRED_WITH.items()
            ),
            *(
                {"if": _given(name), "then": {"not": _given(other)}}
                for name, other in EXCLUSIVE_FIELDS.items()
            ),
        ],
    }


def batch_request() -> Schema:
    """Return the schema of the JSON of a batch."""
    return {
        "type": "object",
        "required": ["messages"],
        "properties": {
            "messages": {
                "description": "Each message is validated by itself: `results` of the response "
                "has the problems of an invalid one.",
                "type": "array",
                "items": reference("SendRequest"),
                "minItems": 1,
                "maxItems": MAX_MESSAGES,
            }
        },
        "additionalProperties": False,
    }


def list_parameters() -> list[Schema]:
    """Return the parameters of GET /messages."""
    schemas: Mapping[str, tuple[str, Schema, str]] = {
        "to": (
            (
                "Lists messages to a person on every channel, newest first: a number in any usual "
                "format with its country code, or an address of a channel. Encode `+` as `%2B`."
            ),
            {"type": "string", "minLength": 1, "maxLength": MAX_ADDRESS_LENGTH},
            NUMBER,
        ),
        "reference": (
            "Lists messages with your id, newest first.",
            {"type": "string", "pattern": _NOT_BLANK, "maxLength": MAX_REFERENCE_LENGTH},
            "order-4711",
        ),
        "failed_on": (
            "Lists messages that failed on a day (UTC) and are still failed, newest first.",
            {"type": "string", "format": "date"},
            "2026-11-23",
        ),
        "unconfirmed_on": (
            "Lists messages that became unconfirmed on a day (UTC) and still are, newest first.",
            {"type": "string", "format": "date"},
            "2026-11-23",
        ),
        "pending": (
            "Lists messages without an outcome, next to be reconciled first.",
            {"type": "string", "enum": ["true"]},
            "true",
        ),
    }
    filters = [_query_parameter(name, *schemas[name]) for name in FILTERS]
    limit = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}
    return [
        *filters,
        _query_parameter("limit", "The maximum number of messages of the page.", limit, 50),
        _query_parameter(
            "next_token",
            "The `next_token` of the previous page, with the same filter.",
            {"type": "string", "minLength": 1},
            NEXT_PAGE,
        ),
    ]


def day_parameter(name: str, default: str) -> Schema:
    """Return the parameter of a day."""
    text = f"The day in UTC; {default} by default."
    return _query_parameter(name, text, {"type": "string", "format": "date"}, "2026-11-23")


def path_parameter(name: str, text: str, example: str) -> Schema:
    """Return a parameter in the path."""
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": text,
        "schema": {"type": "string", "minLength": 1},
        "example": example,
    }


def idempotency_key(maximum: int, text: str) -> Schema:
    """Return the header of an idempotency key."""
    return {
        "name": "Idempotency-Key",
        "in": "header",
        "description": text,
        "schema": {"type": "string", "minLength": 1, "maxLength": maximum},
        "example": "order-4711-ready",
    }


def _query_parameter(name: str, text: str, schema: Schema, example: object) -> Schema:
    return {"name": name, "in": "query", "description": text, "schema": schema, "example": example}


def _of_reader(read: Callable[..., Any]) -> Schema:
    """Return the schema of the values that a reader accepts."""
    reader = read.func if isinstance(read, partial) else read
    limits = {
        name: parameter.default
        for name, parameter in signature(read).parameters.items()
        if parameter.default is not Parameter.empty
    }
    return _SCHEMAS[reader](**limits)


def _text(max_length: int) -> Schema:
    return {"type": "string", "pattern": _NOT_BLANK, "maxLength": max_length}


def _sender() -> Schema:
    return _of_reader(send_fields.read_text)


def _address() -> Schema:
    return {**_sender(), "pattern": f"^({send_fields.ADDRESS.pattern})$"}


def _url(max_length: int) -> Schema:
    return {**_text(max_length), "pattern": f"^{send_fields.URL.pattern}$"}


def _list(read: Callable[..., Any], max_items: int) -> Schema:
    return {"type": "array", "items": _of_reader(read), "minItems": 1, "maxItems": max_items}


_SCHEMAS: Final[Mapping[Callable[..., Any], Callable[..., Schema]]] = {
    send_fields.read_text: _text,
    send_fields.read_sender: _sender,
    send_fields.read_address: _address,
    send_fields.read_sid: lambda prefix: {
        "type": "string",
        "pattern": f"^{prefix}[0-9a-fA-F]{{32}}$",
    },
    send_fields.read_boolean: lambda: {"type": "boolean"},
    send_fields.read_number: lambda maximum: {"type": "integer", "minimum": 1, "maximum": maximum},
    send_fields.read_choice: lambda choices: {"type": "string", "enum": list(choices)},
    send_fields.read_list: _list,
    send_fields.read_url: _url,
    send_fields.read_variables: lambda: {"type": ["object", "string"]},
    send_fields.read_time: lambda: {"type": "string", "format": "date-time"},
    send_fields.read_context: lambda: {
        "type": "object",
        "additionalProperties": {"type": "string"},
        "maxProperties": MAX_CONTEXT_NAMES,
    },
}
"""The schema of each reader of the table of fields."""


def _or_null(schema: Schema) -> Schema:
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    nullable = {**schema, "type": [*kinds, "null"]}
    return nullable | ({"enum": [*schema["enum"], None]} if "enum" in schema else {})


def _given(name: str) -> Schema:
    """Return the schema of an object that has a member other than null."""
    return {"required": [name], "properties": {name: {"not": {"type": "null"}}}}
