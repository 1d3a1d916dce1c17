"""Builds the OpenAPI document of MessagesApi."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

from delivery.domain.send_fields import MAX_VALUE_LENGTH
from delivery_cli import __version__
from functions.send_message.batch import MAX_BATCH_BYTES, MAX_KEY_LENGTH
from functions.send_message.request import MAX_REQUEST_BYTES

from .answers import answer_schemas
from .inputs import (
    day_parameter,
    idempotency_key,
    list_parameters,
    path_parameter,
    send_request,
)
from .samples import Samples, answer_samples
from .schema import Schema, reference

_DESCRIPTION: Final = """\
Sends messages through Twilio and returns what became of them.

Sign each request with AWS credentials that allow `execute-api:Invoke` (signature version 4, service
`execute-api`). The sandbox asks for no signature.

Errors of the functions are `application/problem+json` (RFC 9457). Errors of API Gateway itself are
`application/json` with a `message`: after such a 5xx, or without a response, a message may have
been sent, so repeat the request under the same idempotency key.

Answers leave out fields that are unknown or do not apply. A later version may add fields to
answers, and values to fields whose values come from Twilio. Text must be valid Unicode without
U+0000 and U+FFFD; `to`, `from`, and `fallback_from` must hold no invisible characters.
"""

_GATEWAY_ERRORS: Final[Mapping[str, tuple[str, str]]] = {
    "403": ("Forbidden", "The signature is missing or invalid, or its identity may not call this."),
    "413": ("TooLarge", "The request is too large for API Gateway or Lambda."),
    "429": ("TooManyRequests", "API Gateway throttles. Retry later."),
    "500": ("FunctionFailed", "The function failed."),
    "503": ("NoAnswer", "The function did not answer in time."),
}
"""The name and the meaning of each status that API Gateway itself can answer."""

_GATEWAY_MESSAGES: Final = {"413": "Request Entity Too Large"}  # the others are the phrase of HTTP

_KEY: Final = "Makes the request safe to repeat: one key sends at most one message."
_BATCH_KEY: Final = (
    "Makes the batch safe to repeat: the key of each message without one follows from it."
)
_MESSAGE_SID: Final = ("message_sid", "The SID of the message.", "SM" + "1" * 32)
_MESSAGE_OR_REQUEST: Final = (
    "message_sid",
    "The SID of the message; or the `request_id` of a queued request that became no message.",
    "SM" + "1" * 32,
)
_REQUEST_ID: Final = ("request_id", "The id of the send request.", "rq_" + "3" * 32)

type Answers = Mapping[int, tuple[str, Schema]]
"""What each HTTP status means, and the schema of its body."""


def document() -> dict[str, Any]:
    """Return the OpenAPI document."""
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "MessagesApi",
            "version": __version__,
            "summary": "Delivery tracking for Twilio messages",
            "description": _DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [
            {
                "url": "https://{api_id}.execute-api.{region}.amazonaws.com",
                "description": "The stack's output `MessagesApiUrl`",
                "variables": {
                    "api_id": {"default": "abcde12345"},
                    "region": {"default": "us-east-1"},
                },
            }
        ],
        "security": [{"aws_signature_4": []}],
        "tags": [
            {"name": "Send", "description": "Send and cancel messages"},
            {"name": "Read", "description": "Read what became of them"},
        ],
        "paths": _paths(),
        "components": {
            "schemas": answer_schemas(),
            "responses": {
                name: {"description": text, "content": _gateway_content(status)}
                for status, (name, text) in _GATEWAY_ERRORS.items()
            },
            "securitySchemes": {
                "aws_signature_4": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "AWS signature version 4, service `execute-api`",
                    "x-amazon-apigateway-authtype": "awsSigv4",
                }
            },
        },
    }


def _paths() -> dict[str, Any]:
    invalid = ("Invalid input: every field with its problem.", reference("InvalidRequest"))
    unavailable = ("Nothing was sent. Retry later.", reference("Problem"))
    not_readable = ("The table could not be read. Retry.", reference("Problem"))
    message = reference("Message")
    return {
        "/messages": {
            "post": _operation(
                "sendMessage",
                "Send a message",
                f"The body has at most {MAX_REQUEST_BYTES // 1024} KiB.",
                parameters=[idempotency_key(MAX_VALUE_LENGTH, _KEY)],
                body=_json_body(reference("SendRequest"), _request_samples()),
                answers={
                    200: (
                        (
                            "Duplicate request: the key was used before, and nothing was sent. "
                            "Only the ids are left of a message that is no longer kept."
                        ),
                        {"anyOf": [message, reference("SentMessage")]},
                    ),
                    201: ("Twilio accepted the message.", message),
                    202: (
                        "The request is in progress or in doubt: the message may have been sent.",
                        reference("UnresolvedRequest"),
                    ),
                    400: (f"{invalid[0]} Nothing was sent, and the key is free.", invalid[1]),
                    409: ("The key cannot be used for this request.", reference("KeyConflict")),
                    422: (
                        "Twilio rejected the message, and the key is free.",
                        reference("Rejection"),
                    ),
                    503: (
                        (
                            "Nothing was sent: Twilio throttles, is unreachable, or refuses the "
                            "credentials, or the secret or table cannot be read. Retry later with "
                            "the same key."
                        ),
                        reference("Problem"),
                    ),
                },
            ),
            "get": _operation(
                "listMessages",
                "List messages",
                "Takes exactly one of the filters `to`, `reference`, `failed_on`, "
                "`unconfirmed_on`, and `pending`. Lists are eventually consistent.",
                parameters=list_parameters(),
                answers={
                    200: ("A page of the list.", reference("MessagePage")),
                    400: invalid,
                    503: not_readable,
                },
            ),
        },
        "/messages/batch": {
            "post": _operation(
                "queueMessages",
                "Queue a batch of messages",
                "Puts the valid messages into `SendQueue`. The body has at most "
                f"{MAX_BATCH_BYTES // 1024**2} MiB.",
                parameters=[idempotency_key(MAX_KEY_LENGTH, _BATCH_KEY)],
                body=_json_body(
                    reference("BatchRequest"),
                    {"two_messages": {"messages": list(_request_samples().values())}},
                ),
                answers={
                    202: (
                        "Every message is queued, or its result has its problems.",
                        reference("BatchResults"),
                    ),
                    400: ("Not a batch; nothing was queued.", reference("InvalidRequest")),
                    413: ("The batch is too large; nothing was queued.", reference("Problem")),
                    503: (
                        (
                            "With `results`: SQS did not confirm some messages. Without: nothing "
                            "was queued. Retry later."
                        ),
                        {"anyOf": [reference("BatchNotQueued"), reference("Problem")]},
                    ),
                },
            )
        },
        "/messages/{message_sid}": {
            "get": _operation(
                "getMessage",
                "Get a message",
                "Strongly consistent.",
                parameters=[path_parameter(*_MESSAGE_OR_REQUEST)],
                answers={
                    200: ("The message.", message),
                    404: ("The message is not known.", reference("Problem")),
                    503: not_readable,
                },
            )
        },
        "/messages/{message_sid}/cancel": {
            "post": _operation(
                "cancelMessage",
                "Cancel a scheduled message",
                "Canceling a message twice is safe.",
                parameters=[path_parameter(*_MESSAGE_SID)],
                answers={
                    200: ("The message is canceled.", message),
                    404: ("Twilio does not know the message.", reference("Problem")),
                    422: ("It is too late to cancel the message.", reference("Rejection")),
                    503: ("The message may not be canceled. Retry.", unavailable[1]),
                },
            )
        },
        "/requests/{request_id}": {
            "get": _operation(
                "getRequest",
                "Get the state of a send request",
                "A request that waits in `SendQueue` returns 404.",
                parameters=[path_parameter(*_REQUEST_ID)],
                answers={
                    200: ("The state of the request.", reference("RequestState")),
                    404: ("The request is not known.", reference("Problem")),
                    503: not_readable,
                },
            )
        },
        "/summary": {
            "get": _operation(
                "getSummary",
                "Count the failures of a day, and what is pending or in doubt now",
                "Counts at most 10,000 messages of each list.",
                parameters=[day_parameter("date", "today")],
                answers={
                    200: ("The counts.", reference("Summary")),
                    400: invalid,
                    503: not_readable,
                },
            )
        },
        "/audits": {
            "get": _operation(
                "getAudits",
                "Get the audits of a day",
                "Each finished day is compared with Twilio's own list of messages.",
                parameters=[day_parameter("on", "yesterday")],
                answers={
                    200: ("The result of each account.", reference("AuditResults")),
                    400: invalid,
                    503: not_readable,
                },
            )
        },
    }


def _request_samples() -> Samples:
    examples = {
        name: schema["examples"][0]
        for name, schema in send_request()["properties"].items()
        if "examples" in schema
    }
    text = ("to", "from", "body", "reference")
    template = ("to", "messaging_service_sid", "content_sid", "content_variables", "send_at")
    return {
        "text": {name: examples[name] for name in text},
        "scheduled_template": {name: examples[name] for name in template},
    }


def _operation(  # noqa: PLR0913 -- the parts of an operation
    operation_id: str,
    summary: str,
    description: str,
    *,
    parameters: Iterable[Schema],
    answers: Answers,
    body: Schema | None = None,
) -> dict[str, Any]:
    samples = answer_samples()[operation_id]
    documented = {
        str(status): _answer(status, text, schema, samples[status])
        for status, (text, schema) in answers.items()
    }
    for status, (name, _) in _GATEWAY_ERRORS.items():
        if status in documented:  # the function answers it too
            documented[status]["content"] |= _gateway_content(status)
        else:
            documented[status] = {"$ref": f"#/components/responses/{name}"}
    return {
        "operationId": operation_id,
        "tags": ["Read" if operation_id.startswith(("get", "list")) else "Send"],
        "summary": summary,
        "description": description,
        "parameters": list(parameters),
        **({"requestBody": body} if body else {}),
        "responses": dict(sorted(documented.items())),
    }


def _answer(status: int, text: str, schema: Schema, samples: Samples) -> Schema:
    is_error = status >= HTTPStatus.BAD_REQUEST
    media_type = "application/problem+json" if is_error else "application/json"
    answer: Schema = {"description": text}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        retry_after = {
            "description": "Seconds after which to retry; absent if API Gateway answers.",
            "schema": {"type": "integer", "minimum": 0},
        }
        answer["headers"] = {"Retry-After": retry_after}
    return {**answer, "content": {media_type: _content(schema, samples)}}


def _gateway_content(status: str) -> Schema:
    name = _GATEWAY_ERRORS[status][0]
    message = _GATEWAY_MESSAGES.get(status, HTTPStatus(int(status)).phrase)
    samples = {name[0].lower() + name[1:]: {"message": message}}
    return {"application/json": _content(reference("GatewayError"), samples)}


def _json_body(schema: Schema, samples: Samples) -> Schema:
    return {"required": True, "content": {"application/json": _content(schema, samples)}}


def _content(schema: Schema, samples: Samples) -> Schema:
    examples = {name: {"value": sample} for name, sample in samples.items()}
    return {"schema": schema, "examples": examples}
