"""Reads the events of an HTTP API, payload format 2.0.

Importing one of Powertools' event classes imports them all, a fifteenth of every cold start
(docs/performance.md), so this module reads the few fields that are needed.
Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

type HttpEvent = Mapping[str, Any]


def body_of(event: HttpEvent) -> bytes:
    """Return the body as it was sent; API Gateway encodes a form in base64."""
    body: bytes = (event.get("body") or "").encode("utf-8", "replace")
    if not event.get("isBase64Encoded"):
        return body
    try:
        return base64.b64decode(body)
    except binascii.Error:
        return body  # API Gateway never sends this; the parser of the body rejects it


def header_of(event: HttpEvent, name: str) -> str:
    """Return a header by its name in lower case; empty if it is absent."""
    return optional_header_of(event, name) or ""


def optional_header_of(event: HttpEvent, name: str) -> str | None:
    """Return a header by its name in lower case; None if it is absent.

    API Gateway writes names in lower case, `sam local` does not.
    """
    headers: Mapping[str, str] = event.get("headers") or {}
    return next((value for key, value in headers.items() if key.lower() == name), None)


def path_of(event: HttpEvent) -> str:
    """Return the path as it was sent, with the base path of a custom domain."""
    path: str = event.get("rawPath") or ""
    return path


def query_of(event: HttpEvent) -> str:
    """Return the query as it was sent, without the question mark; empty if there is none."""
    query: str = event.get("rawQueryString") or ""
    return query


def path_parameter_of(event: HttpEvent, name: str) -> str:
    """Return the value of `{name}` in the route's path; empty if there is none."""
    parameters: Mapping[str, str] = event.get("pathParameters") or {}
    return parameters.get(name, "")
