"""Sends status callbacks over the network, within the timeouts of their connection overrides."""

import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from functools import partial
from urllib.parse import urlsplit

from sandbox.twilio.callbacks import CallbackAttempt, CallbackResult, Failure

_CHUNK = 65_536

# OpenSSL's numbers: https://docs.openssl.org/3.0/man3/X509_STORE_CTX_get_error/
_CERTIFICATE_FAILURES = {
    10: Failure.CERTIFICATE_EXPIRED,
    62: Failure.CERTIFICATE_NAME_MISMATCH,
    64: Failure.CERTIFICATE_NAME_MISMATCH,
}


class CallbackClient:
    """Sends each callback over its own connection; `close` breaks off those under way."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._closed = False

    def send(self, attempt: CallbackAttempt) -> CallbackResult:
        """Send one request and return its result; redirects are not followed."""
        deadline = time.monotonic() + attempt.total_timeout
        connection = _connection(attempt)
        try:
            failure = _connect(connection)
            if failure is not None:
                return CallbackResult(failure=failure)
            with self._tracked(connection.sock):
                return _exchange(connection, attempt, deadline)
        finally:
            connection.close()

    def close(self) -> None:
        """Break off every request under way, and every later one."""
        with self._lock:
            self._closed = True
            for open_socket in self._sockets:
                with contextlib.suppress(OSError):
                    open_socket.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def _tracked(self, open_socket: socket.socket) -> Iterator[None]:
        with self._lock:
            self._sockets.add(open_socket)
            if self._closed:
                open_socket.shutdown(socket.SHUT_RDWR)
        try:
            yield
        finally:
            with self._lock:
                self._sockets.discard(open_socket)


def _connection(attempt: CallbackAttempt) -> http.client.HTTPConnection:
    parts = urlsplit(attempt.url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(parts.hostname or "", parts.port, timeout=attempt.connect_timeout)


def _connect(connection: http.client.HTTPConnection) -> Failure | None:
    try:
        connection.connect()
    except (socket.gaierror, UnicodeError):
        return Failure.NAME_NOT_RESOLVED
    except ssl.SSLCertVerificationError as error:
        return _CERTIFICATE_FAILURES.get(error.verify_code, Failure.CERTIFICATE_UNTRUSTED)
    except ssl.SSLError:
        return Failure.TLS_FAILED
    except OSError:
        return Failure.CONNECTION_FAILED
    return None


def _exchange(
    connection: http.client.HTTPConnection, attempt: CallbackAttempt, deadline: float
) -> CallbackResult:
    """Send a request and read the response to its end: only a complete one counts."""
    # http.client drops its reference to the socket when a response ends the connection.
    limit_wait = partial(_limit_wait, connection.sock, attempt.read_timeout, deadline)
    response = None
    try:
        limit_wait()
        _send(connection, attempt)
        response = connection.getresponse()
        limit_wait()
        # At its end, a response that ends the connection has closed the socket already.
        while response.read1(_CHUNK) and not response.isclosed():
            limit_wait()
    except http.client.RemoteDisconnected:
        return CallbackResult(failure=Failure.NO_RESPONSE)
    except http.client.HTTPException:
        return CallbackResult(failure=Failure.BROKEN_RESPONSE)
    except OSError:
        started = response is not None
        return CallbackResult(failure=Failure.BROKEN_RESPONSE if started else Failure.NO_RESPONSE)
    if response.length:
        return CallbackResult(failure=Failure.BROKEN_RESPONSE)
    return CallbackResult(status=response.status)


def _limit_wait(open_socket: socket.socket, read_timeout: float, deadline: float) -> None:
    """Limit the wait for the next packet to its timeout, or to what is left of the total."""
    left = min(read_timeout, deadline - time.monotonic())
    if left <= 0:
        raise TimeoutError
    open_socket.settimeout(left)


def _send(connection: http.client.HTTPConnection, attempt: CallbackAttempt) -> None:
    parts = urlsplit(attempt.url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection.request("POST", target, body=attempt.body, headers=dict(attempt.headers))
