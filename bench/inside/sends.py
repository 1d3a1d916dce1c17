"""SendMessageFunction at work: `sends.py NUMBER` times so many requests, after one to warm up."""

import json
import sys
from http import HTTPStatus
from importlib import import_module
from time import perf_counter, process_time
from types import SimpleNamespace
from typing import Any

CONTEXT = SimpleNamespace(
    function_name="SendMessageFunction",
    aws_request_id="1",
    get_remaining_time_in_millis=lambda: 29_000,
)

app = import_module("send_message.app")


def an_event(number: int) -> dict[str, Any]:
    """What API Gateway hands on of a request to send."""
    body = {
        "to": "+15558675310",
        "messaging_service_sid": "MG" + "0" * 32,
        "body": "Your order is on its way.",
        "reference": f"order-{number}",
    }
    return {
        "version": "2.0",
        "routeKey": "POST /messages",
        "rawPath": "/messages",
        "rawQueryString": "",
        "headers": {"content-type": "application/json", "idempotency-key": f"order-{number}"},
        "requestContext": {"http": {"method": "POST"}, "stage": "$default"},
        "isBase64Encoded": False,
        "body": json.dumps(body),
    }


def send(number: int) -> tuple[float, float]:
    """Milliseconds from Lambda's call to the answer, and of the processor's work."""
    event = an_event(number)
    begun, at_work = perf_counter(), process_time()
    answer = app.lambda_handler(event, CONTEXT)
    taken = (perf_counter() - begun) * 1000, (process_time() - at_work) * 1000
    assert answer["statusCode"] == HTTPStatus.CREATED, answer
    return taken


if __name__ == "__main__":
    _, *taken = [send(number) for number in range(int(sys.argv[1]) + 1)]
    sent, sent_cpu = zip(*taken, strict=True)
    sys.stdout.write(f"{json.dumps({'sent': sent, 'sent_cpu': sent_cpu})}\n")
