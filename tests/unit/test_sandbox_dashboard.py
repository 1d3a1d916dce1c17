"""The dashboard page of the sandbox: its measures, and the requests that it accepts."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

import pytest

from sandbox.dashboard.measures import measure
from sandbox.dashboard.page import DashboardPage
from sandbox.http_server import Response, call
from tests.support.builders import NOON, a_message, an_update

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

NOW = NOON + timedelta(minutes=10)
ENDPOINT = "arn:aws:lambda:us-east-1:000000000000:function:widget"


def a_record(*statuses: Any, **facts: Any) -> dict[str, Any]:
    return a_message(*statuses).as_record() | facts


def a_delivery(seconds: float) -> dict[str, Any]:
    return a_record(an_update("queued"), an_update("delivered", after=seconds))


def a_failure(code: int | None) -> dict[str, Any]:
    return a_record(an_update("failed", error_code=code))


# --- numbers and graphs --------------------------------------------------------------------------


def numbers_of(messages: list[dict[str, Any]], *requests: dict[str, Any]) -> dict[str, str]:
    return {it.name: it.value for it in measure(messages, requests, {}, NOW).numbers}


def bars_of(graph: str, *messages: dict[str, Any], **queues: int) -> dict[str, str]:
    graphs = {it.title: it.bars for it in measure(messages, [], queues, NOW).graphs}
    return {bar.name: bar.label for bar in graphs[graph]}


def test_outcomes_are_counted_and_the_rate_leaves_out_pending_and_canceled_messages() -> None:
    unconfirmed = a_message("sent").as_unconfirmed(NOW).as_record()
    canceled = a_record("scheduled", "canceled")
    ended = [a_delivery(1), a_delivery(2), a_failure(30003), unconfirmed]
    messages = [*ended, canceled, a_record("sent")]

    assert numbers_of(messages) == {
        "messages": "6",
        "delivered": "50 %",
        "failed": "1",
        "unconfirmed": "1",
        "pending": "1",
        "requests in doubt": "0",
    }
    assert numbers_of([a_record("sent")])["delivered"] == "none yet"


def test_failures_are_counted_by_category_the_most_frequent_first() -> None:
    failures = [a_failure(code) for code in (21610, 30003, 30005, None)]

    assert list(bars_of("Failures by category", *failures).values()) == ["2", "1", "1"]


def test_percentiles_are_values_that_occurred() -> None:
    title = "Seconds from creation to delivered"
    messages = [a_delivery(seconds) for seconds in range(1, 101)]

    assert bars_of(title, *messages) == {"p50": "50.00 s", "p90": "90.00 s", "p99": "99.00 s"}
    assert set(bars_of(title, messages[0]).values()) == {"1.00 s"}
    assert bars_of(title) == {}


def test_the_messages_of_each_queue_are_shown() -> None:
    assert bars_of("Messages in queues", send=7, callbacks=0) == {"send": "7", "callbacks": "0"}


@pytest.mark.parametrize(
    ("state", "lease_until", "count"),
    [
        ("in_doubt", "2026-11-23T12:00:00.000Z", "1"),
        ("in_progress", "2026-11-23T12:00:00.000Z", "1"),
        ("in_progress", "2026-11-23T13:00:00.000Z", "0"),
        ("sent", "2026-11-23T12:00:00.000Z", "0"),
    ],
)
def test_a_claim_without_a_result_is_in_doubt_when_its_lease_has_expired(
    state: str, lease_until: str, count: str
) -> None:
    request = {"state": state, "lease_until": lease_until}

    assert numbers_of([], request)["requests in doubt"] == count


def test_an_erased_message_is_not_counted() -> None:
    assert numbers_of([{"message_sid": "SM1"}])["messages"] == "0"


# --- requests ------------------------------------------------------------------------------------


@dataclass
class Functions:
    """Stands in for Lambda, and records the events."""

    response: Any = "<p>widget</p>"
    error: str | None = None
    events: list[dict[str, Any]] = field(default_factory=list)

    def invoke(self, *, FunctionName: str, Payload: str) -> dict[str, Any]:  # noqa: N803 -- boto3's
        assert FunctionName == ENDPOINT
        self.events.append(json.loads(Payload))
        payload = io.BytesIO(json.dumps(self.response).encode())
        return {"Payload": payload} | ({"FunctionError": self.error} if self.error else {})


@pytest.fixture
def functions() -> Functions:
    return Functions()


@pytest.fixture
def page(functions: Functions) -> Iterator[DashboardPage]:
    with DashboardPage(
        port=0,
        functions=cast("LambdaClient", functions),
        function_arn=ENDPOINT,
        read_measures=lambda: measure([], [], {}, NOW),
    ) as page:
        yield page


def post(page: DashboardPage, content: Any) -> Response:
    """Call the widget as the page does."""
    return call("POST", f"{page.url}/widget", content=content)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/dashboard.js", "text/javascript; charset=utf-8"),
        ("/dashboard.css", "text/css; charset=utf-8"),
        ("/measures?x", "application/json"),
    ],
)
def test_every_file_of_the_page_is_served(page: DashboardPage, path: str, kind: str) -> None:
    response = call("GET", f"{page.url}{path}")

    headers = dict(response.headers)
    assert (response.status, headers["Content-Type"]) == (HTTPStatus.OK, kind)
    assert "default-src 'none'; script-src 'self'" in headers["Content-Security-Policy"]


def test_the_page_loads_nothing_from_other_servers(page: DashboardPage) -> None:
    for path in ("/", "/dashboard.css"):
        body = call("GET", f"{page.url}{path}").body.decode()
        assert "//" not in body, path
        assert "url(" not in body, path


def test_the_widget_is_invoked_with_the_event(page: DashboardPage, functions: Functions) -> None:
    event = {"view": "message", "widgetContext": {"theme": "dark"}}

    response = post(page, {"endpoint": ENDPOINT, "event": event})

    assert (response.status, response.body) == (HTTPStatus.OK, b"<p>widget</p>")
    assert functions.events == [event]


def test_the_error_of_the_widget_is_returned_as_plain_text(
    page: DashboardPage, functions: Functions
) -> None:
    functions.error, functions.response = "Unhandled", {"errorMessage": "<b>no</b>"}

    response = post(page, {"endpoint": None, "event": {}})

    assert response.status == HTTPStatus.BAD_GATEWAY
    assert dict(response.headers)["Content-Type"].startswith("text/plain")
    assert "<b>no</b>" in response.body.decode()


@pytest.mark.parametrize("content", [[], {"endpoint": None}, {"endpoint": None, "event": 5}])
def test_an_invalid_call_of_the_widget_is_rejected(
    page: DashboardPage, functions: Functions, content: Any
) -> None:
    assert post(page, content).status == HTTPStatus.BAD_REQUEST
    assert functions.events == []


def test_another_function_cannot_be_called(page: DashboardPage, functions: Functions) -> None:
    response = post(page, {"endpoint": f"{ENDPOINT}-other", "event": {}})

    assert response.status == HTTPStatus.FORBIDDEN
    assert functions.events == []


def test_no_other_file_is_served(page: DashboardPage) -> None:
    for path in ("/page.py", "/../page.py", "/widget", "/%2e%2e/page.py"):
        assert call("GET", f"{page.url}{path}").status == HTTPStatus.NOT_FOUND
