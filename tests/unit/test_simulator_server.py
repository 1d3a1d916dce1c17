"""The simulator as a server, used by Twilio's own SDK, with callbacks over real connections."""

import queue
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, override
from urllib.parse import parse_qsl

import pytest
import requests
from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.http.response import Response as SdkResponse
from twilio.rest import Client

from sandbox.http_server import HttpServer, Request, Response
from sandbox.polling import wait_for
from sandbox.twilio.server import SimulatorServer
from sandbox.twilio.settings import Settings
from sandbox.twilio.simulator import TwilioSimulator
from tests.support.virtual_twilio import (
    ACCOUNT_SID,
    AUTH_TOKEN,
    MESSAGES,
    RECIPIENT,
    SENDER,
    SERVICE_SID,
    a_form,
    the_accounts,
)

TIMEOUT = 5.0


class SimulatorHttpClient(TwilioHttpClient):  # type: ignore[misc]  # the SDK brings no types
    """The SDK's own HTTP client, with the simulator in the place of https://api.twilio.com."""

    def __init__(self, base_url: str) -> None:
        super().__init__()
        self._base_url = base_url

    @override
    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> SdkResponse:
        url = url.replace("https://api.twilio.com", self._base_url)
        return super().request(method, url, *args, **kwargs)


class Receiver(HttpServer):
    """Keeps every status callback."""

    def __init__(self) -> None:
        super().__init__(answer=self._answer)
        self.callbacks: queue.Queue[Request] = queue.Queue()

    def _answer(self, request: Request) -> Response:
        self.callbacks.put(request)
        return Response(status=204)


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
def http_client(server: SimulatorServer) -> Iterator[SimulatorHttpClient]:
    http_client = SimulatorHttpClient(server.url)
    yield http_client
    http_client.session.close()


@pytest.fixture
def client(http_client: SimulatorHttpClient) -> Client:
    return Client(ACCOUNT_SID, AUTH_TOKEN, http_client=http_client)


def create(client: Client, to: str = RECIPIENT, **parameters: Any) -> str:
    """Create a message, and return its SID."""
    return str(client.messages.create(to=to, from_=SENDER, body="Hello", **parameters).sid)


def post(server: SimulatorServer, **changes: Any) -> requests.Response:
    return requests.post(
        server.url + MESSAGES + ".json",
        data=a_form(**changes),
        auth=(ACCOUNT_SID, AUTH_TOKEN),
        timeout=TIMEOUT,
    )


def wait_for_status(server: SimulatorServer, sid: str, status: str) -> None:
    def has_status(simulator: TwilioSimulator) -> bool:
        return (sid, status) in [(it.sid, it.status) for it in simulator.messages()]

    wait_for(lambda: server.apply(has_status), timeout=TIMEOUT, what=f"{sid} {status}")


def test_the_sdk_sends_and_fetches(client: Client, server: SimulatorServer) -> None:
    created = client.messages.create(to=RECIPIENT, from_=SENDER, body="Hello")

    sid = str(created.sid)
    assert created.status == "queued"
    wait_for_status(server, sid, "delivered")
    fetched = client.messages(sid).fetch()
    assert fetched.status == "delivered"
    assert fetched.date_sent is not None
    assert fetched.price is None  # it appears later


def test_the_sdk_pages_through_a_list(client: Client, server: SimulatorServer) -> None:
    sids = [create(client) for _ in range(7)]
    create(client, to="+15558675311")
    for sid in sids:
        wait_for_status(server, sid, "delivered")

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
    with pytest.raises(TwilioRestException) as rejected:
        client.messages(str(created.sid)).update(status="canceled")
    assert rejected.value.code == 30409


def test_the_sdk_redacts_and_deletes(client: Client, server: SimulatorServer) -> None:
    sid = create(client)
    wait_for_status(server, sid, "delivered")

    redacted = client.messages(sid).update(body="")
    deleted = client.messages(sid).delete()

    assert redacted.body == ""
    assert deleted
    with pytest.raises(TwilioRestException) as gone:
        client.messages(sid).fetch()
    assert gone.value.status == 404


def test_the_sdk_raises_twilios_error(client: Client) -> None:
    with pytest.raises(TwilioRestException) as rejected:
        create(client, "+15555550109")

    assert (rejected.value.status, rejected.value.code) == (429, 20429)


def test_0106_answers_after_the_callback_has_arrived(client: Client, receiver: Receiver) -> None:
    sid = create(client, "+15555550106", status_callback=receiver.url)

    arrived = [form_of(it) for it in receiver.callbacks.queue]
    assert (sid, "sent") in [(it["MessageSid"], it["MessageStatus"]) for it in arrived]


def test_a_dropped_request_closes_the_connection(server: SimulatorServer) -> None:
    with pytest.raises(requests.ConnectionError):
        post(server, To="+15555550111")


def test_stopping_does_not_wait_for_a_receiver_that_stalls() -> None:
    with socket.create_server(("127.0.0.1", 0)) as stalling:
        url = f"http://127.0.0.1:{stalling.getsockname()[1]}"
        with SimulatorServer(the_accounts(), settings=Settings(step_seconds=0.01)) as server:
            post(server, StatusCallback=url)
            connection, _ = stalling.accept()
            started = monotonic()

        connection.close()
    assert monotonic() - started < TIMEOUT
    assert not [t for t in threading.enumerate() if t.name.startswith("simulator")]
