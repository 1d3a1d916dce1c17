"""Callbacks over real connections: how each kind of response and failure is classified."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from sandbox.twilio.callback_client import CallbackClient
from sandbox.twilio.callbacks import CallbackAttempt, CallbackResult, Failure

TIMEOUT = 5.0


def send(url: str, **timeouts: float) -> CallbackResult:
    attempt = CallbackAttempt(
        callback_id=1,
        url=url,
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        body=b"MessageStatus=sent",
        **{"connect_timeout": 2.0, "read_timeout": 2.0, "total_timeout": 2.0, **timeouts},
    )
    return CallbackClient().send(attempt)


@contextmanager
def receiver(serve: Callable[[socket.socket], object]) -> Iterator[int]:
    """Serve one connection in a thread; the value is the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            connection, _ = listener.accept()
            with suppress(OSError), connection:
                serve(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", CallbackResult(status=204)),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", CallbackResult(status=200)),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
            CallbackResult(failure=Failure.BROKEN_RESPONSE),
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf",
            CallbackResult(failure=Failure.BROKEN_RESPONSE),
        ),
        (b"SSH-2.0-OpenSSH_9.9\r\n", CallbackResult(failure=Failure.BROKEN_RESPONSE)),
        (b"", CallbackResult(failure=Failure.NO_RESPONSE)),
    ],
)
def test_a_response_counts_only_when_it_is_complete(raw: bytes, expected: CallbackResult) -> None:
    def respond(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(65_536)

    with receiver(respond) as port:
        result = send(f"http://127.0.0.1:{port}")

    assert result == expected


def test_a_silent_receiver_is_waited_for_no_longer_than_the_read_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        result = send(f"http://127.0.0.1:{silent.getsockname()[1]}", read_timeout=0.1)

    assert result.failure is Failure.NO_RESPONSE


def test_a_receiver_that_stalls_after_the_headers_gives_a_broken_response() -> None:
    sent = threading.Event()

    def stall(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
        sent.wait(TIMEOUT)

    with receiver(stall) as port:
        result = send(f"http://127.0.0.1:{port}", read_timeout=0.2)
        sent.set()

    assert result.failure is Failure.BROKEN_RESPONSE


@pytest.mark.parametrize("host", ["simulated-receiver.invalid", f"{'a' * 64}.example"])
def test_a_host_name_that_does_not_resolve_is_its_own_failure(host: str) -> None:
    assert send(f"http://{host}/").failure is Failure.NAME_NOT_RESOLVED


def test_a_closed_port_is_a_failed_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    assert send(f"http://127.0.0.1:{port}/").failure is Failure.CONNECTION_FAILED


def test_a_receiver_without_tls_is_its_own_failure() -> None:
    def respond_in_plain_text(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with receiver(respond_in_plain_text) as port:
        result = send(f"https://127.0.0.1:{port}/")

    assert result.failure is Failure.TLS_FAILED
