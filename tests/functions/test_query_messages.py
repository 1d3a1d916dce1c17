"""QueryMessagesFunction: the truth about a message in one request."""

import io
import json
from dataclasses import replace
from datetime import timedelta
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from mypy_boto3_dynamodb import DynamoDBClient

from delivery.message import Source
from delivery.request_store import RequestStore
from delivery.send_request import RequestState
from delivery.store import MessageStore
from tests.builders import MESSAGE_SID, an_update
from tests.functions.sender import Clock, Function, a_document
from tests.scripted_twilio import DROPPED, refused

CONTEXT = SimpleNamespace(function_name="QueryMessagesFunction", aws_request_id="1")


@pytest.fixture
def app(
    messages_table: str, requests_table: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> ModuleType:
    from functions.query_messages import app  # noqa: PLC0415 -- its client needs moto first

    assert messages_table
    assert requests_table
    monkeypatch.setattr(app, "now", clock.now)
    return app


@pytest.fixture
def store(dynamodb: DynamoDBClient, messages_table: str) -> MessageStore:
    return MessageStore(dynamodb, messages_table)


def shown(
    app: ModuleType, key: str = MESSAGE_SID, route: str = "/messages/{message_sid}"
) -> tuple[int, dict[str, Any]]:
    name = route.partition("{")[2].rstrip("}")
    path = route.replace(f"{{{name}}}", key)
    event = {
        "version": "2.0",
        "routeKey": f"GET {route}",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {},
        "pathParameters": {name: key},
        "requestContext": {"http": {"method": "GET", "path": path}},
        "isBase64Encoded": False,
    }
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


@pytest.mark.parametrize("asked", ["SMnone", "+15558675310", "", "x" * 3000, "a/b", "\0"])
def test_an_unknown_message_is_answered_404_without_what_was_asked_for(
    app: ModuleType, log_output: io.StringIO, asked: str
) -> None:
    status, body = shown(app, asked)

    assert status == 404
    assert not asked or asked not in json.dumps(body) + log_output.getvalue()


def test_a_table_that_does_not_answer_is_answered_503(
    app: ModuleType, dynamodb: DynamoDBClient
) -> None:
    dynamodb.delete_table(TableName="MessagesTable")

    assert shown(app)[0] == 503


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
    function.twilio.will(refused(400, 21211))
    _, answer = function.post(a_document())

    _, body = request_shown(app, answer["request_id"])

    assert body["state"] == "refused"
    assert body["problem"]["error_code"] == 21211
    assert body["problem"]["explanation"]["category"] == "recipient_unreachable"


def test_bad_input_on_the_queue_is_a_refused_request(app: ModuleType, function: Function) -> None:
    function.take(a_document(to="nobody", reference="order-8"))
    (message,) = function.messages()

    _, body = request_shown(app, message.message_sid)

    assert (body["state"], body["reference"]) == ("refused", "order-8")


def test_a_claim_without_a_result_is_in_progress_and_then_in_doubt(
    app: ModuleType, function: Function
) -> None:
    function.twilio.will(DROPPED)
    _, doubt = function.post(a_document())
    request = function.request(doubt["request_id"])
    assert request is not None
    requests = RequestStore(function.dynamodb, "SendRequestsTable")
    requests.settle(request, replace(request, state=RequestState.IN_PROGRESS))

    at_once = request_shown(app, request.request_id)[1]["state"]
    function.clock.pass_by(minutes=1)
    later = request_shown(app, request.request_id)[1]["state"]

    assert (at_once, later) == ("in_progress", "in_doubt")


def test_a_callback_that_carries_our_request_id_shows_a_request_in_doubt_as_sent(
    app: ModuleType, function: Function, store: MessageStore
) -> None:
    function.twilio.will(DROPPED)
    _, doubt = function.post(a_document())
    store.record(
        replace(an_update("sent", request_id=doubt["request_id"]), at=function.clock.now())
    )

    _, body = request_shown(app, doubt["request_id"])

    assert (body["state"], body["message_sid"]) == ("sent", MESSAGE_SID)


def test_a_request_that_was_not_found_says_that_it_takes_a_new_key(
    app: ModuleType, function: Function
) -> None:
    function.twilio.will(DROPPED)
    _, doubt = function.post(a_document())
    request = function.request(doubt["request_id"])
    assert request is not None
    not_found = request.settled(
        RequestState.NOT_FOUND, at=function.clock.now(), kept_for=timedelta(days=30)
    )
    RequestStore(function.dynamodb, "SendRequestsTable").settle(request, not_found)

    _, body = request_shown(app, request.request_id)

    assert body["state"] == "not_found"
    assert "new key" in body["problem"]["detail"]


def test_an_unknown_request_is_answered_404(app: ModuleType) -> None:
    assert request_shown(app, "rq_" + "0" * 32)[0] == 404
