"""HTTP on the loopback interface: the one server of the sandbox, and a client for its neighbours.

The simulator, the gateway, the dashboard page, the mailbox and the tests' stand-ins are each an
`HttpServer` with a function that answers requests.

A page of any site can make the browser of a developer send requests to these servers. Each server
refuses those that reached it by another name (DNS rebinding), and those of other sites (CSRF).
Programs send neither an Origin nor Sec-Fetch headers.
"""

import contextlib
import http.client
import json
import random
import selectors
import socket
import socketserver
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, Final, Self, override
from urllib.parse import urlsplit

from sandbox.errors import SandboxError

LOOPBACK: Final = "127.0.0.1"
HOST_IN_CONTAINERS: Final = "host.docker.internal"
"""The name of this machine inside containers: by default with Docker Desktop, elsewhere with
`--add-host host.docker.internal:host-gateway`."""

_OWN_NAMES: Final = (LOOPBACK, "localhost", HOST_IN_CONTAINERS)

# These concern one connection, not the request (RFC 9110, section 7.6.1).
_CONNECTION_HEADERS: Final = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"}
)
_FREE_PORTS: Final = range(15_000, 30_000)

type Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request as it was received.

    `target` is the path with its query, still encoded. `concurrent` is the number of requests that
    the server was handling when this one came, itself included.
    """

    method: str
    target: str
    headers: Headers = ()
    body: bytes = b""
    concurrent: int = 1

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The target's query, without the question mark."""
        return self.target.partition("?")[2]

    def header(self, name: str) -> str | None:
        """The first value of a header, if it is there."""
        return _first(self.headers, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A response as it is sent."""

    status: int
    headers: Headers = ()
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """The first value of a header, if it is there."""
        return _first(self.headers, name)


def _first(headers: Headers, wanted: str) -> str | None:
    return next((value for name, value in headers if name.lower() == wanted.lower()), None)


class HttpServer:
    """Serves HTTP/1.1 on 127.0.0.1 for as long as its context lasts, with keep-alive.

    Args:
        port: the port to listen on; 0 takes a free one.
        answer: returns the response to a request, in a thread of the request's connection. None
            closes the connection without a response.
    """

    def __init__(self, *, port: int = 0, answer: Callable[[Request], Response | None]) -> None:
        self._server = _Server(port, lambda request: self.refuse(request) or answer(request))
        self.port = self._server.port
        self.url = f"http://{LOOPBACK}:{self.port}"

    def refuse(self, request: Request) -> Response | None:
        """Return the response to a request that a page of another site caused; None to others.

        A link of another site may still open a page of this server: in a window, not in a frame.
        https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Sec-Fetch-Site
        """
        hosts = {f"{name}:{self.port}" for name in _OWN_NAMES}
        if request.header("Host") not in hosts:
            text = f"This server is only at {self.url}/."
            return text_response(HTTPStatus.MISDIRECTED_REQUEST, text)
        origin = request.header("Origin")
        if origin is not None:
            is_foreign = origin not in {f"http://{host}" for host in hosts}
        else:
            is_link = request.method == "GET" and request.header("Sec-Fetch-Dest") == "document"
            site = request.header("Sec-Fetch-Site") or "none"
            is_foreign = site not in {"same-origin", "none"} and not is_link
        if is_foreign:
            text = "Pages of other sites may not use this server."
            return text_response(HTTPStatus.FORBIDDEN, text)
        return None

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.stop()
        self._server.close_connections()


def text_response(status: HTTPStatus, text: str) -> Response:
    """Return a response of plain text."""
    headers = [("Content-Type", "text/plain; charset=utf-8")]
    return Response(status=status, headers=headers, body=text.encode())


class ThreadedServer(socketserver.ThreadingTCPServer):
    """Serves on 127.0.0.1 in a thread of its own from `start` until `stop`.

    `stop` wakes the thread; with `serve_forever`, it would wait for the next poll.
    """

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128
    timeout = 0  # of handle_request, which is called when a connection is there

    def __init__(
        self, port: int, handler: Callable[[Any, Any, Self], socketserver.BaseRequestHandler]
    ) -> None:
        super().__init__((LOOPBACK, port), handler)
        self.port: int = self.server_address[1]
        self._running, self._stopped = socket.socketpair()
        self._thread = threading.Thread(target=self._serve)

    def start(self) -> None:
        """Accept connections, in a new thread."""
        self._thread.start()

    def stop(self) -> None:
        """Accept no more connections; open ones stay open."""
        self._running.close()  # the other end can be read then
        self._thread.join()
        self._stopped.close()
        self.server_close()

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self, selectors.EVENT_READ)
            selector.register(self._stopped, selectors.EVENT_READ)
            while all(key.fileobj is self for key, _ in selector.select()):
                self.handle_request()


class _Server(ThreadedServer):
    def __init__(self, port: int, answer: Callable[[Request], Response | None]) -> None:
        super().__init__(port, _Handler)
        self._answer = answer
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._concurrent = 0

    def answer(self, request: Request) -> Response | None:
        """Answer a request, and count it while that takes."""
        with self._lock:
            self._concurrent += 1
            concurrent = self._concurrent
        try:
            return self._answer(replace(request, concurrent=concurrent))
        finally:
            with self._lock:
                self._concurrent -= 1

    def close_connections(self) -> None:
        """End idle keep-alive connections; a request under way still gets its response."""
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RD)

    @override
    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    @override
    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # the client closed the connection
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def _handle(self) -> None:
        response = self.server.answer(self._received())
        if response is None:
            self.close_connection = True
            return
        self.send_response_only(response.status)
        for name, value in response.headers:
            if name.lower() not in _CONNECTION_HEADERS | {"content-length"}:
                self.send_header(name, value)
        if response.status != HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(len(response.body)))
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
            body = self._read(int(self.headers.get("Content-Length") or 0))
        return Request(method=self.command, target=self.path, headers=headers, body=body)

    def _read(self, size: int) -> bytes:
        data = self.rfile.read(size)
        if len(data) < size:
            raise ConnectionAbortedError("the request ends before its announced length")
        return data

    def _chunks(self) -> list[bytes]:
        chunks = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            chunks.append(self._read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():  # trailers
            pass
        return chunks

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- its name in http.server
        """Log nothing: the components behind the servers record what they receive."""


def choose_ports(wanted: Mapping[str, int | None]) -> list[int]:
    """Return the wanted ports, with a free one for each None.

    Args:
        wanted: ports by the command line option that sets them.

    Raises:
        SandboxError: a wanted port is in use; the message names the port and its option.
    """
    with ExitStack() as probes:  # all open at once, so that they differ
        return [
            _bound(probes.enter_context(socket.socket()), port, option)
            for option, port in wanted.items()
        ]


def _bound(probe: socket.socket, wanted: int | None, option: str) -> int:
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if wanted is None:
        return _bound_to_free_port(probe)
    try:
        _listen(probe, wanted)
    except (OSError, OverflowError) as error:
        raise SandboxError(
            f"Port {wanted} cannot be used ({error}). Choose another one with {option}, or leave "
            "the option out to use a free port."
        ) from error
    return wanted


def _bound_to_free_port(probe: socket.socket) -> int:
    """Bind to a port that no outgoing connection gets before a server listens on it.

    Systems give connections ports from 32768 or 49152 up.
    """
    for port in random.sample(_FREE_PORTS, len(_FREE_PORTS)):
        with contextlib.suppress(OSError):
            _listen(probe, port)
            return port
    raise SandboxError(f"No port is free between {_FREE_PORTS.start} and {_FREE_PORTS.stop}.")


def _listen(probe: socket.socket, port: int) -> None:
    probe.bind((LOOPBACK, port))
    probe.listen(1)  # or another probe could have the same port


class NoResponse(Exception):
    """The server did not respond, or not in time."""


def forward(request: Request, *, port: int, host: str | None = None, timeout: float) -> Response:
    """Pass a request on to a port on this machine, and return the response.

    Args:
        request: the request, which is passed on as it came.
        port: the port of the server.
        host: replaces the request's Host header.
        timeout: seconds to wait for each step (connect, send, receive).

    Raises:
        NoResponse: the server did not respond, or not in time.
    """
    with closing(http.client.HTTPConnection(LOOPBACK, port, timeout=timeout)) as connection:
        try:
            connection.putrequest(
                request.method, request.target, skip_host=True, skip_accept_encoding=True
            )
            for name, value in request.headers:
                if name.lower() == "host" and host:
                    connection.putheader(name, host)
                elif name.lower() not in _CONNECTION_HEADERS:
                    connection.putheader(name, value)
            connection.endheaders(request.body)
            answer = connection.getresponse()
            return Response(status=answer.status, headers=answer.getheaders(), body=answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NoResponse(f"{type(error).__name__}: {error}") from error


def call(
    method: str, url: str, *, content: object = None, headers: Headers = (), timeout: float = 35
) -> Response:
    """Send a request to a server on this machine, with JSON if there is content.

    Raises:
        NoResponse: the server did not respond, or not in time.
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
    return forward(request, port=parts.port or http.client.HTTP_PORT, timeout=timeout)
