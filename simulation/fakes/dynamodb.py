"""DynamoDB, as far as the project uses it: items, conditions, transactions, indexes, a stream.

The template declares the tables. Responses and errors have boto3's shapes; tests/simulation
compares them with other implementations.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from botocore.exceptions import ClientError

from simulation.fakes.errors import client_error
from simulation.fakes.expressions import (
    InvalidExpression,
    Item,
    Scope,
    parse_condition,
    parse_update,
    placeholders,
)

_MAX_ITEM_BYTES: Final = 400 * 1024
_MAX_BATCH: Final = 100
_MAX_PARTS: Final = 100
_TOKEN_SECONDS: Final = 600.0
"""How long DynamoDB remembers the token of a transaction."""
_CONDITIONAL: Final = (
    *("ConditionExpression", "ExpressionAttributeNames", "ExpressionAttributeValues"),
    "ReturnValuesOnConditionCheckFailure",
)
_CANCELLATIONS: Final = {
    "ConditionalCheckFailedException": "ConditionalCheckFailed",
    "TransactionConflictException": "TransactionConflict",
}

type Clock = Callable[[], float]
type Arguments = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of an item, as in a stream record.

    `before` is None for a new item, `after` for a deleted one.
    """

    sequence: int
    at: float
    key: Item
    before: Item | None
    after: Item | None


@dataclass(slots=True)
class _Row:
    """An item, its versions for the indexes with the times from which they are visible."""

    now: Item | None = None
    busy_until: float = 0.0
    """A transaction writes the item until then."""
    versions: list[tuple[float, Item | None]] = field(default_factory=list)


class Table:
    """One table: `properties` as in the template; `lag` draws the delay of an index."""

    def __init__(
        self, name: str, properties: Mapping[str, Any], *, clock: Clock, lag: Clock
    ) -> None:
        self.name = name
        self.key_names = _key_names(properties["KeySchema"])
        self.indexes = {
            index["IndexName"]: _key_names(index["KeySchema"])
            for index in properties.get("GlobalSecondaryIndexes", [])
        }
        self.changes: list[Change] = []
        """Every change of an item, in order; some tables have a stream of them."""
        self.listeners: list[Callable[[Change], object]] = []
        """Called with each change."""
        self._types = {
            each["AttributeName"]: each["AttributeType"]
            for each in properties["AttributeDefinitions"]
        }
        self._clock = clock
        self._lag = lag
        self._rows: dict[str, _Row] = {}

    def items(self) -> list[Item]:
        """Return every item as it is now."""
        return [row.now for row in self._rows.values() if row.now is not None]

    def get(self, key: Item) -> Item | None:
        """Return the item as it is now."""
        row = self._rows.get(self._id(key))
        return row.now if row else None

    def is_busy(self, key: Item) -> bool:
        """Return whether a transaction writes the item, so that other writes are rejected."""
        row = self._rows.get(self._id(key))
        return row is not None and self._clock() < row.busy_until

    def keep_busy(self, key: Item, seconds: float) -> None:
        """Let a transaction write the item for so many seconds."""
        row = self._rows.setdefault(self._id(key), _Row())
        row.busy_until = self._clock() + seconds

    def put(self, key: Item, after: Item | None) -> None:
        """Replace or remove an item, and keep the change."""
        row = self._rows.setdefault(self._id(key), _Row())
        before = row.now
        if before == after:
            return
        after = _copied(after)
        row.now = after
        row.versions.append((self._clock() + self._lag(), after))
        change = Change(
            sequence=len(self.changes) + 1,
            at=self._clock(),
            key=key,
            before=before,
            after=after,
        )
        self.changes.append(change)
        for listener in self.listeners:
            listener(change)

    def indexed_items(self) -> Iterator[Item]:
        """Yield every item as the indexes show it, which lag behind."""
        now = self._clock()
        for row in self._rows.values():
            while len(row.versions) > 1 and row.versions[1][0] <= now:
                row.versions.pop(0)
            visible_from, item = row.versions[0]
            if visible_from <= now and item is not None:
                yield item

    def validate_keys(self, item: Item, operation: str) -> None:
        """Check that each key of the table and its indexes has its type, and is not empty."""
        for name, kind in self._types.items():
            if name in item and (set(item[name]) != {kind} or item[name][kind] == ""):
                raise client_error("ValidationException", operation, f"the key {name}")
        if any(name not in item for name in self.key_names):
            raise client_error("ValidationException", operation, "a key is missing")

    def _id(self, key: Item) -> str:
        return "\0".join(str(key[name]["S"]) for name in self.key_names)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Write:
    """The effect of a valid request on one item."""

    table: Table
    key: Item
    after: Item | None

    def apply(self) -> None:
        self.table.put(self.key, self.after)


class DynamoDb:
    """The tables, with operations that take and return what boto3's client does.

    Args:
        tables: by name.
        page_size: the maximum number of items in a response.
        clock: returns the seconds that have passed.
        work: draws how many seconds a transaction writes its items.
    """

    def __init__(
        self,
        tables: Mapping[str, Table],
        *,
        page_size: int,
        clock: Clock = lambda: 0.0,
        work: Clock = lambda: 0.0,
    ) -> None:
        self.tables = tables
        self._page_size = page_size
        self._clock = clock
        self._work = work
        self._done: dict[str, tuple[float, str]] = {}
        """The time and the request of each transaction, by token."""

    def perform(self, operation: str, arguments: Arguments) -> dict[str, Any]:
        """Perform a request.

        Raises:
            ClientError: DynamoDB would reject it.
            NotImplementedError: it uses what the fake does not have.
        """
        operations: dict[str, Callable[[Arguments], dict[str, Any]]] = {
            "get_item": self._get_item,
            "put_item": lambda it: self._write(it, self._put),
            "update_item": lambda it: self._write(it, self._update),
            "delete_item": lambda it: self._write(it, self._delete),
            "query": self._query,
            "scan": self._scan,
            "batch_get_item": self._batch_get_item,
            "transact_write_items": self._transact_write_items,
        }
        if operation not in operations:
            raise NotImplementedError(f"the fake has no {operation}")
        try:
            return operations[operation](arguments)
        except InvalidExpression as invalid:
            raise client_error("ValidationException", operation, str(invalid)) from invalid

    def _get_item(self, given: Arguments) -> dict[str, Any]:
        item = self._table(given, "TableName", "Key", "ConsistentRead").get(given["Key"])
        return {} if item is None else {"Item": _copied(item)}

    def _write(self, given: Arguments, plan: Callable[..., _Write]) -> dict[str, Any]:
        write = plan(given, "ReturnValues")
        write.apply()
        returned = given.get("ReturnValues", "NONE")
        if returned not in {"NONE", "ALL_NEW"}:
            raise NotImplementedError(f"the fake does not support ReturnValues {returned}")
        return {"Attributes": _copied(write.after)} if returned == "ALL_NEW" else {}

    def _transact_write_items(self, given: Arguments) -> dict[str, Any]:
        """Apply all parts or none; the same token again has no further effect.

        Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
        """
        _require_known(given, "TransactItems", "ClientRequestToken")
        parts = given["TransactItems"]
        token, request = given.get("ClientRequestToken"), json.dumps(parts, sort_keys=True)
        if token in self._done:
            done_at, done = self._done[token]
            if self._clock() < done_at + _TOKEN_SECONDS:
                if request != done:
                    code = "IdempotentParameterMismatchException"
                    raise client_error(code, "TransactWriteItems")
                return {}
        writes = self._plan(parts)
        for write in writes:
            write.apply()
            write.table.keep_busy(write.key, self._work())
        if token is not None:
            self._done[token] = self._clock(), request
        return {}

    def _plan(self, parts: list[Mapping[str, Any]]) -> list[_Write]:
        """Return the writes of a transaction; or raise, with the reason of each part."""
        plans: dict[str, Callable[[Arguments], _Write]] = {
            "Put": self._put,
            "Update": self._update,
        }
        touched = [self._item_of(part) for part in parts]
        if not 0 < len(parts) <= _MAX_PARTS or len(set(touched)) != len(touched):
            message = "too many parts, or several for one item"
            raise client_error("ValidationException", "TransactWriteItems", message)
        writes: list[_Write] = []
        reasons: list[dict[str, Any]] = []
        for part in parts:
            ((kind, given),) = part.items()
            try:
                writes.append(plans[kind](given))
                reasons.append({"Code": "None"})
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code not in _CANCELLATIONS:
                    raise
                response: Any = error.response
                item = {"Item": response["Item"]} if "Item" in response else {}
                reasons.append({"Code": _CANCELLATIONS[code], **item})
        if len(writes) < len(parts):
            code = "TransactionCanceledException"
            raise client_error(code, "TransactWriteItems", CancellationReasons=reasons)
        return writes

    def _item_of(self, part: Mapping[str, Any]) -> str:
        """Return the id of the item that a part of a transaction is about."""
        (given,) = part.values()
        item = given.get("Key") or given["Item"]
        key = [item[name] for name in self.tables[given["TableName"]].key_names]
        return json.dumps([given["TableName"], *key], sort_keys=True)

    def _put(self, given: Arguments, *more: str) -> _Write:
        table = self._table(given, "TableName", "Item", *_CONDITIONAL, *more)
        item = given["Item"]
        table.validate_keys(item, "PutItem")
        key = {name: item[name] for name in table.key_names}
        self._checked(given, table, key, "PutItem")
        return _Write(table=table, key=key, after=item)

    def _delete(self, given: Arguments, *more: str) -> _Write:
        table = self._table(given, "TableName", "Key", *_CONDITIONAL, *more)
        self._checked(given, table, given["Key"], "DeleteItem")
        return _Write(table=table, key=given["Key"], after=None)

    def _update(self, given: Arguments, *more: str) -> _Write:
        table = self._table(given, "TableName", "Key", "UpdateExpression", *_CONDITIONAL, *more)
        scope = self._checked(given, table, given["Key"], "UpdateItem")
        after: Item = {**given["Key"], **scope.item}
        changes = [change(scope) for change in parse_update(given.get("UpdateExpression", ""))]
        names = [name for name, _ in changes]
        if len(names) != len(set(names)) or set(names) & set(table.key_names):
            raise client_error("ValidationException", "UpdateItem", "a path is set twice, or a key")
        for name, value in changes:
            if value is None:
                after.pop(name, None)
            else:
                after[name] = value
        table.validate_keys(after, "UpdateItem")
        if len(str(after)) > _MAX_ITEM_BYTES:
            raise client_error("ValidationException", "UpdateItem", "the item is too large")
        return _Write(table=table, key=given["Key"], after=after)

    def _query(self, given: Arguments) -> dict[str, Any]:
        table = self._table(
            given,
            *("TableName", "IndexName", "KeyConditionExpression", "Limit", "ExclusiveStartKey"),
            *("ExpressionAttributeNames", "ExpressionAttributeValues", "ScanIndexForward"),
        )
        keys = table.indexes[given["IndexName"]]
        forward = given.get("ScanIndexForward", True)
        projected = {*keys, *table.key_names}

        def place(item: Item) -> tuple[str, ...]:
            names = (*keys[1:], *table.key_names)
            return tuple(str(next(iter(item[name].values()))) for name in names)

        indexed = (it for it in table.indexed_items() if keys[0] in it and keys[-1] in it)
        found = [
            {name: value for name, value in item.items() if name in projected}
            for item in _matching(indexed, given, "KeyConditionExpression")
        ]
        found.sort(key=place, reverse=not forward)
        if start := given.get("ExclusiveStartKey"):
            if start in found:
                found = found[found.index(start) + 1 :]
            else:  # it has left the index since the page before
                found = [item for item in found if (place(item) > place(start)) is forward]
        size = min(self._page_size, given.get("Limit", self._page_size))
        page = found[:size]
        last = {"LastEvaluatedKey": page[-1]} if len(found) > size else {}
        return {"Items": page, "Count": len(page), "ScannedCount": len(page), **last}

    def _scan(self, given: Arguments) -> dict[str, Any]:
        """Return the matching items of a page, whose order means nothing.

        Of an index it returns what the index had, which may be behind the table.
        """
        table = self._table(
            given,
            *("TableName", "FilterExpression", "ConsistentRead", "ExclusiveStartKey", "Limit"),
            *("ExpressionAttributeNames", "ExpressionAttributeValues", "IndexName"),
        )
        if "IndexName" in given:
            if given.get("ConsistentRead"):
                message = "Consistent reads are not supported on global secondary indexes"
                raise client_error("ValidationException", "Scan", message)
            index_keys = table.indexes[given["IndexName"]]
            projected = {*index_keys, *table.key_names}
            items = [
                {name: value for name, value in item.items() if name in projected}
                for item in table.indexed_items()
                if all(name in item for name in index_keys)
            ]
        else:
            projected, items = {*table.key_names}, table.items()
        keys = [{name: item[name] for name in projected} for item in items]
        start = given.get("ExclusiveStartKey")
        first = keys.index(start) + 1 if start in keys else 0
        size = min(self._page_size, given.get("Limit", self._page_size))
        page = items[first : first + size]
        found = [_copied(item) for item in _matching(page, given, "FilterExpression")]
        last = {"LastEvaluatedKey": keys[first + size - 1]} if keys[first + size :] else {}
        return {"Items": found, "Count": len(found), "ScannedCount": len(page), **last}

    def _batch_get_item(self, given: Arguments) -> dict[str, Any]:
        """Return some of the items; the others are unprocessed, to be requested again."""
        responses: dict[str, list[Item]] = {}
        unprocessed: dict[str, Any] = {}
        for name, wanted in given["RequestItems"].items():
            keys = wanted["Keys"]
            if not 0 < len(keys) <= _MAX_BATCH or len({str(key) for key in keys}) != len(keys):
                raise client_error("ValidationException", "BatchGetItem", "too many keys, or twice")
            size = max(self._page_size, -(-len(keys) // self._page_size))
            items = (self.tables[name].get(key) for key in keys[:size])
            responses[name] = [_copied(item) for item in items if item is not None]
            if keys[size:]:
                unprocessed[name] = {**wanted, "Keys": keys[size:]}
        return {"Responses": responses, "UnprocessedKeys": unprocessed}

    def _table(self, given: Arguments, *known: str) -> Table:
        _require_known(given, *known)
        return self.tables[given["TableName"]]

    def _checked(self, given: Arguments, table: Table, key: Item, operation: str) -> Scope:
        """Check the condition of a write, and return its scope, with `{}` for no item."""
        item = table.get(key)
        scope = _scope(given, item or {}, "ConditionExpression", "UpdateExpression")
        if table.is_busy(key):
            raise client_error("TransactionConflictException", operation)
        text = given.get("ConditionExpression")
        if text and not parse_condition(text)(scope):
            returns_item = given.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
            parts: dict[str, Any] = {"Item": _copied(item)} if returns_item and item else {}
            raise client_error("ConditionalCheckFailedException", operation, **parts)
        return scope


def _require_known(given: Arguments, *known: str) -> None:
    if unknown := set(given) - set(known):
        raise NotImplementedError(f"the fake does not support {sorted(unknown)}")


def _copied[T](value: T) -> T:
    """Copy a value deeply: faster than `deepcopy`, for what an item consists of."""
    if isinstance(value, dict):
        return {name: _copied(inner) for name, inner in value.items()}  # type: ignore[return-value]  # the same type
    if isinstance(value, list):
        return [_copied(inner) for inner in value]  # type: ignore[return-value]  # the same type
    return value


def _key_names(schema: list[Mapping[str, str]]) -> tuple[str, ...]:
    """Return the names of a key, the partition key first."""
    return tuple(key["AttributeName"] for key in sorted(schema, key=lambda key: key["KeyType"]))


def _scope(given: Arguments, item: Item, *expressions: str) -> Scope:
    """Return the scope of a request's expressions, which must use all placeholders."""
    names = given.get("ExpressionAttributeNames") or {}
    values = given.get("ExpressionAttributeValues") or {}
    used = placeholders(*(given[name] for name in expressions if name in given))
    if used != {*names, *values}:
        raise InvalidExpression(f"placeholders: {sorted(used ^ {*names, *values})}")
    return Scope(item=item, names=names, values=values)


def _matching(items: Iterable[Item], given: Arguments, name: str) -> Iterator[Item]:
    """Yield the items that match the condition of this name."""
    scope = _scope(given, {}, name)
    condition = parse_condition(given[name])
    for item in items:
        scope.item = item
        if condition(scope):
            yield item
