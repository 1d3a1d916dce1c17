"""The simulator's admin API under /_simulator/, for tests and for people at the sandbox.

Its page lists the messages and callbacks. It loads nothing from other servers.
"""

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sandbox.http_server import Request, Response
from sandbox.page_response import file_response
from sandbox.twilio.accounts import Accounts
from sandbox.twilio.engine import Engine
from sandbox.twilio.parameters import Parameters
from sandbox.twilio.resource import Document, Message, message_document

if TYPE_CHECKING:
    from collections.abc import Callable

PREFIX = "/_simulator/"

_FOLDER: Final = Path(__file__).parent / "page"
_FILES: Final = {"": "page.html", "page.js": "page.js", "page.css": "page.css"}


class AdminApi:
    """Needs no credentials: the simulator listens on the loopback interface only.

    ============================  ================================================================
    GET                           a page that shows the messages
    GET  messages                 every message, with its callbacks and each attempt's result;
                                  with ?limit=N the N newest
    GET  messages/{message_sid}   one message
    GET  debugger                 the entries of Twilio's debugger
    GET  settings                 see `Settings`
    POST settings                 JSON with some settings, e.g. {"step_seconds": 1, "trial": true}
    POST credentials              {"account_sid": ..., "auth_token": ...}: replaces the auth token
    ============================  ================================================================
    """

    def __init__(self, accounts: Accounts, engine: Engine) -> None:
        self._accounts = accounts
        self._engine = engine

    def handle(self, request: Request) -> Response:
        """Answer in JSON; 400 or 404 with an `error` for an invalid request."""
        path = request.path.removeprefix(PREFIX)
        if request.method == "GET" and path in _FILES:
            return file_response(_FOLDER / _FILES[path])
        try:
            document = self._document(request, path)
        except ValueError as error:
            return _json_response(400, {"error": str(error)})
        if document is None:
            return _json_response(404, {"error": f"not found: {request.method} {request.path}"})
        return _json_response(200, document)

    def _document(self, request: Request, path: str) -> Document | None:
        method, body = request.method, request.body
        routes: dict[tuple[str, str], Callable[[], Document]] = {
            ("GET", "messages"): lambda: self._messages(Parameters.parse(request.query)),
            ("GET", "debugger"): self._debugger,
            ("GET", "settings"): lambda: asdict(self._engine.settings),
            ("POST", "settings"): lambda: self._change_settings(_parse_object(body)),
            ("POST", "credentials"): lambda: self._rotate(_parse_object(body)),
        }
        message = self._engine.message(path.removeprefix("messages/"))
        if method == "GET" and message is not None:
            return self._with_callbacks([message])[0]
        endpoint = routes.get((method, path))
        return endpoint() if endpoint else None

    def _messages(self, query: Parameters) -> Document:
        messages = self._engine.messages()
        limit = query.one("limit") or str(len(messages))
        if not limit.isdecimal():
            raise ValueError(f"invalid limit {limit!r}: expected a whole number, 0 or more")
        newest = messages[max(0, len(messages) - int(limit)) :]
        return {"total": len(messages), "messages": self._with_callbacks(newest)}

    def _debugger(self) -> Document:
        return {"entries": [asdict(entry) for entry in self._engine.debugger]}

    def _change_settings(self, changes: dict[str, Any]) -> Document:
        self._engine.settings = self._engine.settings.changed(changes)
        return asdict(self._engine.settings)

    def _rotate(self, credentials: dict[str, Any]) -> Document:
        account_sid, auth_token = (credentials.get(it) for it in ("account_sid", "auth_token"))
        if not isinstance(account_sid, str) or not isinstance(auth_token, str):
            raise ValueError("expected account_sid and auth_token, both as text")  # noqa: TRY004 -- the values come from outside
        self._accounts.rotate(account_sid, auth_token)
        return {"account_sid": account_sid}

    def _with_callbacks(self, messages: list[Message]) -> list[Document]:
        callbacks: dict[str, list[Document]] = {message.sid: [] for message in messages}
        for callback in self._engine.callbacks.values():
            if callback.message_sid in callbacks:
                callbacks[callback.message_sid].append(asdict(callback))
        return [message_document(it) | {"callbacks": callbacks[it.sid]} for it in messages]


def _parse_object(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError as error:
        raise ValueError(f"the body is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise ValueError("expected a JSON object")  # noqa: TRY004 -- the value comes from outside
    return document


def _json_response(status: int, document: Document) -> Response:
    return Response(
        status=status,
        headers=[("Content-Type", "application/json")],
        body=json.dumps(document, default=_json_value, indent=2).encode(),
    )


def _json_value(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else sorted(value)
