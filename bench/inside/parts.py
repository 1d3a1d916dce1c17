"""Time what StatusCallbackFunction loads when it starts, part by part.

The output is JSON, milliseconds by part. The last part is the function itself, with the clients
that the parts before have made: together they are a start.
"""

import sys
from importlib import import_module
from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def load(*modules: str) -> "Callable[[], object]":
    """Return a function that imports modules."""
    return lambda: [import_module(it) for it in modules]


made: dict[str, object] = {}
"""Clients by service."""


def client(service: str) -> "Callable[[], object]":
    """Return a function that makes a client as StatusCallbackFunction does."""

    def make() -> None:
        config = import_module("botocore.config").Config()
        made[service] = import_module("delivery.runtime.aws").client(service, config=config)

    return make


def load_function() -> None:
    """Import the function, which takes the clients that are made already."""
    aws: Any = import_module("delivery.runtime.aws")
    aws.client = lambda service, **_: made[service]
    import_module("status_callback.app")


PARTS: "dict[str, Callable[[], object]]" = {
    "botocore and its session": load("delivery.runtime.aws"),
    "client of DynamoDB": client("dynamodb"),
    "client of Secrets Manager": client("secretsmanager"),
    "client of SQS": client("sqs"),
    "Powertools: Logger, Metrics": load(
        "aws_lambda_powertools", "delivery.runtime.embedded_metrics"
    ),
    "rules: statuses, messages, notices": load("delivery.domain.messages"),
    "counting, names of categories": load("delivery.metrics"),
    "tables: items, conditions, writes": load(
        "delivery.storage.messages", "delivery.storage.callback_queue"
    ),
    "Twilio: secret, signature, callback": load(
        "delivery.twilio.credentials", "delivery.twilio.signature", "delivery.twilio.callback"
    ),
    "HTTP events, responses, reports": load(
        "delivery.runtime.http_event", "delivery.runtime.responses", "delivery.runtime.reports"
    ),
    "the function's own modules, wiring": load_function,
}


def main() -> None:
    """Load every part and print the milliseconds."""
    milliseconds = {}
    for name, part in PARTS.items():
        begun = perf_counter()
        part()
        milliseconds[name] = (perf_counter() - begun) * 1000

    import json  # noqa: PLC0415 -- not part of the measured start

    sys.stdout.write(f"{json.dumps(milliseconds)}\n")


main()
