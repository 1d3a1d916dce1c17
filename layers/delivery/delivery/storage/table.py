"""A table of DynamoDB: reads, conditional writes and transactions, with their errors.

Errors:

    StoreUnavailable    a read failed, or a write is not known to be stored: retry later
    ItemUnreadable      one item cannot be read by this version: skip it and report it
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import batched
from typing import TYPE_CHECKING, Any, Final, cast

from delivery.runtime.aws_errors import AWS_ERRORS, AwsError, error_name
from delivery.storage.expressions import Changes, Conditions, names_in, values_of
from delivery.storage.items import Item, as_item, as_record

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

type TransactItem = dict[str, Any]
"""A write in a transaction."""

MAX_BATCH_GET_ITEMS: Final = 100
"""Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html"""

_MAX_ATTEMPTS: Final = 16  # to read unprocessed keys, or to write an item that a transaction holds

# Why a transaction is canceled when another writer is at one of its items:
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
_CONFLICT_CODES: Final = frozenset({"None", "ConditionalCheckFailed", "TransactionConflict"})

# Errors of parsing a record in which an attribute is missing, or has another type or value.
_UNREADABLE: Final = (ArithmeticError, AttributeError, KeyError, TypeError, ValueError)


class StoreUnavailable(Exception):
    """DynamoDB did not confirm a read or a write; the write may still have happened."""


class ItemUnreadable(StoreUnavailable):
    """An item holds what this version does not know, as after a rollback; other items are fine."""


def parse_item[T](item: Item, parse: Callable[[dict[str, Any]], T], what: str) -> T:
    """Return what an item holds.

    Raises:
        ItemUnreadable: another version or program wrote it.
    """
    try:
        return parse(as_record(item))
    except _UNREADABLE as error:
        raise ItemUnreadable(f"the item is not {what}: {type(error).__name__}") from error


def readable[T](
    items: Iterable[Item],
    parse: Callable[[Item], T],
    key: str,
    unreadable: Callable[[str], object] | None,
) -> Iterator[T]:
    """Yield what the items hold; the key of an item that cannot be read goes to `unreadable`.

    Raises:
        ItemUnreadable: an item cannot be read, and there is no `unreadable`.
    """
    for item in items:
        try:
            parsed = parse(item)
        except ItemUnreadable:
            if unreadable is None:
                raise
            unreadable(item[key]["S"])
        else:
            yield parsed


class Table:
    """One table of DynamoDB; its methods raise StoreUnavailable.

    Args:
        client: a low-level DynamoDB client with timeouts and retries set.
        name: the name of the table.
        reader: the client of reads, where they need other retries than writes.
    """

    def __init__(
        self, client: "DynamoDBClient", name: str, *, reader: "DynamoDBClient | None" = None
    ) -> None:
        self._client = client
        self._reader = reader or client
        self._name = name

    def get(self, **key: str) -> Item | None:
        """Return the item with this key (strongly consistent); None where there is none."""
        try:
            answer = self._reader.get_item(
                TableName=self._name, Key=as_item(key), ConsistentRead=True
            )
        except AWS_ERRORS as error:
            raise _unanswered("a read", error) from error
        return answer.get("Item")

    def get_many(
        self, key: str, values: Iterable[str], *, consistent: bool = True
    ) -> Iterator[Item]:
        """Return the existing items with these keys, in the keys' order.

        `consistent`: strongly, at twice the price.
        """
        for listed in batched(values, MAX_BATCH_GET_ITEMS, strict=False):
            # An item that moves in an index during a query is listed twice.
            wanted = dict.fromkeys(listed)
            items = self._batch(key, wanted, consistent=consistent)
            found = {item[key]["S"]: item for item in items}
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
        """Return what an index lists under a condition on its key, in its order, page by page.

        An index is eventually consistent. `limit` is the size of a page.
        """
        arguments = self._query_arguments(index, condition, values)
        arguments["ScanIndexForward"] = not newest_first
        if limit is not None:
            arguments["Limit"] = limit
        return _pages(self._reader.query, arguments)

    def count(self, index: str, condition: str, **values: object) -> tuple[int, bool]:
        """Return how many items a query's first page (1 MB) has, and whether that is all."""
        try:
            page = self._reader.query(
                Select="COUNT", **self._query_arguments(index, condition, values)
            )
        except AWS_ERRORS as error:
            raise _unanswered("a query", error) from error
        return page["Count"], "LastEvaluatedKey" not in page

    def scan(self, condition: str, **values: object) -> Iterator[Item]:
        """Return the matching items of the whole table; it costs as much as reading all of them."""
        arguments = {
            "TableName": self._name,
            "ConsistentRead": True,
            "FilterExpression": condition,
            "ExpressionAttributeNames": names_in(condition),
            "ExpressionAttributeValues": values_of(values),
        }
        return _pages(self._reader.scan, arguments)

    def may_list(self, index: str, condition: str, **values: object) -> bool:
        """Return whether an index may list an item that matches, by one page of a scan (1 MB).

        It replaces a query of each key of an index that is nearly always empty. True is not
        certain: the page may end before a match was found.
        """
        try:
            page = self._reader.scan(
                TableName=self._name,
                IndexName=index,
                FilterExpression=condition,
                ExpressionAttributeNames=names_in(condition),
                ExpressionAttributeValues=values_of(values),
            )
        except AWS_ERRORS as error:
            raise _unanswered("a scan", error) from error
        return bool(page["Items"]) or "LastEvaluatedKey" in page

    def update(self, changes: Changes) -> tuple[bool, Item]:
        """Return (True, the updated item) or (False, the item that failed the condition)."""
        written, answer = self._write(
            self._client.update_item, changes.as_arguments() | {"ReturnValues": "ALL_NEW"}
        )
        return written, answer["Attributes"] if written else answer

    def put(self, record: Mapping[str, Any], conditions: Conditions) -> tuple[bool, Item]:
        """Return (True, the item) or (False, the item that failed the conditions)."""
        item = as_item(record)
        written, answer = self._write(
            self._client.put_item, {"Item": item} | conditions.as_arguments()
        )
        return written, item if written else answer

    def delete(self, conditions: Conditions, **key: str) -> bool:
        """Delete the item; return False where the conditions failed or the item was gone."""
        written, _ = self._write(
            self._client.delete_item, {"Key": as_item(key)} | conditions.as_arguments()
        )
        return written

    def as_put(self, record: Mapping[str, Any], conditions: Conditions) -> TransactItem:
        """Return `put` as part of a transaction."""
        arguments = {"TableName": self._name, "Item": as_item(record)}
        return {"Put": arguments | conditions.as_arguments()}

    def as_update(self, changes: Changes) -> TransactItem:
        """Return `update` as part of a transaction."""
        return {"Update": {"TableName": self._name} | changes.as_arguments()}

    def _query_arguments(
        self, index: str, condition: str, values: Mapping[str, object]
    ) -> dict[str, Any]:
        return {
            "TableName": self._name,
            "IndexName": index,
            "KeyConditionExpression": condition,
            "ExpressionAttributeNames": names_in(condition),
            "ExpressionAttributeValues": values_of(values),
        }

    def _batch(self, key: str, values: Iterable[str], *, consistent: bool) -> Iterator[Item]:
        """Return the items with these keys, in any order."""
        keys = [{key: {"S": value}} for value in values]
        requested: Any = {self._name: {"Keys": keys, "ConsistentRead": consistent}}
        for _ in range(_MAX_ATTEMPTS):
            try:
                answer = self._reader.batch_get_item(RequestItems=requested)
            except AWS_ERRORS as error:
                raise _unanswered("a read", error) from error
            yield from answer["Responses"].get(self._name, [])
            requested = answer["UnprocessedKeys"]
            if not requested:
                return
        raise StoreUnavailable("DynamoDB left keys of a read unprocessed")

    def _write(self, write: Callable[..., Any], arguments: Mapping[str, Any]) -> tuple[bool, Item]:
        """Return (True, the answer) or (False, the item that failed the condition, {} for none)."""
        errors = self._client.exceptions
        for _ in range(_MAX_ATTEMPTS):
            try:
                answer = write(
                    TableName=self._name,
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                    **arguments,
                )
            except errors.ConditionalCheckFailedException as error:
                return False, cast("Item", error.response.get("Item", {}))
            except errors.TransactionConflictException:
                continue  # nothing was written; the transaction ends within milliseconds
            except AWS_ERRORS as error:
                raise _unconfirmed(error) from error
            return True, answer
        raise StoreUnavailable("transactions kept the item busy")


def transact(client: "DynamoDBClient", parts: Sequence[TransactItem]) -> bool:
    """Write all parts or none; return False where a condition failed or a writer conflicted."""
    try:
        client.transact_write_items(TransactItems=cast("Any", parts))
    except client.exceptions.TransactionCanceledException as error:
        causes = _causes(error)
        if causes and _CONFLICT_CODES.issuperset(causes):
            return False
        raise StoreUnavailable(f"DynamoDB canceled a transaction: {sorted(causes)}") from error
    except AWS_ERRORS as error:
        raise _unconfirmed(error) from error
    return True


def _pages(read: Callable[..., Any], arguments: Mapping[str, Any]) -> Iterator[Item]:
    start: Item = {}
    while True:
        try:
            page = read(**arguments, **start)
        except AWS_ERRORS as error:
            raise _unanswered("a query", error) from error
        yield from page["Items"]
        if "LastEvaluatedKey" not in page:
            return
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def _unanswered(operation: str, error: AwsError) -> StoreUnavailable:
    return StoreUnavailable(f"DynamoDB did not answer {operation}: {error_name(error)}")


def _unconfirmed(error: AwsError) -> StoreUnavailable:
    return StoreUnavailable(f"DynamoDB did not confirm a write: {error_name(error)}")


def _causes(canceled: Any) -> set[str]:
    reasons = canceled.response.get("CancellationReasons", [])
    return {it.get("Code", "None") for it in reasons}
