"""DashboardWidgetFunction: its views and lookups, as CloudWatch invokes it."""

import io
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from mypy_boto3_dynamodb import DynamoDBClient

from delivery.domain.audits import AuditState, Difference
from delivery.domain.messages import Message, Source
from delivery.domain.send_requests import RequestState, SendRequest
from delivery.storage.audits import AuditStore
from delivery.storage.messages import MessageStore
from delivery.storage.send_requests import SendRequestStore
from functions.dashboard_widget.labels import REQUEST_LABELS
from tests.functions.conftest import ENVIRONMENT
from tests.support.builders import ACCOUNT_SID, MESSAGE_SID, NOON, an_update
from tests.support.clock import Clock
from tests.support.faults import make_unreadable
from tests.support.granted import permissions_of
from tests.support.screen import Screen

ENDPOINT = "arn:aws:lambda:us-east-1:123456789012:function:widget"
TO = "+15558675310"
REQUEST_ID = "rq_" + "1" * 32


class WidgetRig:
    """The function, and what CloudWatch invokes it with."""

    def __init__(self, dynamodb: DynamoDBClient, clock: Clock) -> None:
        from functions.dashboard_widget import app  # noqa: PLC0415 -- its client needs moto first

        self.app = app
        self._dynamodb = dynamodb
        self.function = app.build(ENVIRONMENT, dynamodb, now=clock)

    def show(
        self, event: dict[str, Any] | None = None, *, typed: str = "", **context: Any
    ) -> Screen:
        """Show the widget, or click a button with this event."""
        widget_context = {"forms": {"all": {"lookup": typed}}, "params": {}, **context}
        return self.handle({"widgetContext": widget_context} | (event or {}))

    def look_up(self, typed: str) -> Screen:
        return self.show({"view": "lookup"}, typed=typed)

    def handle(self, event: dict[str, Any]) -> Screen:
        with permissions_of("DashboardWidgetFunction", self._dynamodb):
            return Screen(self.function.handle(event, ENDPOINT))


@pytest.fixture
def widget(
    dynamodb: DynamoDBClient,
    messages_table: str,  # noqa: ARG001 -- the function uses it
    requests_table: str,  # noqa: ARG001 -- the same
    control_table: str,  # noqa: ARG001 -- the same
    clock: Clock,
) -> WidgetRig:
    return WidgetRig(dynamodb, clock)


@pytest.fixture
def requests(dynamodb: DynamoDBClient, requests_table: str) -> SendRequestStore:
    return SendRequestStore(dynamodb, requests_table)


def a_sid(number: int) -> str:
    return f"SM{number:032x}"


def a_failure(store: MessageStore, number: int, clock: Clock, *, ago: float = 0) -> Message:
    update = an_update("failed", message_sid=a_sid(number), error_code=30003)
    return store.record(replace(update, at=clock() - timedelta(seconds=ago))).message


def a_claim(**facts: Any) -> SendRequest:
    defaults: dict[str, Any] = {
        "request_id": REQUEST_ID,
        "claim_id": "c1",
        "content_digest": "d1",
        "account_sid": ACCOUNT_SID,
        "to": TO,
        "claimed_at": NOON,
        "lease_until": NOON,
    }
    return SendRequest(**(defaults | facts))


def test_the_widget_describes_itself_in_markdown(widget: WidgetRig) -> None:
    docs = widget.function.handle({"describe": True}, ENDPOINT)

    assert docs.startswith("## ")
    assert "showNumbers" in docs


def test_the_audits_of_the_last_days_are_added_up_over_accounts(
    widget: WidgetRig, dynamodb: DynamoDBClient, clock: Clock
) -> None:
    audits = AuditStore(dynamodb, ENVIRONMENT["CONTROL_TABLE"])
    accounts = ["AC" + digit * 32 for digit in "12"]
    audits.add_accounts(accounts)
    yesterday = clock().date() - timedelta(days=1)
    for account_sid in accounts:
        claimed = audits.claim(account_sid, yesterday, AuditState.FIRST, clock())
        assert claimed is not None
        result = replace(claimed, state=AuditState.FIRST, messages=700, corrected_messages=2)
        priced = result.with_difference(Difference.LOWER_STATUS, MESSAGE_SID)
        audits.save(priced.with_price("-0.0075", "USD"))

    shown = widget.show().text
    older = widget.show({"view": "failures", "day": clock().date().isoformat(), "next_token": None})

    for fact in ("1,400 messages", "4 corrected", "2 different", "0.0150 USD"):
        assert fact in shown
        assert fact not in older.text


def test_the_pages_of_failures_cover_several_days(
    widget: WidgetRig, store: MessageStore, clock: Clock
) -> None:
    expected = [
        a_failure(store, day * 100 + number, clock, ago=day * 86400 + number * 60).message_sid
        for day in (0, 1, 3)
        for number in range(8)
    ]

    screen = widget.show()
    pages = [screen.sids]
    while "Older" in screen.buttons and len(pages) < 5:
        screen = widget.show(screen.buttons["Older"]["parameters"])
        pages.append(screen.sids)

    assert [sid for page in pages for sid in page] == expected
    assert [len(page) for page in pages[:3]] == [10, 10, 4]


def test_there_is_no_older_page_beyond_the_retention(widget: WidgetRig, clock: Clock) -> None:
    last = clock().date() - timedelta(days=400)

    pages = {
        days: "Older"
        in widget.show(
            {
                "view": "failures",
                "day": (last + timedelta(days=days)).isoformat(),
                "next_token": None,
            },
        ).buttons
        for days in (0, 6, 7)
    }

    assert pages == {0: False, 6: False, 7: True}


def test_the_counts_are_above_the_list(
    widget: WidgetRig, store: MessageStore, requests: SendRequestStore, clock: Clock
) -> None:
    for number in range(12):
        a_failure(store, number, clock)
    a_failure(store, 12, clock, ago=86400)
    given_up = store.record(an_update("sent", message_sid=a_sid(13))).message
    store.record_unconfirmed(given_up, clock())
    store.record(replace(an_update("sent", message_sid=a_sid(14)), at=clock()))
    quiet = an_update("sent", message_sid=a_sid(16))
    store.record(replace(quiet, at=clock() - timedelta(hours=2)))
    store.record(an_update("delivered", message_sid=a_sid(15)))
    requests.claim(a_claim())

    texts = widget.show().texts

    below = texts[texts.index("Look up") + 1 :]
    assert below[:8] == [
        *("12", "failed today"),
        *("1", "unconfirmed today"),
        *("2", "pending, 1 for over an hour"),
        *("1", "in doubt"),
    ]


def test_a_message_opens_with_its_timeline(widget: WidgetRig, store: MessageStore) -> None:
    store.record(an_update("queued", source=Source.SEND))
    store.record(an_update("undelivered", after=5, error_code=30003))

    screen = widget.show({"view": "message", "message_sid": MESSAGE_SID})

    assert {"queued", "undelivered", "error 30003", "+5 s"} <= set(screen.texts)
    assert "form" not in screen.tags


def test_a_message_that_is_not_kept_is_not_found(widget: WidgetRig) -> None:
    screen = widget.show({"view": "message", "message_sid": MESSAGE_SID})

    assert widget.app.MESSAGE_NOT_FOUND in screen.texts


@pytest.mark.parametrize(
    "typed",
    [
        MESSAGE_SID,
        "+1 (555) 867-5310",
        " order 4711 ",
    ],
)
def test_a_message_is_found_by_sid_number_or_reference(
    widget: WidgetRig, store: MessageStore, typed: str
) -> None:
    store.record(an_update("sent", reference="order 4711"))

    screen = widget.look_up(typed)

    assert MESSAGE_SID in screen.texts
    assert ("input", "value", typed) in screen.attributes


def test_a_number_is_found_on_every_channel(widget: WidgetRig, store: MessageStore) -> None:
    store.record(an_update("read", message_sid=a_sid(1), to=f"whatsapp:{TO}"))
    store.record(an_update("sent", message_sid=a_sid(2), to=TO, after=1))

    assert widget.look_up(TO).sids == widget.look_up(f"rcs:{TO}").sids == [a_sid(2), a_sid(1)]


def test_the_messages_to_a_number_have_pages(widget: WidgetRig, store: MessageStore) -> None:
    for number in range(13):
        store.record(an_update("sent", message_sid=a_sid(number), after=number))

    first = widget.look_up(TO)
    second = widget.show(first.buttons["Older"]["parameters"], typed=TO)

    assert first.sids + second.sids == [a_sid(number) for number in reversed(range(13))]
    assert "Older" not in second.buttons


def test_a_message_is_found_by_its_request_id(
    widget: WidgetRig, store: MessageStore, requests: SendRequestStore
) -> None:
    store.record(an_update("sent"))
    claim = requests.claim(a_claim())
    sent = claim.completed(
        RequestState.SENT, at=NOON, kept_for=timedelta(days=30), message_sid=MESSAGE_SID
    )
    requests.complete(claim, sent)

    assert MESSAGE_SID in widget.look_up(REQUEST_ID).texts


def test_a_request_in_doubt_is_found_by_its_id(
    widget: WidgetRig, requests: SendRequestStore
) -> None:
    requests.claim(a_claim())

    screen = widget.look_up(REQUEST_ID)

    assert REQUEST_ID in screen.texts
    assert REQUEST_LABELS[RequestState.IN_DOUBT] in screen.texts


@pytest.mark.parametrize(
    ("typed", "problem"), [("SM-unknown", "NOTHING_FOUND"), (" ", "NOTHING_TYPED")]
)
def test_a_lookup_without_result_says_what_to_enter(
    widget: WidgetRig, typed: str, problem: str
) -> None:
    screen = widget.look_up(typed)

    assert getattr(widget.app, problem) in screen.texts
    assert "Recent failures" in screen.buttons


@pytest.mark.parametrize(
    "event",
    [
        {"view": "failures", "day": "yesterday", "next_token": None},
        {"view": "failures", "day": "0001-01-01", "next_token": None},
        {"view": "failures", "day": "2026-11-23", "next_token": "<b>"},
        {"view": "lookup", "kind": "recipient", "value": TO, "next_token": "abc"},
    ],
)
def test_a_page_that_does_not_exist_is_not_found(widget: WidgetRig, event: dict[str, Any]) -> None:
    assert widget.app.PAGE_NOT_FOUND in widget.show(event).texts


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"view": "x"},
        {"view": "message", "message_sid": 5},
        {"showNumbers": True},
        {"widgetContext": None},
    ],
)
def test_an_unknown_event_shows_the_recent_failures(
    widget: WidgetRig, store: MessageStore, clock: Clock, event: dict[str, Any]
) -> None:
    a_failure(store, 1, clock)

    screen = widget.handle(event)

    assert screen.sids == [a_sid(1)]
    assert "…5310" in screen.texts


@pytest.mark.parametrize(
    "event", [{}, {"view": "lookup"}, {"view": "message", "message_sid": MESSAGE_SID}]
)
def test_an_unavailable_table_is_shown_and_logged_without_the_typed_text(
    widget: WidgetRig, dynamodb: DynamoDBClient, log_output: io.StringIO, event: dict[str, Any]
) -> None:
    dynamodb.delete_table(TableName="MessagesTable")

    screen = widget.show(event, typed=TO)

    assert widget.app.UNAVAILABLE in screen.texts
    assert "Table not readable" in log_output.getvalue()
    assert TO not in log_output.getvalue()


def test_an_unreadable_message_is_reported_and_missing_in_the_list(
    widget: WidgetRig,
    store: MessageStore,
    dynamodb: DynamoDBClient,
    clock: Clock,
    log_output: io.StringIO,
) -> None:
    for number in (1, 2):
        a_failure(store, number, clock)
    make_unreadable(dynamodb, "MessagesTable", message_sid=a_sid(1))

    assert widget.show().sids == [a_sid(2)]
    assert "ItemUnreadable" in log_output.getvalue()


def test_numbers_are_masked_unless_the_widget_itself_shows_them(
    widget: WidgetRig, store: MessageStore
) -> None:
    store.record(an_update("failed", error_code=30003))

    masked = widget.show({"view": "message", "message_sid": MESSAGE_SID, "showNumbers": True})
    full = widget.show(
        {"view": "message", "message_sid": MESSAGE_SID}, params={"showNumbers": True}
    )

    assert "…5310" in masked.texts
    assert TO not in masked.text
    assert TO in full.texts
