"""Performing a status callback over the network, as patient as its connection overrides say."""

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
_OF_CERTIFICATES = {
    10: Failure.EXPIRED_CERTIFICATE,
    62: Failure.ANOTHER_S_CERTIFICATE,
    64: Failure.ANOTHER_S_CERTIFICATE,
}


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
            failure = _connect(connection)
            if failure is not None:
                return CallbackResult(failure=failure)
            with self._remembered(connection.sock):
                return _exchange(connection, attempt, deadline)
        finally:
            connection.close()

    def close(self) -> None:
        """Break off every request under way, and refuse new ones."""
        with self._lock:
            self._closed = True
            for open_socket in self._sockets:
                with contextlib.suppress(OSError):
                    open_socket.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def _remembered(self, open_socket: socket.socket) -> Iterator[None]:
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
        return Failure.NO_NAME
    except ssl.SSLCertVerificationError as error:
        return _OF_CERTIFICATES.get(error.verify_code, Failure.UNTRUSTED_CERTIFICATE)
    except ssl.SSLError:
        return Failure.NO_TLS
    except OSError:
        return Failure.NO_CONNECTION
    return None


def _exchange(
    connection: http.client.HTTPConnection, attempt: CallbackAttempt, deadline: float
) -> CallbackResult:
    """Send, then read to the end: an answer counts only when it is whole."""
    # The connection forgets its socket as soon as an answer says that it is the last one.
    limit_wait = partial(_limit_wait, connection.sock, attempt.read_timeout, deadline)
    answer = None
    try:
        limit_wait()
        _send(connection, attempt)
        answer = connection.getresponse()
        limit_wait()
        # Read whole, an answer that closes the connection has closed it already.
        while answer.read1(_CHUNK) and not answer.isclosed():
            limit_wait()
    except http.client.RemoteDisconnected:
        return CallbackResult(failure=Failure.NO_ANSWER)
    except http.client.HTTPException:
        return CallbackResult(failure=Failure.BROKEN_ANSWER)
    except OSError:
        begun = answer is not None
        return CallbackResult(failure=Failure.BROKEN_ANSWER if begun else Failure.NO_ANSWER)
    if answer.length:
        return CallbackResult(failure=Failure.BROKEN_ANSWER)
    return CallbackResult(status=answer.status, location=answer.getheader("Location"))


def _limit_wait(open_socket: socket.socket, read_timeout: float, deadline: float) -> None:
    """Give the next packet its time, or what is left of the whole."""
    left = min(read_timeout, deadline - time.monotonic())
    if left <= 0:
        raise TimeoutError
    open_socket.settimeout(left)


def _send(connection: http.client.HTTPConnection, attempt: CallbackAttempt) -> None:
    parts = urlsplit(attempt.url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    body = attempt.body if attempt.method == "POST" else None
    connection.request(attempt.method, target, body=body, headers=dict(attempt.headers))
