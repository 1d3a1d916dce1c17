"""StatusCallbackFunction: every row of the table of its answers."""

import base64
import contextlib
import io
import json
import socket
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import boto3
import pytest
from aws_lambda_powertools.utilities.typing import LambdaContext
from mypy_boto3_dynamodb import DynamoDBClient

from delivery.domain.messages import Message, Source, StatusUpdate
from delivery.storage.callback_queue import CallbackQueue
from delivery.storage.messages import MessageStore
from delivery.twilio.credentials import TwilioSecrets
from delivery.twilio.signature import SignatureInvalid, signature, verify
from tests.builders import ACCOUNT_SID, AUTH_TOKEN, MESSAGE_SID, NOON, an_update
from tests.cloudformation import create_table
from tests.embedded_metrics import data_points, total
from tests.made_once import shared_client

URL = "https://callbacks.example.com/twilio/status"
DOMAIN = "a1b2c3.execute-api.us-east-1.amazonaws.com"
CONTEXT = SimpleNamespace(function_name="StatusCallbackFunction", aws_request_id="1")
CALLBACK = {
    "MessageSid": MESSAGE_SID,
    "SmsSid": MESSAGE_SID,
    "MessageStatus": "sent",
    "SmsStatus": "sent",
    "AccountSid": ACCOUNT_SID,
    "ApiVersion": "2010-04-01",
    "To": "+15558675310",
    "From": "+15005550006",
}
LONGEST_BACKOFF_SECONDS = 1  # of botocore, before a second try
SUBACCOUNT = "AC" + "1" * 32


@pytest.fixture
def app(
    messages_table: str,
    twilio_secret: dict[str, Any],
    callback_queue: str,
    monkeypatch: pytest.MonkeyPatch,
) -> ModuleType:
    """The function with an empty cache of the secret, as in a new environment."""
    from functions.status_callback import app  # noqa: PLC0415 -- its clients need moto first

    assert messages_table
    assert twilio_secret
    monkeypatch.setattr(
        app, "secrets", TwilioSecrets(shared_client("secretsmanager"), "delivery/twilio")
    )
    monkeypatch.setattr(app, "queue", CallbackQueue(shared_client("sqs"), callback_queue))
    monkeypatch.setattr(app, "_logged_at", {})
    return app


def a_request(
    parameters: dict[str, str] | list[tuple[str, str]] | None = None,
    *,
    url: str = URL,
    token: str = AUTH_TOKEN,
    body: bytes | None = None,
    raw_query: str = "",
    encoded: bool = True,
    **headers: str | None,
) -> dict[str, Any]:
    """An event of CallbackApi, signed by Twilio; a header that is None is left out."""
    pairs = list(CALLBACK.items()) if parameters is None else parameters
    pairs = list(pairs.items()) if isinstance(pairs, dict) else pairs
    body = urlencode(pairs).encode() if body is None else body
    query = f"?{raw_query}" if raw_query else ""
    all_headers = {
        "content-type": "application/x-www-form-urlencoded; charset=utf-8",
        "x-twilio-signature": signature(token, url + query, pairs),
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    return {
        "version": "2.0",
        "routeKey": "POST /twilio/status",
        "rawPath": "/twilio/status",
        "rawQueryString": raw_query,
        "headers": {name: value for name, value in all_headers.items() if value is not None},
        "requestContext": {
            "domainName": DOMAIN,
            "http": {"method": "POST", "path": "/twilio/status"},
            "stage": "$default",
        },
        "body": base64.b64encode(body).decode() if encoded else body.decode("latin-1"),
        "isBase64Encoded": encoded,
    }


def handled(app: ModuleType, event: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = app.lambda_handler(event, CONTEXT)
    return answer


def status_of(app: ModuleType, event: dict[str, Any]) -> int:
    return int(handled(app, event)["statusCode"])


def stored(dynamodb: DynamoDBClient, message_sid: str = MESSAGE_SID) -> Message | None:
    return MessageStore(dynamodb, "MessagesTable").get(message_sid)


def everything_stored(dynamodb: DynamoDBClient) -> list[dict[str, Any]]:
    return dynamodb.scan(TableName="MessagesTable")["Items"]


# --- what Twilio signed is stored, and then answered 204 -----------------------------------------


@pytest.mark.parametrize("event", [a_request(), a_request(encoded=False)], ids=["base64", "plain"])
def test_a_signed_status_is_stored_and_answered_204(
    app: ModuleType, dynamodb: DynamoDBClient, event: dict[str, Any]
) -> None:
    answer = handled(app, event)

    message = stored(dynamodb)
    assert answer == {"statusCode": 204}
    assert message is not None
    assert (message.status, message.to, message.from_) == ("sent", "+15558675310", "+15005550006")


def test_a_message_that_this_stack_never_sent_is_tracked_with_its_senders_own_parameters(
    app: ModuleType, dynamodb: DynamoDBClient
) -> None:
    answer = status_of(app, a_request(raw_query="order=4711&shop=k%C3%B6ln"))

    message = stored(dynamodb)
    assert answer == 204
    assert message is not None
    assert message.context == {"order": "4711", "shop": "köln"}


@pytest.mark.parametrize("arrivals", [["sent", "sent"], ["delivered", "sent"]])
def test_a_repeated_or_late_status_is_answered_204(
    app: ModuleType, dynamodb: DynamoDBClient, arrivals: list[str]
) -> None:
    answers = [status_of(app, a_request(CALLBACK | {"MessageStatus": s})) for s in arrivals]

    message = stored(dynamodb)
    assert answers == [204, 204]
    assert message is not None
    assert message.status == arrivals[0]


@pytest.mark.parametrize(
    "odd",
    [
        {"MessageStatus": "paused_by_carrier"},
        {"NewParameter": "with a value", "AnotherOne": ""},
        {"ErrorCode": "99999", "MessageStatus": "undelivered"},
        {"ErrorCode": "carrier says no", "MessageStatus": "undelivered"},
        {"ErrorCode": "9" * 60, "MessageStatus": "failed"},
        {"To": "", "From": "", "MessagingServiceSid": "", "RawDlrDoneDate": ""},
        {"MessageStatus": "x" * 20000, "To": "9" * 20000},
    ],
)
def test_what_twilio_may_send_tomorrow_is_stored_and_never_an_error(
    app: ModuleType, dynamodb: DynamoDBClient, odd: dict[str, str]
) -> None:
    answer = status_of(app, a_request(CALLBACK | odd))

    message = stored(dynamodb)
    assert answer == 204
    assert message is not None
    assert (CALLBACK | odd)["MessageStatus"].startswith(message.transitions[0].status)


@pytest.mark.parametrize(
    "signed_for",
    [URL, f"https://{DOMAIN}/twilio/status", f"https://{DOMAIN}:443/twilio/status"],
)
def test_twilio_may_have_been_given_our_own_or_the_public_url(
    app: ModuleType, signed_for: str
) -> None:
    assert status_of(app, a_request(url=signed_for)) == 204


def test_a_public_base_url_may_have_a_path(
    app: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "PUBLIC_BASE_URL", "https://example.com/hooks")

    assert status_of(app, a_request(url="https://example.com/hooks/twilio/status")) == 204


def test_the_content_type_and_the_names_of_headers_may_be_written_in_any_case(
    app: ModuleType,
) -> None:
    event = a_request(content_type="Application/X-WWW-Form-URLencoded")
    event["headers"] = {name.title(): value for name, value in event["headers"].items()}

    assert status_of(app, event) == 204


# --- what is refused -----------------------------------------------------------------------------


def test_a_body_over_64_kib_is_answered_413(app: ModuleType, dynamodb: DynamoDBClient) -> None:
    at_the_limit = a_request(body=b"A=" + b"x" * (64 * 1024 - 2))
    over_it = a_request(body=b"A=" + b"x" * (64 * 1024 - 1))

    assert status_of(app, at_the_limit) == 403
    assert status_of(app, over_it) == 413
    assert everything_stored(dynamodb) == []


@pytest.mark.parametrize("content_type", [None, "application/json", "text/plain", ""])
def test_what_is_not_a_form_is_answered_415(
    app: ModuleType, dynamodb: DynamoDBClient, content_type: str | None
) -> None:
    body = json.dumps(CALLBACK).encode()

    assert status_of(app, a_request([], body=body, content_type=content_type)) == 415
    assert everything_stored(dynamodb) == []


def test_size_is_judged_before_the_kind_and_both_before_the_signature(app: ModuleType) -> None:
    unsigned: dict[str, Any] = {"x_twilio_signature": None}
    large = a_request(body=b"x" * 70000, content_type="text/plain", **unsigned)
    json_body = a_request(body=b"{}", content_type="application/json", **unsigned)

    assert status_of(app, large) == 413
    assert status_of(app, json_body) == 415


@pytest.mark.parametrize(
    "event",
    [
        a_request(x_twilio_signature=None),
        a_request(x_twilio_signature=""),
        a_request(x_twilio_signature="d3Jvbmc="),
        a_request(x_twilio_signature="\N{GRINNING FACE}"),
        a_request(token="another-token"),
        a_request(url="https://elsewhere.example.com/twilio/status"),
        a_request(url=URL + "/"),
        a_request(CALLBACK | {"AccountSid": SUBACCOUNT}),
        a_request({"MessageSid": MESSAGE_SID}, token="another-token"),
        a_request(body=urlencode(CALLBACK | {"MessageStatus": "delivered"}).encode()),
        a_request(body=b""),
        a_request(body=b"\xff\xfe%zz&&==", encoded=True),
    ],
)
def test_what_twilio_did_not_sign_is_answered_403_and_not_stored(
    app: ModuleType, dynamodb: DynamoDBClient, event: dict[str, Any]
) -> None:
    assert status_of(app, event) == 403
    assert everything_stored(dynamodb) == []


def test_a_query_that_was_not_signed_is_refused(app: ModuleType) -> None:
    event = a_request()
    event["rawQueryString"] = "order=1"

    assert status_of(app, event) == 403


@pytest.mark.parametrize("parameter", ["MessageSid", "MessageStatus"])
def test_a_signed_request_without_sid_or_status_is_answered_400(
    app: ModuleType, dynamodb: DynamoDBClient, parameter: str
) -> None:
    answer = handled(app, a_request({k: v for k, v in CALLBACK.items() if k != parameter}))

    assert answer["statusCode"] == 400
    assert parameter in json.loads(answer["body"])["detail"]
    assert everything_stored(dynamodb) == []


def test_the_log_names_the_likely_cause_once_a_minute_and_holds_no_secret(
    app: ModuleType, log_output: io.StringIO
) -> None:
    for _ in range(5):
        status_of(app, a_request(token="another-token"))
        status_of(app, a_request(url=URL + "/"))
        status_of(app, a_request(CALLBACK | {"AccountSid": SUBACCOUNT}))
        status_of(app, a_request(x_twilio_signature=None))

    lines = [json.loads(line) for line in log_output.getvalue().splitlines()]
    assert sorted(line["cause"] for line in lines) == [
        "unknown_account",
        "url_differs",
        "wrong_token",
    ]
    assert not any(secret in log_output.getvalue() for secret in (AUTH_TOKEN, "8675310"))


def test_every_refusal_is_counted_and_strangers_apart(
    app: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    status_of(app, a_request(x_twilio_signature=None))
    status_of(app, a_request(token="another-token"))
    status_of(app, a_request(CALLBACK | {"AccountSid": SUBACCOUNT}))

    counted = data_points(capsys.readouterr().out)
    assert total(counted, "SignatureMissing", service="tested") == 1
    assert total(counted, "SignatureInvalid", service="tested") == 2


@pytest.mark.parametrize("absent", ["rawQueryString", "requestContext", "body", "headers"])
def test_an_event_that_lacks_something_is_no_accident(app: ModuleType, absent: str) -> None:
    event = a_request()
    del event[absent]

    expected = {"body": 403, "headers": 415}
    assert status_of(app, event) == expected.get(absent, 204)


def test_a_large_unsigned_body_is_joined_once_and_not_for_every_guess() -> None:
    """What strangers send must not cost more than reading it."""
    looks = []

    class Looked(tuple[str, str]):
        __slots__ = ()

        def __hash__(self) -> int:
            looks.append(1)
            return super().__hash__()

    parameters = [Looked((f"name{number}", "")) for number in range(100)]

    with pytest.raises(SignatureInvalid):
        verify(
            "d3Jvbmc=", auth_tokens=["a", "b", "c"], urls=[URL, URL + "?a=1"], parameters=parameters
        )

    assert len(looks) == len(parameters)


# --- tokens --------------------------------------------------------------------------------------


def put_secret(**changes: Any) -> None:
    content = {"account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN} | changes
    shared_client("secretsmanager").put_secret_value(
        SecretId="delivery/twilio", SecretString=json.dumps(content)
    )


def test_a_coming_token_is_accepted_beside_the_present_one(app: ModuleType) -> None:
    put_secret(accepted_auth_tokens=["coming-token"])

    assert status_of(app, a_request(token="coming-token")) == 204
    assert status_of(app, a_request(token=AUTH_TOKEN)) == 204
    assert status_of(app, a_request(token="third-token")) == 403


def test_a_subaccount_signs_with_its_own_token_only(app: ModuleType) -> None:
    put_secret(subaccounts={SUBACCOUNT: {"auth_token": "sub-token"}})
    callback = CALLBACK | {"AccountSid": SUBACCOUNT}

    assert status_of(app, a_request(callback, token="sub-token")) == 204
    assert status_of(app, a_request(callback, token=AUTH_TOKEN)) == 403
    assert status_of(app, a_request(token="sub-token")) == 403


def test_an_api_key_secret_signs_nothing(app: ModuleType) -> None:
    put_secret(api_key_sid="SK" + "0" * 32, api_key_secret="key-secret")

    assert status_of(app, a_request(token="key-secret")) == 403
    assert status_of(app, a_request(token=AUTH_TOKEN)) == 204


# --- when something of ours is down --------------------------------------------------------------


def waiting(queue_url: str) -> list[dict[str, Any]]:
    """The messages of the queue as Lambda hands them to the function."""
    received = shared_client("sqs").receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10)
    return [
        {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "eventSource": "aws:sqs",
        }
        for message in received.get("Messages", [])
    ]


def stays_queued(app: ModuleType, records: list[dict[str, Any]]) -> list[str]:
    """The queue's messages that come again after the function had them."""
    answer = app.lambda_handler({"Records": records}, CONTEXT)
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def test_a_status_that_the_table_cannot_take_waits_in_the_queue_and_is_answered_204(
    app: ModuleType,
    dynamodb: DynamoDBClient,
    callback_queue: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(app, "now", lambda: NOON)
    dynamodb.delete_table(TableName="MessagesTable")

    answer = handled(app, a_request(raw_query="order=4711"))

    (record,) = waiting(callback_queue)
    assert answer == {"statusCode": 204}
    assert CallbackQueue.read(record["body"]) == StatusUpdate(
        message_sid=MESSAGE_SID,
        status="sent",
        at=NOON,
        source=Source.CALLBACK,
        account_sid=ACCOUNT_SID,
        to="+15558675310",
        from_="+15005550006",
        context={"order": "4711"},
    )
    assert "CallbackQueued" in capsys.readouterr().out


def test_what_waited_is_recorded_with_the_time_at_which_it_arrived(
    app: ModuleType, dynamodb: DynamoDBClient, callback_queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dynamodb.delete_table(TableName="MessagesTable")
    with monkeypatch.context() as earlier:
        earlier.setattr(app, "now", lambda: NOON)
        for status in ("delivered", "sent"):
            handled(app, a_request(CALLBACK | {"MessageStatus": status}))
    records = waiting(callback_queue)

    assert sorted(stays_queued(app, records)) == sorted(it["messageId"] for it in records)
    create_table(dynamodb, "MessagesTable", "MessagesTable")
    assert stays_queued(app, records) == []
    assert stays_queued(app, records) == []  # SQS delivers at least once

    message = stored(dynamodb)
    assert message is not None
    assert message.status == "delivered"
    assert {(it.status, it.at) for it in message.transitions} == {
        ("delivered", NOON),
        ("sent", NOON),
    }


def test_a_first_status_of_the_senders_is_replayed_with_all_that_it_brought(
    app: ModuleType, dynamodb: DynamoDBClient, callback_queue: str
) -> None:
    status_of(app, a_request(CALLBACK | {"MessageStatus": "delivered"}))
    sent = an_update(
        "queued",
        source=Source.SEND,
        request_id="rq_" + "0" * 32,
        reference="order-4711",
        context={"campaign": "november"},
        body="\0 two\nlines \N{GRINNING FACE}",
        num_segments="1",
    )
    app.queue.put(sent)

    assert stays_queued(app, waiting(callback_queue)) == []

    message = stored(dynamodb)
    assert message is not None
    assert (message.status, message.reference) == ("delivered", "order-4711")
    assert (message.request_id, message.body) == (sent.request_id, sent.body)
    assert message.context == {"campaign": "november"}


@pytest.mark.parametrize(
    "garbage",
    [
        "",
        "not JSON",
        "[]",
        "7",
        "null",
        "{}",
        '{"message_sid": "SM1", "status": "sent", "at": "yesterday", "source": "callback"}',
        '{"message_sid": "SM1", "status": "sent", "at": 7, "source": "callback"}',
        '{"message_sid": "SM1", "status": "sent", "at": "2026-11-23T12:00:00Z", "source": "me"}',
        '{"message_sid": "", "status": "sent", "at": "2026-11-23T12:00:00Z", "source": "send"}',
        '{"message_sid": "SM1", "status": 40, "at": "2026-11-23T12:00:00Z", "source": "send"}',
        '{"message_sid": "SM1", "status": "sent", "at": "2026-11-23T12:00:00", "source": "send"}',
        "[" * 9999,
    ],
)
def test_garbage_in_the_queue_stays_there_for_the_dead_letters_and_holds_up_nobody(
    app: ModuleType,
    dynamodb: DynamoDBClient,
    callback_queue: str,
    log_output: io.StringIO,
    garbage: str,
) -> None:
    app.queue.put(an_update("sent"))
    records = waiting(callback_queue)
    records.insert(0, records[0] | {"messageId": "garbage", "body": garbage})

    assert stays_queued(app, records) == ["garbage"]

    assert stored(dynamodb) is not None
    assert '"queue_message_id":"garbage"' in log_output.getvalue()


def test_a_status_that_nothing_takes_is_answered_503_so_that_twilio_sends_it_again(
    app: ModuleType,
    dynamodb: DynamoDBClient,
    callback_queue: str,
    log_output: io.StringIO,
) -> None:
    dynamodb.delete_table(TableName="MessagesTable")
    shared_client("sqs").delete_queue(QueueUrl=callback_queue)

    answer = handled(app, a_request())

    assert answer["statusCode"] == 503
    assert "8675310" not in log_output.getvalue() + answer["body"]


def test_no_number_and_no_text_of_what_waits_is_logged(
    app: ModuleType,
    dynamodb: DynamoDBClient,
    callback_queue: str,
    log_output: io.StringIO,
    capsys: pytest.CaptureFixture[str],
) -> None:
    app.queue.put(an_update("sent", body="secret words"))
    records = waiting(callback_queue)
    dynamodb.delete_table(TableName="MessagesTable")

    handled(app, a_request())
    stays_queued(app, records)
    stays_queued(app, [records[0] | {"body": "{'to': '+15558675310', 'secret words': 1}"}])

    written = capsys.readouterr().out + log_output.getvalue()
    assert "Status stays queued" in written
    assert not any(it in written for it in ("8675310", "5550006", "secret words"))


def test_without_the_secret_nothing_is_refused_for_good(app: ModuleType) -> None:
    shared_client("secretsmanager").delete_secret(
        SecretId="delivery/twilio", ForceDeleteWithoutRecovery=True
    )

    assert status_of(app, a_request()) == 503


def test_a_table_that_hangs_is_given_up_in_time_for_twilio_to_hear_of_it(app: ModuleType) -> None:
    # The secret and the table hang; the queue takes the status at once.
    tries = [app.ONE_TRY, app.IMPATIENT]

    silent = sum(config.read_timeout * config.retries["total_max_attempts"] for config in tries)
    assert silent + LONGEST_BACKOFF_SECONDS <= 4.5
    assert all(config.connect_timeout == 1 for config in tries)


def test_a_table_that_hangs_leaves_the_function_time_for_the_queue(
    app: ModuleType, monkeypatch: pytest.MonkeyPatch, callback_queue: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, never answers
        client = boto3.client(
            "dynamodb",
            endpoint_url=f"http://127.0.0.1:{silent.getsockname()[1]}",
            config=app.IMPATIENT,
        )
        monkeypatch.setattr(app, "store", MessageStore(client, "MessagesTable"))

        status = status_of(app, a_request())

        assert connections_to(silent) == app.IMPATIENT.retries["total_max_attempts"]
    assert status == 204
    assert len(waiting(callback_queue)) == 1


def connections_to(server: socket.socket) -> int:
    """How many have come, none of which was taken yet."""
    server.settimeout(0)
    number = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            server.accept()[0].close()
            number += 1
    return number


# --- what it writes to the log -------------------------------------------------------------------


def test_a_status_in_order_writes_one_line_with_the_ids_and_without_numbers(
    app: ModuleType, capsys: pytest.CaptureFixture[str], log_output: io.StringIO
) -> None:
    status_of(app, a_request(CALLBACK | {"MessageStatus": "undelivered", "ErrorCode": "30003"}))

    (line,) = capsys.readouterr().out.splitlines()
    counted = json.loads(line)
    assert log_output.getvalue() == ""
    assert counted["TransitionRecorded"] == [1.0]
    assert (counted["message_sid"], counted["status"]) == (MESSAGE_SID, "undelivered")
    assert (counted["error_code"], counted["outcome"]) == (30003, "failed")
    assert not any(number in line for number in ("8675310", "5550006"))


def test_a_line_counts_what_became_of_the_message_too(
    app: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = []
    for status in ("sent", "undelivered", "delivered"):
        status_of(app, a_request(CALLBACK | {"MessageStatus": status, "ErrorCode": "30003"}))
        lines.append(capsys.readouterr().out)

    assert [line.count("\n") for line in lines] == [1, 1, 1]
    sent, undelivered, delivered = map(data_points, lines)
    assert total(sent, "TransitionRecorded", status="sent") == 1
    assert total(sent, "MessageFailed") is None
    assert total(undelivered, "MessageFailed", category="recipient_unreachable") == 1
    assert total(delivered, "MessageFailed") == 0
    assert total(delivered, "TimeToDelivered") is not None
    assert total(delivered, "TransitionRecorded", service="tested") == 1


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
def test_what_an_arrival_did_is_counted(
    app: ModuleType,
    capsys: pytest.CaptureFixture[str],
    arrivals: list[dict[str, str]],
    metric: str,
) -> None:
    for arrival in arrivals:
        status_of(app, a_request(CALLBACK | arrival))

    assert metric in json.loads(capsys.readouterr().out.splitlines()[-1])


def test_the_context_that_lambda_passes_is_not_needed(app: ModuleType) -> None:
    context: LambdaContext = LambdaContext()

    assert app.lambda_handler(a_request(), context) == {"statusCode": 204}
