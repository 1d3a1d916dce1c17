"""Serves the dashboard on this machine: a page that does with the widget what CloudWatch does.

    GET  /                 the page; its script and its style sheet beside it
    GET  /measures         the numbers and graphs as they are now, as JSON
    POST /widget           calls the deployed DashboardWidgetFunction: what it returned

Nothing comes from elsewhere and nothing goes there. A request under another name than this
machine's own is refused, so that no site in the person's browser can have its name lead here; and
one that another site's page sends.
"""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError

from sandbox.aws.account import AwsAccount, Stack
from sandbox.dashboard.measures import Measures, measure
from sandbox.http_server import LOOPBACK, HttpServer, Request, Response

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

_QUEUES: Final[Mapping[str, str]] = {
    "SendQueue": "sends",
    "SendDeadLetterQueue": "sends, dead letters",
    "CallbackQueue": "callbacks",
    "CallbackDeadLetterQueue": "callbacks, dead letters",
    "NotifyFailureDeadLetterQueue": "notices, dead letters",
}

_HERE: Final = Path(__file__).parent
_HTML: Final = "text/html; charset=utf-8"
_FILES: Final = {
    "/": ("dashboard.html", _HTML),
    "/dashboard.js": ("dashboard.js", "text/javascript; charset=utf-8"),
    "/dashboard.css": ("dashboard.css", "text/css; charset=utf-8"),
}
# The widget brings a style sheet of its own; a script it must not bring, nor anything else.
_ONLY_OURS: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; "
    "img-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_SENTENCE: Final = "text/plain; charset=utf-8"


class DashboardPage(HttpServer):
    """A server on the loopback interface for as long as it is entered.

    Args:
        port: its own, or 0 for a free one.
        functions: Lambda.
        function_arn: the widget's function, which alone can be called through here.
        read_measures: returns the current numbers and graphs.
    """

    def __init__(
        self,
        *,
        port: int,
        functions: "LambdaClient",
        function_arn: str,
        read_measures: Callable[[], Measures],
    ) -> None:
        super().__init__(port=port, answer=self._answer)
        self._functions = functions
        self._function_arn = function_arn
        self._read_measures = read_measures
        self._reading = threading.Lock()  # each reads whole tables: one at a time
        self._names = {f"{LOOPBACK}:{self.port}", f"localhost:{self.port}"}

    def _answer(self, request: Request) -> Response:
        headers = {name.lower(): value for name, value in request.headers}
        if headers.get("host") not in self._names:
            return _sentence(HTTPStatus.MISDIRECTED_REQUEST, f"This page is at {self.url}/ only.")
        path = request.target.partition("?")[0]
        match request.method, path:
            case "GET", "/measures":
                with self._reading:
                    measures = asdict(self._read_measures())
                return _answered(json.dumps(measures).encode(), "application/json")
            case "GET", _ if path in _FILES:
                name, kind = _FILES[path]
                return _answered((_HERE / name).read_bytes(), kind)
            case "POST", "/widget" if self._is_our_page(headers):
                return self._widget(request.body)
            case "POST", "/widget":
                return _sentence(HTTPStatus.FORBIDDEN, "Only this page itself may call the widget.")
            case _:
                return _sentence(HTTPStatus.NOT_FOUND, "Nothing is here.")

    def _is_our_page(self, headers: Mapping[str, str]) -> bool:
        """Whether our own page sends it, or a program; a form of another site's cannot."""
        origin = headers.get("origin", self.url)
        is_json = headers.get("content-type", "").partition(";")[0].strip() == "application/json"
        return is_json and origin.removeprefix("http://") in self._names

    def _widget(self, body: bytes) -> Response:
        try:
            asked = json.loads(body)
            endpoint, event = asked["endpoint"], dict(asked["event"])
        except (ValueError, TypeError, KeyError):
            return _sentence(HTTPStatus.BAD_REQUEST, "That is no call of the widget.")
        if endpoint not in {None, self._function_arn}:
            return _sentence(HTTPStatus.FORBIDDEN, "The widget asks for another function.")
        try:
            answer = self._functions.invoke(
                FunctionName=self._function_arn, Payload=json.dumps(event)
            )
        except (BotoCoreError, ClientError) as error:
            return _sentence(HTTPStatus.BAD_GATEWAY, f"The widget was not called: {error}")
        returned = answer["Payload"].read()
        if answer.get("FunctionError"):
            return _sentence(HTTPStatus.BAD_GATEWAY, f"The widget fails: {returned.decode()}")
        return _answered(str(json.loads(returned)).encode(), _HTML)


def read_measures(account: AwsAccount, stack: Stack) -> Measures:
    """Measure what the stack's tables and queues hold now."""
    return measure(
        account.items(stack.resources["MessagesTable"]),
        account.items(stack.resources["SendRequestsTable"]),
        {label: account.waiting_in(stack.resources[queue]) for queue, label in _QUEUES.items()},
        datetime.now(UTC),
    )


def _answered(body: bytes, kind: str) -> Response:
    return Response(
        status=HTTPStatus.OK,
        headers=[
            ("Content-Type", kind),
            ("Content-Security-Policy", _ONLY_OURS),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cache-Control", "no-store"),
        ],
        body=body,
    )


def _sentence(status: HTTPStatus, sentence: str) -> Response:
    return Response(status=status, headers=[("Content-Type", _SENTENCE)], body=sentence.encode())
