"""Small HTTP servers on 127.0.0.1, and passing a request on to another exactly as it came."""

import http.client
import json
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self, override
from urllib.parse import urlsplit

from sandbox.errors import SandboxError

LOOPBACK: Final = "127.0.0.1"

# These concern one connection, not the request (RFC 9110, section 7.6.1).
_OF_ONE_CONNECTION: Final = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"}
)
_LOOKS_FOR_STOP_EVERY_SECONDS: Final = 0.02

type Headers = Sequence[tuple[str, str]]


class NotForwarded(Exception):
    """Nobody answered, or not in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request as it came in; `target` is the path with its query, still encoded."""

    method: str
    target: str
    headers: Headers = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An answer as it goes back."""

    status: int
    headers: Headers = ()
    body: bytes = b""


def claim_ports(wanted: Mapping[str, int | None]) -> list[int]:
    """The wanted ports if nobody has them, and free ones where none is wanted.

    Args:
        wanted: by the option that asks for it.

    Raises:
        SandboxError: somebody has one; the message names the port and the option.
    """
    with ExitStack() as probes:  # all open at once, so that they differ
        return [
            _bound(probes.enter_context(socket.socket()), port, option)
            for option, port in wanted.items()
        ]


def _bound(probe: socket.socket, wanted: int | None, option: str) -> int:
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind((LOOPBACK, wanted or 0))
        probe.listen(1)  # or another probe could have the same port
    except (OSError, OverflowError) as error:
        raise SandboxError(
            f"Port {wanted} cannot be used ({error}). Choose another one with {option}, or leave "
            "the option out and a free port is taken."
        ) from error
    port: int = probe.getsockname()[1]
    return port


def forward(request: Request, *, port: int, host: str | None = None, within: float) -> Response:
    """Pass a request on to a port on this machine.

    Args:
        request: what to pass on.
        port: whose answer is wanted.
        host: what the Host header says instead of what the caller said.
        within: seconds that each step of it may take.

    Raises:
        NotForwarded: nobody answered, or not in time.
    """
    with closing(http.client.HTTPConnection(LOOPBACK, port, timeout=within)) as connection:
        try:
            connection.putrequest(
                request.method, request.target, skip_host=True, skip_accept_encoding=True
            )
            for name, value in request.headers:
                if name.lower() == "host" and host:
                    connection.putheader(name, host)
                elif name.lower() not in _OF_ONE_CONNECTION:
                    connection.putheader(name, value)
            connection.endheaders(request.body)
            answer = connection.getresponse()
            return Response(status=answer.status, headers=answer.getheaders(), body=answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NotForwarded(f"{type(error).__name__}: {error}") from error


def call(
    method: str, url: str, *, content: object = None, headers: Headers = (), within: float = 35
) -> Response:
    """Ask something of a server on this machine, with JSON if there is content.

    Raises:
        NotForwarded: nobody answered, or not in time.
    """
    parts = urlsplit(url)
    body = b"" if content is None else json.dumps(content).encode()
    request = Request(
        method=method,
        target=f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/",
        headers=[
            ("Host", parts.netloc),
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            *headers,
        ],
        body=body,
    )
    return forward(request, port=parts.port or http.client.HTTP_PORT, within=within)


class LoopbackServer:
    """Gives every request to a function, and its answer back; each in a thread of its own.

    Args:
        port: its own, or 0 for a free one.
        answer: makes the answer; None closes the connection without a word.
    """

    def __init__(self, *, port: int, answer: Callable[[Request], Response | None]) -> None:
        self._server = _Server((LOOPBACK, port), _Handler, answer=answer)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_LOOKS_FOR_STOP_EVERY_SECONDS,)
        )
        self.port: int = self._server.server_port
        self.url = f"http://{LOOPBACK}:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    def __init__(
        self,
        address: tuple[str, int],
        handler: type["_Handler"],
        *,
        answer: Callable[[Request], Response | None],
    ) -> None:
        self.answer = answer
        super().__init__(address, handler)

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a caller may go away
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _handle(self) -> None:
        # One request for each connection, so that nothing lingers when the server stops.
        self.close_connection = True
        response = self.server.answer(self._received())
        if response is None:
            return
        self.send_response_only(response.status)
        for name, value in response.headers:
            if name.lower() not in _OF_ONE_CONNECTION | {"content-length"}:
                self.send_header(name, value)
        if response.status != HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(len(response.body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)

    do_GET = do_HEAD = do_POST = do_PUT = _handle  # noqa: N815 -- http.server's names
    do_PATCH = do_DELETE = do_OPTIONS = _handle  # noqa: N815 -- the same

    def _received(self) -> Request:
        headers = self.headers.items()
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            body = b"".join(self._chunks())
            headers.append(("Content-Length", str(len(body))))
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return Request(method=self.command, target=self.path, headers=headers, body=body)

    def _chunks(self) -> list[bytes]:
        chunks = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():  # trailers
            pass
        return chunks

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- its name in http.server
        """Silence: what is behind the server logs what arrives."""
