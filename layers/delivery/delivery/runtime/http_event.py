"""What an HTTP API hands on of a request, in its payload format 2.0.

Read by hand: to import one of Powertools' event classes is to import them all, a fifteenth of every
start (docs/performance.md).
Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

type HttpEvent = Mapping[str, Any]


def body_of(event: HttpEvent) -> bytes:
    """The body as it was sent: what is not text, a form too, is passed on in base64."""
    body: bytes = (event.get("body") or "").encode("utf-8", "replace")
    if not event.get("isBase64Encoded"):
        return body
    try:
        return base64.b64decode(body)
    except binascii.Error:
        return body  # no gateway sends that; nobody will be able to read it


def header_of(event: HttpEvent, name: str) -> str:
    """A header by its name in lower case; empty where there is none.

    API Gateway spells names in lower case, `sam local` does not.
    """
    headers: Mapping[str, str] = event.get("headers") or {}
    return next((value for key, value in headers.items() if key.lower() == name), "")


def query_of(event: HttpEvent) -> str:
    """The query as it was sent, without the question mark; empty where there is none."""
    query: str = event.get("rawQueryString") or ""
    return query


def path_parameter_of(event: HttpEvent, name: str) -> str:
    """What stands in the path in the place of `{name}`; empty where there is nothing."""
    parameters: Mapping[str, str] = event.get("pathParameters") or {}
    return parameters.get(name, "")
