"""The views of the widget: HTML in which every text from outside is escaped."""

from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import pytest

from delivery.domain.messages import Message, Source, Timings
from delivery.domain.notices import NoticeState
from delivery.domain.send_requests import RequestState, SendRequest
from delivery.domain.statuses import STATUSES, TWILIO_STATUSES, MessageStatus, Outcome
from delivery.storage.cursor import Page
from delivery.storage.message_lists import Count
from delivery.text.identifiers import Kind, LookupCandidate
from delivery.twilio.error_codes import explain
from functions.dashboard_widget import views
from functions.dashboard_widget.labels import NOTICE_LABELS, OUTCOME_LABELS, REQUEST_LABELS
from functions.dashboard_widget.lookup import Counts, Failures, Matches, PageCursor
from functions.dashboard_widget.viewer import Viewer
from tests.support.builders import ACCOUNT_SID, NOON, a_message, an_update
from tests.support.screen import Screen

ENDPOINT = "arn:aws:lambda:us-east-1:123456789012:function:widget"
TODAY = date(2026, 11, 23)


def a_viewer(**changes: Any) -> Viewer:
    defaults: dict[str, Any] = {"now": NOON + timedelta(minutes=10), "endpoint": ENDPOINT}
    return Viewer(**(defaults | changes))


def failures(*messages: Message, older: PageCursor | None = None) -> Failures:
    week = timedelta(days=6)
    return Failures(messages=messages, newest_day=TODAY, oldest_day=TODAY - week, older=older)


def list_of_failures(*messages: Message, viewer: Viewer | None = None, **more: Any) -> Screen:
    viewer = viewer or a_viewer()
    return Screen(views.widget(viewer, views.failures(viewer, failures(*messages, **more))))


def detail(message: Message, **viewer: Any) -> Screen:
    return Screen(views.popup(a_viewer(**viewer), views.detail(a_viewer(**viewer), message)))


def unsent(status: str) -> Message:
    update = an_update(status, message_sid="rq_" + "2" * 32, source=Source.SEND)
    return Message.from_unsent_request(update, Timings())


# --- the list of failures ------------------------------------------------------------------------


def test_a_failure_has_its_explanation_and_advice() -> None:
    failed = a_message("queued", an_update("undelivered", after=8, error_code=30003))

    screen = list_of_failures(failed)

    assert "Handset unreachable (off, no signal, roaming)" in screen.texts
    assert "30003" in screen.texts
    assert "recipient unreachable" in screen.texts
    assert "One or two delayed retries at most" in screen.text
    assert "Sending it again later can help." in screen.text
    assert {"Today", "12:00:08", "9 min ago", "…5310", failed.message_sid} <= set(screen.texts)


def test_a_request_that_is_presumed_unsent_needs_a_new_key() -> None:
    screen = list_of_failures(unsent("presumed_unsent"))

    assert "No trace of it at Twilio" in screen.texts
    assert explain(None, "presumed_unsent").retry_advice in screen.text


def test_the_reported_words_are_shown_where_the_code_explains_nothing() -> None:
    failed = a_message(an_update("failed", error_code=63023, error_detail="Not opted in"))

    assert "Not opted in" in list_of_failures(failed).text


def test_the_details_of_a_failure_open_in_a_dialog() -> None:
    failed = a_message(an_update("failed", error_code=30003))

    details = list_of_failures(failed).buttons["Details"]

    assert details["action"] == "call"
    assert details["display"] == "popup"
    assert details["endpoint"] == ENDPOINT
    assert details["parameters"] == {"view": "message", "message_sid": failed.message_sid}


def test_a_lookup_replaces_the_content_of_the_widget() -> None:
    look_up = list_of_failures().buttons["Look up"]

    assert (look_up["display"], look_up["parameters"]) == ("widget", {"view": "lookup"})


def test_failures_are_grouped_by_day() -> None:
    yesterday = an_update("failed", after=-86400)

    texts = list_of_failures(a_message("failed"), a_message(yesterday)).texts

    assert [it for it in texts if it in {"Today", "Yesterday"}] == ["Today", "Yesterday"]


def test_a_week_without_failures_is_named() -> None:
    assert "No message failed from 17 November to 23 November 2026 (UTC)." in (
        list_of_failures().texts
    )


def test_a_count_that_may_be_too_low_is_marked() -> None:
    viewer = a_viewer()
    one, many = Count(number=1), Count(number=12345, is_exact=False)
    counts = Counts(failed=one, unconfirmed=one, pending=many, stale=None, in_doubt=one)

    screen = Screen(views.widget(viewer, views.failures(viewer, failures(), counts=counts)))

    assert {"12,345+", "pending"} <= set(screen.texts)


# --- one message ---------------------------------------------------------------------------------


def test_a_message_shows_every_known_fact() -> None:
    message = a_message(
        an_update(
            "queued",
            source=Source.SEND,
            messaging_service_sid="MG1",
            request_id="rq_" + "1" * 32,
            reference="order-1",
            context={"lane": "3"},
            body="Hello\nthere",
            send_at=NOON + timedelta(hours=1),
            num_segments="2",
            price="-0.0075",
            price_unit="USD",
        ),
        an_update("undelivered", after=4000, error_code=30003, carrier_time="2611231206"),
    )

    screen = detail(replace(message, notice=NoticeState.PUBLISHED))

    for fact in (
        message.message_sid,
        message.account_sid,
        "rq_" + "1" * 32,
        "MG1",
        "order-1",
        "lane",
        "3",
        "Hello\nthere",
        "Today, 13:00:00",
        "Today, 13:06:40 (after 1 h 6 min)",
        "2",
        "-0.0075 USD",
        "notice published",
        "https://www.twilio.com/docs/api/errors/30003",
    ):
        assert fact in screen.texts, fact
    assert "carrier's own time 2611231206" in screen.text
    assert ("a", "href", "https://www.twilio.com/docs/api/errors/30003") in screen.attributes


def test_the_timeline_has_time_source_and_interval_of_each_status() -> None:
    screen = detail(
        a_message(
            an_update("queued", source=Source.SEND),
            an_update("sent", after=1.2),
            an_update("undelivered", after=260, source=Source.RECONCILE, error_code=30003),
        )
    )

    lines = screen.text.partition("at the carrier")[2]
    assert (
        lines.index("12:00:00")
        < lines.index("queued")
        < lines.index("response to the send request")
    )
    assert lines.index("12:00:01") < lines.index("+1.2 s") < lines.index("status callback")
    assert lines.index("+4 min 18 s") < lines.index("error 30003")
    assert lines.index("error 30003") < lines.index("reconciled with Twilio")
    assert {"1.2 s at Twilio", "4 min 18 s at the carrier"} <= set(screen.texts)


def places_of(screen: Screen) -> list[float]:
    return [
        float(value.removesuffix("%"))
        for tag, name, value in screen.attributes
        if (tag, name) == ("svg", "x")
    ]


def test_the_track_shows_statuses_along_time() -> None:
    message = a_message(
        an_update("queued"), an_update("sent", after=50), an_update("delivered", after=100)
    )

    assert places_of(detail(message)) == [0, 50, 100]


def test_the_track_moves_simultaneous_statuses_apart() -> None:
    begun = [an_update(status) for status in ("accepted", "queued", "sending")]
    ended = [an_update(status, after=1000) for status in ("sent", "delivered", "read")]

    places = places_of(detail(a_message(*begun, *ended)))

    assert places == sorted(places)
    assert min(b - a for a, b in pairwise(places)) > 4
    assert (places[0], places[-1]) == (0, 100)


def test_the_track_shows_a_single_status() -> None:
    assert places_of(detail(a_message("delivered"))) == [0]


def test_a_status_out_of_order_is_marked() -> None:
    screen = detail(a_message("queued", "delivered", "sent"))

    assert "arrived out of order" in screen.text
    assert screen.text.index("delivered") < screen.text.index("arrived out of order")


def test_an_unknown_status_is_shown_as_unknown() -> None:
    screen = detail(a_message("sent", "from_the_future"))

    assert "from_the_future" in screen.texts
    assert "unknown status" in screen.texts
    assert "arrived out of order" not in screen.text


def test_a_pending_message_shows_its_next_check() -> None:
    screen = detail(a_message("queued", "sent"))

    assert {"pending", "+9 min 59 s"} <= set(screen.texts)
    assert "next check with Twilio: Today, 13:00:00" in screen.texts


def test_an_unconfirmed_message_says_why() -> None:
    message = a_message("sent").as_unconfirmed(NOON)

    assert "Twilio reported no final status in time" in detail(message).texts


def test_a_message_with_only_a_sid_is_shown() -> None:
    marker = Message(message_sid="SM1", created_at=NOON, updated_at=NOON)

    assert {"an unknown recipient", "SM1"} <= set(detail(marker).texts)


# --- what a look-up found ------------------------------------------------------------------------


def matching(*messages: Message, kind: Kind, value: str, token: str | None = None) -> Screen:
    viewer = a_viewer()
    page = Page(messages=messages, next_token=token)
    listed = Matches(candidate=LookupCandidate(kind=kind, value=value), page=page)
    return Screen(views.widget(viewer, views.found(viewer, listed), typed=value))


def test_matches_are_listed_with_their_outcomes() -> None:
    screen = matching(
        a_message("queued", "delivered"),
        a_message("sent"),
        a_message(an_update("failed", error_code=30003)),
        kind=Kind.RECIPIENT,
        value="+15558675310",
    )

    assert {"delivered", "pending", "failed"} <= set(screen.texts)
    assert "Handset unreachable (off, no signal, roaming)" in screen.texts
    assert screen.texts.count("…5310") == 4  # the title's, and one for each
    assert screen.buttons["Recent failures"]["parameters"] == {"view": "failures"}


@pytest.mark.parametrize("state", list(RequestState))
def test_a_request_without_a_message_shows_its_state(state: RequestState) -> None:
    viewer = a_viewer()
    claimed = SendRequest(
        request_id="rq_" + "1" * 32,
        claim_id="c1",
        content_digest="d1",
        account_sid=ACCOUNT_SID,
        to="+15558675310",
        state=state,
        claimed_at=NOON,
        lease_until=NOON + timedelta(hours=1),
    )

    screen = Screen(views.widget(viewer, views.request(viewer, claimed)))

    assert {claimed.request_id, "…5310", "Today, 12:00:00"} <= set(screen.texts)
    assert REQUEST_LABELS[state] in screen.texts


def test_what_was_typed_stays_in_the_form() -> None:
    screen = Screen(views.widget(a_viewer(), views.problem(a_viewer(), "No."), typed='"x" <y>'))

    assert ("input", "value", '"x" <y>') in screen.attributes


# --- the viewer -------------------------------------------------------------------------------


def test_numbers_are_masked_in_every_text_of_a_message() -> None:
    message = a_message(
        an_update(
            "failed",
            body="Call +15558675310",
            reference="to-+15558675310",
            context={"from": "+15005550006"},
        )
    )

    screens = [list_of_failures(message), detail(message)]

    for screen in screens:
        assert "+1555867" not in screen.text
        assert "+1500555" not in screen.text
    assert "Call …5310" in screens[1].texts


def test_numbers_are_shown_if_the_widget_shows_numbers() -> None:
    screen = detail(a_message(an_update("failed", body="Call +15558675310")), shows_numbers=True)

    assert {"+15558675310", "+15005550006", "Call +15558675310"} <= set(screen.texts)


@pytest.mark.parametrize("is_dark", [True, False])
def test_the_theme_is_the_consoles(*, is_dark: bool) -> None:
    screen = list_of_failures(viewer=a_viewer(is_dark=is_dark))

    assert ("dw-dark" in screen.classes_of("div")) is is_dark
    assert "cwdb-no-default-styles" in screen.classes_of("div")


def test_markup_from_outside_is_text() -> None:
    text = "</cwdb-action><script>alert(1)</script>"
    facts: dict[str, Any] = dict.fromkeys(
        ("message_sid", "account_sid", "to", "from_", "messaging_service_sid", "request_id"), text
    ) | dict.fromkeys(("reference", "body", "num_segments", "price", "price_unit"), text)
    update = an_update("queued", context={text: text}, **facts)
    message = a_message(update, replace(update, status=text, carrier_time=text))
    failed = a_message(update, replace(update, status="failed", error_code=30003))
    viewer = a_viewer(endpoint=text)

    screens = [
        Screen(views.widget(viewer, views.single_result(viewer, message), typed=text)),
        list_of_failures(failed, viewer=viewer),
        matching(message, kind=Kind.REFERENCE, value=text),
    ]

    assert all("script" not in screen.tags for screen in screens)
    assert screens[0].texts.count(text) > 10


def test_every_status_outcome_and_notice_state_has_a_label() -> None:
    for status in MessageStatus:
        if status != MessageStatus.UNKNOWN:
            is_twilios = status in TWILIO_STATUSES
            message = a_message("queued", status) if is_twilios else unsent(status)
            assert STATUSES[status].label in detail(message).texts
    for outcome in Outcome:
        assert OUTCOME_LABELS[outcome] in detail(replace(a_message(), outcome=outcome)).texts
    for notice in NoticeState:
        assert NOTICE_LABELS[notice] in detail(replace(a_message(), notice=notice)).texts
