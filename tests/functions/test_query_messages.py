"""QueryMessagesFunction: the truth about a message in one request."""

import io
import json
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from mypy_boto3_dynamodb import DynamoDBClient

from delivery.message import Source
from delivery.store import MessageStore
from tests.builders import MESSAGE_SID, an_update

CONTEXT = SimpleNamespace(function_name="QueryMessagesFunction", aws_request_id="1")


@pytest.fixture
def app(messages_table: str) -> ModuleType:
    from functions.query_messages import app  # noqa: PLC0415 -- its client needs moto first

    assert messages_table
    return app


@pytest.fixture
def store(dynamodb: DynamoDBClient, messages_table: str) -> MessageStore:
    return MessageStore(dynamodb, messages_table)


def shown(app: ModuleType, message_sid: str = MESSAGE_SID) -> tuple[int, dict[str, Any]]:
    event = {
        "version": "2.0",
        "routeKey": "GET /messages/{message_sid}",
        "rawPath": f"/messages/{message_sid}",
        "rawQueryString": "",
        "headers": {},
        "pathParameters": {"message_sid": message_sid},
        "requestContext": {"http": {"method": "GET", "path": f"/messages/{message_sid}"}},
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
