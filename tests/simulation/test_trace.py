"""A trace is readable, and can be reduced to what has certain words."""

import base64
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from simulation.trace import Trace
from simulation.trace_format import format_request, format_value, shorten_ids
from simulation.virtual_time import TaskResult

SID = "SM" + "5ed33e363ba5d3d1cb67e38533ce8607"
ITEM = {"message_sid": {"S": SID}, "status": {"S": "sent"}, "rank": {"N": "40"}}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ((204, "to", b"MessageStatus=sent&SmsStatus=sent"), "204 to MessageStatus=sent"),
        ('{"to": "+1555", "context": {"a": 1, "b": 2}}', "to=+1555 context={a=1 b=2}"),
        (ITEM, f"message_sid={SID} status=sent rank=40"),
        ({"L": [{"M": {"at": {"S": "noon"}}}]}, "[{at=noon}]"),
        (TaskResult(value={"statusCode": 204}), "statusCode=204"),
        (TaskResult(error=ValueError("it")), "raised ValueError('it')"),
        (TaskResult(killed=True), "killed"),
    ],
)
def test_a_value_is_formatted_without_types(value: Any, text: str) -> None:
    assert format_value(value) == text


@pytest.mark.parametrize(
    ("event", "text"),
    [
        ({"Records": [{"messageId": "m1", "body": '{"to": "+1555"}'}]}, "m1 to=+1555"),
        (
            {"Records": [{"eventName": "MODIFY", "dynamodb": {"Keys": {}, "NewImage": ITEM}}]},
            "MODIFY status=sent",
        ),
        (
            {
                "rawPath": "/twilio/status",
                "rawQueryString": "order=7",
                "body": base64.b64encode(b"MessageStatus=sent").decode(),
            },
            "/twilio/status?order=7 MessageStatus=sent",
        ),
    ],
)
def test_an_event_is_formatted_by_its_content(event: Any, text: str) -> None:
    assert format_value(event) == text


@pytest.mark.parametrize(
    ("operation", "arguments", "text"),
    [
        (
            "update_item",
            {
                "TableName": "MessagesTable",
                "Key": {"message_sid": {"S": "SM1"}},
                "UpdateExpression": "SET #status = :status",
                "ExpressionAttributeValues": {":status": {"S": "sent"}},
            },
            "update_item MessagesTable message_sid=SM1 status=sent",
        ),
        (
            "transact_write_items",
            {"TransactItems": [{"Put": {"TableName": "A", "Item": {"cause": {"S": "30007"}}}}]},
            "transact_write_items [{put A cause=30007}]",
        ),
        (
            "send_message",
            {"QueueUrl": "https://sqs/1/SendQueue", "MessageBody": '{"to": "+1555"}'},
            "send_message SendQueue to=+1555",
        ),
    ],
)
def test_a_request_is_formatted_with_its_target_and_values(
    operation: str, arguments: dict[str, Any], text: str
) -> None:
    assert format_request(operation, arguments) == text


def test_long_ids_are_shortened_and_short_words_are_not() -> None:
    assert shorten_ids(f"{SID} c8d973ed-cb75-8222-a1f9-83d0d31ef370 deadbeef") == (
        "SM5ed33e… c8d973… deadbeef"
    )


def a_trace() -> Trace:
    """Two invocations, of which the first is about SM1, and Twilio."""
    now = 1.0
    trace = Trace(datetime(2026, 11, 23, 12, tzinfo=UTC), lambda: now)
    trace.add("Twilio", "calls back", "SM1")
    for number, sid in enumerate(("SM1", "SM2"), start=1):
        actor, now = f"status_callback#{number}", 2.0
        trace.add(actor, "invoked")
        trace.add_call(actor, "secretsmanager", lambda: "read")
        now = 2.5
        trace.add_call(actor, "sqs", lambda: "send", fault="response lost")
        now = 3.0
        trace.add_call(actor, "dynamodb", partial(str, sid)).error = "Throttling"
        trace.add(actor, "ended")
    return trace


def test_a_word_selects_its_events_and_what_led_to_them() -> None:
    lines = list(a_trace().lines("SM1"))

    assert lines == [
        "12:00:01.000  Twilio               calls back  SM1",
        "12:00:02.000  status_callback#1    invoked",
        "12:00:02.500  status_callback#1    sqs  send  [response lost]",
        "12:00:03.000  status_callback#1    dynamodb  SM1  [Throttling]",
        "12:00:03.000  status_callback#1    ended",
    ]


def test_without_a_word_the_trace_is_complete() -> None:
    assert len(list(a_trace().lines())) == 11
