"""The simulator as a server: Twilio's own SDK against it, and callbacks over real connections."""

import contextlib
import itertools
import queue
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, override
from urllib.parse import parse_qsl

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.http.response import Response as SdkResponse
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from sandbox.http_server import HttpServer, Request, Response
from sandbox.twilio.callback_client import CallbackClient
from sandbox.twilio.callbacks import CallbackAttempt, CallbackResult, CallbackState, Failure
from sandbox.twilio.server import SimulatorServer
from sandbox.twilio.settings import Settings
from tests.support.virtual_twilio import (
    ACCOUNT_SID,
    API_KEY_SECRET,
    API_KEY_SID,
    AUTH_TOKEN,
    MESSAGES,
    RECIPIENT,
    SENDER,
    SERVICE_SID,
    a_form,
    the_accounts,
)

PATIENCE = 5.0


class _ToSimulator(TwilioHttpClient):  # type: ignore[misc]  # the SDK brings no types
    """The SDK's own client, with the simulator where https://api.twilio.com stands otherwise."""

    def __init__(self, base_url: str) -> None:
        super().__init__()
        self._base_url = base_url

    @override
    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> SdkResponse:
        here = url.replace("https://api.twilio.com", self._base_url)
        return super().request(method, here, *args, **kwargs)

    def close(self) -> None:
        self.session.close()


class Receiver(HttpServer):
    """A server that keeps every status callback and answers with the next of `statuses`."""

    def __init__(self) -> None:
        super().__init__(answer=self._answer)
        self.callbacks: queue.Queue[Request] = queue.Queue()
        self.statuses: Iterator[int] = itertools.repeat(204)

    def _answer(self, request: Request) -> Response:
        self.callbacks.put(request)
        return Response(status=next(self.statuses))


def form_of(callback: Request) -> dict[str, str]:
    return dict(parse_qsl(callback.body.decode(), keep_blank_values=True))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def server() -> Iterator[SimulatorServer]:
    with SimulatorServer(the_accounts(), settings=Settings(step_seconds=0.01)) as server:
        yield server


@pytest.fixture
def client(server: SimulatorServer) -> Iterator[Client]:
    http_client = _ToSimulator(server.url)
    yield Client(ACCOUNT_SID, AUTH_TOKEN, http_client=http_client)
    http_client.close()


def reaches(server: SimulatorServer, sid: str, status: str) -> bool:
    return server.wait_until(
        lambda simulator: any(
            (message.sid, message.status) == (sid, status) for message in simulator.messages()
        ),
        PATIENCE,
    )


def all_settled(server: SimulatorServer, sid: str, count: int) -> bool:
    def settled(simulator: Any) -> bool:
        callbacks = simulator.callbacks(sid)
        return len(callbacks) == count and all(c.state.is_finished for c in callbacks)

    return server.wait_until(settled, PATIENCE)


def test_the_sdk_sends_and_fetches(client: Client, server: SimulatorServer) -> None:
    created = client.messages.create(to=RECIPIENT, from_=SENDER, body="Hello")

    sid = str(created.sid)
    assert created.status == "queued"
    assert reaches(server, sid, "delivered")
    fetched = client.messages(sid).fetch()
    assert fetched.status == "delivered"
    assert fetched.date_sent is not None
    assert fetched.price is not None


def test_the_sdk_works_with_an_api_key(server: SimulatorServer) -> None:
    http_client = _ToSimulator(server.url)
    client = Client(API_KEY_SID, API_KEY_SECRET, ACCOUNT_SID, http_client=http_client)

    created = client.messages.create(to=RECIPIENT, from_=SENDER, body="Hello")

    assert created.account_sid == ACCOUNT_SID
    http_client.close()


def test_the_sdk_pages_through_a_list(client: Client) -> None:
    sids = [
        client.messages.create(to=RECIPIENT, from_=SENDER, body=str(number)).sid
        for number in range(7)
    ]
    client.messages.create(to="+15558675311", from_=SENDER, body="other")

    listed = client.messages.list(
        to=RECIPIENT, date_sent_after=datetime.now(UTC) - timedelta(days=1), page_size=3
    )

    assert [message.sid for message in listed] == sids[::-1]


def test_the_sdk_cancels_a_scheduled_message(client: Client) -> None:
    created = client.messages.create(
        to=RECIPIENT,
        messaging_service_sid=SERVICE_SID,
        body="Later",
        schedule_type="fixed",
        send_at=datetime.now(UTC) + timedelta(hours=1),
    )

    canceled = client.messages(str(created.sid)).update(status="canceled")

    assert (created.status, canceled.status) == ("scheduled", "canceled")
    with pytest.raises(TwilioRestException) as refused:
        client.messages(str(created.sid)).update(status="canceled")
    assert refused.value.code == 30409


def test_the_sdk_redacts_and_deletes(client: Client, server: SimulatorServer) -> None:
    sid = str(client.messages.create(to=RECIPIENT, from_=SENDER, body="Secret").sid)
    assert reaches(server, sid, "delivered")

    redacted = client.messages(sid).update(body="")
    deleted = client.messages(sid).delete()

    assert redacted.body == ""
    assert deleted
    with pytest.raises(TwilioRestException) as gone:
        client.messages(sid).fetch()
    assert gone.value.status == 404


def test_the_sdk_sees_media_and_gives_feedback(client: Client) -> None:
    created = client.messages.create(
        to=RECIPIENT, from_=SENDER, media_url=["https://example.com/a.png"]
    )

    message = client.messages(str(created.sid))
    (media,) = message.media.list()
    feedback = message.feedback.create(outcome="confirmed")

    assert media.content_type == "image/png"
    assert feedback.outcome == "confirmed"


@pytest.mark.parametrize(
    ("to", "status", "code"),
    [("+15005550001", 400, 21211), ("+15005550004", 400, 21610), ("+15555550109", 429, 20429)],
)
def test_the_sdk_raises_twilio_s_error(client: Client, to: str, status: int, code: int) -> None:
    with pytest.raises(TwilioRestException) as refused:
        client.messages.create(to=to, from_=SENDER, body="Hello")

    assert (refused.value.status, refused.value.code) == (status, code)


def test_callbacks_reach_a_server_signed_for_the_url_that_it_was_asked_by(
    client: Client, server: SimulatorServer, receiver: Receiver
) -> None:
    url = receiver.url + "/status?request_id=7&empty="

    sid = str(
        client.messages.create(
            to="+15555550113", from_=SENDER, body="Hi", status_callback=url + "#rc=2"
        ).sid
    )

    assert all_settled(server, sid, 2)
    validator = RequestValidator(AUTH_TOKEN)
    for _ in range(2):
        callback = receiver.callbacks.get_nowait()
        signature = callback.header("X-Twilio-Signature")
        assert receiver.url + callback.target == url
        assert validator.validate(url, form_of(callback), signature)


def test_0106_answers_after_the_callback_has_arrived(client: Client, receiver: Receiver) -> None:
    created = client.messages.create(
        to="+15555550106", from_=SENDER, body="Hi", status_callback=receiver.url
    )

    parameters = form_of(receiver.callbacks.get_nowait())
    assert (parameters["MessageSid"], parameters["MessageStatus"]) == (created.sid, "sent")
    assert created.status == "queued"


@pytest.mark.parametrize(("to", "accepted"), [("+15555550107", 1), ("+15555550111", 0)])
def test_a_dropped_connection_is_what_the_caller_sees(
    server: SimulatorServer, to: str, accepted: int
) -> None:
    with pytest.raises(requests.ConnectionError):
        requests.post(
            server.url + MESSAGES + ".json",
            data=a_form(To=to),
            auth=(ACCOUNT_SID, AUTH_TOKEN),
            timeout=PATIENCE,
        )

    assert server.apply(lambda simulator: len(simulator.messages())) == accepted


def test_a_failing_receiver_is_asked_again_over_the_network(
    client: Client, server: SimulatorServer, receiver: Receiver
) -> None:
    receiver.statuses = iter([503, 500, 204])

    sid = str(
        client.messages.create(
            to="+15555550105",
            from_=SENDER,
            body="Hi",
            status_callback=receiver.url + "#rc=5&rp=all",
        ).sid
    )

    assert all_settled(server, sid, 1)
    (callback,) = server.apply(lambda simulator: simulator.callbacks(sid))
    assert [attempt.result.status for attempt in callback.attempts] == [503, 500, 204]
    assert callback.state is CallbackState.ANSWERED


def test_stopping_does_not_wait_for_a_receiver_that_stalls() -> None:
    with socket.create_server(("127.0.0.1", 0)) as stalling:
        url = f"http://127.0.0.1:{stalling.getsockname()[1]}"
        with SimulatorServer(the_accounts(), settings=Settings(step_seconds=0.01)) as server:
            requests.post(
                server.url + MESSAGES + ".json",
                data=a_form(StatusCallback=url),
                auth=(ACCOUNT_SID, AUTH_TOKEN),
                timeout=PATIENCE,
            )
            connection, _ = stalling.accept()
            started = datetime.now(UTC)

        connection.close()
    assert datetime.now(UTC) - started < timedelta(seconds=PATIENCE)
    assert not [t for t in threading.enumerate() if t.name.startswith("simulator")]


def an_attempt(url: str, **limits: float) -> CallbackAttempt:
    return CallbackAttempt(
        callback_id=1,
        method="POST",
        url=url,
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        body=b"MessageStatus=sent",
        **{"connect_timeout": 2.0, "read_timeout": 2.0, "total_timeout": 2.0, **limits},
    )


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", CallbackResult(status=204)),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", CallbackResult(status=200)),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", CallbackResult(status=200)),
        (
            b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
            CallbackResult(status=302, location="/x"),
        ),
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
def test_what_comes_back_over_the_wire_is_judged(raw: bytes, expected: CallbackResult) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(raw)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(65_536)

        thread = threading.Thread(target=answer)
        thread.start()
        result = CallbackClient().send(an_attempt(f"http://127.0.0.1:{listener.getsockname()[1]}"))
        thread.join()

    assert result == expected


def test_a_silent_receiver_costs_no_more_than_the_read_limit() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"

        result = CallbackClient().send(an_attempt(url, read_timeout=0.1))

    assert result == CallbackResult(failure=Failure.NO_RESPONSE)


def test_a_receiver_that_stalls_after_the_headers_gave_a_broken_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        done = threading.Event()

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
                done.wait(PATIENCE)

        thread = threading.Thread(target=answer)
        thread.start()
        result = CallbackClient().send(an_attempt(url, read_timeout=0.2))
        done.set()
        thread.join()

    assert result == CallbackResult(failure=Failure.BROKEN_RESPONSE)


@pytest.mark.parametrize(
    ("url", "failure"),
    [
        ("http://simulated-receiver.invalid/", Failure.NAME_NOT_RESOLVED),
        (f"http://{'a' * 64}.example/", Failure.NAME_NOT_RESOLVED),
    ],
)
def test_a_name_that_does_not_resolve_is_no_connection(url: str, failure: Failure) -> None:
    assert CallbackClient().send(an_attempt(url)) == CallbackResult(failure=failure)


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


A_DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("name", "valid_for", "is_trusted", "failure"),
    [
        ("localhost", A_DAY, False, Failure.CERTIFICATE_UNTRUSTED),
        ("localhost", -A_DAY, True, Failure.CERTIFICATE_EXPIRED),
        ("example.com", A_DAY, True, Failure.CERTIFICATE_NAME_MISMATCH),
    ],
)
def test_a_certificate_that_twilio_does_not_take_is_told_from_the_others(
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
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with contextlib.suppress(ssl.SSLError), connection:
                context.wrap_socket(connection, server_side=True).close()

        thread = threading.Thread(target=answer)
        thread.start()
        result = CallbackClient().send(
            an_attempt(f"https://localhost:{listener.getsockname()[1]}/")
        )
        thread.join()

    assert result == CallbackResult(failure=failure)


def test_a_closed_port_is_no_connection_and_plain_text_is_no_tls() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        no_tls = CallbackClient().send(an_attempt(f"https://127.0.0.1:{port}/"))
        thread.join()

    closed = CallbackClient().send(an_attempt(f"http://127.0.0.1:{port}/"))

    assert no_tls.failure is Failure.TLS_FAILED
    assert closed.failure is Failure.CONNECTION_FAILED
