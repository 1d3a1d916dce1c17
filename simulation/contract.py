"""What the fakes are held to: other implementations answer the same requests in the same way.

The requests are those of simulated runs: the handlers' own expressions, on the items that they
were made on, in the order in which they took effect.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from botocore.exceptions import ClientError

from simulation.account import PAGE_SIZE, empty_tables
from simulation.edge_cases import Step
from simulation.fakes.dynamodb import DynamoDb
from simulation.world import World

type Answer = dict[str, Any]

# How many were read, and whether to go on, depend on the size of a page.
_LEFT_OUT: Final = frozenset(
    {"ResponseMetadata", "ConsumedCapacity", "ItemCollectionMetrics"}
    | {"Count", "ScannedCount", "LastEvaluatedKey"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request to DynamoDB, and what the fake said."""

    operation: str
    arguments: Mapping[str, Any]
    answer: Answer


def recorded_requests(seeds: Iterable[int]) -> Iterator[Request]:
    """The requests of some runs; of questions with the same empty answer, the first."""
    for seed in seeds:
        yield from _recorded(World(seed, at_once=True))


def scripted_requests(steps: Iterable[Step]) -> Iterator[Request]:
    """The requests of a script, on tables of the template's that are empty at first."""
    fake = DynamoDb(empty_tables(), page_size=PAGE_SIZE)
    for operation, arguments in steps:
        try:
            answer: Mapping[str, Any] | ClientError = fake.perform(operation, arguments)
        except ClientError as error:
            answer = error
        yield Request(operation=operation, arguments=arguments, answer=_plain(answer))


def differences(
    requests: Iterable[Request], client: Any, table_names: Mapping[str, str]
) -> Iterator[str]:
    """Where another implementation answers differently; its tables are empty at first."""
    for number, request in enumerate(requests):
        answer = _asked(client, request, table_names)
        if answer != request.answer:
            yield (
                f"request {number}: {request.operation} {json.dumps(request.arguments)}\n"
                f"  the fake: {json.dumps(request.answer)}\n  the other: {json.dumps(answer)}"
            )


def _recorded(world: World) -> list[Request]:
    requests: list[Request] = []
    asked: set[str] = set()

    def watch(
        service: str,
        operation: str,
        arguments: Mapping[str, Any],
        answer: Mapping[str, Any] | Exception,
    ) -> None:
        if service != "dynamodb" or operation == "scan":  # whose pages have no order
            return
        request = Request(
            operation=operation,
            arguments=_as_asked(operation, arguments, answer),
            answer=_plain(answer),
        )
        if request.answer == {"Items": []}:
            question = json.dumps(arguments.get("KeyConditionExpression"))
            if question in asked:
                return
            asked.add(question)
        requests.append(request)

    world.aws.watchers.append(watch)
    world.run()
    return requests


def _as_asked(
    operation: str, arguments: Mapping[str, Any], answer: Mapping[str, Any] | Exception
) -> Answer:
    """The request that has the fake's answer where pages are larger."""
    given: Answer = json.loads(json.dumps(arguments))
    if operation == "query":
        given["Limit"] = min(PAGE_SIZE, given.get("Limit", PAGE_SIZE))
    if operation == "batch_get_item" and isinstance(answer, Mapping):
        for table, left in answer["UnprocessedKeys"].items():
            keys = given["RequestItems"][table]["Keys"]
            given["RequestItems"][table]["Keys"] = keys[: len(keys) - len(left["Keys"])]
    return given


def _asked(client: Any, request: Request, table_names: Mapping[str, str]) -> Answer:
    arguments = dict(request.arguments)
    if "TableName" in arguments:
        arguments["TableName"] = table_names[arguments["TableName"]]
    if "TransactItems" in arguments:
        arguments["TransactItems"] = [
            {kind: {**part, "TableName": table_names[part["TableName"]]}}
            for parts in arguments["TransactItems"]
            for kind, part in parts.items()
        ]
    if "RequestItems" in arguments:
        wanted = arguments["RequestItems"]
        arguments["RequestItems"] = {table_names[name]: keys for name, keys in wanted.items()}
    ask: Callable[..., Mapping[str, Any]] = getattr(client, request.operation)
    try:
        answer: Mapping[str, Any] | ClientError = ask(**arguments)
    except ClientError as error:
        answer = error
    return _plain(answer, {name: logical for logical, name in table_names.items()})


def _plain(
    answer: Mapping[str, Any] | Exception, logical_ids: Mapping[str, str] | None = None
) -> Answer:
    """What matters of an answer or an error, as JSON."""
    if isinstance(answer, ClientError):
        told: Any = answer.response
        reasons = [
            (reason.get("Code", "None"), _canonical(reason.get("Item")))
            for reason in told.get("CancellationReasons", ())
        ]
        code, item = told["Error"]["Code"], _canonical(told.get("Item"))
        return {"error": code, "item": item} | ({"reasons": reasons} if reasons else {})
    if isinstance(answer, Exception):
        raise answer
    plain: Answer = _canonical({n: part for n, part in answer.items() if n not in _LEFT_OUT})
    plain.pop("UnprocessedKeys", None)
    if "Responses" in plain:  # in no order
        plain["Responses"] = {
            (logical_ids or {}).get(name, name): sorted(items, key=json.dumps)
            for name, items in plain["Responses"].items()
        }
    return plain


def _canonical(value: Any) -> Any:
    """Numbers as DynamoDB writes them: not everybody does."""
    match value:
        case {"N": str(number), **rest} if not rest:
            return {"N": str(Decimal(number).normalize() + 0)}
        case dict():
            return {name: _canonical(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_canonical(inner) for inner in value]
        case _:
            return value
