"""SendMessageFunction: what a request may say, and how it is told what is wrong with it."""

import base64
import json
from typing import Any

import pytest

from functions.send_message.request import InvalidRequest, parse
from tests.builders import NOON
from tests.functions.sender import (
    BODY,
    CONTENT_SID,
    FROM,
    SERVICE_SID,
    TO,
    UNHEARD_OF,
    Function,
    a_document,
    an_http_event,
)


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
        ({"send_at": "2026-11-24T12:00:00Z"}, "send_at", "messaging_service_sid"),
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
