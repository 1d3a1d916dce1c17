"""Waits until every function responds, which also warms them up for the first messages."""

import json
from functools import partial
from http import HTTPStatus
from threading import Event
from typing import Final

from sandbox.aws.account import AwsAccount, Stack
from sandbox.endpoints import Endpoints
from sandbox.http_server import NoResponse, call
from sandbox.polling import TimedOut, wait_for
from sandbox.pool import InterruptiblePool

_TIMEOUT_SECONDS: Final = 40
_WARM_CALLBACK_ENVIRONMENTS: Final = 3
_UNKNOWN_SID: Final = "SM" + "0" * 32


def wait_until_ready(endpoints: Endpoints, stack: Stack, account: AwsAccount) -> None:
    """Call every function until it responds as expected, with requests that have no effect.

    These are a callback that is not a form, a send without a recipient, a look-up of an unknown
    message, a stream record of an unknown message, and a description of the dashboard's widget.

    Raises:
        TimedOut: a function does not respond as expected.
    """
    callback = ("POST", endpoints.status_callback_url, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
    messages = f"{endpoints.messages_api_url}/messages"
    unknown = f"{messages}/{_UNKNOWN_SID}"
    with InterruptiblePool() as pool:
        wait = partial(_wait_for_status, cancelled=pool.cancelled)
        tasks = [
            *(pool.submit(wait, *callback) for _ in range(_WARM_CALLBACK_ENVIRONMENTS)),
            pool.submit(wait, "POST", messages, HTTPStatus.BAD_REQUEST),
            pool.submit(wait, "GET", unknown, HTTPStatus.NOT_FOUND),
            pool.submit(_invoke_notifier, stack, account),
            pool.submit(_describe_widget, stack, account),
        ]
        for task in tasks:
            task.result()


def _wait_for_status(method: str, url: str, expected: HTTPStatus, *, cancelled: Event) -> None:
    last = ""

    def has_expected_status() -> bool:
        nonlocal last
        try:
            response = call(method, url, content={} if method == "POST" else None)
        except NoResponse as error:
            last = str(error)
            return False
        last = f"{response.status} {response.body.decode(errors='replace')}"
        return response.status == expected

    try:
        wait_for(
            has_expected_status,
            timeout=_TIMEOUT_SECONDS,
            what=f"{expected} from {method} {url}",
            cancelled=cancelled,
        )
    except TimedOut as error:
        raise TimedOut(f"{error}; last response: {last}") from error


def _invoke_notifier(stack: Stack, account: AwsAccount) -> None:
    record = {
        "eventID": "0",
        "eventName": "MODIFY",
        "eventSource": "aws:dynamodb",
        "dynamodb": {"Keys": {"message_sid": {"S": _UNKNOWN_SID}}, "SequenceNumber": "0"},
    }
    _invoke("NotifyFailureFunction", {"Records": [record]}, stack, account)


def _describe_widget(stack: Stack, account: AwsAccount) -> None:
    _invoke("DashboardWidgetFunction", {"describe": True}, stack, account)


def _invoke(function: str, event: object, stack: Stack, account: AwsAccount) -> None:
    response = account.functions.invoke(
        FunctionName=stack.alias_arn(function), Payload=json.dumps(event)
    )
    if "FunctionError" in response:
        raise TimedOut(f"{function} fails: {response['Payload'].read().decode()}")
