"""The API description: valid, complete, and the same as the tables that validate and answer.

The tests of the functions compare every answer, event, and notice with it.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator, meta
from openapi_spec_validator import OpenAPIV31SpecValidator

from delivery.domain import audits, messages
from delivery.domain.audits import AuditResult, AuditState
from delivery.domain.messages import MAX_CONTEXT_NAMES, Message, Source, Transition
from delivery.domain.notices import NoticeState
from delivery.domain.send_checks import check_fields
from delivery.domain.send_fields import MAX_VALUE_LENGTH, SEND_FIELDS, InvalidValue
from delivery.domain.send_requests import RequestState
from delivery.domain.statuses import MessageStatus, Outcome
from delivery.runtime.responses import Problem
from delivery.twilio.error_codes import Category
from delivery_cli import __version__
from functions.notify_failure.incident import NoticeKind
from functions.notify_failure.notice import Event
from functions.query_messages import list_query
from functions.send_message.batch import MAX_BATCH_BYTES, MAX_KEY_LENGTH, MAX_MESSAGES
from functions.send_message.request import MAX_REQUEST_BYTES
from tests.support.api_description import (
    PROJECT,
    api_document,
    assert_described_answer,
    assert_described_event,
    assert_described_request,
    resolved,
    without_additions,
)
from tests.support.cloudformation import load_template

A_REQUEST = {"to": "+15558675310", "from": "+15005550006", "body": "Hello"}
SERVICE_SID = "MG" + "5" * 32
SCHEMAS: dict[str, Any] = api_document()["components"]["schemas"]
OPERATIONS: dict[str, dict[str, Any]] = {
    f"{method.upper()} {path}": operation
    for path, methods in api_document()["paths"].items()
    for method, operation in methods.items()
}
PUBLISHED: dict[str, Any] = {
    name: json.loads((PROJECT / f"docs/schemas/{name}.json").read_text("utf-8"))
    for name in ("outcome-event", "failure-notice")
}
EVENT = PUBLISHED["outcome-event"]["properties"]["detail"]
NOTICE = PUBLISHED["failure-notice"]["properties"]["metadata"]
FACTS = NOTICE["properties"]["additionalContext"]


def answers() -> Iterator[tuple[str, int, str, dict[str, Any]]]:
    """The route, the status, the media type, and the content of each answer."""
    for route, operation in OPERATIONS.items():
        for status, answer in operation["responses"].items():
            for media_type, content in resolved(answer)["content"].items():
                yield route, int(status), media_type, content


def test_the_document_is_valid_openapi_3_1_of_this_version() -> None:
    assert list(OpenAPIV31SpecValidator(api_document()).iter_errors()) == []
    assert api_document()["openapi"].startswith("3.1.")
    assert api_document()["info"]["version"] == __version__


def test_the_document_has_every_route_of_the_template_and_no_other() -> None:
    routes = {
        f"{event['Properties']['Method']} {event['Properties']['Path']}"
        for resource in load_template()["Resources"].values()
        for event in resource.get("Properties", {}).get("Events", {}).values()
        if event["Type"] == "HttpApi" and event["Properties"]["ApiId"] == {"Ref": "MessagesApi"}
    }

    assert set(OPERATIONS) == routes


def test_every_parameter_body_and_answer_has_an_example() -> None:
    described = [content for *_, content in answers()]
    for operation in OPERATIONS.values():
        described += operation["parameters"]
        described += operation.get("requestBody", {}).get("content", {}).values()

    assert len(described) > 80
    assert [it for it in described if not it.keys() & {"example", "examples"}] == []


@pytest.mark.parametrize("route", OPERATIONS)
def test_the_examples_of_answers_match_their_schemas(route: str) -> None:
    for _, status, media_type, content in (it for it in answers() if it[0] == route):
        components = without_additions(api_document()["components"])
        schema = {**content["schema"], "components": components}
        for body in (resolved(it)["value"] for it in content["examples"].values()):
            Draft202012Validator(schema, validate_formats=True).validate(body)
            is_problem = status >= 400 and "message" not in body
            assert media_type == ("application/problem+json" if is_problem else "application/json")
            assert body.get("status", status) == status or status < 400


@pytest.mark.parametrize("route", ["POST /messages", "POST /messages/batch"])
def test_the_examples_of_requests_are_valid(route: str) -> None:
    content = OPERATIONS[route]["requestBody"]["content"]["application/json"]
    for body in (it["value"] for it in content["examples"].values()):
        assert_described_request(route, json.dumps(body).encode())
        for document in body.get("messages", [body]):
            assert check_fields(document).problems == ()


# --- the description is the same as the tables ---------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "field", "words"),
    [
        (SCHEMAS["Message"], "status", MessageStatus),
        (SCHEMAS["Message"], "outcome", Outcome),
        (SCHEMAS["Message"], "notice", NoticeState),
        (SCHEMAS["Transition"], "source", Source),
        (SCHEMAS["Explanation"], "category", Category),
        (SCHEMAS["RequestState"], "state", RequestState),
        (SCHEMAS["AuditResult"], "state", AuditState),
        (EVENT, "status", MessageStatus),
        (EVENT, "outcome", Outcome),
        (EVENT, "previous_outcome", Outcome),
        (EVENT, "category", Category),
        (NOTICE, "eventType", Event),
        (FACTS, "event", Event),
        (FACTS, "kind", NoticeKind),
        (FACTS, "category", Category),
        (FACTS, "outcome", Outcome),
    ],
)
def test_a_field_has_the_words_of_its_table(
    schema: dict[str, Any], field: str, words: Iterable[str]
) -> None:
    assert resolved(schema["properties"][field])["enum"] == [str(word) for word in words]


@pytest.mark.parametrize(
    ("name", "kind", "internal"),
    [
        ("Message", Message, messages.INTERNAL_FIELDS),
        ("Transition", Transition, frozenset()),
        ("AuditResult", AuditResult, audits.INTERNAL_FIELDS),
        ("FieldProblem", Problem, frozenset()),
    ],
)
def test_a_schema_has_the_fields_of_its_class(
    name: str, kind: type, internal: frozenset[str]
) -> None:
    members = {it.name.rstrip("_") for it in fields(kind)}

    assert SCHEMAS[name]["properties"].keys() - {"explanation"} == members - internal


def parameters(route: str) -> dict[str, dict[str, Any]]:
    return {it["name"]: it["schema"] for it in OPERATIONS[route]["parameters"]}


def test_parameters_and_sizes_have_the_limits_of_the_code() -> None:
    of_list = parameters("GET /messages")
    sizes = f"{MAX_REQUEST_BYTES // 1024} KiB", f"{MAX_BATCH_BYTES // 1024**2} MiB"

    assert list(of_list) == [*list_query.FILTERS, "limit", "next_token"]
    assert list(SCHEMAS["MessagePage"]["properties"]["filter"]["properties"]) == list(
        list_query.FILTERS
    )
    assert of_list["limit"]["maximum"] == list_query.MAX_LIMIT
    assert of_list["limit"]["default"] == list_query.DEFAULT_LIMIT
    assert of_list["to"]["maxLength"] == list_query.MAX_ADDRESS_LENGTH
    assert of_list["reference"]["maxLength"] == list_query.MAX_REFERENCE_LENGTH
    assert parameters("POST /messages")["Idempotency-Key"]["maxLength"] == MAX_VALUE_LENGTH
    assert parameters("POST /messages/batch")["Idempotency-Key"]["maxLength"] == MAX_KEY_LENGTH
    assert SCHEMAS["BatchRequest"]["properties"]["messages"]["maxItems"] == MAX_MESSAGES
    assert sizes[0] in OPERATIONS["POST /messages"]["description"]
    assert sizes[1] in OPERATIONS["POST /messages/batch"]["description"]


# --- what the description allows is what the code accepts ----------------------------------------


def is_valid(schema: dict[str, Any], value: object) -> bool:
    return Draft202012Validator(schema, validate_formats=True).is_valid(value)


def test_the_example_of_each_field_is_accepted() -> None:
    assert SCHEMAS["SendRequest"]["properties"].keys() == SEND_FIELDS.keys()
    for name, schema in SCHEMAS["SendRequest"]["properties"].items():
        examples = schema.get("examples", [True] if "boolean" in schema["type"] else [])

        assert examples
        for value in examples:
            SEND_FIELDS[name].read(value)
            assert is_valid(schema, value)


NAMES = [f"name{number}" for number in range(MAX_CONTEXT_NAMES + 1)]
AT_THE_LIMITS: list[Any] = [
    *("", " ", "x", "x " * 2, *("x" * it for it in (128, 129, 256, 257, 1600, 1601))),
    *("+15558675310", "whatsapp:+15558675310", "+0", "+1" + "0" * 14, "+1" + "0" * 15),
    *("https://example.com/a", "https://example.com/a b", "http:///"),
    *("https://example.com/" + "x" * it for it in (2028, 2029)),
    *("2026-12-24T18:00:00Z", "2026-12-24", "MG" + "g" * 32, "MG" + "5" * 31),
    *("AC" + "0" * 32, SERVICE_SID, "HX" + "a" * 32),
    *("retain", "discard", "obfuscate", "enable", "disable"),
    *("otp", "notifications", "marketing", "fraud", "security", "customercare", "delivery"),
    *("education", "polling", "announcements", "events"),
    *(-1, 0, 0.5, 1, 36_000, 36_001, 10**6, 10**6 + 1, 10**400, True, False),
    *([], [""], [1], ["https://example.com/x"] * 10, ["https://example.com/x"] * 11),
    *({"name": 1}, dict.fromkeys(NAMES[:-1], "x"), dict.fromkeys(NAMES, "x")),
]


def is_accepted(name: str, value: object) -> bool:
    try:
        SEND_FIELDS[name].read(value)
    except InvalidValue:
        return False
    return True


def test_a_field_accepts_the_values_that_are_described() -> None:
    for name, schema in SCHEMAS["SendRequest"]["properties"].items():
        for value in AT_THE_LIMITS:
            # The content of a time or of a JSON text is beyond the schema.
            if is_accepted(name, value) or name not in {"send_at", "content_variables"}:
                assert is_valid(schema, value) is is_accepted(name, value), (name, value)


@given(
    st.dictionaries(
        st.sampled_from([*SEND_FIELDS, "unknown"]),
        st.sampled_from([None, *A_REQUEST.values(), SERVICE_SID, True, ["https://example.com/x"]]),
    )
)
@example({**A_REQUEST, "from": None})
@example({**A_REQUEST, "to": None})
@example({**A_REQUEST, "fallback_from": "+15005550006", "messaging_service_sid": SERVICE_SID})
@example({**A_REQUEST, "shorten_urls": True})
@example({**A_REQUEST, "content_variables": {}})
@example({**A_REQUEST, "content_variables": None})
@example({"to": "+15558675310", "messaging_service_sid": SERVICE_SID, "body": "x", "from": None})
def test_a_request_without_problems_is_described_and_one_that_is_described_has_none(
    document: dict[str, Any],
) -> None:
    problems = check_fields(document).problems

    # Only the content of a time or of a JSON text is beyond the schema.
    if not document.keys() & {"send_at", "content_variables"} or not problems:
        assert is_valid(SCHEMAS["SendRequest"], document) is (problems == ())


# --- the check that all answers of the functions' tests pass -------------------------------------

BODY = '{"title": "Not Found", "status": 404, "detail": "Not found"}'
PROBLEM = {"content-type": "application/problem+json"}


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (410, PROBLEM, BODY),
        (404, {"content-type": "application/json"}, BODY),
        (404, {**PROBLEM, "x-more": "1"}, BODY),
        (404, PROBLEM, '{"title": "Not Found", "status": 404}'),
        (404, PROBLEM, BODY.replace("}", ', "more": 1}')),
    ],
)
def test_an_answer_that_is_not_described_is_found(
    status: int, headers: dict[str, str], body: str
) -> None:
    route = "GET /messages/{message_sid}"
    assert_described_answer(route, {"statusCode": 404, "headers": PROBLEM, "body": BODY})

    with pytest.raises((AssertionError, ValueError)):
        assert_described_answer(route, {"statusCode": status, "headers": headers, "body": body})


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_schema_of_what_is_published_is_a_valid_schema_of_draft_4(name: str) -> None:
    # Draft 4 is the only version that the schema registry of EventBridge takes:
    # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-schema.html
    schema = PUBLISHED[name]

    assert schema["$schema"] == "http://json-schema.org/draft-04/schema#"
    assert meta.is_valid(schema)
    if "example" in schema:
        assert_described_event(schema["example"])
