"""Callbacks over real connections: how each kind of response and failure is classified."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from sandbox.twilio.callback_client import CallbackClient
from sandbox.twilio.callbacks import CallbackAttempt, CallbackResult, Failure

TIMEOUT = 5.0
ONE_DAY = timedelta(days=1)


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
            with suppress(ssl.SSLError), connection:
                serve(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", CallbackResult(status=204)),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", CallbackResult(status=200)),
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


def a_certificate(folder: Path, *, name: str, valid_for: timedelta) -> Path:
    """A file with a self-signed certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.now(UTC) - timedelta(days=2))
        .not_valid_after(datetime.now(UTC) + valid_for)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(
        certificate.public_bytes(Encoding.PEM)
        + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return path


@pytest.mark.parametrize(
    ("name", "valid_for", "is_trusted", "failure"),
    [
        ("localhost", ONE_DAY, False, Failure.CERTIFICATE_UNTRUSTED),
        ("localhost", -ONE_DAY, True, Failure.CERTIFICATE_EXPIRED),
        ("example.com", ONE_DAY, True, Failure.CERTIFICATE_NAME_MISMATCH),
    ],
)
def test_each_problem_of_a_certificate_is_its_own_failure(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    valid_for: timedelta,
    *,
    is_trusted: bool,
    failure: Failure,
) -> None:
    path = a_certificate(tmp_path, name=name, valid_for=valid_for)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    if is_trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(path))

    with receiver(lambda it: context.wrap_socket(it, server_side=True).close()) as port:
        result = send(f"https://localhost:{port}/")

    assert result.failure is failure
