"""The client of Twilio's API against a scripted server."""

import base64
import json
import socket
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from delivery.twilio import client as twilio
from delivery.twilio.client import (
    NEEDED_SECONDS,
    NOT_COMPLETE,
    CredentialsRefused,
    MessageResource,
    OutcomeUnknown,
    RequestRejected,
    Throttled,
    TwilioClient,
    TwilioError,
    Unavailable,
)
from delivery.twilio.credentials import ApiCredentials
from tests.support.builders import ACCOUNT_SID, AUTH_TOKEN
from tests.support.clock import Clock
from tests.support.scripted_twilio import (
    DROPPED,
    MESSAGE_SID,
    STALLED,
    Reply,
    ScriptedTwilio,
    accepted,
    rejected,
    resource,
)

CREDENTIALS = ApiCredentials(account_sid=ACCOUNT_SID, username=ACCOUNT_SID, password=AUTH_TOKEN)
PARAMETERS = [("To", "+15558675310"), ("From", "+15005550006"), ("Body", "Your table is ready")]


@pytest.fixture
def server() -> Iterator[ScriptedTwilio]:
    with ScriptedTwilio() as scripted:
        yield scripted


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as made:
        yield made


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(server: ScriptedTwilio, session: requests.Session, clock: Clock) -> TwilioClient:
    return a_client(server.url, session, clock)


def a_client(url: str, session: requests.Session, clock: Clock) -> TwilioClient:
    return TwilioClient(
        session,
        url,
        clock=clock.seconds,
        sleep=clock.sleep,
        jitter=lambda low, high: (low + high) / 2,
    )


def send(client: TwilioClient, clock: Clock, *, seconds: float = 29.0) -> MessageResource:
    return client.send(CREDENTIALS, PARAMETERS, time_left=clock.time_left(seconds))


def test_a_message_is_created_with_basic_authentication_and_twilios_own_parameters(
    server: ScriptedTwilio, client: TwilioClient, clock: Clock
) -> None:
    parameters = [
        *PARAMETERS,
        ("MediaUrl", "https://a.example/1"),
        ("MediaUrl", "https://a.example/2"),
    ]

    client.send(CREDENTIALS, parameters, time_left=clock.time_left())

    [received] = server.requests
    assert (received.method, received.path) == (
        "POST",
        f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json",
    )
    assert received.parameters == parameters
    encoded = base64.b64encode(f"{ACCOUNT_SID}:{AUTH_TOKEN}".encode()).decode()
    assert received.headers["Authorization"] == f"Basic {encoded}"


def test_the_response_is_parsed_into_a_message(
    server: ScriptedTwilio, client: TwilioClient, clock: Clock
) -> None:
    server.will(accepted(price="-0.00750", error_code=30008))

    message = send(client, clock)

    assert message == MessageResource(
        sid=MESSAGE_SID,
        status="queued",
        account_sid=ACCOUNT_SID,
        to="+15558675310",
        from_="+15005550006",
        body="Your table is ready",
        num_segments="1",
        price="-0.00750",
        price_unit="USD",
        error_code=30008,
        date_created=datetime(2023, 8, 24, 5, 1, 45, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    "properties",
    [
        {name: None for name in resource() if name not in {"sid", "status"}},
        {"num_segments": 2, "error_code": "30008", "date_created": "yesterday", "to": {"a": 1}},
        {"error_code": True, "price": [], "date_created": 5, "from": ""},
    ],
)
def test_malformed_properties_do_not_hide_that_a_message_was_created(
    server: ScriptedTwilio, client: TwilioClient, clock: Clock, properties: dict[str, Any]
) -> None:
    server.will(accepted(**properties))

    assert send(client, clock).sid == MESSAGE_SID


def test_the_repr_of_a_message_has_neither_numbers_nor_text(
    client: TwilioClient, clock: Clock
) -> None:
    printed = repr(send(client, clock))

    assert MESSAGE_SID in printed
    assert "555" not in printed
    assert "table" not in printed


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (rejected(400, 21211), RequestRejected),
        (rejected(400, 21610), RequestRejected),
        (rejected(403, 20005), RequestRejected),
        (rejected(404, 20404), RequestRejected),
        (rejected(409, 20409), RequestRejected),
        (Reply(status=400, body=b"<html>proxy</html>"), RequestRejected),
        (Reply(status=413, body=b"[1]"), RequestRejected),
        (rejected(401, 20003), CredentialsRefused),
        (rejected(401), CredentialsRefused),
        (Reply(status=401, body=b"<html>"), CredentialsRefused),
        (rejected(403, 20003), CredentialsRefused),
        (rejected(429, 20429), Throttled),
        (Reply(status=429), Throttled),
        (rejected(500, 20500), OutcomeUnknown),
        (rejected(503, 20503), OutcomeUnknown),
        (Reply(status=502, body=b"<html>bad gateway</html>"), OutcomeUnknown),
        (rejected(408), OutcomeUnknown),
        (Reply(status=201), OutcomeUnknown),
        (Reply(status=201, body=b"<html>"), OutcomeUnknown),
        (Reply(status=201, body=b"[" * 100_000), OutcomeUnknown),
        (Reply(status=201, body=b"[]"), OutcomeUnknown),
        (Reply(status=200, body=b'{"sid": null, "status": "queued"}'), OutcomeUnknown),
        (Reply(status=204), OutcomeUnknown),
        (Reply(status=201, body=b"{", missing_bytes=5, closes=True), OutcomeUnknown),
        (Reply(status=None, body=b"HTTP/1.1 what\r\n\r\n", closes=True), OutcomeUnknown),
        (Reply(status=None, body=b"220 mail.example.com ESMTP\r\n", closes=True), OutcomeUnknown),
        (Reply(status=303, headers={"Location": "/elsewhere"}), OutcomeUnknown),
        (Reply(status=307, headers={"Location": "/elsewhere"}), OutcomeUnknown),
        (DROPPED, OutcomeUnknown),
    ],
)
def test_the_error_says_whether_the_message_may_have_been_sent(
    server: ScriptedTwilio,
    client: TwilioClient,
    clock: Clock,
    reply: Reply,
    error: type[TwilioError],
) -> None:
    server.will(reply)

    with pytest.raises(TwilioError) as raised:
        send(client, clock)

    assert type(raised.value) is error
    assert len(server.requests) == (5 if error is Throttled else 1)
    assert "555" not in str(raised.value)


def test_a_rejection_has_twilios_code(
    server: ScriptedTwilio, client: TwilioClient, clock: Clock
) -> None:
    server.will(rejected(400, 21610))

    with pytest.raises(RequestRejected) as raised:
        send(client, clock)

    assert (raised.value.status, raised.value.code) == (400, 21610)


@pytest.mark.parametrize("code", ["21610", True, -1, None, [21610]])
def test_a_rejection_with_a_malformed_code_has_none(
    server: ScriptedTwilio, client: TwilioClient, clock: Clock, code: Any
) -> None:
    server.will(rejected(400, code))

    with pytest.raises(RequestRejected) as raised:
        send(client, clock)

    assert raised.value.code is None


def test_a_read_timeout_leaves_the_outcome_unknown(
    server: ScriptedTwilio, client: TwilioClient, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(twilio, "READ_TIMEOUT_SECONDS", 0.2)
    server.will(STALLED)

    with pytest.raises(OutcomeUnknown):
        send(client, clock)

    assert len(server.requests) == 1


def test_a_throttled_request_is_retried_until_it_is_accepted(
    server: ScriptedTwilio, client: TwilioClient, clock: Clock
) -> None:
    server.will(rejected(429, 20429), rejected(429, 20429), accepted())

    message = send(client, clock)

    assert message.sid == MESSAGE_SID
    assert len(server.requests) == 3
    assert clock.slept == pytest.approx([0.1, 0.2])


def test_retries_back_off_exponentially_with_jitter(
    server: ScriptedTwilio, session: requests.Session, clock: Clock
) -> None:
    ranges: list[tuple[float, float]] = []

    def upper_end(low: float, high: float) -> float:
        ranges.append((low, high))
        return high

    server.will(rejected(429))
    client = TwilioClient(
        session, server.url, clock=clock.seconds, sleep=clock.sleep, jitter=upper_end
    )

    with pytest.raises(Unavailable):
        send(client, clock)

    assert ranges == [(0.9, 1.1)] * 4
    assert clock.slept == pytest.approx([0.11, 0.22, 0.44, 0.88])


def test_retry_after_is_honored(server: ScriptedTwilio, client: TwilioClient, clock: Clock) -> None:
    server.will(rejected(429, headers={"Retry-After": "3"}), accepted())

    send(client, clock)

    assert clock.slept == [3]


def test_a_retry_after_beyond_the_invocation_is_returned_to_the_caller(
    server: ScriptedTwilio, client: TwilioClient, clock: Clock
) -> None:
    server.will(rejected(429, headers={"Retry-After": "20"}))

    with pytest.raises(Unavailable) as raised:
        send(client, clock)

    assert raised.value.retry_after == 20
    assert (len(server.requests), clock.slept) == (1, [])


@pytest.mark.parametrize("named", ["soon", "-1", "", "9" * 5000, "1.5"])
def test_a_malformed_retry_after_is_ignored(
    server: ScriptedTwilio, client: TwilioClient, clock: Clock, named: str
) -> None:
    server.will(rejected(429, headers={"Retry-After": named}), accepted())

    send(client, clock)

    assert clock.slept == pytest.approx([0.1])


def test_nothing_is_sent_with_too_little_time_left_for_the_outcome(
    server: ScriptedTwilio, client: TwilioClient, clock: Clock
) -> None:
    with pytest.raises(Unavailable):
        send(client, clock, seconds=NEEDED_SECONDS)

    assert server.requests == []


def test_retries_end_before_the_invocation_does(
    server: ScriptedTwilio, client: TwilioClient, clock: Clock
) -> None:
    server.will(rejected(429))

    with pytest.raises(Unavailable):
        send(client, clock, seconds=NEEDED_SECONDS + 0.25)

    assert len(server.requests) == 2


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_a_refused_connection_is_retried_and_sent_nothing(
    session: requests.Session, clock: Clock
) -> None:
    client = a_client(f"http://127.0.0.1:{closed_port()}", session, clock)

    with pytest.raises(Unavailable):
        send(client, clock)

    assert len(clock.slept) == 4


def raising(error: Exception) -> Callable[..., NoReturn]:
    def fail(*_: object, **__: object) -> NoReturn:
        raise error

    return fail


@pytest.mark.parametrize(
    ("function", "error"),
    [
        ("socket.getaddrinfo", socket.gaierror(-2, "Name or service not known")),
        ("urllib3.util.connection.create_connection", TimeoutError("timed out")),
        ("urllib3.util.connection.create_connection", OSError(113, "No route to host")),
    ],
)
def test_a_connection_that_is_never_made_sent_nothing(
    session: requests.Session,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    function: str,
    error: Exception,
) -> None:
    monkeypatch.setattr(function, raising(error))
    client = a_client("http://twilio.invalid", session, clock)

    with pytest.raises(Unavailable):
        send(client, clock)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_down_was_sent_nothing(
    session: requests.Session, clock: Clock, scheme: str
) -> None:
    proxy = f"http://127.0.0.1:{closed_port()}"
    session.proxies = {"http": proxy, "https": proxy}
    client = a_client(f"{scheme}://twilio.example", session, clock)

    with pytest.raises(Unavailable):
        send(client, clock)


def test_a_proxy_that_refuses_to_connect_was_sent_nothing(
    server: ScriptedTwilio, session: requests.Session, clock: Clock
) -> None:
    refusal = b"HTTP/1.1 503 Service Unavailable\r\n\r\n"
    server.will(Reply(status=None, body=refusal, closes=True))
    session.proxies = {"https": server.url}
    client = a_client("https://twilio.example", session, clock)

    with pytest.raises(Unavailable):
        send(client, clock)


def test_a_proxy_that_drops_a_forwarded_request_leaves_the_outcome_unknown(
    server: ScriptedTwilio, session: requests.Session, clock: Clock
) -> None:
    server.will(DROPPED)
    session.proxies = {"http": server.url}
    client = a_client("http://twilio.example", session, clock)

    with pytest.raises(OutcomeUnknown):
        send(client, clock)


@pytest.fixture(scope="session")
def self_signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path: Path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


def test_nothing_is_sent_to_a_server_whose_certificate_is_not_trusted(
    self_signed: Path, session: requests.Session, clock: Clock
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(self_signed)

    with ScriptedTwilio(tls=tls) as server:
        client = a_client(server.url, session, clock)
        with pytest.raises(Unavailable):
            send(client, clock)

    assert server.connections == 5
    assert server.requests == []


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_tls_handshake_that_times_out_sent_nothing(
    silent_port: int, session: requests.Session, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(twilio, "CONNECT_TIMEOUT_SECONDS", 0.05)
    client = a_client(f"https://127.0.0.1:{silent_port}", session, clock)

    with pytest.raises(Unavailable):
        send(client, clock)


def test_a_server_without_tls_was_sent_nothing(
    server: ScriptedTwilio, session: requests.Session, clock: Clock
) -> None:
    server.will(Reply(status=None, body=b"HTTP/1.1 400 Bad Request\r\n\r\n", closes=True))
    client = a_client(server.url.replace("http:", "https:"), session, clock)

    with pytest.raises(Unavailable):
        send(client, clock)


def test_consecutive_messages_share_a_connection(
    server: ScriptedTwilio, client: TwilioClient, clock: Clock
) -> None:
    send(client, clock)
    clock.advance(seconds=4.9)
    send(client, clock)
    clock.advance(seconds=4.9)
    send(client, clock)

    assert (server.connections, len(server.requests)) == (1, 3)


def test_a_connection_idle_for_five_seconds_is_not_reused(
    server: ScriptedTwilio, client: TwilioClient, clock: Clock
) -> None:
    send(client, clock)
    clock.advance(seconds=5)
    send(client, clock)

    assert server.connections == 2


def test_an_invocation_does_not_reuse_an_earlier_ones_connection(
    server: ScriptedTwilio, client: TwilioClient, clock: Clock
) -> None:
    send(client, clock)
    client.new_invocation()
    send(client, clock)

    assert server.connections == 2


def test_a_connection_that_the_server_closed_does_not_put_a_send_in_doubt(
    server: ScriptedTwilio, client: TwilioClient, clock: Clock
) -> None:
    server.will(Reply(body=accepted().body, closes=True), accepted())
    send(client, clock)
    assert server.closed.acquire(timeout=5)

    message = send(client, clock)

    assert message.sid == MESSAGE_SID
    assert (server.connections, len(server.requests)) == (2, 2)


def test_a_send_on_a_reused_connection_that_breaks_is_not_retried(
    server: ScriptedTwilio, client: TwilioClient, clock: Clock
) -> None:
    server.will(accepted(), DROPPED)
    send(client, clock)

    with pytest.raises(OutcomeUnknown):
        send(client, clock)

    assert len(server.requests) == 2


def test_a_redirect_is_not_followed(
    server: ScriptedTwilio, client: TwilioClient, clock: Clock
) -> None:
    server.will(Reply(status=302, headers={"Location": f"{server.url}/elsewhere"}), accepted())

    with pytest.raises(OutcomeUnknown):
        send(client, clock)

    assert len(server.requests) == 1


def test_a_scheduled_message_is_canceled_by_its_status(
    server: ScriptedTwilio, client: TwilioClient, clock: Clock
) -> None:
    server.will(Reply(status=200, body=accepted(status="canceled").body))

    message = client.cancel(CREDENTIALS, MESSAGE_SID, time_left=clock.time_left())

    [received] = server.requests
    assert message.status == "canceled"
    assert received.path.endswith(f"/Messages/{MESSAGE_SID}.json")
    assert received.parameters == [("Status", "canceled")]


def test_a_message_is_fetched_with_a_get(
    server: ScriptedTwilio, client: TwilioClient, clock: Clock
) -> None:
    server.will(Reply(status=200, body=accepted(status="delivered").body))

    message = client.fetch(CREDENTIALS, MESSAGE_SID, time_left=clock.time_left())

    [received] = server.requests
    assert (received.method, received.parameters) == ("GET", [])
    assert message.status == "delivered"


def test_a_sid_cannot_change_the_path(
    server: ScriptedTwilio, client: TwilioClient, clock: Clock
) -> None:
    client.fetch(CREDENTIALS, "../../Keys?a=", time_left=clock.time_left())

    [received] = server.requests
    assert received.path.endswith("/Messages/..%2F..%2FKeys%3Fa%3D.json")


def test_other_hosts_of_the_session_keep_their_transport(
    session: requests.Session, clock: Clock
) -> None:
    before = session.get_adapter("https://api.twilio.com.example.org/")

    a_client("https://api.twilio.com", session, clock)

    assert session.get_adapter("https://api.twilio.com.example.org/") is before
    assert session.get_adapter("https://api.twilio.com/2010-04-01/") is not before


# --- the list -------------------------------------------------------------------------------------


def a_page(*sids: str, next_page_uri: Any = None) -> Reply:
    page = {"messages": [resource(sid=sid) for sid in sids], "next_page_uri": next_page_uri}
    return Reply(status=200, body=json.dumps(page).encode())


def test_the_list_is_read_page_by_page_on_demand(
    server: ScriptedTwilio, client: TwilioClient, clock: Clock
) -> None:
    second = f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json?Page=1&PageToken=PA1"
    server.will(a_page("SM1", "SM2", next_page_uri=second), a_page("SM3"))

    pages = client.list_messages(CREDENTIALS, to="+15558675310", time_left=clock.time_left())
    first = [it.sid for it in next(pages)]
    requests_for_the_first = len(server.requests)
    rest = [[it.sid for it in page] for page in pages]

    assert (first, requests_for_the_first, rest) == (["SM1", "SM2"], 1, [["SM3"]])
    assert [request.path for request in server.requests] == [
        f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json?To=%2B15558675310&PageSize=1000",
        second,
    ]


def test_the_list_of_a_day_is_requested_by_date(
    server: ScriptedTwilio, client: TwilioClient, clock: Clock
) -> None:
    server.will(a_page())

    list(client.list_messages(CREDENTIALS, sent_on=date(2026, 1, 9), time_left=clock.time_left()))

    assert server.requests[0].path.endswith("Messages.json?DateSent=2026-01-09&PageSize=1000")


@pytest.mark.parametrize(
    "next_page",
    ["https://evil.example/", "@evil.example/", "/2010-04-01/Accounts/ACx/Messages.json?a", 7, ""],
)
def test_credentials_are_not_sent_to_another_host(
    server: ScriptedTwilio, client: TwilioClient, clock: Clock, next_page: object
) -> None:
    server.will(a_page("SM1", next_page_uri=next_page))

    pages = list(client.list_messages(CREDENTIALS, time_left=clock.time_left()))

    assert (len(pages), len(server.requests)) == (1, 1)


@pytest.mark.parametrize(
    ("reply", "error", "requests_made"),
    [
        (rejected(429), Unavailable, 1),
        (rejected(401), CredentialsRefused, 1),
        (rejected(404), RequestRejected, 1),
        (rejected(500), OutcomeUnknown, 2),
        (DROPPED, OutcomeUnknown, 2),
        (Reply(status=200, body=b"{}"), OutcomeUnknown, 1),
        (Reply(status=200, body=b"<html>"), OutcomeUnknown, 1),
    ],
)
def test_a_read_is_retried_only_if_unanswered_and_only_once(
    server: ScriptedTwilio,
    client: TwilioClient,
    clock: Clock,
    reply: Reply,
    error: type[TwilioError],
    requests_made: int,
) -> None:
    server.will(reply)

    with pytest.raises(error):
        next(client.list_messages(CREDENTIALS, time_left=clock.time_left()))

    assert len(server.requests) == requests_made
    assert clock.slept == []


def test_nothing_is_fetched_with_too_little_time_left(
    server: ScriptedTwilio, client: TwilioClient, clock: Clock
) -> None:
    with pytest.raises(Unavailable):
        client.fetch(CREDENTIALS, MESSAGE_SID, time_left=clock.time_left(NEEDED_SECONDS))

    assert server.requests == []


def test_a_recipients_number_is_not_logged_when_a_response_has_malformed_headers(
    server: ScriptedTwilio, client: TwilioClient, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    page = a_page("SM1").body
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(page)}\r\nX-Bad\r\nX-Fine: 1\r\n\r\n"
    server.will(Reply(status=None, body=head.encode() + page, closes=True))

    with caplog.at_level("DEBUG"):
        pages = client.list_messages(CREDENTIALS, to="+15558675310", time_left=clock.time_left())
        assert len(list(pages)) == 1

    assert "5558675310" not in caplog.text


# --- deleting -------------------------------------------------------------------------------------


def delete(client: TwilioClient, clock: Clock, *, seconds: float = 29.0) -> None:
    client.delete(CREDENTIALS, MESSAGE_SID, time_left=clock.time_left(seconds))


def test_a_message_is_deleted_at_twilio(
    server: ScriptedTwilio, client: TwilioClient, clock: Clock
) -> None:
    server.will(Reply(status=204))

    delete(client, clock)

    (request,) = server.requests
    path = f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages/{MESSAGE_SID}.json"
    assert (request.method, request.path) == ("DELETE", path)


@pytest.mark.parametrize(
    "failure", [DROPPED, rejected(503), rejected(429, 20429), rejected(500, 20500)], ids=str
)
def test_a_delete_is_retried(
    server: ScriptedTwilio, client: TwilioClient, clock: Clock, failure: Reply
) -> None:
    server.will(failure, failure, rejected(404, 20404))

    delete(client, clock)

    assert len(server.requests) == 3
    assert clock.slept == [0.1, 0.2]


def test_deleting_an_incomplete_message_is_rejected_with_its_code(
    server: ScriptedTwilio, client: TwilioClient, clock: Clock
) -> None:
    server.will(rejected(409, 20009))

    with pytest.raises(RequestRejected) as error:
        delete(client, clock)

    assert error.value.code == NOT_COMPLETE


def test_a_delete_fails_after_five_attempts_or_with_too_little_time_left(
    server: ScriptedTwilio, client: TwilioClient, clock: Clock
) -> None:
    server.will(DROPPED)

    with pytest.raises(OutcomeUnknown):
        delete(client, clock, seconds=1000)
    with pytest.raises(Unavailable):
        delete(client, clock, seconds=NEEDED_SECONDS)

    assert len(server.requests) == 5


def test_a_redaction_empties_the_body(
    server: ScriptedTwilio, client: TwilioClient, clock: Clock
) -> None:
    server.will(accepted(body=""))

    client.redact(CREDENTIALS, MESSAGE_SID, time_left=clock.time_left())

    (request,) = server.requests
    assert (request.method, request.parameters) == ("POST", [("Body", "")])
