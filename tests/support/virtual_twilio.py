"""The Twilio simulator in virtual time: callbacks go to a function, and no test sleeps."""

import base64
import json
import random
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, override
from urllib.parse import parse_qsl, unquote, urlencode

import requests

from sandbox.http_server import Request, Response
from sandbox.twilio.accounts import Account
from sandbox.twilio.callbacks import CallbackAttempt, CallbackResult
from sandbox.twilio.settings import Settings
from sandbox.twilio.simulator import TwilioSimulator

ACCOUNT_SID = "AC" + "1" * 32
SUBACCOUNT_SID = "AC" + "2" * 32
AUTH_TOKEN = "the-auth-token"
API_KEY_SID = "SK" + "4" * 32
API_KEY_SECRET = "the-key-secret"
SERVICE_SID = "MG" + "5" * 32
CALLBACK_URL = "https://example.com/twilio/status?request_id=1&name=%C3%A9"
SENDER = "+15557654321"
RECIPIENT = "+15558675310"
MESSAGES = f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages"

type Receiver = Callable[[CallbackAttempt], CallbackResult]


def the_accounts() -> list[Account]:
    return [
        Account(sid=ACCOUNT_SID, auth_token=AUTH_TOKEN, api_keys={API_KEY_SID: API_KEY_SECRET}),
        Account(sid=SUBACCOUNT_SID, auth_token="the-subaccount-token", parent_sid=ACCOUNT_SID),
    ]


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def parameters_of(attempt: CallbackAttempt) -> dict[str, str]:
    return dict(parse_qsl(attempt.body.decode(), keep_blank_values=True))


def error_of(response: Response | None) -> tuple[int, int]:
    """The HTTP status and Twilio's code of an error response in Twilio's shape."""
    assert response is not None
    document = json.loads(response.body)
    code = document["code"]
    assert document["status"] == response.status
    assert document["message"]
    assert document["more_info"] == f"https://www.twilio.com/docs/errors/{code}"
    return response.status, code


def always(result: CallbackResult) -> Receiver:
    return lambda _: result


OK = always(CallbackResult(status=204))


class VirtualTwilio:
    """A simulator whose clock only `run` moves; `received` holds every callback attempt."""

    def __init__(self, *, accounts: Iterable[Account] | None = None, **settings: Any) -> None:
        settings = {"step_seconds": 1.0, **settings}
        self.simulator = TwilioSimulator(
            the_accounts() if accounts is None else accounts,
            ids=random.Random(7),  # noqa: S311 -- repeatable ids, no secrets
            settings=Settings(**settings),
        )
        self.now = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
        self.received: list[CallbackAttempt] = []

    def request(
        self,
        method: str,
        path: str,
        *,
        form: dict[str, Any] | None = None,
        query: dict[str, Any] | str = "",
        authorization: str | None = basic(ACCOUNT_SID, AUTH_TOKEN),
        body: bytes | None = None,
        concurrent: int = 1,
    ) -> Response | None:
        """Send a request; None means that the connection was dropped."""
        request = Request(
            method=method,
            target=f"{path}?{query if isinstance(query, str) else urlencode(query)}",
            headers=[("Authorization", authorization)] if authorization else [],
            body=body if body is not None else urlencode(form or {}, doseq=True).encode(),
            concurrent=concurrent,
        )
        return self.simulator.handle(request, self.now)

    def answer(self, method: str, path: str, **parts: Any) -> Response:
        """Send a request that is answered."""
        answer = self.request(method, path, **parts)
        assert answer is not None
        return answer

    def json(self, method: str, path: str, **parts: Any) -> dict[str, Any]:
        """Send a request that is answered in JSON, and return the document."""
        document: dict[str, Any] = json.loads(self.answer(method, path, **parts).body)
        return document

    def follow(self, uri: str) -> dict[str, Any]:
        """Fetch the document of a URI from another document."""
        path, _, query = uri.partition("?")
        return self.json("GET", path, query=query)

    def post(self, **form: Any) -> Response | None:
        """Request a new message: `a_form` with these parameters replaced."""
        return self.request("POST", MESSAGES + ".json", form=a_form(**form))

    def send(self, **form: Any) -> dict[str, Any]:
        """Create a message, and return its document."""
        answer = self.post(**form)
        assert answer is not None
        assert answer.status == 201, answer.body
        document: dict[str, Any] = json.loads(answer.body)
        return document

    def fetch(self, sid: str) -> dict[str, Any]:
        return self.json("GET", f"{MESSAGES}/{sid}.json")

    def run(
        self,
        receiver: Receiver = OK,
        *,
        seconds: float = 3600.0,
        each_takes: float = 0.0,
    ) -> list[dict[str, str]]:
        """Let time pass, and return the parameters of the callbacks received in it, in order."""
        end = self.now + timedelta(seconds=seconds)
        before = len(self.received)
        while (due := self.simulator.next_due()) is not None and due <= end:
            self.now = max(self.now, due)
            for attempt in self.simulator.run_due(self.now):
                self.received.append(attempt)
                self.now += timedelta(seconds=each_takes)
                self.simulator.record_attempt(attempt, receiver(attempt), self.now)
        self.now = max(self.now, end)
        return [parameters_of(attempt) for attempt in self.received[before:]]

    def statuses(self, receiver: Receiver = OK, **limits: float) -> list[str]:
        """Let time pass, and return the statuses that callbacks report in it, in order."""
        return [reported["MessageStatus"] for reported in self.run(receiver, **limits)]


def a_form(**changes: Any) -> dict[str, Any]:
    """A request to create a message, with changes; None leaves a parameter out."""
    form = {
        "To": RECIPIENT,
        "From": SENDER,
        "Body": "Hello",
        "StatusCallback": CALLBACK_URL,
        **changes,
    }
    return {name: value for name, value in form.items() if value is not None}


type Fault = Callable[[requests.PreparedRequest], requests.Response | None]


class Wire(requests.adapters.BaseAdapter):
    """Connects `requests` to the simulator without a network; `fault` may answer in its place.

    `requests` holds each one as method, last part of the path, and query.
    """

    def __init__(self, virtual: VirtualTwilio) -> None:
        super().__init__()
        self._virtual = virtual
        self.requests: list[str] = []
        self.fault: Fault = lambda _: None

    @override
    def send(
        self, request: requests.PreparedRequest, *_args: Any, **_kwargs: Any
    ) -> requests.Response:
        path, _, query = str(request.path_url).partition("?")
        resource = f"{path.rpartition('/')[2]}?{query}".removesuffix("?")
        self.requests.append(f"{request.method} {unquote(resource)}")
        replaced = self.fault(request)
        if replaced is not None:  # an error response is falsy
            return replaced
        body = request.body or b""
        answer = self._virtual.request(
            str(request.method),
            path,
            query=query,
            authorization=request.headers["Authorization"],
            body=body.encode() if isinstance(body, str) else body,
        )
        if answer is None:
            raise requests.ConnectionError
        return a_response(answer.status, answer.body)

    @override
    def close(self) -> None:
        """Keep nothing open."""


def a_response(status: int, body: bytes = b"{}") -> requests.Response:
    response = requests.Response()
    response.status_code = status
    response._content = body  # noqa: SLF001 -- requests has no other way to make one
    return response
