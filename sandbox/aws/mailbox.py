"""The inbox of whoever subscribed to failure notices by email.

MiniStack delivers a notice to queues and web addresses, but for an email it only writes a line to
its log. So the functions reach SNS through this little server: it passes each call on as it came
and, when SNS took it, keeps what would have been mailed.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs

from sandbox.http_server import HttpServer, NoResponse, Request, Response, forward

_WAITS_SECONDS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Email:
    """A notice as its reader gets it."""

    subject: str
    text: str


class Mailbox(HttpServer):
    """A server on the loopback interface for as long as it is entered.

    Args:
        upstream_port: the emulator's.
        arrived: told of every email, in the thread that passed it on.
    """

    def __init__(self, *, upstream_port: int, arrived: Callable[[Email], None]) -> None:
        super().__init__(port=0, answer=self._answer)
        self._upstream_port = upstream_port
        self._arrived = arrived

    def _answer(self, request: Request) -> Response:
        try:
            # The Host header stays as it is: it is part of what the caller signed.
            response = forward(request, port=self._upstream_port, timeout=_WAITS_SECONDS)
        except NoResponse:
            return Response(status=HTTPStatus.SERVICE_UNAVAILABLE)
        if response.status == HTTPStatus.OK and (email := email_of(request.body)):
            self._arrived(email)
        return response


def email_of(body: bytes) -> Email | None:
    """What SNS mails for a call with this body, if the call publishes something.

    With MessageStructure `json` each protocol has a text of its own, and `default` is for the rest:
    https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
    """
    call = {name: values[0] for name, values in parse_qs(body.decode()).items()}
    if call.get("Action") != "Publish":
        return None
    text = call["Message"]
    if call.get("MessageStructure") == "json":
        forms = json.loads(text)
        text = forms.get("email", forms["default"])
    return Email(subject=call.get("Subject", "AWS Notification Message"), text=text)
