"""DashboardWidgetFunction: what CloudWatch asks it, and what it shows."""

import io
from dataclasses import replace
from datetime import timedelta
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from mypy_boto3_dynamodb import DynamoDBClient

from delivery.domain.messages import Message, Source
from delivery.domain.send_requests import RequestState, SendRequest
from delivery.storage.messages import MessageStore
from delivery.storage.send_requests import SendRequestStore
from tests.builders import ACCOUNT_SID, MESSAGE_SID, NOON, an_update
from tests.functions.sender import Clock
from tests.support.screen import Screen

ENDPOINT = "arn:aws:lambda:us-east-1:123456789012:function:widget"
CONTEXT = SimpleNamespace(
    function_name="DashboardWidgetFunction", aws_request_id="1", invoked_function_arn=ENDPOINT
)
TO = "+15558675310"
REQUEST_ID = "rq_" + "1" * 32


@pytest.fixture
def app(
    messages_table: str, requests_table: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> ModuleType:
    from functions.dashboard_widget import app  # noqa: PLC0415 -- its client needs moto first

    assert messages_table
    assert requests_table
    monkeypatch.setattr(app, "now", clock.now)
    return app


@pytest.fixture
def requests(dynamodb: DynamoDBClient, requests_table: str) -> SendRequestStore:
    return SendRequestStore(dynamodb, requests_table)


def shown(
    app: ModuleType, event: dict[str, Any] | None = None, *, typed: str = "", **context: Any
) -> Screen:
    widget_context = {"forms": {"all": {"lookup": typed}}, "params": {}, **context}
    html: str = app.lambda_handler((event or {}) | {"widgetContext": widget_context}, CONTEXT)
    return Screen(html)


def looked_up(app: ModuleType, typed: str, **context: Any) -> Screen:
    return shown(app, {"view": "lookup"}, typed=typed, **context)


def a_sid(number: int) -> str:
    return f"SM{number:032x}"


def a_failure(store: MessageStore, number: int, clock: Clock, *, ago: float = 0) -> Message:
    update = an_update("failed", message_sid=a_sid(number), error_code=30003)
    return store.record(replace(update, at=clock.now() - timedelta(seconds=ago))).message


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


def test_it_describes_itself_in_markdown(app: ModuleType) -> None:
    docs = app.lambda_handler({"describe": True}, CONTEXT)

    assert docs.startswith("## ")
    assert "showNumbers" in docs


def test_the_newest_failures_come_first(app: ModuleType, store: MessageStore, clock: Clock) -> None:
    for number, ago in enumerate((60, 3600, 30)):
        a_failure(store, number, clock, ago=ago)
    store.record(replace(an_update("delivered"), at=clock.now()))

    screen = shown(app)

    assert screen.sids == [a_sid(2), a_sid(0), a_sid(1)]


def test_failures_are_paged_through_over_the_days(
    app: ModuleType, store: MessageStore, clock: Clock
) -> None:
    expected = [
        a_failure(store, day * 100 + number, clock, ago=day * 86400 + number * 60).message_sid
        for day in (0, 1, 3)
        for number in range(8)
    ]

    screen = shown(app)
    pages = [screen.sids]
    while "Older" in screen.buttons and len(pages) < 5:
        screen = shown(app, screen.buttons["Older"]["parameters"])
        pages.append(screen.sids)

    assert [sid for page in pages for sid in page] == expected
    assert [len(page) for page in pages[:3]] == [10, 10, 4]


def test_nothing_older_than_what_is_kept_is_offered(app: ModuleType, clock: Clock) -> None:
    last = clock.now().date() - timedelta(days=400)

    pages = {
        days: "Older"
        in shown(
            app,
            {
                "view": "failures",
                "day": (last + timedelta(days=days)).isoformat(),
                "next_token": None,
            },
        ).buttons
        for days in (0, 6, 7)
    }

    assert pages == {0: False, 6: False, 7: True}


def test_what_there_is_to_worry_about_is_counted_above_the_list(
    app: ModuleType, store: MessageStore, requests: SendRequestStore, clock: Clock
) -> None:
    for number in range(12):
        a_failure(store, number, clock)
    a_failure(store, 12, clock, ago=86400)
    given_up = store.record(an_update("sent", message_sid=a_sid(13))).message
    store.record_unconfirmed(given_up, clock.now())
    store.record(replace(an_update("sent", message_sid=a_sid(14)), at=clock.now()))
    quiet = an_update("sent", message_sid=a_sid(16))
    store.record(replace(quiet, at=clock.now() - timedelta(hours=2)))
    store.record(an_update("delivered", message_sid=a_sid(15)))
    requests.claim(a_claim())

    texts = shown(app).texts

    below = texts[texts.index("Look up") + 1 :]
    assert below[:8] == [
        *("12", "failed today"),
        *("1", "unconfirmed today"),
        *("2", "on their way, 1 for over an hour"),
        *("1", "in doubt"),
    ]


def test_a_message_opens_with_its_timeline(app: ModuleType, store: MessageStore) -> None:
    store.record(an_update("queued", source=Source.SEND))
    store.record(an_update("undelivered", after=5, error_code=30003))

    screen = shown(app, {"view": "message", "message_sid": MESSAGE_SID})

    assert {"queued", "undelivered", "error 30003", "+5 s"} <= set(screen.texts)
    assert "form" not in screen.tags


def test_a_message_that_is_gone_is_said_to_be(app: ModuleType) -> None:
    screen = shown(app, {"view": "message", "message_sid": MESSAGE_SID})

    assert "This message is not known here any more." in screen.texts


@pytest.mark.parametrize(
    "typed",
    [
        MESSAGE_SID,
        f"  {MESSAGE_SID.lower()} ",
        "+15558675310",
        "+1 (555) 867-5310",
        "0015558675310",
        "order 4711",
        " order 4711 ",
    ],
)
def test_a_message_is_found_however_it_is_spelled(
    app: ModuleType, store: MessageStore, typed: str
) -> None:
    store.record(an_update("sent", reference="order 4711"))

    screen = looked_up(app, typed)

    assert MESSAGE_SID in screen.texts
    assert ("input", "value", typed) in screen.attributes


def test_a_number_is_found_in_the_channel_where_it_got_its_message(
    app: ModuleType, store: MessageStore
) -> None:
    store.record(an_update("read", to=f"whatsapp:{TO}"))

    assert MESSAGE_SID in looked_up(app, TO).texts


def test_the_messages_to_a_number_are_paged_through(app: ModuleType, store: MessageStore) -> None:
    for number in range(13):
        store.record(an_update("sent", message_sid=a_sid(number), after=number))

    first = looked_up(app, TO)
    second = shown(app, first.buttons["Older"]["parameters"], typed=TO)

    assert first.sids + second.sids == [a_sid(number) for number in reversed(range(13))]
    assert "Older" not in second.buttons


def test_a_request_that_became_a_message_is_found_by_its_id(
    app: ModuleType, store: MessageStore, requests: SendRequestStore
) -> None:
    store.record(an_update("sent"))
    claim = requests.claim(a_claim())
    sent = claim.completed(
        RequestState.SENT, at=NOON, kept_for=timedelta(days=30), message_sid=MESSAGE_SID
    )
    requests.complete(claim, sent)

    assert MESSAGE_SID in looked_up(app, REQUEST_ID).texts


def test_a_request_in_doubt_is_found_by_its_id(app: ModuleType, requests: SendRequestStore) -> None:
    requests.claim(a_claim())

    screen = looked_up(app, REQUEST_ID)

    assert REQUEST_ID in screen.texts
    assert "It may have been sent" in screen.text


@pytest.mark.parametrize(
    ("typed", "sentence"), [("SM-nobody", "Nothing is known here"), (" ", "Type a message SID")]
)
def test_what_is_not_found_is_said_in_a_sentence(
    app: ModuleType, typed: str, sentence: str
) -> None:
    screen = looked_up(app, typed)

    assert sentence in screen.text
    assert "Recent failures" in screen.buttons


@pytest.mark.parametrize(
    "event",
    [
        {"view": "failures", "day": "yesterday", "next_token": None},
        {"view": "failures", "day": "0001-01-01", "next_token": None},
        {"view": "failures", "day": "9999-12-31", "next_token": None},
        {"view": "failures", "day": "2026-11-23", "next_token": "<b>"},
        {"view": "lookup", "kind": "recipient", "value": TO, "next_token": "abc"},
    ],
)
def test_a_page_that_does_not_exist_is_said_not_to(app: ModuleType, event: dict[str, Any]) -> None:
    assert "There is no such page any more." in shown(app, event).text


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"view": "x"},
        {"view": "message", "message_sid": 5},
        {"view": "failures", "day": 5},
        {"showNumbers": True},
        {"widgetContext": None},
    ],
)
def test_whatever_else_it_is_asked_it_shows_the_recent_failures(
    app: ModuleType, store: MessageStore, clock: Clock, event: dict[str, Any]
) -> None:
    a_failure(store, 1, clock)

    screen = Screen(app.lambda_handler(event, CONTEXT))

    assert screen.sids == [a_sid(1)]
    assert "…5310" in screen.texts


@pytest.mark.parametrize(
    "event", [{}, {"view": "lookup"}, {"view": "message", "message_sid": MESSAGE_SID}]
)
def test_a_table_that_does_not_answer_is_told_in_a_sentence_and_logged_without_what_was_typed(
    app: ModuleType, dynamodb: DynamoDBClient, log_output: io.StringIO, event: dict[str, Any]
) -> None:
    dynamodb.delete_table(TableName="MessagesTable")

    screen = shown(app, event, typed=TO)

    assert "The messages could not be read just now." in screen.text
    assert "Not read" in log_output.getvalue()
    assert TO not in log_output.getvalue()


def test_numbers_are_masked_unless_the_widget_itself_shows_them(
    app: ModuleType, store: MessageStore
) -> None:
    store.record(an_update("failed", error_code=30003))

    masked = shown(app, {"view": "message", "message_sid": MESSAGE_SID, "showNumbers": True})
    full = shown(app, {"view": "message", "message_sid": MESSAGE_SID}, params={"showNumbers": True})

    assert "…5310" in masked.texts
    assert TO not in masked.text
    assert TO in full.texts


def test_what_somebody_wrote_into_a_message_is_text(app: ModuleType, store: MessageStore) -> None:
    hostile = '"><script>alert(1)</script>'
    store.record(an_update("sent", reference=hostile, context={hostile: hostile}, body=hostile))

    screen = looked_up(app, hostile)

    assert screen.texts.count(hostile) == 4
    assert "script" not in screen.tags


def test_it_calls_itself_by_the_name_it_was_called_by(app: ModuleType) -> None:
    buttons = looked_up(app, "nobody").buttons.values()

    assert {button["endpoint"] for button in buttons} == {ENDPOINT}
