"""StatusCallbackFunction: every row of the table of its responses."""

import io
import json
from typing import Any
from urllib.parse import urlencode

import pytest
from aws_lambda_powertools.utilities.typing import LambdaContext

from delivery.domain.messages import Source, StatusUpdate
from delivery.storage.callback_queue import CallbackQueue
from tests.functions.callbacks import (
    CALLBACK,
    URL,
    StatusCallbackRig,
    a_callback,
    a_request,
)
from tests.support.builders import ACCOUNT_SID, MESSAGE_SID, NOON, an_update
from tests.support.cloudformation import create_table
from tests.support.embedded_metrics import data_points, total
from tests.support.shared_clients import shared_client

MAX_BACKOFF_SECONDS = 1  # of botocore, before a second attempt
SUBACCOUNT = "AC" + "1" * 32


def log_lines(log_output: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log_output.getvalue().splitlines()]


# --- signed by Twilio: stored, then answered with 204 --------------------------------------------


@pytest.mark.parametrize("event", [a_request(), a_request(encoded=False)], ids=["base64", "plain"])
def test_a_signed_status_is_stored_and_answered_with_204(
    callbacks: StatusCallbackRig, event: dict[str, Any]
) -> None:
    response = callbacks.handle(event)

    message = callbacks.message()
    assert response == {"statusCode": 204}
    assert (message.status, message.to, message.from_) == ("sent", "+15558675310", "+15005550006")


@pytest.mark.parametrize(
    "unexpected",
    [
        {"MessageStatus": "paused_by_carrier"},
        {"NewParameter": "with a value", "AnotherOne": ""},
        {"ErrorCode": "99999", "MessageStatus": "undelivered"},
        {"ErrorCode": "carrier says no", "MessageStatus": "undelivered"},
        {"MessageStatus": "x" * 20000, "To": "9" * 20000},
    ],
)
def test_unknown_statuses_parameters_and_codes_are_stored_and_never_an_error(
    callbacks: StatusCallbackRig, unexpected: dict[str, str]
) -> None:
    status = callbacks.call(a_request(CALLBACK | unexpected))

    message = callbacks.message()
    assert status == 204
    assert (CALLBACK | unexpected)["MessageStatus"].startswith(message.transitions[0].status)


def test_header_names_and_the_media_type_are_case_insensitive(callbacks: StatusCallbackRig) -> None:
    event = a_request(content_type="Application/X-WWW-Form-URLencoded")
    event["headers"] = {name.title(): value for name, value in event["headers"].items()}

    assert callbacks.call(event) == 204


# --- rejected ------------------------------------------------------------------------------------


def test_a_body_over_64_kib_is_answered_with_413(callbacks: StatusCallbackRig) -> None:
    at_the_limit = a_request(body=b"A=" + b"x" * (64 * 1024 - 2))
    over_it = a_request(body=b"A=" + b"x" * (64 * 1024 - 1))

    assert callbacks.call(at_the_limit) == 403
    assert callbacks.call(over_it) == 413
    assert callbacks.items() == []


@pytest.mark.parametrize("content_type", [None, "application/json"])
def test_other_media_types_are_answered_with_415(
    callbacks: StatusCallbackRig, content_type: str | None
) -> None:
    body = json.dumps(CALLBACK).encode()

    assert callbacks.call(a_request([], body=body, content_type=content_type)) == 415
    assert callbacks.items() == []


def test_the_size_is_checked_before_the_media_type_and_both_before_the_signature(
    callbacks: StatusCallbackRig,
) -> None:
    unsigned: dict[str, Any] = {"x_twilio_signature": None}
    large = a_request(body=b"x" * 70000, content_type="text/plain", **unsigned)
    json_body = a_request(body=b"{}", content_type="application/json", **unsigned)

    assert callbacks.call(large) == 413
    assert callbacks.call(json_body) == 415


@pytest.mark.parametrize(
    "event",
    [
        a_request(x_twilio_signature=None),
        a_request(x_twilio_signature="d3Jvbmc="),
        a_request(token="another-token"),
        a_request(url="https://elsewhere.example.com/twilio/status"),
        a_request(url=URL) | {"rawQueryString": "order=1"},
        a_request(CALLBACK | {"AccountSid": SUBACCOUNT}),
        a_request(body=urlencode(a_callback("delivered")).encode()),
        a_request(body=b"\xff\xfe%zz&&==", encoded=True),
    ],
)
def test_a_request_that_twilio_did_not_sign_is_answered_with_403_and_not_stored(
    callbacks: StatusCallbackRig, event: dict[str, Any]
) -> None:
    assert callbacks.call(event) == 403
    assert callbacks.items() == []


@pytest.mark.parametrize("parameter", ["Sid", "Status"])
def test_a_signed_request_without_sid_or_status_is_answered_with_400(
    callbacks: StatusCallbackRig, parameter: str
) -> None:
    incomplete = {name: it for name, it in CALLBACK.items() if not name.endswith(parameter)}

    response = callbacks.handle(a_request(incomplete | {"AccountSid": ACCOUNT_SID}))

    assert response["statusCode"] == 400
    assert f"Message{parameter}" in json.loads(response["body"])["detail"]
    assert callbacks.items() == []


def test_the_status_of_an_inbound_message_is_counted_and_not_stored(
    callbacks: StatusCallbackRig, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callbacks.call(a_request(a_callback("received"))) == 204

    assert callbacks.items() == []
    assert total(data_points(capsys.readouterr().out), "InboundIgnored", service="tested") == 1


def test_parameters_that_do_not_fit_in_the_context_are_counted(
    callbacks: StatusCallbackRig, capsys: pytest.CaptureFixture[str]
) -> None:
    raw_query = "&".join(f"n{number}=x" for number in range(21))

    assert callbacks.call(a_request(raw_query=raw_query)) == 204

    message = callbacks.message()
    assert len(message.context) == 20
    assert total(data_points(capsys.readouterr().out), "ContextTruncated", service="tested") == 1


def test_the_words_of_a_failure_are_stored_masked_and_gone_after_a_delivery(
    callbacks: StatusCallbackRig, log_output: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    failure = a_callback("undelivered", ChannelStatusMessage="not allowed for +15558675310")

    callbacks.call(a_request(failure))
    failed = callbacks.message()
    callbacks.call(a_request(a_callback("delivered")))
    delivered = callbacks.message()

    assert failed.error_detail == "not allowed for …5310"
    assert delivered.error_detail is None
    assert "not allowed" not in log_output.getvalue() + capsys.readouterr().out


# --- the table or the queue is unavailable -------------------------------------------------------


def test_an_update_that_the_table_cannot_take_is_queued_and_answered_with_204(
    callbacks: StatusCallbackRig, capsys: pytest.CaptureFixture[str]
) -> None:
    callbacks.lose_the_table()

    response = callbacks.handle(a_request(raw_query="order=4711&shop=caf%C3%A9"))

    (record,) = callbacks.queued()
    assert record["body"].isascii()  # SQS accepts no control characters
    assert response == {"statusCode": 204}
    assert CallbackQueue.read(record["body"]) == StatusUpdate(
        message_sid=MESSAGE_SID,
        status="sent",
        at=NOON,
        source=Source.CALLBACK,
        account_sid=ACCOUNT_SID,
        to="+15558675310",
        from_="+15005550006",
        context={"order": "4711", "shop": "caf\u00e9"},
    )
    assert total(data_points(capsys.readouterr().out), "CallbackQueued", service="tested") == 1


def test_a_queued_update_is_replayed_with_its_time_of_arrival(callbacks: StatusCallbackRig) -> None:
    callbacks.lose_the_table()
    for status in ("delivered", "sent"):
        callbacks.handle(a_request(a_callback(status)))
    records = callbacks.queued()
    callbacks.clock.advance(minutes=5)

    returned = callbacks.replay(records)
    create_table(callbacks.dynamodb, "MessagesTable", "MessagesTable")
    twice = [callbacks.replay(records), callbacks.replay(records)]  # SQS delivers at least once

    message = callbacks.message()
    assert sorted(returned) == sorted(record["messageId"] for record in records)
    assert twice == [[], []]
    assert message.status == "delivered"
    assert {(it.status, it.at) for it in message.transitions} == {
        ("delivered", NOON),
        ("sent", NOON),
    }


@pytest.mark.parametrize(
    "body",
    [
        "not JSON",
        "[]",
        "{}",
        '{"message_sid": "SM1", "status": "sent", "at": "yesterday", "source": "callback"}',
        '{"message_sid": "SM1", "status": "sent", "at": 7, "source": "callback"}',
        '{"message_sid": "", "status": "sent", "at": "2026-11-23T12:00:00Z", "source": "send"}',
        '{"message_sid": "SM1", "status": "sent", "at": "2026-11-23T12:00:00", "source": "send"}',
        "[" * 9999,
    ],
)
def test_an_unreadable_queue_message_returns_to_the_queue_and_the_others_are_recorded(
    callbacks: StatusCallbackRig, log_output: io.StringIO, body: str
) -> None:
    callbacks.function.queue.put(an_update("sent"))
    records = callbacks.queued()
    records.insert(0, records[0] | {"messageId": "unreadable", "body": body})

    assert callbacks.replay(records) == ["unreadable"]

    assert callbacks.message().status == "sent"
    assert '"queue_message_id":"unreadable"' in log_output.getvalue()


def test_an_update_that_neither_table_nor_queue_takes_is_answered_with_503(
    callbacks: StatusCallbackRig, callback_queue: str, log_output: io.StringIO
) -> None:
    callbacks.lose_the_table()
    shared_client("sqs").delete_queue(QueueUrl=callback_queue)

    response = callbacks.handle(a_request())

    assert response["statusCode"] == 503
    assert "8675310" not in log_output.getvalue() + response["body"]


def test_no_number_and_no_text_of_a_queued_update_is_logged(
    callbacks: StatusCallbackRig, log_output: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    callbacks.function.queue.put(an_update("sent", body="secret words"))
    records = callbacks.queued()
    callbacks.lose_the_table()

    callbacks.handle(a_request())
    callbacks.replay(records)
    callbacks.replay([records[0] | {"body": "{'to': '+15558675310', 'secret words': 1}"}])

    metrics = [line["message"] for line in log_lines(log_output)]
    assert metrics == ["CallbackQueued", "ReplayFailed", "ReplayFailed"]
    written = capsys.readouterr().out + log_output.getvalue()
    assert not any(it in written for it in ("8675310", "5550006", "secret words"))


def test_if_secret_and_table_hang_the_response_is_still_in_time(
    callbacks: StatusCallbackRig,
) -> None:
    configs = [callbacks.module.SECRET_CONFIG, callbacks.module.FAST_CONFIG]

    hanging = sum(it.read_timeout * it.retries["total_max_attempts"] for it in configs)
    assert hanging + MAX_BACKOFF_SECONDS <= 4.5
    assert all(config.connect_timeout == 1 for config in configs)


# --- logs and metrics ----------------------------------------------------------------------------


def test_a_status_in_order_writes_one_line_with_the_ids_and_without_numbers(
    callbacks: StatusCallbackRig, capsys: pytest.CaptureFixture[str], log_output: io.StringIO
) -> None:
    callbacks.call(a_request(a_callback("undelivered", ErrorCode="30003")))

    (line,) = capsys.readouterr().out.splitlines()
    counted = json.loads(line)
    assert log_output.getvalue() == ""
    assert counted["TransitionRecorded"] == [1.0]
    assert (counted["message_sid"], counted["status"]) == (MESSAGE_SID, "undelivered")
    assert (counted["error_code"], counted["outcome"]) == (30003, "failed")
    assert not any(number in line for number in ("8675310", "5550006"))


def test_the_sample_count_of_recorded_statuses_includes_duplicates(
    callbacks: StatusCallbackRig, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        callbacks.call(a_request(a_callback("sent")))

    points = data_points(capsys.readouterr().out)

    values = [it.values for it in points if it.name == "TransitionRecorded"]
    assert values == [(1.0,), (0.0,), (0.0,)]


def test_every_request_that_the_function_rejects_is_counted_once(
    callbacks: StatusCallbackRig, capsys: pytest.CaptureFixture[str]
) -> None:
    statuses = [
        callbacks.call(a_request(a_callback(""))),
        callbacks.call(a_request(content_type="application/json")),
        callbacks.call(a_request(x_twilio_signature=None)),
        callbacks.call(a_request(a_callback("sent"))),
    ]

    assert statuses == [400, 415, 403, 204]
    points = data_points(capsys.readouterr().out)
    assert total(points, "CallbackRejected", service="tested") == 3


@pytest.mark.parametrize(
    ("arrivals", "metric"),
    [
        ([{}, {}], "DuplicateReceived"),
        ([{}, {"MessageStatus": "queued"}], "OutOfOrderStatusRecorded"),
        ([{}, {"MessageStatus": "new_word"}], "unknown_status"),
        ([{}, {"ErrorCode": "30008"}], "MessageEnriched"),
        ([{"ErrorCode": "30008"}, {"ErrorCode": "30009"}], "ErrorCodeConflict"),
    ],
)
def test_the_effect_of_a_callback_is_counted(
    callbacks: StatusCallbackRig,
    capsys: pytest.CaptureFixture[str],
    arrivals: list[dict[str, str]],
    metric: str,
) -> None:
    for arrival in arrivals:
        assert callbacks.call(a_request(CALLBACK | arrival)) == 204

    assert metric in json.loads(capsys.readouterr().out.splitlines()[-1])


def test_the_handler_needs_nothing_of_lambdas_context(callbacks: StatusCallbackRig) -> None:
    handle = callbacks.module.metrics.log_metrics(callbacks.function.handle)

    assert handle(a_request(), LambdaContext()) == {"statusCode": 204}
