"""The sandbox's HTTP server: keep-alive, requests in chunks, dropped connections, stopping."""

import http.client
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from sandbox.aws.gateway import Gateway
from sandbox.http_server import LOOPBACK, HttpServer, Request, Response, forward
from sandbox.twilio.server import SimulatorServer

PATIENCE = 5.0


class Echo(HttpServer):
    """Answers with the request's body and keeps every request; /drop is never answered."""

    def __init__(self) -> None:
        super().__init__(answer=self._answer)
        self.requests: list[Request] = []

    def _answer(self, request: Request) -> Response | None:
        self.requests.append(request)
        if request.path == "/drop":
            return None
        return Response(status=200, headers=[("X-Twice", "1"), ("X-Twice", "2")], body=request.body)


@pytest.fixture
def server() -> Iterator[Echo]:
    with Echo() as server:
        yield server


@pytest.fixture
def connection(server: HttpServer) -> Iterator[http.client.HTTPConnection]:
    with closing(http.client.HTTPConnection(LOOPBACK, server.port, timeout=PATIENCE)) as connection:
        yield connection


def test_the_server_listens_on_the_loopback_interface_only(server: Echo) -> None:
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.2", server.port))


def test_one_connection_serves_several_requests(
    server: Echo, connection: http.client.HTTPConnection
) -> None:
    connection.connect()
    client_socket = connection.sock
    for body in (b"one", b"two"):
        connection.request("POST", "/a%20b?x=1&x=", body=body, headers={"X-Name": "value"})
        response = connection.getresponse()
        assert response.read() == body
        assert response.headers.get_all("X-Twice") == ["1", "2"]

    assert connection.sock is client_socket
    first, _ = server.requests
    assert (first.method, first.target) == ("POST", "/a%20b?x=1&x=")
    assert (first.path, first.query) == ("/a%20b", "x=1&x=")
    assert (first.header("x-name"), first.header("x-other")) == ("value", None)


def test_a_response_to_head_has_no_body(connection: http.client.HTTPConnection) -> None:
    for _ in range(2):
        connection.request("HEAD", "/", body=b"four")
        response = connection.getresponse()
        assert (response.read(), response.getheader("Content-Length")) == (b"", "4")


def test_a_body_in_chunks_is_received_whole(server: Echo) -> None:
    with socket.create_connection((LOOPBACK, server.port)) as client:
        client.sendall(
            b"POST /twilio/status HTTP/1.1\r\nHost: localhost:%d\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n" % server.port
        )
        client.sendall(b"3\r\na=1\r\n4;note=x\r\n&b=2\r\n0\r\nTrailer: x\r\n\r\n")
        response = client.recv(100)

    assert response.startswith(b"HTTP/1.1 200")
    assert server.requests[0].body == b"a=1&b=2"
    assert server.requests[0].header("Content-Length") == "7"


def test_without_an_answer_the_connection_closes(
    server: Echo, connection: http.client.HTTPConnection
) -> None:
    connection.request("GET", "/drop")

    with pytest.raises(http.client.RemoteDisconnected):
        connection.getresponse()

    assert len(server.requests) == 1


# --- requests that another site caused -----------------------------------------------------------


def status_of(server: HttpServer, method: str = "GET", **headers: str | None) -> int:
    """The status of the answer to a request with these headers besides the right Host."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {"Host": f"{LOOPBACK}:{server.port}"} | named
    given = [(name, value) for name, value in sent.items() if value is not None]
    return forward(
        Request(method=method, target="/", headers=given), port=server.port, timeout=PATIENCE
    ).status


@pytest.mark.parametrize("host", ["evil.example.com", "127.0.0.1", "127.0.0.1:1", "", None])
def test_a_request_for_another_host_is_refused(server: Echo, host: str | None) -> None:
    assert status_of(server, Host=host) == 421
    assert status_of(server, Host=f"evil.example.com:{server.port}") == 421
    assert server.requests == []


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "host.docker.internal"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_program_is_answered_under_every_name_of_this_machine(
    server: Echo, name: str, method: str
) -> None:
    host = f"{name}:{server.port}"

    assert status_of(server, method, Host=host) == 200
    assert status_of(server, method, Host=host, Origin=f"http://{host}") == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example.com"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Dest": "iframe"},
        {"Origin": "http://evil.example.com", "Sec_Fetch_Dest": "document"},
    ],
)
def test_a_page_of_another_site_is_refused(
    server: Echo, method: str, headers: dict[str, str]
) -> None:
    assert status_of(server, method, **headers) == 403
    assert server.requests == []


def test_a_link_of_another_site_opens_a_page_but_cannot_change_anything(server: Echo) -> None:
    link = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Dest": "document"}

    assert (status_of(server, **link), status_of(server, "POST", **link)) == (200, 403)


def test_a_page_of_this_server_is_answered(server: Echo) -> None:
    assert status_of(server, "POST", Origin=server.url, Sec_Fetch_Site="same-origin") == 200


def test_the_simulator_and_the_gateway_refuse_other_sites() -> None:
    with SimulatorServer([]) as simulator, Gateway(port=0, upstream_port=1) as gateway:
        for server in (simulator, gateway):
            assert status_of(server, "POST", Host=f"evil.example.com:{server.port}") == 421
            assert status_of(server, "POST", Origin="http://evil.example.com") == 403


# --- requests under way --------------------------------------------------------------------------


def test_requests_under_way_at_the_same_time_are_counted() -> None:
    both_came = threading.Barrier(2)
    counts: list[int] = []

    def answer(request: Request) -> Response:
        counts.append(request.concurrent)
        if request.path == "/together":
            both_came.wait(PATIENCE)
        return Response(status=200)

    with HttpServer(answer=answer) as server:
        clients = [
            http.client.HTTPConnection(LOOPBACK, server.port, timeout=PATIENCE) for _ in range(2)
        ]
        for client in clients:
            client.request("GET", "/together")
        for client in clients:
            client.getresponse().read()
        clients[0].request("GET", "/alone")
        clients[0].getresponse().read()
        for client in clients:
            client.close()

    assert sorted(counts) == [1, 1, 2]


def test_an_incomplete_request_is_not_answered(server: Echo) -> None:
    with socket.create_connection((LOOPBACK, server.port)) as client:
        client.sendall(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf")
        client.shutdown(socket.SHUT_WR)
        response = client.recv(100)

    assert response == b""
    assert server.requests == []


def test_a_client_that_goes_away_leaves_no_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    with Echo() as server, socket.create_connection((LOOPBACK, server.port)) as client:
        client.sendall(b"GET / HTTP/1.1\r\n")
        # With this option, closing the socket resets the connection.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    assert capfd.readouterr().err == ""


def test_stopping_ends_idle_connections_but_not_requests_under_way() -> None:
    came, may_answer = threading.Event(), threading.Event()

    def answer(request: Request) -> Response:
        if request.path == "/slow":
            came.set()
            may_answer.wait(PATIENCE)
        return Response(status=200)

    with HttpServer(answer=answer) as server:
        idle, busy = (
            http.client.HTTPConnection(LOOPBACK, server.port, timeout=PATIENCE) for _ in range(2)
        )
        idle.request("GET", "/")
        idle.getresponse().read()
        busy.request("GET", "/slow")
        assert came.wait(PATIENCE)

    idle_read = idle.sock.recv(1)
    may_answer.set()
    assert (idle_read, busy.getresponse().status) == (b"", 200)
    idle.close()
    busy.close()
