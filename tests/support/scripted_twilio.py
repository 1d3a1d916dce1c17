"""A Twilio whose responses a test scripts, down to the bytes; it counts connections."""

import contextlib
import json
import socketserver
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message as Headers
from http.client import parse_headers
from io import BufferedReader
from typing import Any, Self, cast, override
from urllib.parse import parse_qsl

from sandbox.http_server import ThreadedServer

MESSAGE_SID = "SM" + "0123456789abcdef" * 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The response to a request; without a status, `body` is all that the server sends."""

    status: int | None = 201
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    missing_bytes: int = 0
    """How many bytes more than the body Content-Length announces."""
    closes: bool = False

    def as_bytes(self) -> bytes:
        if self.status is None:
            return self.body
        length = str(len(self.body) + self.missing_bytes)
        headers = {"Content-Type": "application/json", "Content-Length": length, **self.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"HTTP/1.1 {self.status} Scripted\r\n{head}\r\n".encode() + self.body


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    method: str
    path: str
    headers: Headers
    parameters: list[tuple[str, str]]


def resource(**properties: Any) -> dict[str, Any]:
    """A message in the shape of Twilio's API."""
    return {
        "sid": MESSAGE_SID,
        "account_sid": "AC" + "0" * 32,
        "status": "queued",
        "to": "+15558675310",
        "from": "+15005550006",
        "messaging_service_sid": None,
        "body": "Your table is ready",
        "num_segments": "1",
        "price": None,
        "price_unit": "USD",
        "error_code": None,
        "error_message": None,
        "date_created": "Thu, 24 Aug 2023 05:01:45 +0000",
        **properties,
    }


def accepted(**properties: Any) -> Reply:
    return Reply(body=json.dumps(resource(**properties)).encode())


def rejected(
    status: int, code: int | None = None, headers: Mapping[str, str] | None = None
) -> Reply:
    """An error in Twilio's shape, with a phone number in its text."""
    message = "The 'To' number +15558675310 is out of reach, says Twilio"
    body = {"code": code, "message": message, "status": status}
    return Reply(status=status, headers=dict(headers or {}), body=json.dumps(body).encode())


DROPPED = Reply(status=None, closes=True)
STALLED = Reply(status=None)


class ScriptedTwilio:
    """Answers each request with the next reply, and repeats the last one."""

    def __init__(self, *replies: Reply) -> None:
        self.requests: list[Received] = []
        self.connections = 0
        self.closed = threading.Semaphore(0)
        """Released for each connection that the server has closed."""
        self._replies = list(replies) or [accepted()]
        self._server = _Server(self)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.port}"

    def will(self, *replies: Reply) -> None:
        self._replies = list(replies)

    def next_reply(self) -> Reply:
        return self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stopping.set()
        self._server.stop()


class _Server(ThreadedServer):
    def __init__(self, script: ScriptedTwilio) -> None:
        self.script = script
        self.stopping = threading.Event()
        super().__init__(0, _Handler)


class _Handler(socketserver.BaseRequestHandler):
    @override
    def handle(self) -> None:
        server = cast("_Server", self.server)
        # The client goes away (OSError), or speaks TLS to a server without it (ValueError).
        with contextlib.suppress(OSError, ValueError), contextlib.ExitStack() as stack:
            server.script.connections += 1
            connection = stack.enter_context(self.request)
            connection.settimeout(5)
            stream = stack.enter_context(connection.makefile("rb"))
            while (received := _read(stream)) and not server.stopping.is_set():
                server.script.requests.append(received)
                reply = server.script.next_reply()
                connection.sendall(reply.as_bytes())
                if reply.closes:
                    break
        server.script.closed.release()


def _read(stream: BufferedReader) -> Received | None:
    line = stream.readline().decode()
    if not line:
        return None
    method, path, _ = line.split(" ", 2)
    headers = parse_headers(stream)
    body = stream.read(int(headers.get("Content-Length", "0")))
    return Received(
        method=method,
        path=path,
        headers=headers,
        parameters=parse_qsl(body.decode(), keep_blank_values=True),
    )
