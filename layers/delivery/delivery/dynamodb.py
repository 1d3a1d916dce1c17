"""What the stores share: items and what they say, expressions, reads of many, what can go wrong.

Errors:

    StoreUnavailable    nothing is known to be stored: try again later
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import batched
from typing import TYPE_CHECKING, Any, Final, cast

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

type Item = dict[str, Any]
"""An item as the low-level client has it, e.g. {"status": {"S": "sent"}}."""

MOST_ITEMS_OF_A_READ: Final = 100  # DynamoDB's own limit
_MOST_TRIES: Final = 16  # to read what DynamoDB left out, or to write what a transaction works on


class StoreUnavailable(Exception):
    """DynamoDB did not confirm a read or a write; the write may still have happened."""


class Changes:
    """One UpdateItem in the making: what it sets and removes, and on which conditions.

    Args:
        key: the key's attributes, e.g. `Changes(message_sid="SM...")`.
    """

    def __init__(self, **key: str) -> None:
        self._key = as_item(key)
        self._names: dict[str, str] = {}
        self._values: Item = {}
        self._sets: list[str] = []
        self._removes: list[str] = []
        self._conditions: list[str] = []

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

    def require(self, condition: str, *names: str, **values: object) -> None:
        """Write only if `condition` holds, which mentions `#name` and `:value` so."""
        self._conditions.append(f"({condition})")
        self._names |= {f"#{name}": name for name in names}
        self._values |= {f":{name}": as_attribute(value) for name, value in values.items()}

    def require_unchanged(self, name: str, item: Item) -> None:
        """Write only if the attribute is as it is in `item`, which may lack it."""
        self._names[f"#{name}"] = name
        if name in item:
            self._values[f":seen_{name}"] = item[name]
            self._conditions.append(f"#{name} = :seen_{name}")
        else:
            self._conditions.append(f"attribute_not_exists(#{name})")

    def as_arguments(self) -> dict[str, Any]:
        """The arguments of `update_item`, but for the table's name and what to return."""
        parts = (("SET", self._sets), ("REMOVE", self._removes))
        return {
            "Key": self._key,
            "UpdateExpression": " ".join(
                f"{word} {', '.join(part)}" for word, part in parts if part
            ),
            "ConditionExpression": " AND ".join(self._conditions),
            "ExpressionAttributeNames": self._names,
            "ExpressionAttributeValues": self._values,
        }

    def _mention(self, name: str, value: object) -> None:
        self._names[f"#{name}"] = name
        self._values[f":{name}"] = as_attribute(value)


def read_one(client: "DynamoDBClient", table_name: str, key: str, value: str) -> Item | None:
    """The item with this key as it is now (strongly consistent); None where there is none.

    Raises:
        StoreUnavailable: DynamoDB did not answer.
    """
    try:
        answer = client.get_item(TableName=table_name, Key={key: {"S": value}}, ConsistentRead=True)
    except (ClientError, BotoCoreError) as error:
        raise StoreUnavailable(f"DynamoDB did not answer a read: {reason(error)}") from error
    return answer.get("Item")


def query(
    client: "DynamoDBClient", table_name: str, arguments: Mapping[str, Any]
) -> Iterator[Item]:
    """The items of a query of the table, page by page.

    Raises:
        StoreUnavailable: DynamoDB did not answer.
    """
    return _items(client.query, {"TableName": table_name, **arguments})


def scan(client: "DynamoDBClient", table_name: str, arguments: Mapping[str, Any]) -> Iterator[Item]:
    """The items of the whole table that fit, page by page: it costs as much as to read them all.

    Raises:
        StoreUnavailable: DynamoDB did not answer.
    """
    return _items(client.scan, {"TableName": table_name, **arguments})


def _items(ask: Callable[..., Any], arguments: Mapping[str, Any]) -> Iterator[Item]:
    start: Item = {}
    while True:
        try:
            page = ask(**arguments, **start)
        except (ClientError, BotoCoreError) as error:
            raise StoreUnavailable(f"DynamoDB did not answer a query: {reason(error)}") from error
        yield from page["Items"]
        if "LastEvaluatedKey" not in page:
            return
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def count(
    client: "DynamoDBClient", table_name: str, arguments: Mapping[str, Any]
) -> tuple[int, bool]:
    """How many items a query finds on its first page (1 MB of the index), and if these are all.

    Raises:
        StoreUnavailable: DynamoDB did not answer.
    """
    try:
        page = client.query(TableName=table_name, Select="COUNT", **arguments)
    except (ClientError, BotoCoreError) as error:
        raise StoreUnavailable(f"DynamoDB did not answer a query: {reason(error)}") from error
    return page["Count"], "LastEvaluatedKey" not in page


def read_many(
    client: "DynamoDBClient", table_name: str, key: str, values: Iterable[str]
) -> Iterator[Item]:
    """The items with these keys in the keys' order, as far as there are any, as they are now.

    Raises:
        StoreUnavailable: DynamoDB did not answer.
    """
    for listed in batched(values, MOST_ITEMS_OF_A_READ, strict=False):
        wanted = dict.fromkeys(listed)  # what moved while the index was read is in it twice
        asked: Any = {
            table_name: {"Keys": [{key: {"S": value}} for value in wanted], "ConsistentRead": True}
        }
        found: dict[str, Item] = {}
        for _ in range(_MOST_TRIES):
            try:
                answer = client.batch_get_item(RequestItems=asked)
            except (ClientError, BotoCoreError) as error:
                raise StoreUnavailable(
                    f"DynamoDB did not answer a read: {reason(error)}"
                ) from error
            found |= {item[key]["S"]: item for item in answer["Responses"].get(table_name, [])}
            asked = answer["UnprocessedKeys"]
            if not asked:
                break
        else:
            raise StoreUnavailable("DynamoDB answered a read in part only")
        yield from (found[value] for value in wanted if value in found)


def write(client: "DynamoDBClient", table_name: str, changes: Changes) -> tuple[bool, Item]:
    """(True, the item after the write) or (False, the item that failed the condition).

    Raises:
        StoreUnavailable: it is not known to be written.
    """
    for _ in range(_MOST_TRIES):
        try:
            answer = client.update_item(
                TableName=table_name,
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **changes.as_arguments(),
            )
        except client.exceptions.ConditionalCheckFailedException as error:
            return False, cast("Item", error.response.get("Item", {}))
        except client.exceptions.TransactionConflictException:
            continue  # nothing was written; the transaction on this item is over in a moment
        except (ClientError, BotoCoreError) as error:
            why = reason(error)
            raise StoreUnavailable(f"DynamoDB did not confirm a write: {why}") from error
        return True, cast("Item", answer["Attributes"])
    raise StoreUnavailable("transactions kept the item busy")


def reason(error: ClientError | BotoCoreError) -> str:
    """What went wrong in one word: the rest of an error can quote what was written."""
    if isinstance(error, ClientError):
        return error.response["Error"]["Code"]
    return type(error).__name__


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
