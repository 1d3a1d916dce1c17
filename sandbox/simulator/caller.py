"""Performing a status callback over the network, as patient as its connection overrides say."""

import contextlib
import http.client
import socket
import ssl
import threading
import time
from urllib.parse import urlsplit

from sandbox.simulator.callbacks import CallbackAttempt, CallbackResult, Failure

_CHUNK = 65_536


class CallbackCaller:
    """Makes the requests, each over its own connection; `close` breaks off those under way."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._closed = False

    def perform(self, attempt: CallbackAttempt) -> CallbackResult:
        """One request, without following redirects."""
        deadline = time.monotonic() + attempt.total_timeout
        connection = _connection(attempt)
        try:
            failure = self._connect(connection)
            if failure is not None:
                return CallbackResult(failure=failure)
            return _exchange(connection, attempt, deadline)
        finally:
            self._forget(connection)

    def close(self) -> None:
        """Break off every request under way, and refuse new ones."""
        with self._lock:
            self._closed = True
            for open_socket in self._sockets:
                with contextlib.suppress(OSError):
                    open_socket.shutdown(socket.SHUT_RDWR)

    def _connect(self, connection: http.client.HTTPConnection) -> Failure | None:
        try:
            connection.connect()
        except socket.gaierror:
            return Failure.NO_NAME
        except ssl.SSLError:
            return Failure.NO_TLS
        except OSError:
            return Failure.NO_CONNECTION
        with self._lock:
            if self._closed:
                return Failure.NO_CONNECTION
            self._sockets.add(connection.sock)
        return None

    def _forget(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            self._sockets.discard(connection.sock)
        connection.close()


def _connection(attempt: CallbackAttempt) -> http.client.HTTPConnection:
    parts = urlsplit(attempt.url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(parts.hostname or "", parts.port, timeout=attempt.connect_timeout)


def _exchange(
    connection: http.client.HTTPConnection, attempt: CallbackAttempt, deadline: float
) -> CallbackResult:
    """Send, then read to the end: an answer counts only when it is whole."""
    parts = urlsplit(attempt.url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    def wait_for_packet() -> None:
        left = min(attempt.read_timeout, deadline - time.monotonic())
        if left <= 0:
            raise TimeoutError
        connection.sock.settimeout(left)

    begun = False
    try:
        wait_for_packet()
        body = attempt.body if attempt.method == "POST" else None
        connection.request(attempt.method, target, body=body, headers=dict(attempt.headers))
        answer = connection.getresponse()
        begun = True
        while True:
            answer.read1(_CHUNK)
            if answer.isclosed():
                break
    except http.client.RemoteDisconnected:
        return CallbackResult(failure=Failure.NO_ANSWER)
    except http.client.HTTPException:
        return CallbackResult(failure=Failure.BROKEN_ANSWER)
    except OSError:
        return CallbackResult(failure=Failure.BROKEN_ANSWER if begun else Failure.NO_ANSWER)
    return CallbackResult(status=answer.status, location=answer.getheader("Location"))
