"""Knowing that every function answers, and having them warm for the first real callback."""

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

_WITHIN_SECONDS: Final = 40
_CALLBACKS_AT_ONCE: Final = 3  # so many environments are warm when the first ones come
_A_SID_NOBODY_HAS: Final = "SM" + "0" * 32


def wait_until_all_answer(endpoints: Endpoints, stack: Stack, account: AwsAccount) -> None:
    """Call every function, with something that has no effect, until it answers as it should.

    That is a callback that is no form, a request without a recipient, a message that nobody knows,
    and what the dashboard's widget says of itself.

    Raises:
        TimedOut: one of them does not.
    """
    callback = ("POST", endpoints.status_callback_url, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
    messages = f"{endpoints.messages_api_url}/messages"
    unknown = f"{messages}/{_A_SID_NOBODY_HAS}"
    with InterruptiblePool() as pool:
        wait = partial(_wait_for_status, unless=pool.cancelled)
        answers = [
            *(pool.submit(wait, *callback) for _ in range(_CALLBACKS_AT_ONCE)),
            pool.submit(wait, "POST", messages, HTTPStatus.BAD_REQUEST),
            pool.submit(wait, "GET", unknown, HTTPStatus.NOT_FOUND),
            pool.submit(_tell_of_nothing, stack, account),
            pool.submit(_describe_widget, stack, account),
        ]
        for answer in answers:
            answer.result()


def _wait_for_status(method: str, url: str, expected: HTTPStatus, *, unless: Event) -> None:
    last = ""

    def answers() -> bool:
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
            answers,
            within=_WITHIN_SECONDS,
            what=f"{expected} from {method} {url}",
            unless=unless,
        )
    except TimedOut as error:
        raise TimedOut(f"{error}; the last answer was: {last}") from error


def _tell_of_nothing(stack: Stack, account: AwsAccount) -> None:
    record = {
        "eventID": "0",
        "eventName": "MODIFY",
        "eventSource": "aws:dynamodb",
        "dynamodb": {"Keys": {"message_sid": {"S": _A_SID_NOBODY_HAS}}, "SequenceNumber": "0"},
    }
    _invoke("NotifyFailureFunction", {"Records": [record]}, stack, account)


def _describe_widget(stack: Stack, account: AwsAccount) -> None:
    _invoke("DashboardWidgetFunction", {"describe": True}, stack, account)


def _invoke(function: str, event: object, stack: Stack, account: AwsAccount) -> None:
    answer = account.functions.invoke(
        FunctionName=stack.resources[function], Payload=json.dumps(event)
    )
    if "FunctionError" in answer:
        raise TimedOut(f"{function} fails: {answer['Payload'].read().decode()}")
