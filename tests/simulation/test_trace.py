"""A trace is told so that a person can read it, and no more of it than they asked for."""

import base64
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from simulation.trace import Trace
from simulation.virtual_time import Ended
from simulation.words import in_words, request_in_words, shortened

SID = "SM" + "5ed33e363ba5d3d1cb67e38533ce8607"
ITEM = {"message_sid": {"S": SID}, "status": {"S": "sent"}, "rank": {"N": "40"}}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, ""),
        ((204, "to", b"MessageStatus=sent&SmsStatus=sent"), "204 to MessageStatus=sent"),
        ('{"to": "+1555", "context": {"a": 1, "b": 2}}', "to=+1555 context={a=1 b=2}"),
        (ITEM, f"message_sid={SID} status=sent rank=40"),
        ({"L": [{"M": {"at": {"S": "noon"}}}]}, "[{at=noon}]"),
        (Ended(value={"statusCode": 204}), "statusCode=204"),
        (Ended(error=ValueError("it")), "raised ValueError('it')"),
        (Ended(died=True), "died"),
    ],
)
def test_what_was_handed_over_is_put_into_words(value: Any, words: str) -> None:
    assert in_words(value) == words


@pytest.mark.parametrize(
    ("event", "words"),
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
def test_an_invocation_says_why_it_is_made(event: Any, words: str) -> None:
    assert in_words(event) == words


@pytest.mark.parametrize(
    ("operation", "arguments", "words"),
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
def test_a_request_says_of_what_it_asks_what(
    operation: str, arguments: dict[str, Any], words: str
) -> None:
    assert request_in_words(operation, arguments) == words


def test_long_ids_are_shortened_and_short_words_are_not() -> None:
    assert shortened(f"{SID} c8d973ed-cb75-8222-a1f9-83d0d31ef370 deadbeef") == (
        "SM5ed33e… c8d973… deadbeef"
    )


def a_trace() -> Trace:
    """Two invocations, of which the first is about SM1, and Twilio."""
    trace = Trace(datetime(2026, 11, 23, 12, tzinfo=UTC))
    trace.add(1, "Twilio", "calls back", "SM1")
    for number, sid in enumerate(("SM1", "SM2"), start=1):
        who = f"status_callback#{number}"
        trace.add(2, who, "invoked")
        trace.add_call(2, who, "secretsmanager", lambda: "read", fault="")
        trace.add_call(2.5, who, "sqs", lambda: "send", fault="answer lost")
        trace.add_call(3, who, "dynamodb", partial(str, sid), fault="").error = "Refused"
        trace.add(3, who, "ended")
    return trace


def test_what_is_about_something_is_told_with_what_led_to_it() -> None:
    lines = list(a_trace().lines("SM1"))

    assert lines == [
        "12:00:01.000  Twilio               calls back  SM1",
        "12:00:02.000  status_callback#1    invoked",
        "12:00:02.500  status_callback#1    sqs  send  [answer lost]",
        "12:00:03.000  status_callback#1    dynamodb  SM1  [Refused]",
        "12:00:03.000  status_callback#1    ended",
    ]


def test_without_a_word_everything_is_told() -> None:
    assert len(list(a_trace().lines())) == 11
