"""A table of DynamoDB: its items, writes on conditions, reads of many, and what can go wrong.

Errors:

    StoreUnavailable    nothing is known to be stored: try again later
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import batched
from typing import TYPE_CHECKING, Any, Final, cast

from delivery.runtime.aws_errors import AWS_ERRORS, reason

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

type Item = dict[str, Any]
"""An item as the low-level client has it, e.g. {"status": {"S": "sent"}}."""

type Part = dict[str, Any]
"""A write in a transaction."""

MAX_ITEMS_OF_A_READ: Final = 100  # DynamoDB's own limit
_MAX_TRIES: Final = 16  # to read what DynamoDB left out, or to write what a transaction works on

# Why a transaction is called off when somebody else is at work on one of its items:
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
_LOST: Final = frozenset({"None", "ConditionalCheckFailed", "TransactionConflict"})


class StoreUnavailable(Exception):
    """DynamoDB did not confirm a read or a write; the write may still have happened."""


class Conditions:
    """What must hold for a write to happen; together, all of it."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._values: Item = {}
        self._conditions: list[str] = []

    def require(self, condition: str, **values: object) -> None:
        """Write only if `condition` holds, which mentions `#name` and `:value` so."""
        self._conditions.append(f"({condition})")
        self._names |= _names_in(condition)
        self._values |= _values(values)

    def require_unchanged(self, name: str, item: Item) -> None:
        """Write only if the attribute is as it is in `item`, which may lack it."""
        self._names[f"#{name}"] = name
        if name in item:
            self._values[f":seen_{name}"] = item[name]
            self._conditions.append(f"#{name} = :seen_{name}")
        else:
            self._conditions.append(f"attribute_not_exists(#{name})")

    def as_arguments(self) -> dict[str, Any]:
        """The arguments of a write; no expression may be empty."""
        arguments = {
            "ConditionExpression": " AND ".join(self._conditions),
            "ExpressionAttributeNames": self._names,
            "ExpressionAttributeValues": self._values,
        }
        return {name: given for name, given in arguments.items() if given}


class Changes(Conditions):
    """One UpdateItem in the making: what it sets and removes, and on which conditions.

    Args:
        key: the key's attributes, e.g. `Changes(message_sid="SM...")`.
    """

    def __init__(self, **key: str) -> None:
        super().__init__()
        self._key = as_item(key)
        self._sets: list[str] = []
        self._removes: list[str] = []

    def set(self, name: str, value: object, *, once: bool = False) -> None:
        """Write the attribute; `once`: only where it is not there yet."""
        self._mention(name, value)
        new = f"if_not_exists(#{name}, :{name})" if once else f":{name}"
        self._sets.append(f"#{name} = {new}")

    def add(self, name: str, number: int) -> None:
        """Add a number to the attribute, which must be there."""
        self._mention(name, number)
        self._sets.append(f"#{name} = #{name} + :{name}")

    def append(self, name: str, value: object) -> None:
        """Add an entry to the list, which is made where it is not there yet."""
        self._mention(name, [value])
        self._values[":nothing"] = {"L": []}
        self._sets.append(f"#{name} = list_append(if_not_exists(#{name}, :nothing), :{name})")

    def remove(self, name: str) -> None:
        """Remove the attribute, if it is there."""
        self._names[f"#{name}"] = name
        self._removes.append(f"#{name}")

    def as_arguments(self) -> dict[str, Any]:
        """The arguments of `update_item`, but for the table's name and what to return."""
        parts = (("SET", self._sets), ("REMOVE", self._removes))
        expression = " ".join(f"{word} {', '.join(part)}" for word, part in parts if part)
        return {"Key": self._key, "UpdateExpression": expression} | super().as_arguments()

    def _mention(self, name: str, value: object) -> None:
        self._names[f"#{name}"] = name
        self._values[f":{name}"] = as_attribute(value)


class Table:
    """One table.

    Args:
        client: a low-level DynamoDB client, its time-outs and retries set.
        name: the table's.
    """

    def __init__(self, client: "DynamoDBClient", name: str) -> None:
        self._client = client
        self._name = name

    def get(self, **key: str) -> Item | None:
        """The item with this key as it is now (strongly consistent); None where there is none.

        Raises:
            StoreUnavailable: DynamoDB did not answer.
        """
        try:
            answer = self._client.get_item(
                TableName=self._name, Key=as_item(key), ConsistentRead=True
            )
        except AWS_ERRORS as error:
            raise StoreUnavailable(f"DynamoDB did not answer a read: {reason(error)}") from error
        return answer.get("Item")

    def get_many(self, key: str, values: Iterable[str]) -> Iterator[Item]:
        """The items with these keys in the keys' order, as far as there are any, as they are now.

        Raises:
            StoreUnavailable: DynamoDB did not answer.
        """
        for listed in batched(values, MAX_ITEMS_OF_A_READ, strict=False):
            wanted = dict.fromkeys(listed)  # what moved while an index was read is in it twice
            found = {item[key]["S"]: item for item in self._batch(key, wanted)}
            yield from (found[value] for value in wanted if value in found)

    def query(
        self,
        index: str,
        condition: str,
        *,
        newest_first: bool = False,
        limit: int | None = None,
        **values: object,
    ) -> Iterator[Item]:
        """What an index has under a condition on its key, in its order, page by page.

        An index lags a little behind the table. `limit` is how much of it is read at once.

        Raises:
            StoreUnavailable: DynamoDB did not answer.
        """
        arguments = self._asked(index, condition, values)
        arguments["ScanIndexForward"] = not newest_first
        if limit is not None:
            arguments["Limit"] = limit
        return _items(self._client.query, arguments)

    def count(self, index: str, condition: str, **values: object) -> tuple[int, bool]:
        """How many items a query finds on its first page (1 MB of the index), and if that is all.

        Raises:
            StoreUnavailable: DynamoDB did not answer.
        """
        try:
            page = self._client.query(Select="COUNT", **self._asked(index, condition, values))
        except AWS_ERRORS as error:
            raise StoreUnavailable(f"DynamoDB did not answer a query: {reason(error)}") from error
        return page["Count"], "LastEvaluatedKey" not in page

    def scan(self, condition: str, **values: object) -> Iterator[Item]:
        """The items of the whole table that fit: it costs as much as to read them all.

        Raises:
            StoreUnavailable: DynamoDB did not answer.
        """
        arguments = {
            "TableName": self._name,
            "ConsistentRead": True,
            "FilterExpression": condition,
            "ExpressionAttributeNames": _names_in(condition),
            "ExpressionAttributeValues": _values(values),
        }
        return _items(self._client.scan, arguments)

    def update(self, changes: Changes) -> tuple[bool, Item]:
        """(True, the item after the write) or (False, the item that failed the condition).

        Raises:
            StoreUnavailable: it is not known to be written.
        """
        written, answer = self._write(
            self._client.update_item, changes.as_arguments() | {"ReturnValues": "ALL_NEW"}
        )
        return written, answer["Attributes"] if written else answer

    def put(self, record: Mapping[str, Any], conditions: Conditions) -> tuple[bool, Item]:
        """(True, the item) or (False, the item that failed the conditions).

        Raises:
            StoreUnavailable: it is not known to be written.
        """
        item = as_item(record)
        written, answer = self._write(
            self._client.put_item, {"Item": item} | conditions.as_arguments()
        )
        return written, item if written else answer

    def delete(self, conditions: Conditions, **key: str) -> bool:
        """Whether the item is deleted by this, and not by another, or the conditions failed.

        Raises:
            StoreUnavailable: it is not known to be deleted.
        """
        written, _ = self._write(
            self._client.delete_item, {"Key": as_item(key)} | conditions.as_arguments()
        )
        return written

    def as_put(self, record: Mapping[str, Any], conditions: Conditions) -> Part:
        """The same as `put`, in a transaction."""
        arguments = {"TableName": self._name, "Item": as_item(record)}
        return {"Put": arguments | conditions.as_arguments()}

    def as_update(self, changes: Changes) -> Part:
        """The same as `update`, in a transaction."""
        return {"Update": {"TableName": self._name} | changes.as_arguments()}

    def _asked(self, index: str, condition: str, values: Mapping[str, object]) -> dict[str, Any]:
        return {
            "TableName": self._name,
            "IndexName": index,
            "KeyConditionExpression": condition,
            "ExpressionAttributeNames": _names_in(condition),
            "ExpressionAttributeValues": _values(values),
        }

    def _batch(self, key: str, values: Iterable[str]) -> Iterator[Item]:
        """The items with these keys, in any order."""
        keys = [{key: {"S": value}} for value in values]
        asked: Any = {self._name: {"Keys": keys, "ConsistentRead": True}}
        for _ in range(_MAX_TRIES):
            try:
                answer = self._client.batch_get_item(RequestItems=asked)
            except AWS_ERRORS as error:
                why = reason(error)
                raise StoreUnavailable(f"DynamoDB did not answer a read: {why}") from error
            yield from answer["Responses"].get(self._name, [])
            asked = answer["UnprocessedKeys"]
            if not asked:
                return
        raise StoreUnavailable("DynamoDB answered a read in part only")

    def _write(self, write: Callable[..., Any], arguments: Mapping[str, Any]) -> tuple[bool, Item]:
        """(True, the answer) or (False, the item that failed the condition, {} for none)."""
        errors = self._client.exceptions
        for _ in range(_MAX_TRIES):
            try:
                answer = write(
                    TableName=self._name,
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                    **arguments,
                )
            except errors.ConditionalCheckFailedException as error:
                return False, cast("Item", error.response.get("Item", {}))
            except errors.TransactionConflictException:
                continue  # nothing was written; the transaction on this item is over in a moment
            except AWS_ERRORS as error:
                why = reason(error)
                raise StoreUnavailable(f"DynamoDB did not confirm a write: {why}") from error
            return True, answer
        raise StoreUnavailable("transactions kept the item busy")


def transact(client: "DynamoDBClient", parts: Sequence[Part]) -> bool:
    """Write all of it, or nothing: False where a condition failed, or others were at an item.

    Raises:
        StoreUnavailable: it is not known to be written.
    """
    try:
        client.transact_write_items(TransactItems=cast("Any", parts))
    except client.exceptions.TransactionCanceledException as error:
        causes = _causes(error)
        if causes and _LOST.issuperset(causes):
            return False
        raise StoreUnavailable(f"DynamoDB called it off: {sorted(causes)}") from error
    except AWS_ERRORS as error:
        raise StoreUnavailable(f"DynamoDB did not confirm a write: {reason(error)}") from error
    return True


def as_item(record: Mapping[str, Any]) -> Item:
    """Plain data (str, bool, int, list, dict) as an item."""
    return {name: as_attribute(value) for name, value in record.items()}


def as_attribute(value: object) -> dict[str, Any]:
    """A plain value as the low-level client wants it.

    Our own and not boto3's TypeSerializer, whose import brings boto3's resources to every start.
    """
    match value:
        case str():
            return {"S": value}
        case bool():
            return {"BOOL": value}
        case int():
            return {"N": str(value)}
        case list():
            return {"L": [as_attribute(entry) for entry in value]}
        case dict():
            return {"M": as_item(value)}
        case _:
            raise TypeError(f"an item holds no {type(value).__name__}")


def as_record(item: Item) -> dict[str, Any]:
    """What an item says, as plain data."""
    return {name: as_value(attribute) for name, attribute in item.items()}


def as_value(attribute: Mapping[str, Any]) -> Any:
    """The plain value of an attribute."""
    match attribute:
        case {"S": text}:
            return text
        case {"N": number}:
            return int(number) if number.lstrip("-").isdigit() else float(number)
        case {"BOOL": truth}:
            return truth
        case {"L": entries}:
            return [as_value(entry) for entry in entries]
        case {"M": entries}:
            return as_record(entries)
        case _:
            return None  # somebody else's attribute; none of ours has such a type


def _items(ask: Callable[..., Any], arguments: Mapping[str, Any]) -> Iterator[Item]:
    start: Item = {}
    while True:
        try:
            page = ask(**arguments, **start)
        except AWS_ERRORS as error:
            raise StoreUnavailable(f"DynamoDB did not answer a query: {reason(error)}") from error
        yield from page["Items"]
        if "LastEvaluatedKey" not in page:
            return
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def _causes(canceled: Any) -> set[str]:
    reasons = canceled.response.get("CancellationReasons", [])
    return {it.get("Code", "None") for it in reasons}


def _names_in(expression: str) -> dict[str, str]:
    """The attributes that an expression mentions, each as `#name`."""
    return {f"#{name}": name for name in re.findall(r"#(\w+)", expression)}


def _values(values: Mapping[str, object]) -> Item:
    return {f":{name}": as_attribute(value) for name, value in values.items()}
