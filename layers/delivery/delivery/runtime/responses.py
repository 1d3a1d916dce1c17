"""Builds the responses of the HTTP APIs, payload format 2.0."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

type Response = dict[str, Any]
"""{"statusCode", "headers", "body"}; a 204 has the status code alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One invalid field of a body, or parameter of a query.

    `problem` continues a sentence that begins with the name, and holds the fix. It quotes no value,
    which may be a phone number.
    """

    field: str
    problem: str

    def as_record(self) -> dict[str, str]:
        """Return the problem as an entry of a response."""
        return {"field": self.field, "problem": self.problem}


def json_response(
    status: int, body: object, *, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a JSON response."""
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json", **(headers or {})},
        "body": json.dumps(body),
    }


def problem_response(
    status: int,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    **members: object,
) -> Response:
    """Return an error as application/problem+json (RFC 9457); `detail` says how to fix it.

    `members` are further facts for programs. No part of it may hold a secret, a message body or a
    phone number.
    """
    title = HTTPStatus(status).phrase
    body = {"title": title, "status": status, "detail": detail, **members}
    kind = {"content-type": "application/problem+json"}
    return json_response(status, body, headers={**kind, **(headers or {})})


def bad_request(problems: Iterable[Problem]) -> Response:
    """Return 400 with every problem, so that the caller can fix all of them at once."""
    listed = [it.as_record() for it in problems]
    return problem_response(400, "Correct the fields that `problems` lists.", problems=listed)
