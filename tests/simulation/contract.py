"""Comparison of the DynamoDB fake with other implementations, which get the same requests.

The requests are those of simulation runs, in the order in which they took effect, or of scripts.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from botocore.exceptions import ClientError

from simulation.account import PAGE_SIZE, empty_tables
from simulation.calls import Response
from simulation.fakes.dynamodb import DynamoDb
from simulation.world import World
from tests.simulation.dynamodb_cases import Step

type Answer = dict[str, Any]

_OMITTED: Final = frozenset(
    {"ResponseMetadata", "ConsumedCapacity", "ItemCollectionMetrics"}
    | {"Count", "ScannedCount", "LastEvaluatedKey", "UnprocessedKeys"}  # by the size of a page
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request to DynamoDB, and the fake's answer."""

    operation: str
    arguments: Mapping[str, Any]
    answer: Answer


def recorded_requests(seeds: Iterable[int]) -> Iterator[Request]:
    """Yield the requests of some runs; of the same query with an empty answer only the first."""
    for seed in seeds:
        yield from _recorded(World(seed, immediate=True))


def scripted_requests(steps: Iterable[Step]) -> Iterator[Request]:
    """Yield the requests of a script, which begins with empty tables."""
    fake = DynamoDb(empty_tables(), page_size=PAGE_SIZE)
    for operation, arguments in steps:
        try:
            response: Response = fake.perform(operation, arguments)
        except ClientError as error:
            response = error
        yield Request(operation=operation, arguments=arguments, answer=_answer(response))


def differences(
    requests: Iterable[Request], client: Any, table_names: Mapping[str, str]
) -> Iterator[str]:
    """Yield where another implementation, which begins with empty tables, answers differently."""
    for number, request in enumerate(requests):
        answer = _other_answer(client, request, table_names)
        if answer != request.answer:
            yield (
                f"request {number}: {request.operation} {json.dumps(request.arguments)}\n"
                f"  the fake: {json.dumps(request.answer)}\n  the other: {json.dumps(answer)}"
            )


def _recorded(world: World) -> list[Request]:
    requests: list[Request] = []
    empty_queries: set[str] = set()

    def watch(
        service: str, operation: str, arguments: Mapping[str, Any], response: Response
    ) -> None:
        if service != "dynamodb" or operation == "scan":  # the order of a scan means nothing
            return
        answer = _answer(response)
        if answer == {"Items": []}:
            query = json.dumps(arguments.get("KeyConditionExpression"))
            if query in empty_queries:
                return
            empty_queries.add(query)
        arguments = _on_large_pages(operation, arguments, response)
        requests.append(Request(operation=operation, arguments=arguments, answer=answer))

    world.aws.watchers.append(watch)
    world.run()
    return requests


def _on_large_pages(operation: str, arguments: Mapping[str, Any], response: Response) -> Answer:
    """Return the request that has the fake's answer where pages are larger."""
    given: Answer = json.loads(json.dumps(arguments))
    if operation == "query":
        given["Limit"] = min(PAGE_SIZE, given.get("Limit", PAGE_SIZE))
    if operation == "batch_get_item" and isinstance(response, Mapping):
        for table, left in response["UnprocessedKeys"].items():
            keys = given["RequestItems"][table]["Keys"]
            given["RequestItems"][table]["Keys"] = keys[: len(keys) - len(left["Keys"])]
    return given


def _other_answer(client: Any, request: Request, table_names: Mapping[str, str]) -> Answer:
    def renamed(part: Mapping[str, Any]) -> dict[str, Any]:
        return {**part, "TableName": table_names[part["TableName"]]}

    arguments = dict(request.arguments)
    if "TableName" in arguments:
        arguments = renamed(arguments)
    if "TransactItems" in arguments:
        arguments["TransactItems"] = [
            {kind: renamed(part)}
            for parts in arguments["TransactItems"]
            for kind, part in parts.items()
        ]
    if "RequestItems" in arguments:
        wanted = arguments["RequestItems"]
        arguments["RequestItems"] = {table_names[name]: keys for name, keys in wanted.items()}
    try:
        response: Response = getattr(client, request.operation)(**arguments)
    except ClientError as error:
        response = error
    return _answer(response, {name: logical for logical, name in table_names.items()})


def _answer(response: Response, logical_ids: Mapping[str, str] | None = None) -> Answer:
    """Return what must be equal of a response or an error, as JSON."""
    if isinstance(response, ClientError):
        parts: Any = response.response
        code, item = parts["Error"]["Code"], _canonical(parts.get("Item"))
        reasons = [
            (reason.get("Code", "None"), _canonical(reason.get("Item")))
            for reason in parts.get("CancellationReasons", ())
        ]
        return {"error": code, "item": item} | ({"reasons": reasons} if reasons else {})
    if isinstance(response, Exception):
        raise response
    answer: Answer = _canonical({n: part for n, part in response.items() if n not in _OMITTED})
    if "Responses" in answer:  # in any order
        answer["Responses"] = {
            (logical_ids or {}).get(name, name): sorted(items, key=json.dumps)
            for name, items in answer["Responses"].items()
        }
    return answer


def _canonical(value: Any) -> Any:
    """Return the value with numbers as DynamoDB writes them; other implementations may not."""
    match value:
        case {"N": str(number), **rest} if not rest:
            return {"N": str(Decimal(number).normalize() + 0)}
        case dict():
            return {name: _canonical(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_canonical(inner) for inner in value]
        case _:
            return value
