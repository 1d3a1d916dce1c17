"""Checks the requests that a function makes against the permissions that the template grants it."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from tests.support.cloudformation import load_template


@cache
def granted_to(function: str) -> frozenset[tuple[str, str]]:
    """The actions on tables and indexes of a function, such as (GetItem, MessagesTable)."""
    policies = load_template()["Resources"][function]["Properties"]["Policies"]
    statements = [it for policy in policies for it in policy["Statement"] if "Action" in it]
    return frozenset(
        (action.removeprefix("dynamodb:"), _name_of(resource))
        for statement in statements
        for action in _listed(statement["Action"])
        for resource in _listed(statement["Resource"])
        if action.startswith("dynamodb:")
    )


@contextmanager
def permissions_of(function: str, client: Any) -> Iterator[None]:
    """Fail for a request to DynamoDB that the function's role does not allow.

    Tables have their logical ids as names.
    """
    denied = set[tuple[str, str]]()

    def check(model: Any, params: dict[str, Any], **_: Any) -> None:
        denied.update(set(_needed_by(model.name, params)) - granted_to(function))

    client.meta.events.register("before-parameter-build.dynamodb", check)
    try:
        yield
    finally:
        client.meta.events.unregister("before-parameter-build.dynamodb", check)
    assert denied == set(), f"{function} lacks permissions"


def _needed_by(call: str, parameters: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the actions that a call needs, each with its table or index."""
    match parameters:
        case {"TransactItems": items}:
            yield from (
                (f"{kind}Item", it["TableName"]) for item in items for kind, it in item.items()
            )
        case {"RequestItems": tables}:
            yield from ((call, table) for table in tables)
        case {"TableName": table, "IndexName": index}:
            yield call, f"{table}/index/{index}"
        case {"TableName": table}:
            yield call, table


def _name_of(resource: dict[str, Any]) -> str:
    match resource:
        case {"Fn::GetAtt": [str(name), "Arn"]}:
            return name
        case {"Fn::Sub": str(text)}:
            return text.replace("${", "").replace(".Arn}", "")
        case _:
            raise AssertionError(resource)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
