"""The committed API description: complete, valid, and as the code validates and answers."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator, meta
from openapi_spec_validator import OpenAPIV31SpecValidator

from api_description.files import FOLDER, generated_files
from api_description.inputs import send_request
from delivery.domain.send_checks import check_fields
from delivery.domain.send_fields import SEND_FIELDS, InvalidValue
from delivery_cli import __version__
from tests.support.api_description import (
    api_document,
    assert_described_answer,
    assert_described_event,
    assert_described_request,
    without_additions,
)
from tests.support.cloudformation import load_template

GENERATED = generated_files()
A_REQUEST = {"to": "+15558675310", "from": "+15005550006", "body": "Hello"}
SERVICE_SID = "MG" + "5" * 32


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every operation by its route key."""
    for path, methods in api_document()["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


OPERATIONS = dict(operations())
ANSWERS = [
    (route, int(status), media_type, name)
    for route, operation in OPERATIONS.items()
    for status, answer in operation["responses"].items()
    for media_type, content in answer.get("content", {}).items()
    for name in content.get("examples", {})
]


@pytest.mark.parametrize("name", GENERATED)
def test_a_committed_file_is_what_the_code_generates(name: str) -> None:
    committed = (FOLDER / name).read_text("utf-8")

    assert committed == GENERATED[name], "run `make openapi` and commit the result"


def test_the_document_is_valid_openapi_3_1() -> None:
    document = yaml.load(GENERATED["openapi.yaml"], yaml.CSafeLoader)

    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []
    assert document["openapi"].startswith("3.1.")
    assert document["info"]["version"] == __version__


def test_a_damaged_document_is_invalid() -> None:
    document = yaml.load(GENERATED["openapi.yaml"], yaml.CSafeLoader)
    del document["paths"]["/summary"]["get"]["responses"]["200"]["description"]

    assert list(OpenAPIV31SpecValidator(document).iter_errors())


def test_the_document_has_every_route_of_the_template_and_no_other() -> None:
    routes = {
        f"{event['Properties']['Method']} {event['Properties']['Path']}"
        for resource in load_template()["Resources"].values()
        for event in resource.get("Properties", {}).get("Events", {}).values()
        if event["Type"] == "HttpApi" and event["Properties"]["ApiId"] == {"Ref": "MessagesApi"}
    }

    assert set(OPERATIONS) == routes


def test_every_parameter_body_and_answer_has_an_example() -> None:
    described = [
        (route, part)
        for route, operation in OPERATIONS.items()
        for part in (
            *operation["parameters"],
            *operation.get("requestBody", {}).get("content", {}).values(),
            *(it for answer in operation["responses"].values() for it in contents(answer)),
        )
    ]

    assert len(described) > 80
    assert [it for it in described if not it[1].keys() & {"example", "examples"}] == []


def contents(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The content of an answer by media type; of a shared one too."""
    if "$ref" in answer:
        answer = api_document()["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    return list(answer["content"].values())


@pytest.mark.parametrize(("route", "status", "media_type", "name"), ANSWERS)
def test_an_example_of_an_answer_matches_its_schema(
    route: str, status: int, media_type: str, name: str
) -> None:
    content = OPERATIONS[route]["responses"][str(status)]["content"][media_type]
    schema = {**content["schema"], "components": without_additions(api_document()["components"])}
    body = content["examples"][name]["value"]

    Draft202012Validator(schema, validate_formats=True).validate(body)
    is_problem = status >= 400 and "message" not in body
    assert media_type == ("application/problem+json" if is_problem else "application/json")
    assert body.get("status", status) == status or status < 400


@pytest.mark.parametrize(
    ("route", "name"),
    [
        (route, name)
        for route, operation in OPERATIONS.items()
        if "requestBody" in operation
        for name in operation["requestBody"]["content"]["application/json"]["examples"]
    ],
)
def test_an_example_of_a_request_is_valid(route: str, name: str) -> None:
    content = OPERATIONS[route]["requestBody"]["content"]["application/json"]
    body = content["examples"][name]["value"]

    assert_described_request(route, json.dumps(body).encode())
    for document in body.get("messages", [body]):
        assert check_fields(document).problems == ()


# --- what the description allows is what the code accepts ----------------------------------------


def is_described(document: object) -> bool:
    return Draft202012Validator(send_request(), validate_formats=True).is_valid(document)


@pytest.mark.parametrize("name", SEND_FIELDS)
def test_the_example_of_a_field_is_accepted(name: str) -> None:
    schema = send_request()["properties"][name]
    examples = schema.get("examples", [True] if "boolean" in schema["type"] else [])

    assert examples
    for value in examples:
        SEND_FIELDS[name].read(value)
        assert Draft202012Validator(schema, validate_formats=True).is_valid(value)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(
        [
            *("+15558675310", "whatsapp:+15558675310", "+0", "https://example.com/a b", "http:///"),
            *("2026-12-24T18:00:00Z", "2026-12-24", "AC" + "0" * 32, "MG" + "g" * 32, "otp"),
            *("retain", "discard", "obfuscate", "enable", " ", "x" * 129, "x" * 257, "x" * 1601),
            *(0, 1, 36_000, 36_001, 10**6, 10**6 + 1, 10**400),
        ]
    ),
    st.lists(st.sampled_from(["https://example.com/x", "", 1]), max_size=11),
    st.dictionaries(st.text(max_size=3), st.one_of(st.text(max_size=3), st.integers()), max_size=3),
    st.just({f"name{number}": "x" for number in range(21)}),
)


@given(name=st.sampled_from(list(SEND_FIELDS)), value=VALUES)
@example(name="validity_period", value=True)
@example(name="validity_period", value=1.0)
def test_every_value_that_a_field_accepts_is_described(name: str, value: Any) -> None:
    try:
        SEND_FIELDS[name].read(value)
    except InvalidValue:
        return

    schema = send_request()["properties"][name]
    assert Draft202012Validator(schema, validate_formats=True).is_valid(value)


@given(
    st.dictionaries(
        st.sampled_from([*SEND_FIELDS, "unknown"]),
        st.sampled_from([None, *A_REQUEST.values(), SERVICE_SID, True, ["https://example.com/x"]]),
    )
)
@example({**A_REQUEST, "from": None})
@example({**A_REQUEST, "to": None})
@example({**A_REQUEST, "fallback_from": "+15005550006", "messaging_service_sid": SERVICE_SID})
@example({**A_REQUEST, "content_variables": {}})
@example({**A_REQUEST, "content_variables": None})
@example({"to": "+15558675310", "messaging_service_sid": SERVICE_SID, "body": "x", "from": None})
def test_a_request_without_problems_is_described_and_one_that_is_described_has_none(
    document: dict[str, Any],
) -> None:
    problems = check_fields(document).problems

    # Only the content of a time or of a JSON text is beyond the schema.
    if not document.keys() & {"send_at", "content_variables"} or not problems:
        assert is_described(document) is (problems == ())


# --- the checks that all answers of the functions' tests pass ------------------------------------


def an_answer(status: int = 404, **changes: Any) -> dict[str, Any]:
    body = '{"title": "Not Found", "status": 404, "detail": "Not found"}'
    headers = {"content-type": "application/problem+json"}
    return {"statusCode": status, "headers": headers, "body": body} | changes


def test_a_described_answer_is_accepted() -> None:
    assert_described_answer("GET /messages/{message_sid}", an_answer())


@pytest.mark.parametrize(
    "answer",
    [
        an_answer(410),
        an_answer(headers={"content-type": "application/json"}),
        an_answer(headers={"content-type": "application/problem+json", "x-more": "1"}),
    ],
)
def test_an_answer_with_another_status_or_header_is_found(answer: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        assert_described_answer("GET /messages/{message_sid}", answer)


@pytest.mark.parametrize(
    "body", ['{"title": "Not Found", "status": 404}', an_answer()["body"][:-1] + ', "more": 1}']
)
def test_an_answer_with_a_missing_or_another_member_is_found(body: str) -> None:
    with pytest.raises(ValueError, match=r"required property|Additional properties"):
        assert_described_answer("GET /messages/{message_sid}", an_answer(body=body))


@pytest.mark.parametrize("name", ["outcome-event", "failure-notice"])
def test_the_schema_of_what_is_published_is_a_valid_schema_of_draft_4(name: str) -> None:
    schema = json.loads((FOLDER / f"docs/schemas/{name}.json").read_text("utf-8"))

    assert schema["$schema"] == "http://json-schema.org/draft-04/schema#"
    assert meta.is_valid(schema)
    if "example" in schema:
        assert_described_event(schema["example"])
