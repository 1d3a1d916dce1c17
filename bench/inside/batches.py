"""SendMessageFunction takes batches: `batches.py NUMBER` of a thousand messages, and one before."""

import json
import sys
from http import HTTPStatus
from importlib import import_module
from time import perf_counter
from types import SimpleNamespace
from typing import Any

CONTEXT = SimpleNamespace(
    function_name="SendMessageFunction",
    aws_request_id="1",
    get_remaining_time_in_millis=lambda: 29_000,
)
MESSAGES = 1000

app = import_module("send_message.app")


def an_event(number: int) -> dict[str, Any]:
    """What API Gateway hands on of a batch."""
    messages = [
        {
            "to": f"+1444{place:07d}",
            "from": "+15005550006",
            "body": "Your order is on its way, and will be with you before noon.",
            "reference": f"order-{number}-{place}",
        }
        for place in range(MESSAGES)
    ]
    return {
        "version": "2.0",
        "routeKey": "POST /messages/batch",
        "rawPath": "/messages/batch",
        "rawQueryString": "",
        "headers": {"content-type": "application/json", "idempotency-key": f"batch-{number}"},
        "requestContext": {"http": {"method": "POST"}, "stage": "$default"},
        "isBase64Encoded": False,
        "body": json.dumps({"messages": messages}),
    }


def take(number: int) -> float:
    """Milliseconds from Lambda's call to the answer."""
    event = an_event(number)
    begun = perf_counter()
    answer = app.lambda_handler(event, CONTEXT)
    taken = (perf_counter() - begun) * 1000
    assert answer["statusCode"] == HTTPStatus.ACCEPTED, answer
    assert json.loads(answer["body"])["queued"] == MESSAGES
    return taken


if __name__ == "__main__":
    taken = [take(number) for number in range(int(sys.argv[1]) + 1)]
    sys.stdout.write(f"{json.dumps({'cold': taken[0], 'warm': taken[1:]})}\n")
