"""The gateway: passes everything on as it came, and misbehaves as it is told."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus

import pytest

from sandbox.aws.gateway import Fault, FaultKind, Gateway
from sandbox.http_server import HttpServer, NoResponse, Request, Response, call, forward

CALLBACK_HOST = "aaaa1111.execute-api.127.0.0.1"
MESSAGES_HOST = "bbbb2222.execute-api.127.0.0.1"


@dataclass
class Upstream:
    """Stands where the emulator stands, and remembers what it was asked."""

    answer: Response | None = field(default_factory=lambda: Response(status=HTTPStatus.NO_CONTENT))
    requests: list[Request] = field(default_factory=list)

    def __call__(self, request: Request) -> Response | None:
        self.requests.append(request)
        return self.answer


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture
def gateway(upstream: Upstream) -> Iterator[Gateway]:
    with (
        HttpServer(port=0, answer=upstream) as server,
        Gateway(port=0, upstream_port=server.port) as gateway,
    ):
        gateway.open(callback_host=CALLBACK_HOST, messages_host=MESSAGES_HOST)
        yield gateway


def a_callback(target: str = "/twilio/status", *headers: tuple[str, str]) -> Request:
    body = b"MessageSid=SM1&Body=a+b%20&Blank="
    return Request(
        method="POST",
        target=target,
        headers=[("Host", "public"), ("Content-Length", str(len(body))), *headers],
        body=body,
    )


def ask(gateway: Gateway, request: Request) -> Response:
    return forward(request, port=gateway.port, timeout=5)


def test_a_callback_is_passed_on_byte_for_byte(gateway: Gateway, upstream: Upstream) -> None:
    target = "/twilio/status?a=b%20c+d&x=%C3%A9&empty=&a=2"

    answer = ask(gateway, a_callback(target, ("X-Twilio-Signature", "abc="), ("X-Twice", "1")))

    assert answer.status == HTTPStatus.NO_CONTENT
    (request,) = upstream.requests
    headers = {name.lower(): value for name, value in request.headers}
    assert (request.method, request.target) == ("POST", target)
    assert request.body == b"MessageSid=SM1&Body=a+b%20&Blank="
    assert (headers["x-twilio-signature"], headers["x-twice"]) == ("abc=", "1")
    assert headers["host"] == CALLBACK_HOST


def test_a_header_that_comes_twice_arrives_twice(gateway: Gateway, upstream: Upstream) -> None:
    ask(gateway, a_callback("/twilio/status", ("X-Twice", "1"), ("X-Twice", "2")))

    values = [value for name, value in upstream.requests[0].headers if name == "X-Twice"]
    assert values == ["1", "2"]


def test_the_messages_api_is_reached_without_knowing_its_host(
    gateway: Gateway, upstream: Upstream
) -> None:
    upstream.answer = Response(
        status=HTTPStatus.CREATED, headers=[("Content-Type", "application/json")], body=b"{}"
    )

    answer = call("POST", f"{gateway.url}/api/messages?a=1", content={"to": "+15551234567"})

    (request,) = upstream.requests
    assert request.target == "/messages?a=1"
    assert ("Host", MESSAGES_HOST) in request.headers
    assert json.loads(request.body) == {"to": "+15551234567"}
    assert (answer.status, answer.body) == (HTTPStatus.CREATED, b"{}")
    assert ("Content-Type", "application/json") in answer.headers


def test_without_an_answer_from_upstream_the_caller_gets_503(
    gateway: Gateway, upstream: Upstream
) -> None:
    upstream.answer = None

    answer = ask(gateway, a_callback())

    assert answer.status == HTTPStatus.SERVICE_UNAVAILABLE


def test_before_it_is_opened_there_is_nothing() -> None:
    with Gateway(port=0, upstream_port=1) as gateway:
        answer = ask(gateway, a_callback())

    assert answer.status == HTTPStatus.NOT_FOUND


@pytest.mark.parametrize("status", [403, 429, 500, 503])
def test_it_fails_as_often_as_it_was_told_and_the_function_hears_nothing(
    gateway: Gateway, upstream: Upstream, status: int
) -> None:
    gateway.misbehave(Fault(kind=FaultKind.FAIL, status=status, times=2))

    answers = [ask(gateway, a_callback()).status for _ in range(3)]

    assert answers == [status, status, HTTPStatus.NO_CONTENT]
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(("kind", "heard"), [(FaultKind.DROP, 0), (FaultKind.LOSE_ANSWER, 1)])
def test_a_dropped_request_never_arrives_and_a_lost_answer_comes_from_one_that_did(
    gateway: Gateway, upstream: Upstream, kind: FaultKind, heard: int
) -> None:
    gateway.misbehave(Fault(kind=kind))

    with pytest.raises(NoResponse):
        ask(gateway, a_callback())

    assert len(upstream.requests) == heard


def test_a_stalled_request_arrives_later_than_its_sender_waits(
    gateway: Gateway, upstream: Upstream
) -> None:
    gateway.misbehave(Fault(kind=FaultKind.STALL, seconds=60))

    with pytest.raises(NoResponse):
        forward(a_callback(), port=gateway.port, timeout=0.05)

    assert upstream.requests == []


def test_a_fault_concerns_its_path_only(gateway: Gateway) -> None:
    gateway.misbehave(Fault(kind=FaultKind.FAIL, path="/twilio", times=None))

    answers = [
        call("POST", f"{gateway.url}/api/messages", content={}).status,
        ask(gateway, a_callback()).status,
        ask(gateway, a_callback()).status,
    ]

    assert answers == [HTTPStatus.NO_CONTENT, 503, 503]


def test_faults_happen_in_the_order_in_which_they_were_asked_for(gateway: Gateway) -> None:
    gateway.misbehave(Fault(kind=FaultKind.FAIL, status=429))
    gateway.misbehave(Fault(kind=FaultKind.FAIL, status=500))

    answers = [ask(gateway, a_callback()).status for _ in range(3)]

    assert answers == [429, 500, HTTPStatus.NO_CONTENT]


def test_faults_can_be_asked_for_and_taken_back_over_http(gateway: Gateway) -> None:
    url = f"{gateway.url}/_gateway/faults"

    asked = call("POST", url, content={"kind": "fail", "status": 500, "times": None})
    failed = ask(gateway, a_callback())
    taken_back = call("DELETE", url)
    served = ask(gateway, a_callback())

    assert json.loads(asked.body)["faults"] == [
        {
            "kind": "fail",
            "path": "/",
            "times": None,
            "status": 500,
            "seconds": 0.0,
            "chance": 1.0,
        }
    ]
    assert json.loads(taken_back.body) == {"faults": []}
    assert (failed.status, served.status) == (500, HTTPStatus.NO_CONTENT)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], "it needs a kind: fail, stall, drop, lose_answer"),
        ({}, "it needs a kind: fail, stall, drop, lose_answer"),
        ({"kind": "explode"}, "kind cannot be 'explode'"),
        ({"kind": ["drop"]}, "kind cannot be ['drop']"),
        ({"kind": "drop", "colour": 1}, "there is no colour"),
        ({"kind": "drop", "path": 1}, "path cannot be 1"),
        ({"kind": "drop", "times": 0}, "times cannot be 0"),
        ({"kind": "drop", "times": "two"}, "times cannot be 'two'"),
        ({"kind": "drop", "times": True}, "times cannot be True"),
        ({"kind": "fail", "status": 999}, "status cannot be 999"),
        ({"kind": "fail", "status": "503"}, "status cannot be '503'"),
        ({"kind": "stall", "seconds": -1}, "seconds cannot be -1"),
        ({"kind": "stall", "chance": 2}, "chance cannot be 2"),
    ],
)
def test_what_is_no_fault_is_refused_in_words(
    gateway: Gateway, content: object, words: str
) -> None:
    answer = call("POST", f"{gateway.url}/_gateway/faults", content=content)

    assert answer.status == HTTPStatus.BAD_REQUEST
    assert words in json.loads(answer.body)["message"]
    assert gateway.faults == []


def test_a_fault_that_leaves_room_for_chance_spares_some_requests(
    gateway: Gateway, upstream: Upstream
) -> None:
    gateway.misbehave(Fault(kind=FaultKind.FAIL, times=None, chance=0.5))

    statuses = {ask(gateway, a_callback()).status for _ in range(64)}

    assert statuses == {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.NO_CONTENT}
    assert gateway.happened == {FaultKind.FAIL: 64 - len(upstream.requests)}


def test_a_fault_without_any_chance_never_happens(gateway: Gateway) -> None:
    gateway.misbehave(Fault(kind=FaultKind.DROP, chance=0.0))

    assert ask(gateway, a_callback()).status == HTTPStatus.NO_CONTENT
    assert len(gateway.faults) == 1
