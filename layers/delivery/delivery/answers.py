"""Answers of the HTTP APIs, in the shape that an HTTP API's Lambda integration wants."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

type Answer = dict[str, Any]
"""{"statusCode", "headers", "body"} as of API Gateway's payload format 2.0."""


def answer(status: int, body: object, *, headers: Mapping[str, str] | None = None) -> Answer:
    """A JSON answer."""
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json", **(headers or {})},
        "body": json.dumps(body),
    }


def problem(
    status: int,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    **members: object,
) -> Answer:
    """An error answer (RFC 9457, application/problem+json): `detail` says what to do about it.

    `members` are further facts for programs. Nothing here may hold a secret, a message body or a
    phone number.
    """
    title = HTTPStatus(status).phrase
    body = {"title": title, "status": status, "detail": detail, **members}
    kind = {"content-type": "application/problem+json"}
    return answer(status, body, headers={**kind, **(headers or {})})
