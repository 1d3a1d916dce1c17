"""SendMessageFunction: the fields of a request, and the problems of an invalid one."""

import base64
import io
import json
from inspect import signature
from typing import Any

import pytest
from twilio.rest.api.v2010.account.message import MessageList

from delivery.domain.send_fields import REFUSED_FIELDS, SEND_FIELDS
from functions.send_message.request import InvalidRequest, parse
from tests.functions.sender import (
    BODY,
    CONTENT_SID,
    FROM,
    SENSITIVE_WORDS,
    SERVICE_SID,
    TO,
    SenderRig,
    a_document,
    an_http_event,
)
from tests.support.builders import ACCOUNT_SID, NOON

SAMPLES: dict[str, Any] = {
    "to": TO,
    "from": FROM,
    "messaging_service_sid": SERVICE_SID,
    "body": BODY,
    "media_url": ["https://example.com/1.jpg", "https://example.com/2.jpg"],
    "content_sid": CONTENT_SID,
    "content_variables": {"1": "Ada"},
    "send_at": "2099-12-24T18:00:00Z",
    "validity_period": 36_000,
    "smart_encoded": True,
    "shorten_urls": False,
    "provide_feedback": True,
    "attempt": 2,
    "send_as_mms": True,
    "content_retention": "discard",
    "address_retention": "obfuscate",
    "persistent_action": ["geo:37.78,-122.39"],
    "message_intent": "otp",
    "risk_check": "disable",
    "force_delivery": True,
    "fallback_from": FROM,
    "account_sid": ACCOUNT_SID,
    "reference": "order-7",
    "context": {"tenant": "blue"},
    "idempotency_key": "order-7",
}
"""A valid value of each field."""


def test_every_field_has_a_sample() -> None:
    assert SAMPLES.keys() == SEND_FIELDS.keys()


def test_every_field_of_twilio_is_passed_on(sender: SenderRig) -> None:
    document = {
        name: value
        for name, value in SAMPLES.items()
        if SEND_FIELDS[name].parameter and name not in {"send_at", "fallback_from"}
    }

    status, _ = sender.post(document)

    [request] = sender.twilio.requests
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
        ("MessageIntent", "otp"),
        ("RiskCheck", "disable"),
        ("ForceDelivery", "true"),
    ]


@pytest.mark.parametrize(
    "altering",
    [{}, {"content_sid": CONTENT_SID}, {"smart_encoded": True}, {"shorten_urls": True}],
)
def test_the_digest_of_a_body_is_stored_only_if_no_field_alters_the_body(
    sender: SenderRig, altering: dict[str, Any]
) -> None:
    service = {"from": None, "messaging_service_sid": SERVICE_SID}

    in_doubt = sender.send_in_doubt(**service, **altering)

    assert (in_doubt.body_digest is None) is bool(altering)


@pytest.mark.parametrize(
    "changes",
    [
        {"to": "whatsapp:+15558675310"},
        {"from": "ACME"},
        {"body": None, "media_url": ["https://example.com/1.jpg"]},
        {"body": None, "content_sid": CONTENT_SID},
        {"content_sid": CONTENT_SID, "content_variables": '{"1": "Ada"}'},
        {"from": None, "messaging_service_sid": SERVICE_SID, "fallback_from": FROM},
        {"body": "\u00e9\u4e16\U0001f600" * 500},
        {"reference": "x" * 128, "context": {str(place): "x" for place in range(20)}},
        {"send_at": None, "context": {}},
    ],
)
def test_values_that_twilio_accepts_are_valid(changes: dict[str, Any]) -> None:
    request = parse(a_document(**changes), now=NOON)

    assert request.to


def test_a_null_is_the_same_as_a_missing_field(sender: SenderRig) -> None:
    status, _ = sender.post(a_document() | {"media_url": None, "reference": None, "odd": None})

    assert status == 201


@pytest.mark.parametrize(
    ("changes", "field", "fix"),
    [
        ({"to": None}, "to", "missing"),
        ({"to": ""}, "to", "blank"),
        ({"to": 15558675310}, "to", "text"),
        ({"to": "5558675310"}, "to", "E.164"),
        ({"to": "+1 (555) 867-5310"}, "to", "E.164"),
        ({"to": "whatsapp:"}, "to", "channel"),
        ({"from": None}, "from", "messaging_service_sid"),
        ({"messaging_service_sid": SERVICE_SID + "\n"}, "messaging_service_sid", "MG and 32"),
        ({"body": None}, "body", "media_url"),
        ({"body": "x" * 1601}, "body", "1600"),
        ({"media_url": "https://example.com"}, "media_url", "list"),
        ({"media_url": ["https://example.com"] * 11}, "media_url", "10"),
        ({"media_url": ["ftp://example.com"]}, "media_url", "http"),
        ({"media_url": [None]}, "media_url", "http"),
        ({"content_variables": {}}, "content_variables", "content_sid"),
        ({"content_sid": CONTENT_SID, "content_variables": "{"}, "content_variables", "JSON"),
        ({"content_sid": CONTENT_SID, "content_variables": "[1]"}, "content_variables", "object"),
        ({"send_at": "2026-11-24T12:00:00Z"}, "send_at", "messaging_service_sid"),
        ({"send_at": "tomorrow"}, "send_at", "ISO 8601"),
        ({"send_at": "2099-01-01T12:00:00"}, "send_at", "zone"),
        ({"send_at": 4070908800}, "send_at", "ISO 8601"),
        ({"send_at": "2020-01-01T12:00:00Z"}, "send_at", "past"),
        ({"send_at": "0001-01-01T00:00:00+14:00"}, "send_at", "ISO 8601"),
        ({"validity_period": "60"}, "validity_period", "whole"),
        ({"smart_encoded": "true"}, "smart_encoded", "true or false"),
        ({"shorten_urls": True}, "shorten_urls", "messaging_service_sid"),
        ({"fallback_from": FROM}, "fallback_from", "from"),
        ({"risk_check": ["enable"]}, "risk_check", "enable, disable"),
        ({"reference": "x" * 129}, "reference", "128"),
        ({"context": ["a"]}, "context", "object"),
        ({"context": {"a": {"b": "c"}}}, "context", "flat"),
        ({"context": {"a": "x" * 1024}}, "context", "1 KB"),
        ({"status_callback": "https://a.example"}, "status_callback", "set by this stack"),
        ({"media_urls": []}, "media_urls", "did you mean media_url?"),
        ({"MediaUrl": []}, "MediaUrl", "did you mean media_url?"),
        ({"statuscallback": ""}, "statuscallback", "did you mean status_callback?"),
        ({"qwerty": 1}, "qwerty", "not a known field"),
        ({"to_15558675310": 1}, "?", "not a known field"),
        ({"a1b5c5d5e8": 1}, "?", "not a known field"),
        ({"raise_on_error": True}, "raise_on_error", "direct invocations"),
        ({f"n{TO[1:]}": 1}, "?", "not a known field"),
    ],
)
def test_invalid_input_is_reported_with_its_field_and_the_fix(
    changes: dict[str, Any], field: str, fix: str
) -> None:
    with pytest.raises(InvalidRequest) as raised:
        parse(a_document(**changes), now=NOON)

    said = " ".join(it.problem for it in raised.value.problems if it.field == field)
    assert fix in said
    assert [word for word in SENSITIVE_WORDS if word in said] == []


@pytest.mark.parametrize(
    "variables", ['{"1": NaN}', '{"1": -Infinity}', '{"1": 1e999}', json.loads('{"1": 1e999}')]
)
def test_a_number_that_is_not_finite_is_invalid(variables: Any) -> None:
    with pytest.raises(InvalidRequest) as raised:
        parse(a_document(content_sid=CONTENT_SID, content_variables=variables), now=NOON)

    (problem,) = raised.value.problems
    assert problem.field == "content_variables"


def test_deeply_nested_variables_are_invalid() -> None:
    variables: Any = []
    for _ in range(100_000):
        variables = [variables]

    with pytest.raises(InvalidRequest):
        parse(a_document(content_sid=CONTENT_SID, content_variables={"1": variables}), now=NOON)


def test_every_parameter_of_the_sdk_is_accepted_or_refused_with_a_reason() -> None:
    parameters = signature(MessageList.create).parameters.keys() - {"self"}

    assert {name.rstrip("_") for name in parameters} <= SEND_FIELDS.keys() | REFUSED_FIELDS.keys()
    assert all(REFUSED_FIELDS.values())


def test_a_field_name_with_a_number_is_neither_returned_nor_logged(
    sender: SenderRig, log_output: io.StringIO
) -> None:
    _, answer = sender.post(a_document() | {"to_15558675310": 1})

    assert "15558675310" not in json.dumps(answer) + log_output.getvalue()


def test_all_problems_are_reported_at_once(sender: SenderRig) -> None:
    status, answer = sender.post(
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
    assert sender.metrics() == {"RequestInvalid": 1}


@pytest.mark.parametrize(
    ("body", "fix"),
    [
        (None, "JSON"),
        ("to=%2B15558675310", "JSON"),
        ('{"attempt": NaN}', "JSON"),
        ("[" * 50_000, "JSON"),
        (f'{{"attempt": {"9" * 5000}}}', "JSON"),
        ("[]", "object"),
        (json.dumps({"body": "x" * 70_000}), "64 KiB"),
    ],
)
def test_a_body_that_is_not_a_request_is_invalid(
    sender: SenderRig, body: str | None, fix: str
) -> None:
    answer = sender.invoke(an_http_event(body))

    [problem] = json.loads(answer["body"])["problems"]
    assert answer["statusCode"] == 400
    assert fix in problem["problem"]


def test_a_body_in_base64_is_decoded(sender: SenderRig) -> None:
    encoded = base64.b64encode(json.dumps(a_document()).encode()).decode()

    answer = sender.invoke(an_http_event(encoded, isBase64Encoded=True))

    assert answer["statusCode"] == 201


def test_bytes_that_are_not_utf_8_are_invalid(sender: SenderRig) -> None:
    encoded = base64.b64encode(b'{"to": "\xff\xfe"}').decode()

    answer = sender.invoke(an_http_event(encoded, isBase64Encoded=True))

    assert answer["statusCode"] == 400
