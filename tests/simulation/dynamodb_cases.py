"""Scripts of DynamoDB requests that runs rarely make; each begins with empty tables."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

type Step = tuple[str, Mapping[str, Any]]
"""An operation of boto3's client, and its arguments."""

_TABLE: Final = "MessagesTable"
_SID: Final = "SM1"


def _key(sid: str = _SID) -> dict[str, Any]:
    return {"message_sid": {"S": sid}}


def _put(item: Mapping[str, Any] | None = None, *, sid: str = _SID, **more: Any) -> Step:
    return "put_item", {"TableName": _TABLE, "Item": {**_key(sid), **(item or {})}, **more}


def _delete(*, sid: str = _SID, **more: Any) -> Step:
    return "delete_item", {"TableName": _TABLE, "Key": _key(sid), **more}


def _get(sid: str = _SID) -> Step:
    return "get_item", {"TableName": _TABLE, "Key": _key(sid), "ConsistentRead": True}


def _update(expression: str, *, sid: str = _SID, **more: Any) -> Step:
    given = {"TableName": _TABLE, "Key": _key(sid), "UpdateExpression": expression}
    return "update_item", {**given, "ReturnValues": "ALL_NEW", **more}


def _if(condition: str, **values: Any) -> dict[str, Any]:
    """Arguments of a condition; the existing item is returned if it fails."""
    return {
        "ConditionExpression": condition,
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        **_values(**values),
    }


def _unless_exists() -> dict[str, Any]:
    return {"ConditionExpression": "attribute_not_exists(message_sid)"}


def _values(**values: Any) -> dict[str, Any]:
    if not values:
        return {}
    return {"ExpressionAttributeValues": {f":{name}": value for name, value in values.items()}}


def _query(*conditions: str, **more: Any) -> Step:
    given = {
        "TableName": _TABLE,
        "IndexName": "by_list",
        "KeyConditionExpression": " AND ".join(("#list_key = :list_key", *conditions)),
        "ExpressionAttributeNames": {"#list_key": "list_key"},
    }
    return "query", {**given, **more}


def _index_scan(**more: Any) -> Step:
    given = {"TableName": _TABLE, "IndexName": "by_list", "FilterExpression": "list_at < :v"}
    return "scan", {**given, **_values(v={"S": "3"}), **more}


def _listed(*times: str) -> Sequence[Step]:
    """Put messages on a list, each with its time."""
    return [
        _put({"list_key": {"S": "list"}, "list_at": {"S": at}}, sid=f"SM{number}")
        for number, at in enumerate(times)
    ]


_LIST: Final = {"S": "list"}
_ONE, _TWO = {"N": "1"}, {"N": "2"}
_TEXT, _LATER = {"S": "a"}, {"S": "b"}

_CONDITIONS: Final[Sequence[tuple[str, dict[str, Any]]]] = (
    ("attribute_exists(n)", {}),
    ("attribute_not_exists(n)", {}),
    ("attribute_not_exists(absent)", {}),
    ("n = :v", {"v": {"N": "1.0"}}),
    ("n <> :v", {"v": _ONE}),
    ("absent <> :v", {"v": _ONE}),
    ("absent = :v", {"v": _ONE}),
    ("absent < :v", {"v": _ONE}),
    ("n < :v", {"v": _TWO}),
    ("n < :v", {"v": {"S": "2"}}),
    ("n < :v AND n >= :v", {"v": _TWO}),
    ("n > :v OR n = :w", {"v": _TWO, "w": _ONE}),
    ("n = :w OR n = :v AND s = :v", {"v": _TWO, "w": _ONE}),
    ("(n = :w OR n = :v) AND s = :v", {"v": _TWO, "w": _ONE}),
    ("s < :v", {"v": _LATER}),
    ("s <= :v", {"v": {"S": ""}}),
    ("n IN (:v, :w)", {"v": _ONE, "w": _TWO}),
    ("n BETWEEN :v AND :w", {"v": _ONE, "w": _TWO}),
    ("s BETWEEN :v AND :w", {"v": _LATER, "w": _LATER}),
)
"""Conditions, each for an item with `n` = 1 and `s` = "a", and for no item."""

_PUT: Final = {"Put": _put({"n": _ONE})[1]}


def _text(value: Mapping[str, str]) -> str:
    ((kind, content),) = value.items()
    return f"{kind} {content!r}"


def _transaction(*parts: Mapping[str, Any], **more: Any) -> Step:
    return "transact_write_items", {"TransactItems": parts, **more}


def _part(kind: str, step: Step) -> dict[str, Any]:
    """Return a step as a part of a transaction."""
    given = dict(step[1])
    given.pop("ReturnValues", None)
    return {kind: given}


EDGE_CASES: Final[Mapping[str, Sequence[Step]]] = {
    **{
        f"{text} with {', '.join(map(_text, values.values()))}": [
            _put(**_if(text, **values)),
            _delete(),
            _put({"n": _ONE, "s": _TEXT}),
            _put({"n": _TWO}, **_if(text, **values)),
            _get(),
        ]
        for text, values in _CONDITIONS
    },
    "a failed condition returns the existing item": [
        _put({"n": _ONE}, **_if("attribute_exists(n)")),
        _put({"n": _ONE}),
        _put(**_if("attribute_not_exists(n)")),
        _update("SET n = :v", **_if("attribute_not_exists(n)", v=_TWO)),
        _delete(**_if("attribute_not_exists(n)")),
        _get(),
    ],
    "an update creates the item": [_update("SET n = :v", **_values(v=_ONE)), _get()],
    "an update with REMOVE only creates the item": [_update("REMOVE n"), _get()],
    "an update sets and removes whole attributes": [
        _put({"n": _ONE, "s": _TEXT}),
        _update("SET n = :v, t = :t REMOVE s, nothing", **_values(v=_TWO, t=_TEXT)),
        _update("REMOVE n SET s = :t", **_values(t=_TEXT)),
        _get(),
    ],
    "an update reads the item before the write": [
        _put({"a": _ONE, "b": _TWO}),
        _update("SET a = b, b = a"),
        _get(),
    ],
    "if_not_exists keeps an existing value": [
        _update("SET a = if_not_exists(a, :v)", **_values(v=_ONE)),
        _update("SET a = if_not_exists(a, :v), b = if_not_exists(a, :v)", **_values(v=_TWO)),
    ],
    "a list grows at its end": [
        _update(
            "SET l = list_append(if_not_exists(l, :no), :v)",
            **_values(no={"L": []}, v={"L": entries}),
        )
        for entries in ([_ONE], [_TWO, {"M": {"x": _TEXT, "yes": {"BOOL": True}}}], [])
    ],
    "a number is added to another": [
        _update("SET n = if_not_exists(n, :zero) + :v", **_values(zero={"N": "0"}, v=_TWO)),
        _update("SET n = n + :v", **_values(v={"N": "0.5"})),
        _update("SET n = n + :v", **_values(v={"N": "-1"})),
        _get(),
    ],
    "a sum with a missing attribute is an error": [_update("SET n = n + :v", **_values(v=_ONE))],
    "a sum with text is an error": [
        _put({"n": _TEXT}),
        _update("SET n = n + :v", **_values(v=_ONE)),
    ],
    "a list is compared as a whole": [
        _put({"l": {"L": [_ONE, {"M": {"s": _TEXT, "n": {"N": "1.0"}}}]}}),
        _put(**_if("l <> :v", v={"L": [_ONE, {"M": {"n": _ONE, "s": _TEXT}}]})),
        _put(**_if("l = :v", v={"L": [_ONE]})),
        _put(**_if("l = :v", v={"L": [{"M": {"s": _TEXT, "n": _ONE}}, _ONE]})),
    ],
    "an attribute cannot be set twice": [
        _update("SET n = :v, n = :w", **_values(v=_ONE, w=_TWO)),
        _get(),
    ],
    "an attribute cannot be set and removed": [_update("SET n = :v REMOVE n", **_values(v=_ONE))],
    "a key cannot be changed": [_update("SET message_sid = :v", **_values(v=_TEXT)), _get()],
    "a missing value placeholder is an error": [_put(**_if("n = :v AND s = :w", v=_ONE))],
    "an unused value placeholder is an error": [_put(**_if("n = :v", v=_ONE, w=_TWO))],
    "a missing name placeholder is an error": [_update("SET #n = :v", **_values(v=_ONE))],
    "an unused name placeholder is an error": [
        _update("SET n = :v", **_values(v=_ONE), ExpressionAttributeNames={"#n": "n"})
    ],
    "a reserved word needs a placeholder": [_update("SET status = :v", **_values(v=_TEXT))],
    "an index key of another type is an error": [_put({"list_key": _ONE}), _get()],
    "a key of another type is an error": [
        ("put_item", {"TableName": _TABLE, "Item": {"message_sid": _ONE}}),
        ("put_item", {"TableName": _TABLE, "Item": {"n": _ONE}}),
    ],
    "an empty key is an error": [_put(sid="")],
    "a list is read in order, page by page": [
        *_listed("1", "3", "2", "2", "5", "4"),
        _query(Limit=3, **_values(list_key=_LIST)),
        _query(Limit=3, ScanIndexForward=False, **_values(list_key=_LIST)),
        *(
            _query(
                Limit=3,
                **_values(list_key=_LIST),
                ScanIndexForward=forward,
                ExclusiveStartKey={"list_key": _LIST, "list_at": {"S": at}, **_key(sid)},
            )
            for forward, at, sid in (
                (True, "2", "SM2"),
                (True, "2", "SM3"),
                (False, "2", "SM3"),
                (True, "5", "SM4"),
                (True, "2", "SM2b"),  # an item that has left the index
            )
        ),
    ],
    "a list is read in part": [
        *_listed("1", "3", "2", "2", "5"),
        *(
            _query(f"list_at {sign} :at", Limit=3, **_values(list_key=_LIST, at={"S": "2"}))
            for sign in ("=", "<", "<=", ">", ">=")
        ),
        _query(
            "list_at BETWEEN :at AND :to",
            Limit=3,
            **_values(list_key=_LIST, at={"S": "2"}, to={"S": "3"}),
        ),
    ],
    "an item is in an index only with all of its keys": [
        _put({"list_key": _LIST}),
        _put({"list_at": {"S": "1"}}, sid="SM2"),
        _query(Limit=3, **_values(list_key=_LIST)),
    ],
    "an item without its index key leaves the index": [
        *_listed("1", "2"),
        _update("REMOVE watch"),
        _update("SET list_at = :v", sid="SM0", **_values(v={"S": "3"})),
        _query(Limit=3, **_values(list_key=_LIST)),
    ],
    "a scan filters the whole table": [
        _put({"n": _ONE}),
        _put({"n": _TWO}, sid="SM2"),
        _put(sid="SM3"),
        *(
            (
                "scan",
                {
                    "TableName": _TABLE,
                    "ConsistentRead": True,
                    "FilterExpression": condition,
                    **_values(v=_TWO),
                },
            )
            for condition in ("n IN (:v)", "n > :v")
        ),
    ],
    "a scan of an index finds the items that have all of its keys": [
        *_listed("1", "3"),
        _put({"list_key": _LIST}, sid="SM2"),
        _put({"list_at": {"S": "1"}}, sid="SM3"),
        _index_scan(),
    ],
    "a consistent scan of an index is an error": [
        *_listed("1"),
        _index_scan(ConsistentRead=True),
    ],
    "a batch reads several items": [
        _put({"n": _ONE}),
        (
            "batch_get_item",
            {"RequestItems": {_TABLE: {"Keys": [_key(), _key("SM2")], "ConsistentRead": True}}},
        ),
        ("batch_get_item", {"RequestItems": {_TABLE: {"Keys": [_key(), _key()]}}}),
    ],
    "a transaction applies all of its parts": [
        _put({"n": _ONE}, sid="SM2"),
        _transaction(
            {"Put": _put({"n": _TWO}, **_unless_exists())[1]},
            _part("Update", _update("SET n = :v", sid="SM2", **_if("n = :w", v=_TWO, w=_ONE))),
        ),
        *map(_get, ("SM1", "SM2")),
    ],
    "a transaction applies no part if one condition fails": [
        _put({"n": _ONE}, sid="SM2"),
        _transaction(
            _PUT,
            _part("Update", _update("SET n = :v", sid="SM2", **_if("n = :w", v=_ONE, w=_TWO))),
            _part("Update", _update("SET n = :v", sid="SM3", **_if("n = :w", v=_ONE, w=_TWO))),
        ),
        *map(_get, ("SM1", "SM2", "SM3")),
    ],
    "an item is in a transaction once": [
        _transaction(_PUT, _part("Update", _update("SET n = :v", **_values(v=_TWO)))),
        _get(),
    ],
    "a transaction has at most a hundred parts": [
        _transaction(*({"Put": _put(sid=f"SM{number}")[1]} for number in range(parts)))
        for parts in (100, 101)
    ],
    "the same transaction again has no effect": [
        _transaction(_PUT, ClientRequestToken="token-1"),
        _delete(),
        _transaction(_PUT, ClientRequestToken="token-1"),
        _get(),
        _transaction(_PUT, ClientRequestToken="token-2"),
        _get(),
    ],
    "another transaction with the same token is an error": [
        _transaction(_PUT, ClientRequestToken="token-3"),
        _transaction({"Put": _put({"n": _TWO})[1]}, ClientRequestToken="token-3"),
        _get(),
    ],
    "a failed transaction may be repeated with its token": [
        _transaction({"Put": _put(**_if("attribute_exists(n)"))[1]}, ClientRequestToken="token-4"),
        _put({"n": _ONE}),
        _transaction({"Put": _put(**_if("attribute_exists(n)"))[1]}, ClientRequestToken="token-4"),
        _get(),
    ],
}
