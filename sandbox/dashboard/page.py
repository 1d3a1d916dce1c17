"""Serves the dashboard page, which does with the widget what CloudWatch does.

    GET  /                 the page; its script and style sheet are beside it
    GET  /measures         the current numbers and graphs, as JSON
    POST /widget           invokes the deployed DashboardWidgetFunction, and returns its HTML

The page loads nothing from other servers.
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
from sandbox.http_server import HttpServer, Request, Response, text_response
from sandbox.page_response import file_response, page_response

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

_QUEUES: Final[Mapping[str, str]] = {
    "SendQueue": "sends",
    "SendDeadLetterQueue": "sends, dead letters",
    "CallbackQueue": "callbacks",
    "CallbackDeadLetterQueue": "callbacks, dead letters",
    "NotifyFailureDeadLetterQueue": "notices, dead letters",
}

_FOLDER: Final = Path(__file__).parent
_FILES: Final = {
    "/": "dashboard.html",
    "/dashboard.js": "dashboard.js",
    "/dashboard.css": "dashboard.css",
}


class DashboardPage(HttpServer):
    """The server of the page.

    Args:
        port: the port to listen on, or 0 for a free one.
        functions: the client of Lambda.
        function_arn: the widget's function; no other can be invoked through this server.
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

    def _answer(self, request: Request) -> Response:
        match request.method, request.path:
            case "GET", "/measures":
                with self._reading:
                    measures = asdict(self._read_measures())
                return page_response(json.dumps(measures).encode(), "application/json")
            case "GET", path if path in _FILES:
                # Inline styles are for the widget, which brings its own style sheet.
                return file_response(_FOLDER / _FILES[path], inline_styles=True)
            case "POST", "/widget":
                return self._widget(request.body)
            case _:
                return text_response(HTTPStatus.NOT_FOUND, "Not found.")

    def _widget(self, body: bytes) -> Response:
        try:
            call = json.loads(body)
            endpoint, event = call["endpoint"], dict(call["event"])
        except (ValueError, TypeError, KeyError):
            return text_response(
                HTTPStatus.BAD_REQUEST, "Expected JSON with an endpoint and an event."
            )
        if endpoint not in {None, self._function_arn}:
            return text_response(HTTPStatus.FORBIDDEN, f"The widget may not call {endpoint}.")
        try:
            response = self._functions.invoke(
                FunctionName=self._function_arn, Payload=json.dumps(event)
            )
        except (BotoCoreError, ClientError) as error:
            return text_response(HTTPStatus.BAD_GATEWAY, f"The widget could not be called: {error}")
        result = response["Payload"].read()
        if response.get("FunctionError"):
            return text_response(HTTPStatus.BAD_GATEWAY, f"The widget failed: {result.decode()}")
        return page_response(str(json.loads(result)).encode(), "text/html; charset=utf-8")


def read_measures(account: AwsAccount, stack: Stack) -> Measures:
    """Measure what the stack's tables and queues hold now."""
    return measure(
        account.scan(stack.resources["MessagesTable"]),
        account.scan(stack.resources["SendRequestsTable"]),
        {label: account.count_messages(stack.resources[queue]) for queue, label in _QUEUES.items()},
        datetime.now(UTC),
    )
