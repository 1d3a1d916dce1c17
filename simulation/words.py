"""How a trace puts events, requests and answers: a line or two, in which people find their way."""

import base64
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from simulation.virtual_time import Ended

_ATTRIBUTE_TYPES: Final = frozenset({"S", "N", "L", "M", "BOOL"})
# The same under another name, or the same everywhere.
_LEFT_OUT: Final = frozenset({"SmsSid", "SmsStatus", "ApiVersion", "AccountSid", "account_sid"})
_LONG_ID: Final = re.compile(r"([0-9a-f]{6})(?:[0-9a-f]{20,}|[0-9a-f]{2}(?:-[0-9a-f]{4,}){4})")
_HOST: Final = re.compile(r"https://(\w+)\.execute-api[^/]*")
_OF_A_REQUEST: Final = (
    *("IndexName", "Key", "Item", "RequestItems", "TransactItems", "ExpressionAttributeValues"),
    *("MessageBody", "Entries", "SecretId"),
)


def shortened(text: str) -> str:
    """With only the first digits of SIDs, ids and digests, which are enough to tell them apart."""
    return _HOST.sub(r"\1", _LONG_ID.sub(r"\1…", text))


def in_words(value: Any) -> str:
    """Whatever was handed over, without quotes, without DynamoDB's types."""
    match value:
        case None:
            return ""
        case str() | bytes():
            return _text(value if isinstance(value, str) else value.decode("utf-8", "replace"))
        case tuple():
            return _joined(value)
        case list():
            return f"[{', '.join(map(_inner, value))}]"
        case Mapping():
            return _event(value) or _mapping(value)
        case _:
            return _end(value) if isinstance(value, Ended) else str(value)


def request_in_words(operation: str, arguments: Mapping[str, Any]) -> str:
    """What a function asks of AWS: of what, and with which values."""
    of = arguments.get("TableName") or arguments.get("QueueUrl", "").rpartition("/")[2]
    notice = _notice(arguments["Message"]) if "Message" in arguments else ""
    return _joined([operation, of, notice, *(arguments.get(name) for name in _OF_A_REQUEST)])


def _notice(message: str) -> str:
    """Which one it is, and what it counts."""
    content = json.loads(json.loads(message)["default"])
    facts = content["metadata"]["additionalContext"]
    counted = {name: facts[name] for name in ("range_from", "range_to") if name in facts}
    return _joined([content["id"], {"kind": facts.get("kind", facts.get("event")), **counted}])


def _text(text: str) -> str:
    """As it is, unless it is JSON or a form."""
    if text.startswith("{"):
        return in_words(json.loads(text))
    return _pairs(parse_qsl(text)) if re.match(r"\w+=", text) else text


def _event(event: Mapping[str, Any]) -> str:
    """Why a function runs, where others than people let it; empty for anything else."""
    match event:
        case {"Records": [*records]}:
            return ", ".join(map(_record, records))
        case {"rawPath": str(path), "rawQueryString": str(query), "body": str(body)}:
            return _joined([f"{path}?{query}".removesuffix("?"), base64.b64decode(body)])
        case _:
            return ""


def _end(ended: Ended) -> str:
    if ended.died:
        return "died"
    return f"raised {ended.error!r}" if ended.error else in_words(ended.value)


def _record(record: Mapping[str, Any]) -> str:
    match record:
        case {"dynamodb": {"Keys": keys} as change, "eventName": str(name)}:
            image = change.get("NewImage", {})
            news = {it: image[it] for it in ("status", "outcome", "notice") if it in image}
            return _joined([name, keys, news])
        case _:
            return _joined([record["messageId"], record["body"]])


def _mapping(value: Mapping[str, Any]) -> str:
    match list(value.items()):
        case [(kind, inner)] if kind in _ATTRIBUTE_TYPES:
            return in_words(inner)
        case [("Put" | "Update" | "Delete" | "ConditionCheck" as kind, inner)]:
            return request_in_words(kind.lower(), inner)
        case pairs:
            return _pairs(pairs)


def _pairs(pairs: Iterable[tuple[str, Any]]) -> str:
    named = ((name.lstrip(":"), _inner(value)) for name, value in pairs if name not in _LEFT_OUT)
    return " ".join(f"{name}={words}" for name, words in named if words)


def _inner(value: Any) -> str:
    """In braces, where it would not be seen otherwise where it ends."""
    words = in_words(value)
    return f"{{{words}}}" if "=" in words and not words.startswith("[") else words


def _joined(values: Iterable[Any]) -> str:
    return " ".join(filter(None, map(in_words, values)))
