"""SendMessageFunction: every row of the table of its answers, on each of its three ways in."""

import base64
import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import pytest

from delivery import twilio
from delivery.message import Notice, Outcome
from delivery.store import MessageStore
from functions.send_message.request import InvalidRequest, parse
from sandbox.simulator.accounts import Account
from sandbox.simulator.server import SimulatorServer
from sandbox.simulator.settings import Settings
from tests.builders import ACCOUNT_SID, AUTH_TOKEN, NOON, an_update
from tests.embedded_metrics import total
from tests.functions.sender import (
    BODY,
    CONTENT_SID,
    EVENTS,
    FROM,
    NEW_TOKEN,
    REQUEST_ID,
    SERVICE_SID,
    SUBACCOUNT_SID,
    TO,
    UNHEARD_OF,
    Function,
    a_document,
    an_http_event,
)
from tests.made_once import shared_client
from tests.scripted_twilio import (
    DROPPED,
    MESSAGE_SID,
    STALLED,
    Reply,
    accepted,
    refused,
)

# --- POST /messages: what Twilio says --------------------------------------------------------


def test_an_accepted_message_is_answered_as_it_is_stored(function: Function) -> None:
    status, answer = function.post(a_document(reference="order-7", context={"tenant": "blue"}))

    stored = function.message()
    assert status == 201
    assert stored is not None
    assert answer == stored.as_record()
    assert (stored.status, stored.outcome) == ("queued", Outcome.PENDING)
    assert (stored.to, stored.from_, stored.reference) == (TO, FROM, "order-7")
    assert stored.context == {"tenant": "blue"}
    assert [(entry.status, entry.source) for entry in stored.transitions] == [("queued", "send")]
    assert REQUEST_ID.fullmatch(stored.request_id or "")


def test_twilio_is_told_to_report_to_this_stack_and_to_repeat_lost_reports(
    function: Function,
) -> None:
    _, answer = function.post(a_document())

    assert function.parameters() == {
        "To": TO,
        "From": FROM,
        "Body": BODY,
        "StatusCallback": "https://callbacks.example.com/twilio/status"
        f"?request_id={answer['request_id']}#rc=5&rp=all&ct=2000&rt=5000",
    }


def test_the_text_is_not_stored(function: Function) -> None:
    _, answer = function.post(a_document())

    assert "body" not in answer
    assert BODY not in str(function.dynamodb.scan(TableName="MessagesTable"))


def test_the_text_is_stored_where_the_stack_says_so(
    function: Function, install: Callable[..., ModuleType]
) -> None:
    install(function.twilio.url, stores_body=True)
    function.twilio.will(accepted(body="Sent from your Twilio trial account - " + BODY))

    _, answer = function.post(a_document())

    assert answer["body"].endswith(BODY)


def test_a_send_that_is_stored_after_its_callbacks_undoes_nothing(function: Function) -> None:
    store = MessageStore(function.dynamodb, "MessagesTable")
    store.record(an_update("delivered", message_sid=MESSAGE_SID))

    status, answer = function.post(a_document(reference="order-7"))

    assert status == 201
    assert (answer["status"], answer["outcome"]) == ("delivered", "delivered")
    assert answer["reference"] == "order-7"
    assert [entry["status"] for entry in answer["transitions"]] == ["delivered", "queued"]


def test_a_scheduled_message_is_kept_with_its_time(function: Function) -> None:
    send_at = (datetime.now(UTC) + timedelta(days=2)).replace(microsecond=0)
    function.twilio.will(accepted(status="scheduled", messaging_service_sid=SERVICE_SID))

    _, answer = function.post(
        a_document(messaging_service_sid=SERVICE_SID, send_at=send_at.isoformat())
    )

    assert function.parameters()["SendAt"] == send_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert function.parameters()["ScheduleType"] == "fixed"
    assert datetime.fromisoformat(answer["send_at"]) == send_at


def test_a_message_that_twilio_accepted_is_sent_even_if_neither_table_nor_queue_takes_it(
    function: Function, callback_queue: str, log_output: io.StringIO
) -> None:
    function.lose_the_table()
    shared_client("sqs").delete_queue(QueueUrl=callback_queue)

    status, answer = function.post(a_document(reference="order-7"))

    assert status == 201
    assert (answer["message_sid"], answer["status"]) == (MESSAGE_SID, "queued")
    assert answer["reference"] == "order-7"
    assert len(function.twilio.requests) == 1
    assert "not stored" in log_output.getvalue()
    assert function.metrics() == {"MessageSent": 1, "MessageNotStored": 1}


@pytest.mark.parametrize(
    ("code", "category", "retryable"),
    [
        (21211, "recipient_unreachable", False),
        (21610, "opt_out", False),
        (21611, "rate_limit", True),
        (29999, "unknown", False),
        (None, "unknown", False),
    ],
)
def test_a_refusal_is_explained_in_our_words(
    function: Function,
    code: int | None,
    category: str,
    retryable: bool,  # noqa: FBT001 -- a column of the table
) -> None:
    function.twilio.will(refused(400, code))

    status, answer = function.post(a_document())

    assert status == 422
    assert answer.get("error_code") == code
    assert answer["explanation"]["category"] == category
    assert answer["explanation"]["retryable"] is retryable
    assert answer["explanation"]["title"]
    assert answer["explanation"]["action"]
    assert function.messages() == []
    assert function.metrics() == {"MessageRefused": 1}


def test_errors_are_problems_as_of_rfc_9457(function: Function) -> None:
    answer = function.invoke(an_http_event("{}"))

    body = json.loads(answer["body"])
    assert answer["headers"]["content-type"] == "application/problem+json"
    assert body["status"] == answer["statusCode"] == 400
    assert body.keys() >= {"title", "detail", "problems"}


@pytest.mark.parametrize(
    "reply",
    [
        refused(500, 20500),
        refused(503, 20503),
        DROPPED,
        Reply(status=201, body=b"<html>"),
        Reply(status=302, headers={"Location": "/"}),
    ],
)
def test_a_message_that_may_have_been_sent_is_in_doubt_and_not_sent_again(
    function: Function, reply: Reply
) -> None:
    function.twilio.will(reply)

    status, answer = function.post(a_document())

    assert status == 202
    assert answer.keys() == {"request_id", "state"}
    assert answer["state"] == "in_doubt"
    assert answer["request_id"] in function.parameters()["StatusCallback"]
    assert len(function.twilio.requests) == 1
    assert function.metrics() == {"SendInDoubt": 1}


def test_a_message_whose_answer_does_not_come_is_in_doubt(
    function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(twilio, "READ_TIMEOUT_SECONDS", 0.1)
    function.twilio.will(STALLED)

    status, answer = function.post(a_document())

    assert (status, answer["state"]) == (202, "in_doubt")
    assert len(function.twilio.requests) == 1


def test_a_throttled_message_is_sent_once_twilio_takes_it(function: Function) -> None:
    function.twilio.will(refused(429, 20429), refused(429, 20429), accepted())

    status, _ = function.post(a_document())

    assert status == 201
    assert len({str(request.parameters) for request in function.twilio.requests}) == 1


def test_a_message_that_twilio_keeps_throttling_may_be_tried_later(function: Function) -> None:
    function.twilio.will(refused(429, 20429, {"Retry-After": "17"}))

    answer = function.invoke(an_http_event(json.dumps(a_document())))

    assert (answer["statusCode"], answer["headers"]["retry-after"]) == (503, "17")
    assert function.messages() == []
    assert function.metrics() == {"SendUnavailable": 1}


def test_a_message_that_never_reached_twilio_may_be_tried_later(
    function: Function, install: Callable[..., ModuleType]
) -> None:
    install("http://127.0.0.1:9")

    answer = function.invoke(an_http_event(json.dumps(a_document())))

    assert answer["statusCode"] == 503
    assert int(answer["headers"]["retry-after"]) > 0


def test_nothing_is_sent_in_the_last_seconds_of_an_invocation(function: Function) -> None:
    function.seconds_left = 18

    status, _ = function.post(a_document())

    assert status == 503
    assert function.twilio.requests == []


def test_an_invocation_uses_no_connection_of_an_earlier_one(function: Function) -> None:
    function.post(a_document())
    function.post(a_document())

    assert function.twilio.connections == 2


# --- POST /messages: the secret --------------------------------------------------------------


def basic_password(function: Function, place: int) -> str:
    encoded = function.twilio.requests[place].headers["Authorization"].removeprefix("Basic ")
    return base64.b64decode(encoded).decode().partition(":")[2]


def test_a_promoted_token_is_found_without_a_deploy_and_without_an_error(
    function: Function,
) -> None:
    function.post(a_document())
    function.secret_holds(auth_token=NEW_TOKEN)
    function.twilio.will(refused(401, 20003), accepted())

    status, _ = function.post(a_document())

    assert status == 201
    assert [basic_password(function, place) for place in (1, 2)] == [AUTH_TOKEN, NEW_TOKEN]


@pytest.mark.parametrize("reply", [refused(401, 20003), refused(401), refused(403, 20003)])
def test_credentials_that_twilio_refuses_send_nothing_and_are_counted(
    function: Function, reply: Reply
) -> None:
    function.twilio.will(reply)

    answer = function.invoke(an_http_event(json.dumps(a_document())))

    assert answer["statusCode"] == 503
    assert int(answer["headers"]["retry-after"]) > 0
    assert len(function.twilio.requests) == 1
    assert function.metrics() == {"CredentialsRefused": 1}


def test_a_new_token_that_is_refused_too_is_not_tried_for_ever(function: Function) -> None:
    function.post(a_document())
    function.secret_holds(auth_token=NEW_TOKEN)
    function.twilio.will(refused(401, 20003))

    status, _ = function.post(a_document())

    assert status == 503
    assert len(function.twilio.requests) == 3


@pytest.mark.parametrize(
    ("fields", "named"),
    [({"auth_token": ""}, "auth_token"), ({"account_sid": "AC1"}, "account_sid")],
)
def test_a_broken_secret_sends_nothing_and_names_the_field(
    function: Function, fields: dict[str, str], named: str
) -> None:
    function.secret_holds(**fields)

    status, answer = function.post(a_document())

    assert status == 503
    assert named in answer["detail"]
    assert function.twilio.requests == []


def test_a_missing_secret_sends_nothing(function: Function) -> None:
    function.secrets_manager.delete_secret(
        SecretId="delivery/twilio", ForceDeleteWithoutRecovery=True
    )

    status, _ = function.post(a_document())

    assert status == 503
    assert function.twilio.requests == []


def test_a_subaccount_sends_with_its_own_token(function: Function) -> None:
    function.secret_holds(subaccounts={SUBACCOUNT_SID: {"auth_token": NEW_TOKEN}})
    function.twilio.will(accepted(account_sid=SUBACCOUNT_SID))

    status, answer = function.post(a_document(account_sid=SUBACCOUNT_SID))

    [request] = function.twilio.requests
    assert (status, answer["account_sid"]) == (201, SUBACCOUNT_SID)
    assert request.path == f"/2010-04-01/Accounts/{SUBACCOUNT_SID}/Messages.json"
    assert basic_password(function, 0) == NEW_TOKEN


def test_an_account_that_the_secret_does_not_have_is_a_problem_of_the_request(
    function: Function,
) -> None:
    status, answer = function.post(a_document(account_sid=SUBACCOUNT_SID))

    assert status == 400
    assert [problem["field"] for problem in answer["problems"]] == ["account_sid"]
    assert function.twilio.requests == []


# --- request ids -----------------------------------------------------------------------------


def test_the_same_key_is_the_same_request_id_whichever_way_it_is_given(function: Function) -> None:
    _, by_header = function.post(a_document(), key="order-7")
    _, by_field = function.post(a_document(idempotency_key="order-7"))
    direct = function.invoke(a_document(idempotency_key="order-7", account_sid=ACCOUNT_SID))

    assert by_header["request_id"] == by_field["request_id"] == direct["body"]["request_id"]


def test_another_key_or_account_or_none_is_another_request_id(function: Function) -> None:
    function.secret_holds(subaccounts={SUBACCOUNT_SID: {"auth_token": NEW_TOKEN}})
    sids = iter(range(5))

    def request_id(document: dict[str, Any], key: str | None) -> str:
        function.twilio.will(accepted(sid=f"SM{next(sids):032x}"))
        _, answer = function.post(document, key=key)
        found: str = answer["request_id"]
        return found

    ids = {
        request_id(a_document(), "order-7"),
        request_id(a_document(), "order-8"),
        request_id(a_document(account_sid=SUBACCOUNT_SID), "order-7"),
        request_id(a_document(), None),
        request_id(a_document(), None),
    }

    assert len(ids) == 5


# --- bad input -------------------------------------------------------------------------------


def test_every_twilio_parameter_of_a_sender_is_passed_on(function: Function) -> None:
    document = a_document(
        messaging_service_sid=SERVICE_SID,
        media_url=["https://example.com/1.jpg", "https://example.com/2.jpg"],
        content_sid=CONTENT_SID,
        content_variables={"1": "Ada"},
        validity_period=36_000,
        smart_encoded=True,
        shorten_urls=False,
        provide_feedback=True,
        attempt=2,
        send_as_mms=True,
        content_retention="discard",
        address_retention="obfuscate",
        persistent_action=["geo:37.78,-122.39"],
        risk_check="disable",
        force_delivery=True,
    )

    status, _ = function.post(document)

    [request] = function.twilio.requests
    assert status == 201
    assert request.parameters[:-1] == [
        ("To", TO),
        ("From", FROM),
        ("MessagingServiceSid", SERVICE_SID),
        ("Body", BODY),
        ("MediaUrl", "https://example.com/1.jpg"),
        ("MediaUrl", "https://example.com/2.jpg"),
        ("ContentSid", CONTENT_SID),
        ("ContentVariables", '{"1": "Ada"}'),
        ("ValidityPeriod", "36000"),
        ("SmartEncoded", "true"),
        ("ShortenUrls", "false"),
        ("ProvideFeedback", "true"),
        ("Attempt", "2"),
        ("SendAsMms", "true"),
        ("ContentRetention", "discard"),
        ("AddressRetention", "obfuscate"),
        ("PersistentAction", "geo:37.78,-122.39"),
        ("RiskCheck", "disable"),
        ("ForceDelivery", "true"),
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"to": "whatsapp:+15558675310"},
        {"to": "messenger:1234567890"},
        {"from": "ACME"},
        {"from": "40404"},
        {"from": None, "messaging_service_sid": SERVICE_SID},
        {"body": None, "media_url": ["https://example.com/1.jpg"]},
        {"body": None, "content_sid": CONTENT_SID},
        {"content_sid": CONTENT_SID, "content_variables": '{"1": "Ada"}'},
        {"from": None, "messaging_service_sid": SERVICE_SID, "fallback_from": FROM},
        {"body": "\u00e9\u4e16\U0001f600" * 500},
        {"reference": "x" * 128, "context": {str(place): "x" for place in range(20)}},
        {"send_at": None, "context": {}},
    ],
)
def test_what_twilio_allows_is_allowed(changes: dict[str, Any]) -> None:
    request = parse(a_document(**changes), now=NOON)

    assert request.to


def test_a_null_is_as_good_as_a_missing_field(function: Function) -> None:
    status, _ = function.post(a_document() | {"media_url": None, "reference": None, "odd": None})

    assert status == 201


LATER = (datetime.now(UTC) + timedelta(days=1)).isoformat()


@pytest.mark.parametrize(
    ("changes", "field", "fix"),
    [
        ({"to": None}, "to", "missing"),
        ({"to": ""}, "to", "blank"),
        ({"to": 15558675310}, "to", "text"),
        ({"to": "5558675310"}, "to", "E.164"),
        ({"to": "+1 (555) 867-5310"}, "to", "E.164"),
        ({"to": "+15558675310\n"}, "to", "E.164"),
        ({"to": "whatsapp:"}, "to", "channel"),
        ({"to": [TO]}, "to", "text"),
        ({"to": "+1555\ud800"}, "to", "surrogate"),
        ({"from": None}, "from", "messaging_service_sid"),
        ({"from": "  "}, "from", "blank"),
        ({"messaging_service_sid": "MG1"}, "messaging_service_sid", "MG and 32"),
        ({"messaging_service_sid": SERVICE_SID + "\n"}, "messaging_service_sid", "MG and 32"),
        ({"body": None}, "body", "media_url"),
        ({"body": ""}, "body", "blank"),
        ({"body": "x" * 1601}, "body", "1600"),
        ({"body": "half \ud83d"}, "body", "surrogate"),
        ({"body": {"text": BODY}}, "body", "text"),
        ({"media_url": "https://example.com"}, "media_url", "list"),
        ({"media_url": []}, "media_url", "list"),
        ({"media_url": ["https://example.com"] * 11}, "media_url", "10"),
        ({"media_url": ["ftp://example.com"]}, "media_url", "http"),
        ({"media_url": [None]}, "media_url", "http"),
        ({"content_sid": "none"}, "content_sid", "HX and 32"),
        ({"content_variables": {}}, "content_variables", "content_sid"),
        ({"content_sid": CONTENT_SID, "content_variables": "{"}, "content_variables", "JSON"),
        ({"content_sid": CONTENT_SID, "content_variables": "[1]"}, "content_variables", "object"),
        ({"content_sid": CONTENT_SID, "content_variables": 7}, "content_variables", "object"),
        ({"send_at": LATER}, "send_at", "messaging_service_sid"),
        ({"send_at": "tomorrow"}, "send_at", "ISO 8601"),
        ({"send_at": "2099-01-01T12:00:00"}, "send_at", "zone"),
        ({"send_at": "2099-01-01"}, "send_at", "zone"),
        ({"send_at": 4070908800}, "send_at", "ISO 8601"),
        ({"send_at": "2020-01-01T12:00:00Z"}, "send_at", "past"),
        ({"send_at": "0001-01-01T00:00:00+14:00"}, "send_at", "ISO 8601"),
        ({"send_at": "9999-12-31T23:59:59Z"}, "send_at", "35 days"),
        ({"validity_period": 0}, "validity_period", "36000"),
        ({"validity_period": 36_001}, "validity_period", "36000"),
        ({"validity_period": "60"}, "validity_period", "whole"),
        ({"validity_period": 60.0}, "validity_period", "whole"),
        ({"attempt": True}, "attempt", "whole"),
        ({"smart_encoded": "true"}, "smart_encoded", "true or false"),
        ({"shorten_urls": True}, "shorten_urls", "messaging_service_sid"),
        ({"fallback_from": FROM}, "fallback_from", "from"),
        ({"content_retention": "keep"}, "content_retention", "retain or discard"),
        ({"risk_check": ["enable"]}, "risk_check", "enable or disable"),
        ({"persistent_action": [""]}, "persistent_action", "blank"),
        ({"account_sid": "AC1"}, "account_sid", "AC and 32"),
        ({"reference": "x" * 129}, "reference", "128"),
        ({"reference": 7}, "reference", "text"),
        ({"context": ["a"]}, "context", "object"),
        ({"context": {"a": 1}}, "context", "text"),
        ({"context": {"a": {"b": "c"}}}, "context", "flat"),
        ({"context": {"": "a"}}, "context", "blank"),
        ({"context": {str(place): "" for place in range(21)}}, "context", "20"),
        ({"context": {"a": "x" * 1024}}, "context", "1 KB"),
        ({"context": {"a": "\ud800"}}, "context", "text"),
        ({"idempotency_key": ""}, "idempotency_key", "blank"),
        ({"status_callback": "https://a.example"}, "status_callback", "set by this stack"),
        ({"application_sid": "AP1"}, "application_sid", "elsewhere"),
        ({"schedule_type": "fixed"}, "schedule_type", "send_at"),
        ({"max_price": 1}, "max_price", "no effect"),
        ({"media_urls": []}, "media_urls", "did you mean media_url?"),
        ({"MediaUrl": []}, "MediaUrl", "did you mean media_url?"),
        ({"To": TO}, "To", "did you mean to?"),
        ({"statuscallback": ""}, "statuscallback", "did you mean status_callback?"),
        ({"qwerty": 1}, "qwerty", "not a known field"),
        ({TO: 1}, "?", "no field"),
        ({"": 1}, "?", "no field"),
    ],
)
def test_bad_input_is_refused_with_its_field_and_the_fix(
    changes: dict[str, Any], field: str, fix: str
) -> None:
    with pytest.raises(InvalidRequest) as raised:
        parse(a_document(**changes), now=NOON)

    said = " ".join(it.problem for it in raised.value.problems if it.field == field)
    assert fix in said
    assert [word for word in UNHEARD_OF if word in said] == []


def test_all_problems_are_listed_at_once(function: Function) -> None:
    status, answer = function.post(
        {"to": "5558675310", "media_url": "x", "attempt": 0, "status_callback": "", "Form": "a"}
    )

    assert status == 400
    assert sorted(problem["field"] for problem in answer["problems"]) == [
        "Form",
        "attempt",
        "from",
        "media_url",
        "status_callback",
        "to",
    ]
    assert function.metrics() == {"RequestInvalid": 1}


@pytest.mark.parametrize(
    ("body", "fix"),
    [
        (None, "JSON"),
        ("", "JSON"),
        ("to=%2B15558675310", "JSON"),
        ('{"attempt": NaN}', "JSON"),
        ("[" * 50_000, "JSON"),
        (f'{{"attempt": {"9" * 5000}}}', "JSON"),
        ("[]", "object"),
        ('"hello"', "object"),
        ("null", "object"),
        (json.dumps({"body": "x" * 70_000}), "64 KiB"),
    ],
)
def test_a_body_that_is_no_request_is_refused_with_a_sentence(
    function: Function, body: str | None, fix: str
) -> None:
    answer = function.invoke(an_http_event(body))

    [problem] = json.loads(answer["body"])["problems"]
    assert answer["statusCode"] == 400
    assert fix in problem["problem"]


def test_a_body_in_base64_is_understood(function: Function) -> None:
    encoded = base64.b64encode(json.dumps(a_document()).encode()).decode()

    answer = function.invoke(an_http_event(encoded, isBase64Encoded=True))

    assert answer["statusCode"] == 201


def test_bytes_that_are_no_text_are_refused(function: Function) -> None:
    encoded = base64.b64encode(b'{"to": "\xff\xfe"}').decode()

    answer = function.invoke(an_http_event(encoded, isBase64Encoded=True))

    assert answer["statusCode"] == 400


def test_an_unknown_route_is_not_found(function: Function) -> None:
    answer = function.invoke(an_http_event("{}", route="GET /messages"))

    assert answer["statusCode"] == 404


# --- POST /messages/{message_sid}/cancel -----------------------------------------------------


def canceled(**properties: Any) -> Reply:
    return Reply(status=200, body=accepted(status="canceled", **properties).body)


def test_a_canceled_message_is_answered_as_it_is_stored(function: Function) -> None:
    function.twilio.will(accepted(status="scheduled"), canceled())
    function.post(a_document(reference="order-7"))

    status, answer = function.cancel()

    assert status == 200
    assert (answer["status"], answer["outcome"]) == ("canceled", "canceled")
    assert answer["reference"] == "order-7"
    assert function.parameters(1) == {"Status": "canceled"}


def test_a_message_that_another_program_scheduled_can_be_canceled(function: Function) -> None:
    function.twilio.will(canceled())

    status, answer = function.cancel()

    assert (status, answer["status"]) == (200, "canceled")
    assert function.message() is not None


def test_a_subaccounts_message_is_canceled_with_its_token(function: Function) -> None:
    function.secret_holds(subaccounts={SUBACCOUNT_SID: {"auth_token": NEW_TOKEN}})
    store = MessageStore(function.dynamodb, "MessagesTable")
    store.record(an_update("scheduled", message_sid=MESSAGE_SID, account_sid=SUBACCOUNT_SID))
    function.twilio.will(canceled(account_sid=SUBACCOUNT_SID))

    status, _ = function.cancel()

    assert status == 200
    assert SUBACCOUNT_SID in function.twilio.requests[0].path
    assert basic_password(function, 0) == NEW_TOKEN


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (refused(404, 20404), 404),
        (refused(400, 30409), 422),
        (refused(401, 20003), 503),
        (refused(429, 20429), 503),
        (refused(500, 20500), 503),
        (DROPPED, 503),
    ],
)
def test_a_cancellation_that_fails_says_what_to_do(
    function: Function, reply: Reply, expected: int
) -> None:
    function.twilio.will(reply)

    status, answer = function.cancel()

    assert status == expected
    assert answer["detail"]
    assert function.messages() == []


@pytest.mark.parametrize("reply", [refused(401, 20003), refused(429, 20429), refused(500), DROPPED])
def test_a_cancellation_that_fails_does_not_say_that_no_message_was_sent(
    function: Function, reply: Reply
) -> None:
    function.twilio.will(reply)

    _, answer = function.cancel()

    assert answer["detail"].startswith("It is not known to be canceled: ")


def test_a_message_that_is_final_cannot_be_canceled_and_twilios_code_says_so(
    function: Function,
) -> None:
    function.twilio.will(refused(400, 30409))

    _, answer = function.cancel()

    assert answer["error_code"] == 30409


@pytest.mark.parametrize("message_sid", ["none", "SM1", f"{MESSAGE_SID}/Media", "../Keys", TO])
def test_what_is_no_message_sid_is_not_found_without_asking_twilio(
    function: Function, message_sid: str
) -> None:
    status, _ = function.cancel(message_sid)

    assert status == 404
    assert function.twilio.requests == []


def test_nothing_is_canceled_while_nobody_knows_whose_message_it_is(function: Function) -> None:
    function.lose_the_table()

    status, _ = function.cancel()

    assert status == 503
    assert function.twilio.requests == []


def test_a_cancellation_that_cannot_be_stored_has_happened_all_the_same(
    function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    function.twilio.will(accepted(status="scheduled"), canceled())
    function.post(a_document(reference="order-7"))
    monkeypatch.setattr(
        function.dynamodb,
        "update_item",
        lambda **_: function.dynamodb.get_item(TableName="none", Key={}),
    )

    status, answer = function.cancel()

    assert status == 200
    assert (answer["status"], answer["reference"]) == ("canceled", "order-7")


def test_canceling_twice_is_harmless(function: Function) -> None:
    function.twilio.will(accepted(status="scheduled"), canceled())
    function.post(a_document())
    _, first = function.cancel()

    status, second = function.cancel()

    assert status == 200
    assert second == first


# --- SendQueue -------------------------------------------------------------------------------


def test_queued_messages_are_sent_and_leave_the_queue(function: Function) -> None:
    function.twilio.will(accepted(sid=f"SM{1:032x}"), accepted(sid=f"SM{2:032x}"))

    stay = function.take(a_document(reference="1"), a_document(reference="2"))

    assert stay == []
    assert sorted(message.reference or "" for message in function.messages()) == ["1", "2"]
    assert function.twilio.connections == 1


@pytest.mark.parametrize(
    ("replies", "stay"),
    [
        ([refused(400, 21610), accepted(), accepted()], []),
        ([DROPPED, accepted(), accepted()], []),
        ([refused(500), accepted(), accepted()], []),
        ([refused(401, 20003), accepted(), accepted()], ["0"]),
        ([accepted(), accepted(), refused(429)], ["2"]),
        ([refused(429)], ["0", "1", "2"]),
    ],
)
def test_only_what_provably_was_not_sent_and_may_yet_be_stays_queued(
    function: Function, replies: list[Reply], stay: list[str]
) -> None:
    function.twilio.will(*replies)

    assert function.take(a_document(), a_document(), a_document()) == stay


def test_a_queued_message_that_twilio_refuses_becomes_a_failed_message_to_be_noticed(
    function: Function,
) -> None:
    function.twilio.will(refused(400, 21610))

    stay = function.take(a_document(reference="order-7", context={"tenant": "blue"}))

    [message] = function.messages()
    assert stay == []
    assert message.message_sid == message.request_id
    assert REQUEST_ID.fullmatch(message.message_sid)
    assert (message.status, message.outcome) == ("refused", Outcome.FAILED)
    assert (message.error_code, message.notice) == (21610, Notice.DUE)
    assert (message.to, message.from_, message.reference) == (TO, FROM, "order-7")
    assert message.context == {"tenant": "blue"}
    assert message.body is None


@pytest.mark.parametrize(
    "body",
    [
        "not JSON",
        "",
        "[]",
        "null",
        "\ud800",
        json.dumps(a_document(to="5558675310")),
        json.dumps(a_document(to={"S": "x"}, reference=["x"], context={"a": 1})),
        json.dumps(a_document(body="half \ud83d", reference="half \ud83d")),
        json.dumps(a_document(account_sid=SUBACCOUNT_SID)),
        "[" * 50_000,
        "x" * 200_000,
    ],
)
def test_bad_input_on_the_queue_becomes_a_failed_message_to_be_noticed(
    function: Function, body: str
) -> None:
    stay = function.take(body)

    [message] = function.messages()
    assert stay == []
    assert (message.status, message.outcome) == ("refused", Outcome.FAILED)
    assert (message.error_code, message.notice) == (None, Notice.DUE)
    assert function.twilio.requests == []


@pytest.mark.parametrize(
    ("document", "account_sid"),
    [
        ("not JSON", ACCOUNT_SID),
        (a_document(to="5558675310"), ACCOUNT_SID),
        (a_document(to="5558675310", account_sid=SUBACCOUNT_SID), SUBACCOUNT_SID),
    ],
)
def test_a_refusal_belongs_to_the_main_account_unless_it_names_another(
    function: Function, document: object, account_sid: str
) -> None:
    function.take(document)

    [message] = function.messages()
    assert message.account_sid == account_sid


def test_what_twilio_refuses_belongs_to_the_account_that_asked(function: Function) -> None:
    function.twilio.will(refused(400, 21610))

    function.take(a_document())

    [message] = function.messages()
    assert message.account_sid == ACCOUNT_SID


def test_bad_input_is_noticed_without_its_account_while_the_secret_cannot_be_read(
    function: Function,
) -> None:
    function.secret_holds(auth_token="")

    assert function.take("not JSON") == []

    [message] = function.messages()
    assert (message.account_sid, message.notice) == (None, Notice.DUE)


def test_bad_input_is_told_by_as_much_of_it_as_makes_sense(function: Function) -> None:
    function.take(a_document(to="5558675310", reference="order-7", context={"tenant": "blue"}))

    [message] = function.messages()
    assert (message.to, message.from_, message.reference) == (None, FROM, "order-7")
    assert message.context == {"tenant": "blue"}


@pytest.mark.parametrize(
    "document", ["not JSON", a_document(to="5558675310"), a_document(body="b", idempotency_key="k")]
)
def test_the_log_says_why_a_queued_request_was_refused_by_the_id_that_people_are_told(
    function: Function, caplog: pytest.LogCaptureFixture, document: object
) -> None:
    function.post(a_document(body="a", idempotency_key="k"))
    function.take(document)

    [request_id] = [it.message_sid for it in function.messages() if it.is_request]
    assert request_id in {getattr(line, "request_id", None) for line in caplog.records}


def test_a_refusal_that_is_handled_twice_is_one_failed_message(function: Function) -> None:
    function.take("not JSON")
    function.take("not JSON")

    assert len(function.messages()) == 1
    assert total(function.data_points(), "MessageFailed", category="content") == 1


def test_each_refusal_of_a_batch_is_counted_by_its_own_category(function: Function) -> None:
    function.twilio.will(refused(400, 21610), refused(400, 30034))

    function.take(a_document(), a_document())

    points = function.data_points()
    assert total(points, "MessageFailed") == 2
    assert total(points, "MessageFailed", category="opt_out") == 1
    assert total(points, "MessageFailed", category="registration_compliance") == 1
    assert total(points, "MessageRefused", service="tested") == 2


def test_a_message_that_ends_with_twilios_answer_is_counted_as_ended(function: Function) -> None:
    function.twilio.will(accepted(status="failed", error_code=30003))

    function.post(a_document())

    points = function.data_points()
    assert total(points, "MessageSent", service="tested") == 1
    assert total(points, "MessageFailed", category="recipient_unreachable") == 1


def test_a_refusal_that_cannot_be_stored_stays_queued(function: Function) -> None:
    function.lose_the_table()
    function.twilio.will(refused(400, 21610))

    assert function.take(a_document(), "not JSON") == ["0", "1"]


def test_a_sent_message_that_cannot_be_stored_leaves_the_queue(function: Function) -> None:
    function.lose_the_table()

    assert function.take(a_document()) == []
    assert len(function.twilio.requests) == 1


def test_a_batch_that_runs_out_of_time_leaves_the_rest_queued(
    function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    next_reply = function.twilio.next_reply

    def slow() -> Reply:
        function.seconds_left -= 6
        return next_reply()

    monkeypatch.setattr(function.twilio, "next_reply", slow)

    assert function.take(a_document(), a_document(), a_document()) == ["2"]


def test_an_error_of_ours_keeps_only_its_own_message_queued_and_is_logged(
    function: Function, monkeypatch: pytest.MonkeyPatch, log_output: io.StringIO
) -> None:
    send_json = function.app.sender.send_json

    def failing(text: str, **arguments: Any) -> Any:
        if "defect" in text:
            raise KeyError(TO)
        return send_json(text, **arguments)

    monkeypatch.setattr(function.app.sender, "send_json", failing)

    assert function.take(a_document(), a_document(reference="defect"), a_document()) == ["1"]
    assert "KeyError" in log_output.getvalue()


# --- direct invocation -----------------------------------------------------------------------


def test_a_direct_invocation_returns_what_the_api_answers(function: Function) -> None:
    answer = function.invoke(a_document())

    assert answer["status_code"] == 201
    assert answer["body"]["message_sid"] == MESSAGE_SID


@pytest.mark.parametrize("event", [{}, {"to": TO}, [], [1], "hello", None, 7, {"Records": []}])
def test_a_direct_invocation_with_bad_input_is_told_all_problems(
    function: Function, event: Any
) -> None:
    answer = function.invoke(event)

    assert answer["status_code"] == 400
    assert answer["body"]["problems"]


# --- what is written -------------------------------------------------------------------------


def test_a_line_of_the_log_finds_the_message_by_its_ids(
    function: Function, log_output: io.StringIO
) -> None:
    _, answer = function.post(a_document(reference="order-7"))

    [line] = map(json.loads, log_output.getvalue().splitlines())
    assert line["message_sid"] == MESSAGE_SID
    assert line["request_id"] == answer["request_id"]
    assert line["reference"] == "order-7"


# --- events/ ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("api", {"statusCode": 201}),
        ("api-template", {"statusCode": 201}),
        ("api-invalid", {"statusCode": 400}),
        ("api-not-json", {"statusCode": 400}),
        ("batch", {"statusCode": 202}),
        ("batch-in-part", {"statusCode": 202}),
        ("batch-invalid", {"statusCode": 400}),
        ("cancel", {"statusCode": 200}),
        ("cancel-unknown", {"statusCode": 404}),
        ("direct", {"status_code": 201}),
        ("direct-invalid", {"status_code": 400}),
        ("queue", {"batchItemFailures": []}),
        ("queue-invalid", {"batchItemFailures": []}),
    ],
)
def test_a_sample_event_gets_its_answer(
    function: Function, name: str, expected: dict[str, Any]
) -> None:
    event = json.loads((EVENTS / f"send_message-{name}.json").read_text("utf-8"))

    answer = function.invoke(event)

    assert answer.items() >= expected.items()


# --- against the simulator -------------------------------------------------------------------


@pytest.fixture
def simulator(function: Function, install: Callable[..., ModuleType]) -> Iterator[SimulatorServer]:
    """The function's Twilio, whose callbacks go to the scripted server instead of the stack."""
    function.twilio.will(Reply(status=204))
    account = Account(sid=ACCOUNT_SID, auth_token=AUTH_TOKEN)
    with SimulatorServer([account], settings=Settings(pace=0.01)) as running:
        install(running.base_url, callback_url=f"{function.twilio.url}/twilio/status")
        yield running


@pytest.mark.parametrize(
    ("to", "expected", "told"),
    [
        ("+15557654321", 201, True),
        ("+15555550106", 201, True),
        ("+15555550107", 202, True),
        ("+15555550108", 202, True),
        ("+15555550109", 201, True),
        ("+15555550111", 202, False),
        ("+15555530003", 201, True),
    ],
)
def test_a_story_of_the_simulator_gets_its_answer_and_its_callbacks_carry_the_request_id(
    function: Function,
    simulator: SimulatorServer,
    to: str,
    expected: int,
    told: bool,  # noqa: FBT001 -- a column of the table
) -> None:
    receiver = function.twilio

    status, answer = function.post(a_document(to=to))

    assert status == expected
    if told:
        assert simulator.wait_until(lambda _: len(receiver.requests) > 0, timeout=5)
        assert receiver.requests[0].path == f"/twilio/status?request_id={answer['request_id']}"
        assert dict(receiver.requests[0].parameters)["To"] == to


@pytest.mark.usefixtures("simulator")
def test_a_simulated_message_is_scheduled_and_canceled(function: Function) -> None:
    _, scheduled = function.post(a_document(messaging_service_sid=SERVICE_SID, send_at=LATER))

    status, answer = function.cancel(scheduled["message_sid"])

    assert scheduled["status"] == "scheduled"
    assert (status, answer["status"]) == (200, "canceled")
