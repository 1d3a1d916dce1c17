"""Short text for the events, requests and responses in a trace."""

import base64
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from simulation.virtual_time import TaskResult

_ATTRIBUTE_TYPES: Final = frozenset({"S", "N", "L", "M", "BOOL"})
_OMITTED: Final = frozenset({"SmsSid", "SmsStatus", "ApiVersion", "AccountSid", "account_sid"})
"""Names whose value is the same everywhere, or is shown under another name."""
_LONG_ID: Final = re.compile(r"([0-9a-f]{6})(?:[0-9a-f]{20,}|[0-9a-f]{2}(?:-[0-9a-f]{4,}){4})")
_HOST: Final = re.compile(r"https://(\w+)\.execute-api[^/]*")
_SHOWN_ARGUMENTS: Final = (
    *("IndexName", "Key", "Item", "RequestItems", "TransactItems", "ExpressionAttributeValues"),
    *("MessageBody", "Entries", "SecretId"),
)


def shorten_ids(text: str) -> str:
    """Return the text with only the first digits of SIDs, ids and digests."""
    return _HOST.sub(r"\1", _LONG_ID.sub(r"\1…", text))


def format_value(value: Any) -> str:
    """Format any value without quotes and without DynamoDB's types."""
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
            return _result(value) if isinstance(value, TaskResult) else str(value)


def format_request(operation: str, arguments: Mapping[str, Any]) -> str:
    """Format a request to AWS: the operation, its table or queue, and its values."""
    target = arguments.get("TableName") or arguments.get("QueueUrl", "").rpartition("/")[2]
    notice = _notice(arguments["Message"]) if "Message" in arguments else ""
    values = (arguments.get(name) for name in _SHOWN_ARGUMENTS)
    return _joined([operation, target, notice, *values])


def _notice(message: str) -> str:
    """Format a published notice: its id, and the range that it covers."""
    content = json.loads(json.loads(message)["default"])
    facts = content["metadata"]["additionalContext"]
    covered = {name: facts[name] for name in ("range_from", "range_to") if name in facts}
    return _joined([content["id"], {"kind": facts.get("kind", facts.get("event")), **covered}])


def _text(text: str) -> str:
    """Format JSON and forms by their content; return other text as it is."""
    if text.startswith("{"):
        return format_value(json.loads(text))
    return _pairs(parse_qsl(text)) if re.match(r"\w+=", text) else text


def _event(event: Mapping[str, Any]) -> str:
    """Format the event of a queue, a stream or an HTTP API; empty for anything else."""
    match event:
        case {"Records": [*records]}:
            return ", ".join(map(_record, records))
        case {"rawPath": str(path), "rawQueryString": str(query), "body": str(body)}:
            return _joined([f"{path}?{query}".removesuffix("?"), base64.b64decode(body)])
        case _:
            return ""


def _result(result: TaskResult) -> str:
    if result.killed:
        return "killed"
    return f"raised {result.error!r}" if result.error else format_value(result.value)


def _record(record: Mapping[str, Any]) -> str:
    match record:
        case {"dynamodb": {"Keys": keys} as change, "eventName": str(name)}:
            image = change.get("NewImage", {})
            shown = {it: image[it] for it in ("status", "outcome", "notice") if it in image}
            return _joined([name, keys, shown])
        case _:
            return _joined([record["messageId"], record["body"]])


def _mapping(value: Mapping[str, Any]) -> str:
    match list(value.items()):
        case [(kind, inner)] if kind in _ATTRIBUTE_TYPES:
            return format_value(inner)
        case [("Put" | "Update" | "Delete" | "ConditionCheck" as kind, inner)]:
            return format_request(kind.lower(), inner)
        case pairs:
            return _pairs(pairs)


def _pairs(pairs: Iterable[tuple[str, Any]]) -> str:
    texts = ((name.lstrip(":"), _inner(value)) for name, value in pairs if name not in _OMITTED)
    return " ".join(f"{name}={text}" for name, text in texts if text)


def _inner(value: Any) -> str:
    """Format a value inside another one, in braces where its end would not be visible."""
    text = format_value(value)
    return f"{{{text}}}" if "=" in text and not text.startswith("[") else text


def _joined(values: Iterable[Any]) -> str:
    return " ".join(filter(None, map(format_value, values)))
