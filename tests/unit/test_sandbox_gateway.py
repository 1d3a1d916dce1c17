"""The gateway: passes requests on unchanged, and injects faults."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import override

import pytest

from sandbox.aws.gateway import Fault, FaultKind, Gateway
from sandbox.http_server import HttpServer, NoResponse, Request, Response, call, forward

CALLBACK_HOST = "aaaa1111.execute-api.127.0.0.1"
MESSAGES_HOST = "bbbb2222.execute-api.127.0.0.1"


@dataclass
class Upstream:
    """Stands in for the emulator, and records the requests."""

    response: Response | None = field(
        default_factory=lambda: Response(status=HTTPStatus.NO_CONTENT)
    )
    requests: list[Request] = field(default_factory=list)

    def __call__(self, request: Request) -> Response | None:
        self.requests.append(request)
        return self.response


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture
def gateway(upstream: Upstream) -> Iterator[Gateway]:
    with (
        Emulator(port=0, answer=upstream) as server,
        Gateway(port=0, upstream_port=server.port) as gateway,
    ):
        gateway.open(callback_host=CALLBACK_HOST, messages_host=MESSAGES_HOST)
        yield gateway


class Emulator(HttpServer):
    """A server that knows its APIs by their host names."""

    @override
    def refuse(self, request: Request) -> None:
        """Refuse nothing."""


def a_callback(target: str = "/twilio/status", *headers: tuple[str, str]) -> Request:
    body = b"MessageSid=SM1&Body=a+b%20&Blank="
    return Request(
        method="POST",
        target=target,
        headers=[("Content-Length", str(len(body))), *headers],
        body=body,
    )


def send(gateway: Gateway, request: Request, *, timeout: float = 5) -> Response:
    host = ("Host", f"127.0.0.1:{gateway.port}")
    return forward(
        replace(request, headers=[host, *request.headers]), port=gateway.port, timeout=timeout
    )


def test_a_callback_is_passed_on_unchanged(gateway: Gateway, upstream: Upstream) -> None:
    target = "/twilio/status?a=b%20c+d&x=%C3%A9&empty=&a=2"

    twice = [("X-Twice", "1"), ("X-Twice", "2")]

    response = send(gateway, a_callback(target, *twice))

    assert response.status == HTTPStatus.NO_CONTENT
    (request,) = upstream.requests
    headers = {name.lower(): value for name, value in request.headers}
    assert (request.method, request.target) == ("POST", target)
    assert request.body == b"MessageSid=SM1&Body=a+b%20&Blank="
    assert [it for it in request.headers if it[0] == "X-Twice"] == twice
    assert headers["host"] == CALLBACK_HOST


def test_the_messages_api_is_reached_without_its_host_header(
    gateway: Gateway, upstream: Upstream
) -> None:
    upstream.response = Response(
        status=HTTPStatus.CREATED, headers=[("Content-Type", "application/json")], body=b"{}"
    )

    response = call("POST", f"{gateway.url}/api/messages?a=1", content={"to": "+15551234567"})

    (request,) = upstream.requests
    assert request.target == "/messages?a=1"
    assert ("Host", MESSAGES_HOST) in request.headers
    assert json.loads(request.body) == {"to": "+15551234567"}
    assert (response.status, response.body) == (HTTPStatus.CREATED, b"{}")
    assert ("Content-Type", "application/json") in response.headers


def test_without_a_response_from_upstream_the_caller_gets_503(
    gateway: Gateway, upstream: Upstream
) -> None:
    upstream.response = None

    response = send(gateway, a_callback())

    assert response.status == HTTPStatus.SERVICE_UNAVAILABLE


def test_a_gateway_that_is_not_open_responds_404() -> None:
    with Gateway(port=0, upstream_port=1) as gateway:
        response = send(gateway, a_callback())

    assert response.status == HTTPStatus.NOT_FOUND


def test_faults_occur_in_order_as_often_as_given_without_a_request_upstream(
    gateway: Gateway, upstream: Upstream
) -> None:
    gateway.add_fault(Fault(kind=FaultKind.FAIL, status=429, times=2))
    gateway.add_fault(Fault(kind=FaultKind.FAIL, status=500))

    responses = [send(gateway, a_callback()).status for _ in range(4)]

    assert responses == [429, 429, 500, HTTPStatus.NO_CONTENT]
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    ("fault", "passed_on"),
    [
        (Fault(kind=FaultKind.DROP), 0),
        (Fault(kind=FaultKind.STALL, seconds=60), 0),
        (Fault(kind=FaultKind.LOSE_RESPONSE), 1),
    ],
    ids=lambda it: getattr(it, "kind", ""),
)
def test_without_a_response_a_request_was_passed_on_or_was_not(
    gateway: Gateway, upstream: Upstream, fault: Fault, passed_on: int
) -> None:
    gateway.add_fault(fault)

    with pytest.raises(NoResponse):
        send(gateway, a_callback(), timeout=0.1)

    assert len(upstream.requests) == passed_on


def test_a_fault_affects_only_its_path(gateway: Gateway) -> None:
    gateway.add_fault(Fault(kind=FaultKind.FAIL, path="/twilio", times=None))

    responses = [
        call("POST", f"{gateway.url}/api/messages", content={}).status,
        send(gateway, a_callback()).status,
        send(gateway, a_callback()).status,
    ]

    assert responses == [HTTPStatus.NO_CONTENT, 503, 503]


def test_faults_can_be_added_and_removed_over_http(gateway: Gateway) -> None:
    url = f"{gateway.url}/_gateway/faults"

    added = call("POST", url, content={"kind": "fail", "status": 500, "times": None})
    failed = send(gateway, a_callback())
    removed = call("DELETE", url)
    served = send(gateway, a_callback())

    assert json.loads(added.body)["faults"] == [
        {
            "kind": "fail",
            "path": "/",
            "times": None,
            "status": 500,
            "seconds": 0.0,
            "chance": 1.0,
        }
    ]
    assert json.loads(removed.body) == {"faults": []}
    assert (failed.status, served.status) == (500, HTTPStatus.NO_CONTENT)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], "kind: fail, stall, drop, lose_response"),
        ({"kind": ["drop"]}, "invalid kind: ['drop']"),
        ({"kind": "drop", "colour": 1}, "unknown field colour"),
        ({"kind": "drop", "path": 1}, "invalid path: 1"),
        ({"kind": "drop", "times": 0}, "invalid times: 0"),
        ({"kind": "drop", "times": True}, "invalid times: True"),
        ({"kind": "fail", "status": 999}, "invalid status: 999"),
        ({"kind": "stall", "seconds": -1}, "invalid seconds: -1"),
        ({"kind": "stall", "chance": 2}, "invalid chance: 2"),
    ],
)
def test_an_invalid_fault_is_rejected_with_the_reason(
    gateway: Gateway, content: object, words: str
) -> None:
    response = call("POST", f"{gateway.url}/_gateway/faults", content=content)

    assert response.status == HTTPStatus.BAD_REQUEST
    assert words in json.loads(response.body)["message"]
    assert gateway.faults == []


def test_a_fault_with_a_chance_of_a_half_affects_some_requests(
    gateway: Gateway, upstream: Upstream
) -> None:
    gateway.add_fault(Fault(kind=FaultKind.FAIL, times=None, chance=0.5))

    statuses = {send(gateway, a_callback()).status for _ in range(64)}

    assert statuses == {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.NO_CONTENT}
    assert gateway.fault_counts == {FaultKind.FAIL: 64 - len(upstream.requests)}
