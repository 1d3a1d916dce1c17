"""DynamoDB, as far as the handlers use it: items, conditions, transactions, indexes, a stream.

What a table is like comes from the template. Answers and errors have boto3's shapes; the contract
test compares them with other implementations.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from botocore.exceptions import ClientError

from simulation.fakes.errors import client_error
from simulation.fakes.expressions import (
    Item,
    Malformed,
    Words,
    condition,
    placeholders,
    update,
)

_MAX_ITEM_BYTES: Final = 400 * 1024
_MAX_BATCH: Final = 100
_MAX_PARTS: Final = 100
_TOKEN_KEPT_SECONDS: Final = 600.0

type Clock = Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What one write did, for the stream; an image is None where there is no item."""

    sequence: int
    at: float
    key: Item
    before: Item | None
    after: Item | None


@dataclass(slots=True)
class _Row:
    """The versions of an item that an index may still show, each with the time of its showing."""

    now: Item | None = None
    busy_until: float = 0.0
    """A transaction is at work on it until then."""
    versions: list[tuple[float, Item | None]] = field(default_factory=list)


class Table:
    """One table: `properties` as the template has them; `lag` draws an index's delay."""

    def __init__(
        self, name: str, properties: Mapping[str, Any], *, clock: Clock, lag: Clock
    ) -> None:
        self.name = name
        self.key_names = _key_names(properties["KeySchema"])
        self.indexes = {
            index["IndexName"]: _key_names(index["KeySchema"])
            for index in properties.get("GlobalSecondaryIndexes", [])
        }
        self.stream: list[Change] = []
        self.told: list[Callable[[Change], object]] = []
        """Are told of each change."""
        self._has_stream = "StreamSpecification" in properties
        self._types = {
            each["AttributeName"]: each["AttributeType"]
            for each in properties["AttributeDefinitions"]
        }
        self._clock = clock
        self._lag = lag
        self._rows: dict[str, _Row] = {}

    def items(self) -> list[Item]:
        """Every item as it is now."""
        return [row.now for row in self._rows.values() if row.now is not None]

    def get(self, key: Item) -> Item | None:
        """The item as it is now."""
        row = self._rows.get(self._id(key))
        return row.now if row else None

    def is_busy(self, key: Item) -> bool:
        """Whether a transaction is at work on the item: who writes it meanwhile is refused."""
        row = self._rows.get(self._id(key))
        return row is not None and self._clock() < row.busy_until

    def keep_busy(self, key: Item, seconds: float) -> None:
        """Let a transaction be at work on the item."""
        row = self._rows.setdefault(self._id(key), _Row())
        row.busy_until = self._clock() + seconds

    def put(self, key: Item, after: Item | None) -> None:
        """Replace an item, or remove it; tells the stream."""
        row = self._rows.setdefault(self._id(key), _Row())
        before = row.now
        if before == after:
            return
        after = _copied(after)  # whoever wrote it may go on with its own
        row.now = after
        row.versions.append((self._clock() + self._lag(), after))
        if self._has_stream:
            change = Change(
                sequence=len(self.stream) + 1,
                at=self._clock(),
                key=key,
                before=before,
                after=after,
            )
            self.stream.append(change)
            for tell in self.told:
                tell(change)

    def seen_through_index(self) -> Iterator[Item]:
        """Every item as the indexes show it: somewhat older than it is."""
        now = self._clock()
        for row in self._rows.values():
            while len(row.versions) > 1 and row.versions[1][0] <= now:
                row.versions.pop(0)
            shown = row.versions[0]
            if shown[0] <= now and shown[1] is not None:
                yield shown[1]

    def refuse_bad_keys(self, item: Item, operation: str) -> None:
        """A key of the table or of an index is never of another type, and never empty."""
        for name, kind in self._types.items():
            if name in item and (set(item[name]) != {kind} or item[name][kind] == ""):
                raise client_error("ValidationException", operation, f"the key {name}")
        if any(name not in item for name in self.key_names):
            raise client_error("ValidationException", operation, "a key is missing")

    def _id(self, key: Item) -> str:
        return "\0".join(str(key[name]["S"]) for name in self.key_names)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Write:
    """What a request that may be carried out does to one item."""

    table: Table
    key: Item
    before: Item | None
    after: Item | None

    def take_effect(self) -> None:
        self.table.put(self.key, self.after)


class DynamoDb:
    """The tables; the operations take and return what boto3's low-level client does.

    Args:
        tables: by name.
        page_size: how many items an answer has at the most.
        clock: the seconds that have passed.
        work: draws how many seconds a transaction is at work on its items.
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
        """The transactions by their token: when, and what was asked."""

    def perform(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """One request."""
        operations: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "get_item": self._get_item,
            "put_item": self._put_item,
            "update_item": self._update_item,
            "delete_item": self._delete_item,
            "query": self._query,
            "scan": self._scan,
            "batch_get_item": self._batch_get_item,
            "transact_write_items": self._transact_write_items,
        }
        try:
            return operations[operation](arguments)
        except Malformed as malformed:
            raise client_error("ValidationException", operation, str(malformed)) from malformed

    def _get_item(self, given: Mapping[str, Any]) -> dict[str, Any]:
        item = self._table(given, "TableName", "Key", "ConsistentRead").get(given["Key"])
        return {} if item is None else {"Item": _copied(item)}

    def _put_item(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return self._written(given, self._put(given, *_RETURNING))

    def _update_item(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return self._written(given, self._update(given, *_RETURNING))

    def _delete_item(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return self._written(given, self._delete(given, *_RETURNING))

    def _written(self, given: Mapping[str, Any], write: _Write) -> dict[str, Any]:
        write.take_effect()
        return _returned(given, write.before, write.after)

    def _transact_write_items(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All of the parts or none; the same token again does nothing more.

        Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
        """
        if unknown := set(given) - {"TransactItems", "ClientRequestToken"}:
            raise NotImplementedError(f"{sorted(unknown)} must be taught to the fake first")
        parts = given["TransactItems"]
        token, asked = given.get("ClientRequestToken"), json.dumps(parts, sort_keys=True)
        if token in self._done:
            done_at, was_asked = self._done[token]
            if self._clock() < done_at + _TOKEN_KEPT_SECONDS:
                if asked != was_asked:
                    code = "IdempotentParameterMismatchException"
                    raise client_error(code, "TransactWriteItems")
                return {}
        writes = self._planned(parts)
        for write in writes:
            write.take_effect()
            write.table.keep_busy(write.key, self._work())
        if token is not None:
            self._done[token] = self._clock(), asked
        return {}

    def _planned(self, parts: list[Mapping[str, Any]]) -> list[_Write]:
        """What the parts do; or none of them does anything, and each says why."""
        kinds = {
            "Put": self._put,
            "Update": self._update,
            "Delete": self._delete,
            "ConditionCheck": self._check,
        }
        touched = [_touched(part, self.tables) for part in parts]
        if not 0 < len(parts) <= _MAX_PARTS or len(set(touched)) != len(touched):
            message = "too many parts, or several for one item"
            raise client_error("ValidationException", "TransactWriteItems", message)
        writes: list[_Write] = []
        reasons: list[dict[str, Any]] = []
        for part in parts:
            ((kind, wanted),) = part.items()
            try:
                writes.append(kinds[kind](wanted))
                reasons.append({"Code": "None"})
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code not in _CANCELLATIONS:
                    raise
                item: Any = error.response
                reasons.append(
                    {"Code": _CANCELLATIONS[code]}
                    | ({"Item": item["Item"]} if "Item" in item else {})
                )
        if len(writes) < len(parts):
            code = "TransactionCanceledException"
            raise client_error(code, "TransactWriteItems", CancellationReasons=reasons)
        return writes

    def _put(self, given: Mapping[str, Any], *more: str) -> _Write:
        table = self._table(given, "TableName", "Item", *_CONDITIONAL, *more)
        table.refuse_bad_keys(given["Item"], "PutItem")
        key = {name: given["Item"][name] for name in table.key_names}
        before = table.get(key)
        self._require(given, table, key, "PutItem")
        return _Write(table=table, key=key, before=before, after=given["Item"])

    def _delete(self, given: Mapping[str, Any], *more: str) -> _Write:
        table = self._table(given, "TableName", "Key", *_CONDITIONAL, *more)
        before = table.get(given["Key"])
        self._require(given, table, given["Key"], "DeleteItem")
        return _Write(table=table, key=given["Key"], before=before, after=None)

    def _check(self, given: Mapping[str, Any]) -> _Write:
        table = self._table(given, "TableName", "Key", *_CONDITIONAL)
        before = table.get(given["Key"])
        self._require(given, table, given["Key"], "ConditionCheck")
        return _Write(table=table, key=given["Key"], before=before, after=before)

    def _update(self, given: Mapping[str, Any], *more: str) -> _Write:
        table = self._table(given, "TableName", "Key", "UpdateExpression", *_CONDITIONAL, *more)
        before = table.get(given["Key"])
        words = self._require(given, table, given["Key"], "UpdateItem")
        seen = before or {}
        after: Item = {**given["Key"], **seen}
        changes = [change(seen, words) for change in update(given.get("UpdateExpression", ""))]
        names = [name for name, _ in changes]
        if len(names) != len(set(names)) or set(names) & set(table.key_names):
            raise client_error("ValidationException", "UpdateItem", "a path is set twice, or a key")
        for name, value in changes:
            if value is None:
                after.pop(name, None)
            else:
                after[name] = value
        table.refuse_bad_keys(after, "UpdateItem")
        if len(str(after)) > _MAX_ITEM_BYTES:
            raise client_error("ValidationException", "UpdateItem", "the item is too large")
        return _Write(table=table, key=given["Key"], before=before, after=after)

    def _query(self, given: Mapping[str, Any]) -> dict[str, Any]:
        table = self._table(
            given,
            *("TableName", "IndexName", "KeyConditionExpression", "Limit", "ExclusiveStartKey"),
            *("ExpressionAttributeNames", "ExpressionAttributeValues", "ScanIndexForward"),
        )
        words = _words(given, "KeyConditionExpression")
        keys = table.indexes[given["IndexName"]]
        wanted = condition(given["KeyConditionExpression"])
        kept = {*keys, *table.key_names}
        found = sorted(
            (
                {name: value for name, value in item.items() if name in kept}
                for item in table.seen_through_index()
                if keys[0] in item and keys[-1] in item and wanted(item, words)
            ),
            key=lambda item: _place(item, keys, table),
            reverse=not given.get("ScanIndexForward", True),
        )
        if start := given.get("ExclusiveStartKey"):
            places = [index for index, item in enumerate(found) if item == start]
            found = found[places[0] + 1 :] if places else _beyond(found, start, keys, table, given)
        size = min(self._page_size, given.get("Limit", self._page_size))
        page = found[:size]
        answer: dict[str, Any] = {"Items": page, "Count": len(page), "ScannedCount": len(page)}
        if len(found) > size:
            answer["LastEvaluatedKey"] = page[-1]
        return answer

    def _scan(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """A page has those that fit, of so many; in no order that means anything."""
        table = self._table(
            given,
            *("TableName", "FilterExpression", "ConsistentRead", "ExclusiveStartKey", "Limit"),
            *("ExpressionAttributeNames", "ExpressionAttributeValues"),
        )
        words = _words(given, "FilterExpression")
        wanted = condition(given["FilterExpression"])
        keys = [{name: item[name] for name in table.key_names} for item in table.items()]
        start = given.get("ExclusiveStartKey")
        first = keys.index(start) + 1 if start in keys else 0
        size = min(self._page_size, given.get("Limit", self._page_size))
        page = table.items()[first : first + size]
        found = [_copied(item) for item in page if wanted(item, words)]
        answer: dict[str, Any] = {"Items": found, "Count": len(found), "ScannedCount": len(page)}
        if keys[first + size :]:
            answer["LastEvaluatedKey"] = keys[first + size - 1]
        return answer

    def _batch_get_item(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a batch may leave out some, to be asked for again."""
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

    def _table(self, given: Mapping[str, Any], *understood: str) -> Table:
        if unknown := set(given) - set(understood):
            raise NotImplementedError(f"{sorted(unknown)} must be taught to the fake first")
        return self.tables[given["TableName"]]

    def _require(self, given: Mapping[str, Any], table: Table, key: Item, operation: str) -> Words:
        words = _words(given, "ConditionExpression", "UpdateExpression")
        if table.is_busy(key):
            raise client_error("TransactionConflictException", operation)
        text, item = given.get("ConditionExpression"), table.get(key)
        if text and not condition(text)(item or {}, words):
            wants_item = given.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
            parts: dict[str, Any] = (
                {"Item": _copied(item)} if wants_item and item is not None else {}
            )
            raise client_error("ConditionalCheckFailedException", operation, **parts)
        return words


_CONDITIONAL: Final = (
    *("ConditionExpression", "ExpressionAttributeNames", "ExpressionAttributeValues"),
    "ReturnValuesOnConditionCheckFailure",
)
_RETURNING: Final = ("ReturnValues",)
_CANCELLATIONS: Final = {
    "ConditionalCheckFailedException": "ConditionalCheckFailed",
    "TransactionConflictException": "TransactionConflict",
}


def _touched(part: Mapping[str, Any], tables: Mapping[str, Table]) -> str:
    """The item that a part of a transaction is about."""
    (wanted,) = part.values()
    names = tables[wanted["TableName"]].key_names
    item = wanted.get("Key") or wanted["Item"]
    return json.dumps([wanted["TableName"], *(item[name] for name in names)], sort_keys=True)


def _copied[T](value: T) -> T:
    """As deepcopy, for what an item is made of."""
    if isinstance(value, dict):
        return {name: _copied(inner) for name, inner in value.items()}  # type: ignore[return-value]  # the same type
    if isinstance(value, list):
        return [_copied(inner) for inner in value]  # type: ignore[return-value]  # the same type
    return value


def _key_names(schema: list[Mapping[str, str]]) -> tuple[str, ...]:
    """The partition key first."""
    return tuple(key["AttributeName"] for key in sorted(schema, key=lambda key: key["KeyType"]))


def _words(given: Mapping[str, Any], *expressions: str) -> Words:
    """The placeholders; one that nothing uses is refused, as is one that is not given."""
    names = given.get("ExpressionAttributeNames") or {}
    values = given.get("ExpressionAttributeValues") or {}
    used = placeholders(*(given[name] for name in expressions if name in given))
    if used != {*names, *values}:
        raise Malformed(f"placeholders: {sorted(used ^ {*names, *values})}")
    return Words(names=names, values=values)


def _returned(given: Mapping[str, Any], before: Item | None, after: Item | None) -> dict[str, Any]:
    match given.get("ReturnValues", "NONE"):
        case "ALL_NEW":
            return {"Attributes": _copied(after)}
        case "ALL_OLD" if before is not None:
            return {"Attributes": _copied(before)}
        case _:
            return {}


def _place(item: Item, keys: tuple[str, ...], table: Table) -> tuple[str, ...]:
    return tuple(str(next(iter(item[name].values()))) for name in (*keys[1:], *table.key_names))


def _beyond(
    found: list[Item],
    start: Item,
    keys: tuple[str, ...],
    table: Table,
    given: Mapping[str, Any],
) -> list[Item]:
    """What comes after an item that has left the index since it was last shown."""
    place = _place(start, keys, table)
    forward = given.get("ScanIndexForward", True)
    return [item for item in found if (_place(item, keys, table) > place) is forward]
