"""Time each status callback next to its DynamoDB write alone: `bare_write.py < events`.

Standard input holds one event per line; the first only warms up and yields the write. The last line
of the output is JSON, microseconds of each invocation: `handled`, by the handler; `handled_cpu`,
the processor time of that; `bare`, of the write with boto3's client; `same`, with our client.
"""

import json
import sys
from collections import deque
from importlib import import_module
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import boto3
from botocore.client import BaseClient

if TYPE_CHECKING:
    from collections.abc import Callable

app = import_module("status_callback.app")


def handle(event: dict[str, Any]) -> None:
    """Invoke the handler."""
    answer = app.lambda_handler(event, None)
    assert answer == {"statusCode": 204}, answer


def write_of(event: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return the client and the arguments of the write with which the handler ends."""
    name = "_make_api_call"  # every call of every client passes here
    with patch.object(BaseClient, name, autospec=True, side_effect=vars(BaseClient)[name]) as calls:
        handle(event)
    client, operation, arguments = calls.call_args.args
    assert operation == "UpdateItem"
    return client, arguments


def main() -> None:
    """Time the handler and both writes, in an order that rotates so that none is always first."""
    warm_up, *events = map(json.loads, sys.stdin)
    ours, arguments = write_of(warm_up)
    bare = boto3.client("dynamodb")
    calls: dict[str, Callable[[dict[str, Any]], object]] = {
        "handled": handle,
        "bare": lambda _: bare.update_item(**arguments),
        "same": lambda _: ours.update_item(**arguments),
    }
    times: dict[str, list[float]] = {name: [] for name in (*calls, "handled_cpu")}
    order = deque(calls)
    for event in events:
        order.rotate()
        for name in order:
            begun, cpu_begun = perf_counter(), process_time()
            calls[name](event)
            times[name].append((perf_counter() - begun) * 1e6)
            if name == "handled":
                times["handled_cpu"].append((process_time() - cpu_begun) * 1e6)
    sys.stdout.write(f"{json.dumps(times)}\n")


main()
