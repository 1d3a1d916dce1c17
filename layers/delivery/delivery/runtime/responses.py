"""Answers of the HTTP APIs, in the shape that an HTTP API's Lambda integration wants."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

type Response = dict[str, Any]
"""{"statusCode", "headers", "body"} as of API Gateway's payload format 2.0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong with a field of a body or a parameter of a query.

    `problem` goes on from the name, holds the fix, and quotes no value: it may be a phone number.
    """

    field: str
    problem: str

    def as_record(self) -> dict[str, str]:
        """What an answer shows of it."""
        return {"field": self.field, "problem": self.problem}


def json_response(
    status: int, body: object, *, headers: Mapping[str, str] | None = None
) -> Response:
    """A JSON answer."""
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
    """An error answer (RFC 9457, application/problem+json): `detail` says what to do about it.

    `members` are further facts for programs. Nothing here may hold a secret, a message body or a
    phone number.
    """
    title = HTTPStatus(status).phrase
    body = {"title": title, "status": status, "detail": detail, **members}
    kind = {"content-type": "application/problem+json"}
    return json_response(status, body, headers={**kind, **(headers or {})})


def bad_request(problems: Iterable[Problem]) -> Response:
    """400 with every problem, so that all can be put right at once."""
    listed = [it.as_record() for it in problems]
    return problem_response(400, "Put right what `problems` lists.", problems=listed)
