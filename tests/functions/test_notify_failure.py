"""NotifyFailureFunction: every failed message is noticed, and nobody is told what is not so."""

import json
from collections.abc import Callable
from datetime import datetime
from types import ModuleType, SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError
from moto.core.models import botocore_stubber
from mypy_boto3_dynamodb import DynamoDBClient

from delivery.message import Message, Notice
from delivery.store import MessageStore, StoreUnavailable
from tests.builders import MESSAGE_SID, NOON, an_update

CONTEXT = SimpleNamespace(function_name="NotifyFailureFunction", aws_request_id="1")
OTHER_SID = "SM" + "f" * 32


class Inbox:
    """A queue on the topic: what subscribers get."""

    def __init__(self) -> None:
        self._sqs = boto3.client("sqs")
        sns = boto3.client("sns")
        self.topic_arn = sns.create_topic(Name="failures")["TopicArn"]
        self._url = self._sqs.create_queue(QueueName="inbox")["QueueUrl"]
        arn = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])
        sns.subscribe(
            TopicArn=self.topic_arn,
            Protocol="sqs",
            Endpoint=arn["Attributes"]["QueueArn"],
            Attributes={"RawMessageDelivery": "true"},
        )

    def notices(self) -> list[dict[str, Any]]:
        """The notices that came, with their message attributes."""
        messages = self._sqs.receive_message(
            QueueUrl=self._url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        ).get("Messages", [])
        return [
            json.loads(message["Body"])
            | {
                "attributes": {
                    name: (value["DataType"], value["StringValue"])
                    for name, value in message.get("MessageAttributes", {}).items()
                }
            }
            for message in messages
        ]

    def events(self) -> list[tuple[str, str]]:
        """What was told: (notice id, failure or recovery)."""
        return [(notice["id"], notice["metadata"]["eventType"]) for notice in self.notices()]


@pytest.fixture
def inbox(aws: None) -> Inbox:  # noqa: ARG001 -- moto
    return Inbox()


@pytest.fixture
def store(dynamodb: DynamoDBClient, messages_table: str) -> MessageStore:
    return MessageStore(dynamodb, messages_table)


@pytest.fixture
def app(inbox: Inbox, messages_table: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    from functions.notify_failure import app  # noqa: PLC0415 -- its clients need moto first

    assert messages_table
    monkeypatch.setattr(app, "FAILURE_TOPIC_ARN", inbox.topic_arn)
    return app


def a_stream_event(*message_sids: str) -> dict[str, Any]:
    """A batch of the stream; only the keys matter, because everything else may be old."""
    return {
        "Records": [
            {
                "eventID": str(number),
                "eventName": "MODIFY",
                "eventSource": "aws:dynamodb",
                "dynamodb": {
                    "Keys": {"message_sid": {"S": message_sid}},
                    "NewImage": {"notice": {"S": "due"}},
                    "SequenceNumber": str(1000 + number),
                },
            }
            for number, message_sid in enumerate(message_sids or (MESSAGE_SID,))
        ]
    }


def failures_of(app: ModuleType, event: dict[str, Any]) -> list[str]:
    """The sequence numbers that Lambda is to send again."""
    answer = app.lambda_handler(event, CONTEXT)
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def notice_of(store: MessageStore, message_sid: str = MESSAGE_SID) -> Notice | None:
    message = store.get(message_sid)
    assert message is not None
    return message.notice


def advanced(store: MessageStore, message: Message) -> Message:
    after = store.advance_notice(message, NOON)
    assert after is not None
    return after


def test_a_failed_message_is_told_once(app: ModuleType, store: MessageStore, inbox: Inbox) -> None:
    store.record(an_update("undelivered", error_code=30003))

    assert failures_of(app, a_stream_event()) == []
    assert failures_of(app, a_stream_event()) == []

    assert inbox.events() == [(f"{MESSAGE_SID}:failure", "failure")]
    assert notice_of(store) is Notice.SENT


def test_subscribers_get_the_attributes_to_filter_by(
    app: ModuleType, store: MessageStore, inbox: Inbox
) -> None:
    store.record(an_update("undelivered", error_code=30003))

    failures_of(app, a_stream_event())

    (notice,) = inbox.notices()
    assert notice["attributes"] == {
        "status": ("String", "undelivered"),
        "category": ("String", "recipient_unreachable"),
        "account_sid": ("String", "AC" + "0" * 32),
        "retryable": ("String", "true"),
        "error_code": ("Number", "30003"),
    }


def test_a_message_that_became_well_before_anybody_was_told_is_not_told(
    app: ModuleType, store: MessageStore, inbox: Inbox
) -> None:
    store.record(an_update("undelivered"))
    store.record(an_update("delivered"))

    failures_of(app, a_stream_event())

    assert inbox.events() == []
    assert notice_of(store) is Notice.WITHDRAWN


def test_a_recovery_is_told_to_those_who_were_told_of_the_failure(
    app: ModuleType, store: MessageStore, inbox: Inbox
) -> None:
    store.record(an_update("undelivered", error_code=30003))
    failures_of(app, a_stream_event())
    store.record(an_update("delivered"))
    failures_of(app, a_stream_event())
    failures_of(app, a_stream_event())

    assert inbox.events() == [
        (f"{MESSAGE_SID}:failure", "failure"),
        (f"{MESSAGE_SID}:recovery", "recovery"),
    ]
    assert notice_of(store) is Notice.RECOVERED


def test_a_notice_found_half_told_is_told_again_under_the_same_id(
    app: ModuleType, store: MessageStore, inbox: Inbox
) -> None:
    message = store.record(an_update("undelivered")).message
    advanced(store, message)  # and then the function died: before or after publishing?

    failures_of(app, a_stream_event())

    assert inbox.events() == [(f"{MESSAGE_SID}:failure", "failure")]
    assert notice_of(store) is Notice.SENT


def test_a_message_that_became_well_while_it_was_half_told_owes_a_recovery(
    app: ModuleType, store: MessageStore, inbox: Inbox
) -> None:
    advanced(store, store.record(an_update("undelivered")).message)
    store.record(an_update("delivered"))

    failures_of(app, a_stream_event())
    assert notice_of(store) is Notice.RECOVERY_DUE
    failures_of(app, a_stream_event())

    assert inbox.events() == [(f"{MESSAGE_SID}:recovery", "recovery")]
    assert notice_of(store) is Notice.RECOVERED


def test_a_message_that_becomes_well_during_the_publishing_owes_a_recovery(
    app: ModuleType, store: MessageStore, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.record(an_update("undelivered"))
    publish = app.publish

    def deliver_meanwhile(notice: Any) -> None:
        publish(notice)
        store.record(an_update("delivered"))

    monkeypatch.setattr(app, "publish", deliver_meanwhile)
    failures_of(app, a_stream_event())
    monkeypatch.undo()

    assert notice_of(store) is Notice.RECOVERY_DUE
    assert inbox.events() == [(f"{MESSAGE_SID}:failure", "failure")]


class Broken:
    """An SNS that cannot be reached, or whose answer is lost."""

    def __init__(self, topic: Any = None) -> None:
        self._topic = topic

    def publish(self, **arguments: Any) -> None:
        if self._topic is not None:
            self._topic.publish(**arguments)
        raise EndpointConnectionError(endpoint_url="sns")


@pytest.mark.parametrize("published", [False, True], ids=["not published", "answer lost"])
def test_a_notice_that_could_not_be_published_stays_owed_and_is_tried_again(
    app: ModuleType,
    store: MessageStore,
    inbox: Inbox,
    monkeypatch: pytest.MonkeyPatch,
    *,
    published: bool,
) -> None:
    store.record(an_update("undelivered"))
    topic = app.topic
    monkeypatch.setattr(app, "FAILURE_TOPIC_ARN", inbox.topic_arn)
    monkeypatch.setattr(app, "topic", Broken(topic if published else None))

    assert failures_of(app, a_stream_event()) == ["1000"]
    assert notice_of(store) is Notice.TELLING
    monkeypatch.setattr(app, "topic", topic)
    assert failures_of(app, a_stream_event()) == []

    assert set(inbox.events()) == {(f"{MESSAGE_SID}:failure", "failure")}
    assert notice_of(store) is Notice.SENT


class Dying:
    """A store whose calls break, one of them before or after it takes effect."""

    def __init__(self, store: MessageStore, call: int, *, after: bool) -> None:
        self._store = store
        self._left = call
        self._after = after

    def get(self, message_sid: str) -> Message | None:
        return self._broken(lambda: self._store.get(message_sid))

    def advance_notice(self, message: Message, at: datetime) -> Message | None:
        return self._broken(lambda: self._store.advance_notice(message, at))

    def _broken(self, call: Callable[[], Message | None]) -> Message | None:
        self._left -= 1
        if self._left != 0:
            return call()
        if self._after:
            call()
        raise StoreUnavailable("DynamoDB did not confirm a write: RequestTimeout")


@pytest.mark.parametrize("call", [1, 2, 3], ids=["reading", "claiming", "marking"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_notifier_that_dies_at_any_of_its_calls_leaves_a_notice_that_is_still_told(
    app: ModuleType,
    store: MessageStore,
    inbox: Inbox,
    monkeypatch: pytest.MonkeyPatch,
    *,
    call: int,
    after: bool,
) -> None:
    store.record(an_update("undelivered"))

    with monkeypatch.context() as dying:
        dying.setattr(app, "store", Dying(app.store, call, after=after))
        assert failures_of(app, a_stream_event()) == ["1000"]
    assert failures_of(app, a_stream_event()) == []

    assert set(inbox.events()) == {(f"{MESSAGE_SID}:failure", "failure")}
    assert notice_of(store) is Notice.SENT


def lose_the_next_answer(client: DynamoDBClient, operation: str) -> None:
    """Let the next request take effect and its answer be lost, below botocore's own retries."""
    event = f"before-send.dynamodb.{operation}"

    def lose(request: Any, **facts: Any) -> None:
        client.meta.events.unregister(event, lose)
        botocore_stubber(request=request, **facts)
        raise ReadTimeoutError(endpoint_url="dynamodb")

    client.meta.events.register_first(event, lose)


def test_a_claim_whose_answer_was_lost_on_the_way_is_not_taken_for_somebody_elses(
    app: ModuleType, store: MessageStore, inbox: Inbox
) -> None:
    store.record(an_update("undelivered"))
    lose_the_next_answer(app.dynamodb, "UpdateItem")

    assert failures_of(app, a_stream_event()) == ["1000"]
    assert notice_of(store) is Notice.TELLING
    assert failures_of(app, a_stream_event()) == []

    assert inbox.events() == [(f"{MESSAGE_SID}:failure", "failure")]
    assert notice_of(store) is Notice.SENT


def test_a_record_that_fails_does_not_hold_up_the_others(
    app: ModuleType, store: MessageStore, inbox: Inbox
) -> None:
    store.record(an_update("failed", message_sid=OTHER_SID))
    poisonous = a_stream_event("SMx", OTHER_SID)
    poisonous["Records"][0]["dynamodb"]["Keys"] = {}

    failures = failures_of(app, poisonous)

    assert failures == ["1000"]
    assert inbox.events() == [(f"{OTHER_SID}:failure", "failure")]


def test_a_message_that_is_gone_is_nobodys_fault(app: ModuleType, inbox: Inbox) -> None:
    assert failures_of(app, a_stream_event("SMgone")) == []
    assert inbox.events() == []


def test_the_log_holds_no_number(
    app: ModuleType, store: MessageStore, capsys: pytest.CaptureFixture[str], log_output: Any
) -> None:
    store.record(an_update("undelivered", error_code=30003))

    failures_of(app, a_stream_event())

    written = capsys.readouterr().out + log_output.getvalue()
    assert MESSAGE_SID in written
    assert "NoticePublished" in written
    assert not any(number in written for number in ("8675310", "5550006"))
