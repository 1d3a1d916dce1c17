"""QueryMessagesFunction: the truth about a message in one request."""

import io
import json
from dataclasses import replace
from datetime import timedelta
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from mypy_boto3_dynamodb import DynamoDBClient

from delivery.domain.messages import Source, StatusUpdate
from delivery.domain.send_requests import RequestState
from delivery.storage.messages import MessageStore
from tests.builders import MESSAGE_SID, NOON, an_update
from tests.functions.sender import Clock, Function, a_document
from tests.support.scripted_twilio import rejected

CONTEXT = SimpleNamespace(
    function_name="QueryMessagesFunction",
    aws_request_id="1",
    get_remaining_time_in_millis=lambda: 14_000,
)


@pytest.fixture
def app(
    messages_table: str, requests_table: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> ModuleType:
    from functions.query_messages import app  # noqa: PLC0415 -- its client needs moto first

    assert messages_table
    assert requests_table
    monkeypatch.setattr(app, "now", clock.now)
    return app


def shown(
    app: ModuleType, key: str = MESSAGE_SID, route: str = "/messages/{message_sid}"
) -> tuple[int, dict[str, Any]]:
    name = route.partition("{")[2].rstrip("}")
    return asked(app, route, path=route.replace(f"{{{name}}}", key), parameters={name: key})


def listed(app: ModuleType, query: str) -> tuple[int, dict[str, Any]]:
    return asked(app, "/messages", path="/messages", query=query)


def asked(
    app: ModuleType,
    route: str,
    *,
    path: str,
    query: str = "",
    parameters: dict[str, str] | None = None,
) -> tuple[int, dict[str, Any]]:
    event = {
        "version": "2.0",
        "routeKey": f"GET {route}",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {},
        "requestContext": {"http": {"method": "GET", "path": path}},
        "isBase64Encoded": False,
    } | ({"pathParameters": parameters} if parameters else {})
    answer = app.lambda_handler(event, CONTEXT)
    return answer["statusCode"], json.loads(answer["body"])


def test_a_message_is_shown_as_it_is_stored(app: ModuleType, store: MessageStore) -> None:
    store.record(an_update("queued", source=Source.SEND, reference="order-1", num_segments="1"))
    message = store.record(an_update("delivered", after=5)).message

    status, body = shown(app)

    assert status == 200
    assert body == message.as_record()
    assert [entry["status"] for entry in body["transitions"]] == ["queued", "delivered"]


def test_a_failed_message_is_explained(app: ModuleType, store: MessageStore) -> None:
    store.record(an_update("undelivered", error_code=30003))

    _, body = shown(app)

    assert body["error_code"] == 30003
    assert body["explanation"].keys() == {"title", "category", "retryable", "action"}
    assert body["explanation"]["category"] == "recipient_unreachable"
    assert body["explanation"]["retryable"] is True


@pytest.mark.parametrize("code", [None, 99999])
def test_a_failure_that_nobody_knows_is_explained_as_such(
    app: ModuleType, store: MessageStore, code: int | None
) -> None:
    store.record(an_update("failed", error_code=code))

    _, body = shown(app)

    assert body["explanation"]["category"] == "unknown"
    assert body["explanation"]["retryable"] is False


@pytest.mark.parametrize(
    "spelled", [MESSAGE_SID.lower(), f" {MESSAGE_SID[:10]} {MESSAGE_SID[10:].upper()}\n"]
)
def test_a_sid_is_understood_with_spaces_and_in_the_wrong_case(
    app: ModuleType, store: MessageStore, spelled: str
) -> None:
    store.record(an_update("sent"))

    assert shown(app, spelled)[1]["message_sid"] == MESSAGE_SID


@pytest.mark.parametrize("unknown", ["SMnone", "+15558675310", "", "x" * 3000, "a/b", "\0"])
def test_an_unknown_message_is_answered_404_without_what_was_asked_for(
    app: ModuleType, log_output: io.StringIO, unknown: str
) -> None:
    status, body = shown(app, unknown)

    assert status == 404
    assert not unknown or unknown not in json.dumps(body) + log_output.getvalue()


def test_a_table_that_does_not_answer_is_answered_503(
    app: ModuleType, dynamodb: DynamoDBClient
) -> None:
    dynamodb.delete_table(TableName="MessagesTable")

    assert shown(app)[0] == 503


# --- lists ---------------------------------------------------------------------------------------


def sids(body: dict[str, Any]) -> list[str]:
    return [message["message_sid"] for message in body["messages"]]


@pytest.fixture
def three(store: MessageStore) -> list[str]:
    """SIDs of a failed, a pending and an unconfirmed message to one number, the newest first."""
    made = [f"SM{number:032x}" for number in (3, 2, 1)]
    store.record(an_update("failed", message_sid=made[0], after=3, error_code=30007))
    store.record(an_update("sent", message_sid=made[1], after=2, reference="order-7"))
    sent = store.record(an_update("sent", message_sid=made[2], after=1)).message
    store.record_unconfirmed(sent, NOON + timedelta(hours=1))
    return made


def test_the_messages_to_a_number_are_listed_the_newest_first_as_they_are_shown_alone(
    app: ModuleType, three: list[str]
) -> None:
    status, body = listed(app, "to=%2B15558675310")

    assert status == 200
    assert sids(body) == three
    assert body["messages"] == [shown(app, message_sid)[1] for message_sid in three]
    assert body["messages"][0]["explanation"]["category"] == "carrier_filtering"
    assert "next_token" not in body


@pytest.mark.parametrize(
    "spelled", ["+15558675310", "%2B1+(555)+867-5310", "001.555.867.5310", "tel:+1-555-867-5310"]
)
def test_a_number_is_understood_in_any_usual_spelling_and_named_as_it_was_understood(
    app: ModuleType, three: list[str], spelled: str
) -> None:
    _, body = listed(app, f"to={spelled}")

    assert sids(body) == three
    assert body["question"] == {"to": "+15558675310"}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("reference=order-7", [1]),
        ("reference=order-8", []),
        ("failed_on=2026-11-23", [0]),
        ("failed_on=2026-11-22", []),
        ("unconfirmed_on=2026-11-23", [2]),
        ("pending=true", [1]),
    ],
)
def test_each_question_has_its_list(
    app: ModuleType, three: list[str], query: str, expected: list[int]
) -> None:
    status, body = listed(app, query)

    assert status == 200
    assert sids(body) == [three[index] for index in expected]
    assert body["question"] == dict([query.split("=")])


def test_a_long_list_is_read_page_by_page(app: ModuleType, three: list[str]) -> None:
    _, first = listed(app, "to=+15558675310&limit=2")
    _, last = listed(app, f"to=+15558675310&limit=2&next_token={first['next_token']}")

    assert sids(first) + sids(last) == three
    assert "next_token" not in last


def test_twenty_are_listed_unless_more_are_asked_for(app: ModuleType, store: MessageStore) -> None:
    for number in range(21):
        store.record(an_update(message_sid=f"SM{number:032x}"))

    assert len(listed(app, "to=+15558675310")[1]["messages"]) == 20
    assert len(listed(app, "to=+15558675310&limit=100")[1]["messages"]) == 21


@pytest.mark.parametrize(
    ("query", "field", "fix"),
    [
        ("", "to", "give it, or reference"),
        ("limit=5", "to", "give it, or reference"),
        ("to=", "to", "country code"),
        ("to=5558675310", "to", "country code"),
        ("to=somebody", "to", "country code"),
        ("to=" + "9" * 300, "to", "too long"),
        ("to=+15558675310&to=+15558675310", "to", "give it once"),
        ("to=+15558675310&failed_on=2026-11-23", "failed_on", "one at a time"),
        ("reference=", "reference", "1 to 128"),
        ("reference=" + "x" * 129, "reference", "1 to 128"),
        ("failed_on=yesterday", "failed_on", "such as 2026-11-23"),
        ("failed_on=2026-02-30", "failed_on", "such as 2026-11-23"),
        ("unconfirmed_on=", "unconfirmed_on", "such as 2026-11-23"),
        ("pending=false", "pending", "leave it out"),
        ("pending=true&limit=0", "limit", "from 1 to 100"),
        ("pending=true&limit=101", "limit", "from 1 to 100"),
        ("pending=true&limit=1e1", "limit", "from 1 to 100"),
        ("pending=true&limit=\u0661", "limit", "from 1 to 100"),
        ("pending=true&next_token=", "next_token", "leave it out"),
        ("pending=true&next_token=abc", "next_token", "next_token"),
        ("pending=true&page=2", "page", "known are to, reference"),
        ("pending=true&%2B15558675310=1", "?", "known are to, reference"),
        ("&".join(f"p{number}=1" for number in range(30)), "query", "more than 20"),
    ],
)
def test_a_query_that_asks_nothing_clear_is_told_which_parameter_to_change_and_how(
    app: ModuleType, log_output: io.StringIO, query: str, field: str, fix: str
) -> None:
    status, body = listed(app, query)

    assert status == 400
    assert field in [it["field"] for it in body["problems"]]
    assert any(it["field"] == field and fix in it["problem"] for it in body["problems"])
    assert not any(number in json.dumps(body) for number in ("8675310", "99999"))
    assert not log_output.getvalue()


def test_every_problem_of_a_query_is_told_at_once(app: ModuleType) -> None:
    _, body = listed(app, "failed_on=x&limit=0&page=1")

    assert [it["field"] for it in body["problems"]] == ["failed_on", "limit", "page"]


def test_a_token_of_another_question_is_refused(app: ModuleType, three: list[str]) -> None:
    token = listed(app, "to=+15558675310&limit=1")[1]["next_token"]

    status, body = listed(app, f"pending=true&next_token={token}")

    assert three
    assert (status, body["problems"][0]["field"]) == (400, "next_token")


def test_a_list_that_cannot_be_read_is_answered_503(
    app: ModuleType, dynamodb: DynamoDBClient
) -> None:
    dynamodb.delete_table(TableName="MessagesTable")

    assert listed(app, "pending=true")[0] == 503


# --- the summary ---------------------------------------------------------------------------------


def summed_up(app: ModuleType, query: str = "") -> tuple[int, dict[str, Any]]:
    return asked(app, "/summary", path="/summary", query=query)


def test_failures_are_counted_by_category_code_and_sender_the_most_first(
    app: ModuleType, store: MessageStore
) -> None:
    failures = [(30007, "+15005550006")] * 3 + [(30003, "+15005550007")] * 2 + [(None, None)]
    for number, (code, sender) in enumerate(failures):
        message_sid = f"SM{number:032x}"
        store.record(an_update("failed", message_sid=message_sid, error_code=code, from_=sender))
    store.record(an_update("failed", message_sid="SM" + "a" * 32))
    store.record(an_update("delivered", message_sid="SM" + "a" * 32, after=1))

    status, body = summed_up(app, "date=2026-11-23")

    assert (status, body["date"], body["complete"]) == (200, "2026-11-23", True)
    failed = body["failed"]
    assert (failed["count"], failed["complete"]) == (6, True)
    assert failed["by_category"] == {
        "carrier_filtering": 3,
        "recipient_unreachable": 2,
        "unknown": 1,
    }
    assert [(it["error_code"], it["count"]) for it in failed["by_error_code"]] == [
        (30007, 3),
        (30003, 2),
        (None, 1),
    ]
    assert {it["category"] for it in failed["by_error_code"]} == failed["by_category"].keys()
    assert list(failed["by_sender"].items()) == [
        ("+15005550006", 3),
        ("+15005550007", 2),
        ("unknown", 1),
    ]


def test_the_senders_are_named_up_to_twenty_and_the_others_counted_together(
    app: ModuleType, store: MessageStore
) -> None:
    for number in range(23):
        sender = f"+1500555{number:04}"
        store.record(an_update("failed", message_sid=f"SM{number:032x}", from_=sender))

    by_sender = summed_up(app, "date=2026-11-23")[1]["failed"]["by_sender"]

    assert (len(by_sender), by_sender["others"]) == (21, 3)


def test_what_is_awaited_is_counted_by_age_whatever_day_is_asked_about(
    app: ModuleType, store: MessageStore, clock: Clock
) -> None:
    scheduled, counted_meanwhile = -48, -0.001
    hours_old = [scheduled, counted_meanwhile, 0.5, 0.9, 1.5, 23, 25]
    for number, hours in enumerate(hours_old):
        is_scheduled = hours == scheduled
        heard_of = clock.now() - timedelta(hours=0 if is_scheduled else hours)
        send_at = clock.now() - timedelta(hours=hours) if is_scheduled else None
        update = an_update("queued", message_sid=f"SM{number:032x}", send_at=send_at)
        store.record(replace(update, at=heard_of))

    _, body = summed_up(app, "date=2020-01-01")

    assert body["pending"] == {
        "count": 7,
        "complete": True,
        "by_age": {"scheduled": 1, "under_1_hour": 3, "1_to_24_hours": 2, "over_24_hours": 1},
    }


def test_what_was_given_up_is_counted_by_its_day_and_today_is_the_usual_one(
    app: ModuleType, store: MessageStore, clock: Clock
) -> None:
    for number, days in enumerate((0, 0, 1)):
        sent = store.record(an_update("sent", message_sid=f"SM{number:032x}")).message
        store.record_unconfirmed(sent, clock.now() - timedelta(days=days))

    _, body = summed_up(app)

    assert body["date"] == clock.now().date().isoformat()
    assert body["unconfirmed"] == {
        "count": 2,
        "complete": True,
        "by_sender": {"+15005550006": 2},
    }
    assert "+15558675310" not in json.dumps(body)


def test_a_request_in_doubt_is_counted_and_one_at_work_or_given_up_is_not(
    app: ModuleType, function: Function
) -> None:
    at_work, given_up, _ = (function.lose_the_answer() for _ in range(3))
    function.requests.complete(at_work, replace(at_work, state=RequestState.IN_PROGRESS))
    function.give_up(given_up)

    _, body = summed_up(app)

    assert (body["in_doubt"]["count"], body["in_doubt"]["complete"]) == (1, True)
    assert body["in_doubt"]["oldest_at"]


@pytest.mark.parametrize(
    ("most", "milliseconds_left", "counted"), [(3, 14_000, 3), (4, 14_000, 4), (9, 100, 0)]
)
def test_a_summary_that_ends_before_everything_is_counted_says_so(
    app: ModuleType,
    store: MessageStore,
    monkeypatch: pytest.MonkeyPatch,
    most: int,
    milliseconds_left: int,
    counted: int,
) -> None:
    for number in range(4):
        store.record(an_update("failed", message_sid=f"SM{number:032x}"))
    monkeypatch.setattr(app, "MAX_COUNTED", most)
    monkeypatch.setattr(CONTEXT, "get_remaining_time_in_millis", lambda: milliseconds_left)

    _, body = summed_up(app, "date=2026-11-23")

    assert body["complete"] is body["failed"]["complete"] is (counted == 4)
    assert body["failed"]["count"] == counted
    assert body["unconfirmed"]["complete"] is True


@pytest.mark.parametrize(
    ("query", "field"), [("date=monday", "date"), ("date=", "date"), ("day=2026-11-23", "day")]
)
def test_a_day_that_is_none_is_refused_with_what_to_write(
    app: ModuleType, query: str, field: str
) -> None:
    status, body = summed_up(app, query)

    assert (status, body["problems"][0]["field"]) == (400, field)


# --- requests ------------------------------------------------------------------------------------


def request_shown(app: ModuleType, request_id: str) -> tuple[int, dict[str, Any]]:
    return shown(app, request_id, "/requests/{request_id}")


def test_a_request_is_shown_with_what_became_of_it(app: ModuleType, function: Function) -> None:
    _, message = function.post(a_document(reference="order-7"))

    status, body = request_shown(app, message["request_id"])

    assert status == 200
    assert body == {
        "request_id": message["request_id"],
        "state": "sent",
        "message_sid": message["message_sid"],
        "reference": "order-7",
    }


def test_a_refused_request_is_shown_with_its_problem(app: ModuleType, function: Function) -> None:
    function.twilio.will(rejected(400, 21211))
    _, answer = function.post(a_document())

    _, body = request_shown(app, answer["request_id"])

    assert body["state"] == "rejected"
    assert body["problem"]["error_code"] == 21211
    assert body["problem"]["explanation"]["category"] == "recipient_unreachable"


def test_bad_input_on_the_queue_is_a_refused_request(app: ModuleType, function: Function) -> None:
    function.take(a_document(to="nobody", reference="order-8"))
    (message,) = function.messages()

    _, body = request_shown(app, message.message_sid)

    assert (body["state"], body["reference"]) == ("rejected", "order-8")
    assert body["problem"]["detail"].startswith("The send request was invalid.")


@pytest.mark.parametrize(
    ("status", "title"),
    [
        ("rejected", "The send request was invalid"),
        ("presumed_unsent", "No trace of it at Twilio"),
    ],
)
def test_a_request_that_became_no_message_is_explained_in_its_own_words(
    app: ModuleType, store: MessageStore, status: str, title: str
) -> None:
    request_id = "rq_" + "a" * 32
    never_sent = an_update(status, message_sid=request_id, request_id=request_id)
    message_sid = store.record_unsent_request(never_sent).message.message_sid

    _, body = shown(app, message_sid)

    assert body["explanation"]["title"] == title


def test_a_request_that_was_not_found_was_probably_not_sent(
    app: ModuleType, store: MessageStore
) -> None:
    request_id = "rq_" + "a" * 32
    store.record_unsent_request(
        an_update("presumed_unsent", message_sid=request_id, request_id=request_id)
    )

    _, body = request_shown(app, request_id)

    assert body["state"] == "presumed_unsent"
    assert "It was probably not sent." in body["problem"]["detail"]


def test_a_claim_without_a_result_is_in_progress_and_then_in_doubt(
    app: ModuleType, function: Function
) -> None:
    request = function.lose_the_answer()
    function.requests.complete(request, replace(request, state=RequestState.IN_PROGRESS))

    at_once = request_shown(app, request.request_id)[1]["state"]
    function.clock.pass_by(minutes=1)
    later = request_shown(app, request.request_id)[1]["state"]

    assert (at_once, later) == ("in_progress", "in_doubt")


def test_a_callback_that_carries_our_request_id_shows_a_request_in_doubt_as_sent(
    app: ModuleType, function: Function, store: MessageStore
) -> None:
    doubt = function.lose_the_answer()
    store.record(replace(an_update("sent", request_id=doubt.request_id), at=function.clock.now()))

    _, body = request_shown(app, doubt.request_id)

    assert (body["state"], body["message_sid"]) == ("sent", MESSAGE_SID)


def test_a_request_that_was_not_found_says_that_it_takes_a_new_key(
    app: ModuleType, function: Function
) -> None:
    request = function.give_up(function.lose_the_answer())

    _, body = request_shown(app, request.request_id)

    assert body["state"] == "presumed_unsent"
    assert "new key" in body["problem"]["detail"]


def test_a_message_is_no_request(app: ModuleType, store: MessageStore) -> None:
    store.record(an_update("delivered", request_id="rq_" + "a" * 32))

    assert request_shown(app, MESSAGE_SID)[0] == 404


def never_sent(store: MessageStore, status: str) -> StatusUpdate:
    """What is kept of a request when the request itself is forgotten."""
    request_id = "rq_" + "a" * 32
    update = an_update(status, message_sid=request_id, request_id=request_id, reference="order-9")
    store.record_unsent_request(update)
    return update


@pytest.mark.parametrize("state", ["rejected", "presumed_unsent"])
def test_a_request_that_became_no_message_is_known_for_as_long_as_messages_are(
    app: ModuleType, store: MessageStore, state: str
) -> None:
    request_id = never_sent(store, state).message_sid

    _, body = request_shown(app, request_id)

    assert (body["state"], body["reference"]) == (state, "order-9")
    assert body["problem"]["explanation"]["title"]


def test_a_request_that_was_sent_after_all_was_sent_also_when_it_is_forgotten(
    app: ModuleType, store: MessageStore
) -> None:
    update = never_sent(store, "presumed_unsent")
    store.record_superseded(update)

    _, body = request_shown(app, update.message_sid)

    assert (body["state"], "problem" in body) == ("sent", False)


def test_a_request_that_was_sent_after_all_is_listed_by_its_message_alone(
    app: ModuleType, store: MessageStore
) -> None:
    update = never_sent(store, "presumed_unsent")
    store.record_superseded(update)
    store.record(an_update("delivered", request_id=update.message_sid, reference="order-9"))

    for query in ("to=%2B15558675310", "reference=order-9"):
        assert sids(listed(app, query)[1]) == [MESSAGE_SID]


def test_an_unknown_request_is_answered_404(app: ModuleType) -> None:
    assert request_shown(app, "rq_" + "0" * 32)[0] == 404
