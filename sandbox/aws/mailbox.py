"""The inbox of the email subscribers of SNS topics.

MiniStack delivers notices to queues and web addresses, but only logs emails. Therefore the
functions reach SNS through this server. It passes each call on as it came and, when SNS accepted
it, extracts the email from it.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs

from sandbox.http_server import HttpServer, NoResponse, Request, Response, forward

_TIMEOUT_SECONDS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Email:
    """An email as its reader receives it."""

    subject: str
    text: str


class Mailbox(HttpServer):
    """A server between the functions and SNS.

    Args:
        upstream_port: the port of the emulator.
        on_email: called with every email, in the thread of its request.
    """

    def __init__(self, *, upstream_port: int, on_email: Callable[[Email], None]) -> None:
        super().__init__(port=0, answer=self._answer)
        self._upstream_port = upstream_port
        self._on_email = on_email

    def _answer(self, request: Request) -> Response:
        try:
            # The Host header stays as it is, because the caller signed it.
            response = forward(request, port=self._upstream_port, timeout=_TIMEOUT_SECONDS)
        except NoResponse:
            return Response(status=HTTPStatus.SERVICE_UNAVAILABLE)
        if response.status == HTTPStatus.OK and (email := parse_email(request.body)):
            self._on_email(email)
        return response


def parse_email(body: bytes) -> Email | None:
    """Return the email that SNS sends for a call with this body; None if it publishes nothing.

    With MessageStructure `json` each protocol has its own text, and `default` is for the others:
    https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
    """
    call = {name: values[0] for name, values in parse_qs(body.decode()).items()}
    if call.get("Action") != "Publish":
        return None
    text = call["Message"]
    if call.get("MessageStructure") == "json":
        texts = json.loads(text)
        text = texts.get("email", texts["default"])
    return Email(subject=call.get("Subject", "AWS Notification Message"), text=text)
