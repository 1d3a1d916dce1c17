"""The sandbox's dashboard: what it measures, what it draws, and whom it answers."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

import pytest

from delivery.domain.messages import Lifetimes, Message, Source
from delivery.text.html import element
from sandbox.dashboard.graphs import graphs
from sandbox.dashboard.measures import BINS, measured
from sandbox.dashboard.page import DashboardPage
from sandbox.http_server import Request, Response, call, forward
from tests.builders import NOON, a_message, an_update
from tests.support.screen import Screen

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


# --- what it measures ----------------------------------------------------------------------------


def test_outcomes_are_counted_and_the_rate_is_of_those_that_ended() -> None:
    unconfirmed = a_message("sent").unconfirmed(NOW).as_record()
    messages = [a_delivery(1), a_delivery(2), a_failure(30003), unconfirmed, a_record("sent")]

    measures = measured(messages, [], NOW)

    assert measures.outcomes == {"delivered": 2, "failed": 1, "unconfirmed": 1, "pending": 1}
    assert measures.delivery_rate == 0.5
    assert measured([a_record("sent")], [], NOW).delivery_rate is None


def test_outcomes_over_time_are_those_of_the_messages_created_then() -> None:
    old = a_record(an_update("failed", after=600 - 29 * 60))
    new = a_record(an_update("sent", after=600))

    measures = measured([old, new, a_delivery(1)], [], NOW)

    assert measures.bin_spans == timedelta(minutes=1)
    assert len(measures.outcomes_over_time) == BINS
    assert measures.outcomes_over_time[0] == {"failed": 1}
    assert measures.outcomes_over_time[-11] == {"delivered": 1}
    assert measures.outcomes_over_time[-1] == {"pending": 1}


@pytest.mark.parametrize(
    ("seconds", "spans"), [(0, 10), (289, 10), (291, 20), (86_000, 3600), (10**9, 86_400)]
)
def test_a_bar_spans_a_round_time_that_shows_all_if_it_can(seconds: int, spans: int) -> None:
    record = a_record(an_update("sent", after=600 - seconds))

    measures = measured([record], [], NOW)

    assert measures.bin_spans == timedelta(seconds=spans)
    assert sum(bin_.get("pending", 0) for bin_ in measures.outcomes_over_time) == 1


def test_a_bar_keeps_its_messages_as_time_goes_by() -> None:
    records = [a_record(an_update("sent", after=second)) for second in range(120)]

    before = measured(records, [], NOON + timedelta(seconds=120)).outcomes_over_time
    after = measured(records, [], NOON + timedelta(seconds=129)).outcomes_over_time

    assert before == after


def test_failures_are_counted_by_category_the_most_frequent_first() -> None:
    codes = (21610, 30003, 30005, None)

    categories = measured([a_failure(code) for code in codes], [], NOW).failures_by_category

    assert list(categories.items()) == [
        ("recipient_unreachable", 2),
        ("opt_out", 1),
        ("unknown", 1),
    ]


def test_percentiles_are_values_that_were_seen() -> None:
    messages = [a_delivery(seconds) for seconds in range(1, 101)]

    assert measured(messages, [], NOW).seconds_to_delivered == {"p50": 50, "p90": 90, "p99": 99}
    assert measured(messages[:1], [], NOW).seconds_to_delivered == {"p50": 1, "p90": 1, "p99": 1}
    assert measured([], [], NOW).seconds_to_delivered == {}


def test_those_on_their_way_are_counted_by_age() -> None:
    ages = (0, 2.9, 3, 60, 600)
    messages = [a_record(an_update("sent", after=600 - age)) for age in ages]

    assert list(measured(messages, [], NOW).awaiting_by_age.values()) == [2, 1, 1, 1]


@pytest.mark.parametrize(
    ("state", "lease_until", "count"),
    [
        ("in_doubt", "2026-11-23T12:00:00.000Z", 1),
        ("in_progress", "2026-11-23T12:00:00.000Z", 1),
        ("in_progress", "2026-11-23T13:00:00.000Z", 0),
        ("sent", "2026-11-23T12:00:00.000Z", 0),
    ],
)
def test_a_claim_without_a_result_is_in_doubt_when_its_lease_is_over(
    state: str, lease_until: str, count: int
) -> None:
    request = {"state": state, "lease_until": lease_until}

    assert measured([], [request], NOW).requests_in_doubt == count


def test_what_is_left_of_an_erased_message_counts_nowhere() -> None:
    assert measured([{"message_sid": "SM1"}], [], NOW).outcomes == {}


# --- what it draws -------------------------------------------------------------------------------


def drawn(*messages: dict[str, Any], queues: dict[str, int] | None = None) -> Screen:
    return Screen(str(graphs(measured(messages, [], NOW), queues or {"to send": 0})))


def test_the_graphs_say_their_numbers() -> None:
    screen = drawn(a_delivery(1.5), a_failure(30003), queues={"to send": 7})

    assert {"50 %", "1.50 s", "recipient unreachable", "1 delivered", "1 failed"} <= set(
        screen.texts
    )
    assert screen.texts[screen.texts.index("to send") + 1] == "7"


def test_an_empty_sandbox_is_drawn_as_well() -> None:
    screen = drawn()

    assert {"none yet", "None.", "Nothing is delivered yet."} <= set(screen.texts)


def test_what_is_in_the_table_is_text() -> None:
    update = an_update("<script>", source=Source.SEND, reference="<b>")
    record = Message.first_heard_of(update, Lifetimes()).as_record()

    assert set(drawn(record).tags) <= set(drawn(a_failure(30003), a_delivery(1)).tags)


# --- whom it answers -----------------------------------------------------------------------------


@dataclass
class Functions:
    """Stands where Lambda stands, and remembers what it was asked."""

    answer: Any = "<p>widget</p>"
    error: str | None = None
    events: list[dict[str, Any]] = field(default_factory=list)

    def invoke(self, *, FunctionName: str, Payload: str) -> dict[str, Any]:  # noqa: N803 -- boto3's
        assert FunctionName == ENDPOINT
        self.events.append(json.loads(Payload))
        payload = io.BytesIO(json.dumps(self.answer).encode())
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
        drawn=lambda: element("p", "graphs"),
    ) as page:
        yield page


def post(page: DashboardPage, content: Any, *headers: tuple[str, str]) -> Response:
    return call("POST", f"{page.url}/widget", content=content, headers=headers)


def ask(page: DashboardPage, *headers: tuple[str, str], method: str = "GET") -> Response:
    return forward(Request(method=method, target="/", headers=headers), port=page.port, timeout=5)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/dashboard.js", "text/javascript; charset=utf-8"),
        ("/dashboard.css", "text/css; charset=utf-8"),
        ("/graphs", "text/html; charset=utf-8"),
        ("/graphs?x", "text/html; charset=utf-8"),
    ],
)
def test_the_page_has_everything_that_it_needs(page: DashboardPage, path: str, kind: str) -> None:
    answer = call("GET", f"{page.url}{path}")

    headers = dict(answer.headers)
    assert (answer.status, headers["Content-Type"]) == (HTTPStatus.OK, kind)
    assert "default-src 'none'; script-src 'self'" in headers["Content-Security-Policy"]


def test_the_page_loads_nothing_from_elsewhere(page: DashboardPage) -> None:
    for path in ("/", "/dashboard.css"):
        body = call("GET", f"{page.url}{path}").body.decode()
        assert "//" not in body, path
        assert "url(" not in body, path


def test_the_widget_gets_what_was_clicked_on(page: DashboardPage, functions: Functions) -> None:
    event = {"view": "message", "widgetContext": {"theme": "dark"}}

    answer = post(page, {"endpoint": ENDPOINT, "event": event})

    assert (answer.status, answer.body) == (HTTPStatus.OK, b"<p>widget</p>")
    assert functions.events == [event]


def test_a_widget_that_fails_is_told_as_text(page: DashboardPage, functions: Functions) -> None:
    functions.error, functions.answer = "Unhandled", {"errorMessage": "<b>no</b>"}

    answer = post(page, {"endpoint": None, "event": {}})

    assert answer.status == HTTPStatus.BAD_GATEWAY
    assert dict(answer.headers)["Content-Type"].startswith("text/plain")
    assert "<b>no</b>" in answer.body.decode()


@pytest.mark.parametrize(
    "content", [None, [], {}, {"endpoint": None}, {"endpoint": None, "event": 5}, {"event": {}}]
)
def test_what_is_no_call_is_refused(
    page: DashboardPage, functions: Functions, content: Any
) -> None:
    assert post(page, content).status == HTTPStatus.BAD_REQUEST
    assert functions.events == []


def test_another_function_is_not_called(page: DashboardPage, functions: Functions) -> None:
    answer = post(page, {"endpoint": f"{ENDPOINT}-other", "event": {}})

    assert answer.status == HTTPStatus.FORBIDDEN
    assert functions.events == []


@pytest.mark.parametrize("host", ["evil.example.com", "127.0.0.1", "127.0.0.1:1", "", None])
def test_a_name_that_somebody_made_lead_here_is_refused(
    page: DashboardPage, host: str | None
) -> None:
    headers = [] if host is None else [("Host", host)]

    assert ask(page, *headers).status == HTTPStatus.MISDIRECTED_REQUEST


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_this_machines_own_names_are_answered(page: DashboardPage, name: str) -> None:
    assert ask(page, ("Host", f"{name}:{page.port}")).status == HTTPStatus.OK


@pytest.mark.parametrize(
    "header",
    [
        ("Origin", "http://evil.example.com"),
        ("Origin", "null"),
        ("Origin", "https://localhost"),
        ("Content-Type", "text/plain"),
    ],
)
def test_another_sites_page_cannot_call_the_widget(
    page: DashboardPage, functions: Functions, header: tuple[str, str]
) -> None:
    answer = post(page, {"endpoint": None, "event": {}}, header)

    assert answer.status == HTTPStatus.FORBIDDEN
    assert functions.events == []


def test_our_own_page_can_call_the_widget(page: DashboardPage) -> None:
    answer = post(page, {"endpoint": None, "event": {}}, ("Origin", page.url))

    assert answer.status == HTTPStatus.OK


def test_there_is_nothing_else(page: DashboardPage) -> None:
    for path in ("/page.py", "/../page.py", "/widget", "/%2e%2e/page.py"):
        assert call("GET", f"{page.url}{path}").status == HTTPStatus.NOT_FOUND
