"""The client of Twilio's API against a scripted server."""

import base64
import json
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import Any, NoReturn

import pytest
import requests

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
    Received,
    Reply,
    ScriptedTwilio,
    accepted,
    rejected,
    resource,
)

CREDENTIALS = ApiCredentials(account_sid=ACCOUNT_SID, username=ACCOUNT_SID, password=AUTH_TOKEN)
PARAMETERS = [("To", "+15558675310"), ("From", "+15005550006"), ("Body", "Your table is ready")]


class ClientRig:
    """A client of a scripted Twilio, and a clock that only the test and the client's sleep move."""

    def __init__(self, session: requests.Session, server: ScriptedTwilio) -> None:
        self.session = session
        self.server = server
        self.clock = Clock()
        self.connect(server.url)

    def connect(self, url: str, **options: Any) -> None:
        """Replace the client by one of this URL."""
        given: dict[str, Any] = {"jitter": lambda low, high: (low + high) / 2} | options
        self.client = TwilioClient(
            self.session, url, clock=self.clock.seconds, sleep=self.clock.sleep, **given
        )

    @property
    def requests(self) -> list[Received]:
        return self.server.requests

    @property
    def slept(self) -> list[float]:
        return self.clock.slept

    def send(self, *more: tuple[str, str], seconds: float = 29.0) -> MessageResource:
        parameters = [*PARAMETERS, *more]
        return self.client.send(CREDENTIALS, parameters, time_left=self.clock.time_left(seconds))

    def fetch(self, sid: str = MESSAGE_SID, *, seconds: float = 29.0) -> MessageResource:
        return self.client.fetch(CREDENTIALS, sid, time_left=self.clock.time_left(seconds))

    def pages(self, **selection: Any) -> Iterator[list[str]]:
        """The SIDs on each page of the list."""
        pages = self.client.list_messages(
            CREDENTIALS, time_left=self.clock.time_left(), **selection
        )
        return ([message.sid for message in page] for page in pages)

    def delete(self, *, seconds: float = 29.0) -> None:
        time_left = self.clock.time_left(seconds)
        self.client.delete(CREDENTIALS, MESSAGE_SID, time_left=time_left)


@pytest.fixture
def rig() -> Iterator[ClientRig]:
    with requests.Session() as session, ScriptedTwilio() as server:
        yield ClientRig(session, server)


def test_a_message_is_created_with_basic_authentication_and_twilios_own_parameters(
    rig: ClientRig,
) -> None:
    media = [("MediaUrl", "https://a.example/1"), ("MediaUrl", "https://a.example/2")]

    rig.send(*media)

    [received] = rig.requests
    assert (received.method, received.path) == (
        "POST",
        f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json",
    )
    assert received.parameters == [*PARAMETERS, *media]
    encoded = base64.b64encode(f"{ACCOUNT_SID}:{AUTH_TOKEN}".encode()).decode()
    assert received.headers["Authorization"] == f"Basic {encoded}"


def test_the_response_is_parsed_into_a_message(rig: ClientRig) -> None:
    rig.server.will(accepted(price="-0.00750", error_code=30008))

    message = rig.send()

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
    rig: ClientRig, properties: dict[str, Any]
) -> None:
    rig.server.will(accepted(**properties))

    assert rig.send().sid == MESSAGE_SID


def test_the_repr_of_a_message_has_neither_numbers_nor_text(rig: ClientRig) -> None:
    printed = repr(rig.send())

    assert MESSAGE_SID in printed
    assert "555" not in printed
    assert "table" not in printed


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (rejected(400, 21211), RequestRejected),
        (rejected(409, 20409), RequestRejected),
        (Reply(status=400, body=b"<html>proxy</html>"), RequestRejected),
        (Reply(status=413, body=b"[1]"), RequestRejected),
        (rejected(401, 20003), CredentialsRefused),
        (Reply(status=401, body=b"<html>"), CredentialsRefused),
        (rejected(403, 20003), CredentialsRefused),
        (Reply(status=429), Throttled),
        (rejected(500, 20500), OutcomeUnknown),
        (Reply(status=502, body=b"<html>bad gateway</html>"), OutcomeUnknown),
        (rejected(408), OutcomeUnknown),
        (Reply(status=201), OutcomeUnknown),
        (Reply(status=201, body=b"[" * 100_000), OutcomeUnknown),
        (Reply(status=200, body=b'{"sid": null, "status": "queued"}'), OutcomeUnknown),
        (Reply(status=201, body=b"{", missing_bytes=5, closes=True), OutcomeUnknown),
        (Reply(status=None, body=b"HTTP/1.1 what\r\n\r\n", closes=True), OutcomeUnknown),
        (Reply(status=303, headers={"Location": "/elsewhere"}), OutcomeUnknown),
        (DROPPED, OutcomeUnknown),
    ],
)
def test_the_error_says_whether_the_message_may_have_been_sent(
    rig: ClientRig, reply: Reply, error: type[TwilioError]
) -> None:
    rig.server.will(reply)

    with pytest.raises(TwilioError) as raised:
        rig.send()

    assert type(raised.value) is error
    assert len(rig.requests) == (5 if error is Throttled else 1)
    assert "555" not in str(raised.value)


@pytest.mark.parametrize(
    ("code", "known"), [(21610, 21610), ("21610", None), (True, None), (-1, None)]
)
def test_a_rejection_has_twilios_code_unless_it_is_malformed(
    rig: ClientRig, code: Any, known: int | None
) -> None:
    rig.server.will(rejected(400, code))

    with pytest.raises(RequestRejected) as raised:
        rig.send()

    assert (raised.value.status, raised.value.code) == (400, known)


def test_a_read_timeout_leaves_the_outcome_unknown(
    rig: ClientRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(twilio, "READ_TIMEOUT_SECONDS", 0.2)
    rig.server.will(STALLED)

    with pytest.raises(OutcomeUnknown):
        rig.send()

    assert len(rig.requests) == 1


def test_retries_back_off_exponentially_with_jitter(rig: ClientRig) -> None:
    ranges: list[tuple[float, float]] = []

    def upper_end(low: float, high: float) -> float:
        ranges.append((low, high))
        return high

    rig.server.will(rejected(429))
    rig.connect(rig.server.url, jitter=upper_end)

    with pytest.raises(Unavailable):
        rig.send()

    assert ranges == [(0.9, 1.1)] * 4
    assert rig.slept == pytest.approx([0.11, 0.22, 0.44, 0.88])


def test_retry_after_is_honored(rig: ClientRig) -> None:
    rig.server.will(rejected(429, headers={"Retry-After": "3"}), accepted())

    rig.send()

    assert rig.slept == [3]


def test_a_retry_after_beyond_the_invocation_is_returned_to_the_caller(rig: ClientRig) -> None:
    rig.server.will(rejected(429, headers={"Retry-After": "20"}))

    with pytest.raises(Unavailable) as raised:
        rig.send()

    assert raised.value.retry_after == 20
    assert (len(rig.requests), rig.slept) == (1, [])


@pytest.mark.parametrize("named", ["soon", "-1", "9" * 5000])
def test_a_malformed_retry_after_is_ignored(rig: ClientRig, named: str) -> None:
    rig.server.will(rejected(429, headers={"Retry-After": named}), accepted())

    rig.send()

    assert rig.slept == pytest.approx([0.1])


def test_nothing_is_sent_with_too_little_time_left_for_the_outcome(rig: ClientRig) -> None:
    with pytest.raises(Unavailable):
        rig.send(seconds=NEEDED_SECONDS)

    assert rig.requests == []


def test_retries_end_before_the_invocation_does(rig: ClientRig) -> None:
    rig.server.will(rejected(429))

    with pytest.raises(Unavailable):
        rig.send(seconds=NEEDED_SECONDS + 0.25)

    assert len(rig.requests) == 2


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_a_refused_connection_is_retried_and_sent_nothing(rig: ClientRig) -> None:
    rig.connect(f"http://127.0.0.1:{closed_port()}")

    with pytest.raises(Unavailable):
        rig.send()

    assert len(rig.slept) == 4


def raising(error: Exception) -> Callable[..., NoReturn]:
    def fail(*_: object, **__: object) -> NoReturn:
        raise error

    return fail


@pytest.mark.parametrize(
    ("function", "error"),
    [
        ("socket.getaddrinfo", socket.gaierror(-2, "Name or service not known")),
        ("urllib3.util.connection.create_connection", TimeoutError("timed out")),
    ],
)
def test_a_connection_that_is_never_made_sent_nothing(
    rig: ClientRig, monkeypatch: pytest.MonkeyPatch, function: str, error: Exception
) -> None:
    monkeypatch.setattr(function, raising(error))
    rig.connect("http://twilio.invalid")

    with pytest.raises(Unavailable):
        rig.send()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_down_was_sent_nothing(rig: ClientRig, scheme: str) -> None:
    proxy = f"http://127.0.0.1:{closed_port()}"
    rig.session.proxies = {"http": proxy, "https": proxy}
    rig.connect(f"{scheme}://twilio.example")

    with pytest.raises(Unavailable):
        rig.send()


def test_a_proxy_that_refuses_to_connect_was_sent_nothing(rig: ClientRig) -> None:
    refusal = b"HTTP/1.1 503 Service Unavailable\r\n\r\n"
    rig.server.will(Reply(status=None, body=refusal, closes=True))
    rig.session.proxies = {"https": rig.server.url}
    rig.connect("https://twilio.example")

    with pytest.raises(Unavailable):
        rig.send()


def test_a_proxy_that_drops_a_forwarded_request_leaves_the_outcome_unknown(rig: ClientRig) -> None:
    rig.server.will(DROPPED)
    rig.session.proxies = {"http": rig.server.url}
    rig.connect("http://twilio.example")

    with pytest.raises(OutcomeUnknown):
        rig.send()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_tls_handshake_that_times_out_sent_nothing(
    rig: ClientRig, silent_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(twilio, "CONNECT_TIMEOUT_SECONDS", 0.05)
    rig.connect(f"https://127.0.0.1:{silent_port}")

    with pytest.raises(Unavailable):
        rig.send()


def test_a_server_without_tls_was_sent_nothing(rig: ClientRig) -> None:
    rig.server.will(Reply(status=None, body=b"HTTP/1.1 400 Bad Request\r\n\r\n", closes=True))
    rig.connect(rig.server.url.replace("http:", "https:"))

    with pytest.raises(Unavailable):
        rig.send()


@pytest.mark.parametrize(("idle_seconds", "connections"), [(4.9, 1), (5, 3)])
def test_a_connection_is_reused_until_it_was_idle_for_five_seconds(
    rig: ClientRig, idle_seconds: float, connections: int
) -> None:
    for _ in range(3):
        rig.send()
        rig.clock.advance(seconds=idle_seconds)

    assert (rig.server.connections, len(rig.requests)) == (connections, 3)


def test_an_invocation_does_not_reuse_an_earlier_ones_connection(rig: ClientRig) -> None:
    rig.send()
    rig.client.new_invocation()
    rig.send()

    assert rig.server.connections == 2


def test_a_connection_that_the_server_closed_does_not_put_a_send_in_doubt(rig: ClientRig) -> None:
    rig.server.will(Reply(body=accepted().body, closes=True), accepted())
    rig.send()
    assert rig.server.closed.acquire(timeout=5)

    message = rig.send()

    assert message.sid == MESSAGE_SID
    assert (rig.server.connections, len(rig.requests)) == (2, 2)


def test_a_send_on_a_reused_connection_that_breaks_is_not_retried(rig: ClientRig) -> None:
    rig.server.will(accepted(), DROPPED)
    rig.send()

    with pytest.raises(OutcomeUnknown):
        rig.send()

    assert len(rig.requests) == 2


@pytest.mark.parametrize(
    ("name", "method", "parameters"),
    [
        ("cancel", "POST", [("Status", "canceled")]),
        ("redact", "POST", [("Body", "")]),
        ("fetch", "GET", []),
        ("delete", "DELETE", []),
    ],
)
def test_a_message_is_changed_and_read_under_its_path(
    rig: ClientRig, name: str, method: str, parameters: list[tuple[str, str]]
) -> None:
    rig.server.will(Reply(status=200, body=accepted(status="canceled").body))

    call = getattr(rig.client, name)
    message = call(CREDENTIALS, MESSAGE_SID, time_left=rig.clock.time_left())

    [received] = rig.requests
    path = f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages/{MESSAGE_SID}.json"
    assert (received.method, received.path, received.parameters) == (method, path, parameters)
    assert message is None or message.status == "canceled"


def test_a_sid_cannot_change_the_path(rig: ClientRig) -> None:
    rig.fetch("../../Keys?a=")

    [received] = rig.requests
    assert received.path.endswith("/Messages/..%2F..%2FKeys%3Fa%3D.json")


def test_other_hosts_of_the_session_keep_their_transport(rig: ClientRig) -> None:
    before = rig.session.get_adapter("https://api.twilio.com.example.org/")

    rig.connect("https://api.twilio.com")

    assert rig.session.get_adapter("https://api.twilio.com.example.org/") is before
    assert rig.session.get_adapter("https://api.twilio.com/2010-04-01/") is not before


# --- the list -------------------------------------------------------------------------------------


def a_page(*sids: str, next_page_uri: Any = None) -> Reply:
    page = {"messages": [resource(sid=sid) for sid in sids], "next_page_uri": next_page_uri}
    return Reply(status=200, body=json.dumps(page).encode())


def test_the_list_is_read_page_by_page_on_demand(rig: ClientRig) -> None:
    second = f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json?Page=1&PageToken=PA1"
    rig.server.will(a_page("SM1", "SM2", next_page_uri=second), a_page("SM3"))

    pages = rig.pages(to="+15558675310")
    first = next(pages)
    requests_for_the_first = len(rig.requests)

    assert (first, requests_for_the_first) == (["SM1", "SM2"], 1)
    assert list(pages) == [["SM3"]]
    assert [request.path for request in rig.requests] == [
        f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json?To=%2B15558675310&PageSize=1000",
        second,
    ]


def test_the_list_of_a_day_is_requested_by_date(rig: ClientRig) -> None:
    rig.server.will(a_page())

    list(rig.pages(sent_on=date(2026, 1, 9)))

    assert rig.requests[0].path.endswith("Messages.json?DateSent=2026-01-09&PageSize=1000")


@pytest.mark.parametrize(
    "next_page",
    ["https://evil.example/", "@evil.example/", "/2010-04-01/Accounts/ACx/Messages.json?a", 7],
)
def test_a_list_that_continues_elsewhere_is_neither_followed_nor_complete(
    rig: ClientRig, next_page: object
) -> None:
    rig.server.will(a_page("SM1", next_page_uri=next_page))

    with pytest.raises(OutcomeUnknown):
        list(rig.pages())

    assert len(rig.requests) == 1


def test_a_list_that_leads_back_to_an_earlier_page_is_not_complete(rig: ClientRig) -> None:
    second, third = (
        f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json?Page={number}" for number in (1, 2)
    )
    rig.server.will(*(a_page("SM1", next_page_uri=it) for it in (second, third, second)))

    with pytest.raises(OutcomeUnknown):
        list(rig.pages())

    assert len(rig.requests) == 3


def test_a_list_with_a_blank_next_page_is_complete(rig: ClientRig) -> None:
    rig.server.will(a_page("SM1", next_page_uri=""))

    assert list(rig.pages()) == [["SM1"]]


@pytest.mark.parametrize(
    ("reply", "error", "requests_made"),
    [
        (rejected(429), Unavailable, 1),
        (rejected(404), RequestRejected, 1),
        (rejected(500), OutcomeUnknown, 2),
        (DROPPED, OutcomeUnknown, 2),
        (Reply(status=200, body=b"{}"), OutcomeUnknown, 1),
    ],
)
def test_a_read_is_retried_only_if_unanswered_and_only_once(
    rig: ClientRig, reply: Reply, error: type[TwilioError], requests_made: int
) -> None:
    rig.server.will(reply)

    with pytest.raises(error):
        next(rig.pages())

    assert len(rig.requests) == requests_made
    assert rig.slept == []


def test_nothing_is_fetched_with_too_little_time_left(rig: ClientRig) -> None:
    with pytest.raises(Unavailable):
        rig.fetch(seconds=NEEDED_SECONDS)

    assert rig.requests == []


def test_a_recipients_number_is_not_logged_when_a_response_has_malformed_headers(
    rig: ClientRig, caplog: pytest.LogCaptureFixture
) -> None:
    page = a_page("SM1").body
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(page)}\r\nX-Bad\r\nX-Fine: 1\r\n\r\n"
    rig.server.will(Reply(status=None, body=head.encode() + page, closes=True))

    with caplog.at_level("DEBUG"):
        pages = rig.pages(to="+15558675310")
        assert len(list(pages)) == 1

    assert "5558675310" not in caplog.text


# --- deleting -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failure", [DROPPED, rejected(503), rejected(429, 20429), rejected(500, 20500)], ids=str
)
def test_a_delete_is_retried(rig: ClientRig, failure: Reply) -> None:
    rig.server.will(failure, failure, rejected(404, 20404))

    rig.delete()

    assert len(rig.requests) == 3
    assert rig.slept == [0.1, 0.2]


def test_deleting_an_incomplete_message_is_rejected_with_its_code(rig: ClientRig) -> None:
    rig.server.will(rejected(409, NOT_COMPLETE))

    with pytest.raises(RequestRejected) as error:
        rig.delete()

    assert error.value.code == NOT_COMPLETE


def test_a_delete_fails_after_five_attempts_or_with_too_little_time_left(rig: ClientRig) -> None:
    rig.server.will(DROPPED)

    with pytest.raises(OutcomeUnknown):
        rig.delete(seconds=1000)
    with pytest.raises(Unavailable):
        rig.delete(seconds=NEEDED_SECONDS)

    assert len(rig.requests) == 5
