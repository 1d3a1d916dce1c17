"""Compares requests and answers with the committed descriptions, which must have every member."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema_rs import Draft4Validator, Draft202012Validator

PROJECT = Path(__file__).parents[2]

type Document = dict[str, Any]


@cache
def api_document() -> Document:
    """The committed description of MessagesApi; callers must not change it."""
    document: Document = yaml.load((PROJECT / "openapi.yaml").read_text("utf-8"), yaml.CSafeLoader)
    return document


def resolved(part: Document) -> Document:
    """A part of the document of the API, or the shared part to which it refers."""
    if "$ref" not in part:
        return part
    kind, name = part["$ref"].removeprefix("#/components/").split("/")
    shared: Document = api_document()["components"][kind][name]
    return shared


def without_additions(schema: Any) -> Any:
    """The schema, or document, in which an object has only the members that are described.

    Published schemas allow further members, so that a later version can add some.
    """
    match schema:
        case {"type": "object", "properties": _}:
            members = {name: without_additions(it) for name, it in schema.items()}
            return {"additionalProperties": False} | members
        case dict():
            return {name: without_additions(it) for name, it in schema.items()}
        case list():
            return [without_additions(it) for it in schema]
        case _:
            return schema


def assert_described_request(route: str, body: bytes) -> None:
    """An accepted body matches the schema of the route: `POST /messages`."""
    content = _operation(route)["requestBody"]["content"]["application/json"]
    _validator(json.dumps(content["schema"])).validate(json.loads(body))


def assert_described_answer(route: str, answer: Mapping[str, Any]) -> None:
    """The answer of a function to a route has a described status, headers, and body."""
    headers = dict(answer["headers"])
    media_type = headers.pop("content-type")
    described = assert_described_body(
        route, answer["statusCode"], json.loads(answer["body"]), media_type=media_type
    )
    documented = {name.lower() for name in described.get("headers", {})}
    assert headers.keys() <= documented, f"{route} {answer['statusCode']}: {headers.keys()}"


def assert_described_body(
    route: str, status: int, body: object, *, media_type: str = ""
) -> Document:
    """A body has a described status and media type, and matches its schema: the description."""
    if not media_type:
        media_type = "application/problem+json" if status >= 400 else "application/json"
    described = resolved(_operation(route)["responses"].get(str(status), {}))
    content = described.get("content", {})
    assert media_type in content, f"{route} answers {status} as {media_type}"
    _validator(json.dumps(content[media_type]["schema"])).validate(body)
    return described


def assert_described_event(event: object) -> None:
    """An event of EventBridge matches its schema."""
    _published("outcome-event.json").validate(event)


def assert_described_notice(notice: object) -> None:
    """The JSON of a failure notice matches its schema."""
    _published("failure-notice.json").validate(notice)


def _operation(route: str) -> Document:
    method, _, path = route.partition(" ")
    operation: Document = api_document()["paths"][path][method.lower()]
    return operation


@cache
def _components() -> Any:
    return without_additions(api_document()["components"])


@cache
def _validator(schema: str) -> Draft202012Validator:
    document = {**json.loads(schema), "components": _components()}
    return Draft202012Validator(document, validate_formats=True)


@cache
def _published(name: str) -> Draft4Validator:
    schema = json.loads((PROJECT / "docs/schemas" / name).read_text("utf-8"))
    return Draft4Validator(without_additions(schema), validate_formats=True)
