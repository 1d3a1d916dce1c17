"""The simulator's own pages under /_simulator/, for tests and for people who look inside."""

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sandbox.http_server import Request, Response
from sandbox.twilio.accounts import Accounts
from sandbox.twilio.playback import Playback
from sandbox.twilio.resource import Document, Message, message_document

type _Page = Callable[[], Document]

PREFIX = "/_simulator/"


class OwnPages:
    """Needs no credentials: the simulator listens on this machine only.

    ============================  ================================================================
    GET  messages                 every message, with its callbacks and each attempt's result
    GET  messages/{message_sid}   one of them
    GET  debugger                 the entries of Twilio's debugger
    GET  settings                 see `Settings`
    POST settings                 JSON with some of them, e.g. {"pace": 1, "throttle": 3}
    POST credentials              {"account_sid": ..., "auth_token": ...}: promote a new token
    ============================  ================================================================
    """

    def __init__(self, accounts: Accounts, playback: Playback) -> None:
        self._accounts = accounts
        self._playback = playback

    def handle(self, request: Request) -> Response:
        """Answer in JSON; a mistake is told with 400 or 404."""
        page = request.path.removeprefix(PREFIX)
        try:
            document = self._document(request.method, page, request.body)
        except (KeyError, ValueError) as error:
            return _answer(400, {"error": str(error)})
        if document is None:
            return _answer(404, {"error": f"there is no {request.method} {request.path}"})
        return _answer(200, document)

    def _document(self, method: str, page: str, body: bytes) -> Document | None:
        pages: dict[tuple[str, str], _Page] = {
            ("GET", "messages"): self._messages,
            ("GET", "debugger"): self._debugger,
            ("GET", "settings"): lambda: asdict(self._playback.settings),
            ("POST", "settings"): lambda: self._change_settings(_object(body)),
            ("POST", "credentials"): lambda: self._rotate(_object(body)),
        }
        message = self._playback.message(page.removeprefix("messages/"))
        if method == "GET" and message is not None:
            return self._known(message)
        answer = pages.get((method, page))
        return answer() if answer else None

    def _messages(self) -> Document:
        return {"messages": [self._known(message) for message in self._playback.messages()]}

    def _debugger(self) -> Document:
        return {"entries": [asdict(entry) for entry in self._playback.debugger]}

    def _change_settings(self, changes: dict[str, Any]) -> Document:
        self._playback.settings = self._playback.settings.changed(changes)
        return asdict(self._playback.settings)

    def _rotate(self, given: dict[str, Any]) -> Document:
        self._accounts.rotate(given["account_sid"], given["auth_token"])
        return {"account_sid": given["account_sid"]}

    def _known(self, message: Message) -> Document:
        callbacks = [
            asdict(callback)
            for callback in self._playback.callbacks.values()
            if callback.message_sid == message.sid
        ]
        return message_document(message) | {"callbacks": callbacks}


def _object(body: bytes) -> dict[str, Any]:
    given = json.loads(body)
    if not isinstance(given, dict):
        raise ValueError("the body has to be a JSON object")  # noqa: TRY004 -- a value from outside
    return given


def _answer(status: int, document: Document) -> Response:
    return Response(
        status=status,
        headers=[("Content-Type", "application/json")],
        body=json.dumps(document, default=_plain, indent=2).encode(),
    )


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else sorted(value)
