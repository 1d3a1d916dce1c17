"""StatusCallbackFunction at work: `callbacks.py TASK NUMBER`.

Tasks: `first` times the start and the first callback; `beside_bare_writes` times NUMBER callbacks,
each beside the bare write that it makes; `pure_parts` what of them needs no AWS; `all_day` NUMBER
callbacks, one after the other, and the memory that the process has by then.
"""

from time import perf_counter

started = perf_counter()

from importlib import import_module  # noqa: E402 -- what is measured

app = import_module("status_callback.app")
ready = perf_counter()

import base64  # noqa: E402 -- what comes now is none of the start
import json  # noqa: E402 -- the same
import resource  # noqa: E402 -- the same
import sys  # noqa: E402 -- the same
from collections import deque  # noqa: E402 -- the same
from datetime import UTC, datetime  # noqa: E402 -- the same
from functools import partial  # noqa: E402 -- the same
from pathlib import Path  # noqa: E402 -- the same
from time import process_time  # noqa: E402 -- the same
from typing import TYPE_CHECKING, Any  # noqa: E402 -- the same
from urllib.parse import urlencode  # noqa: E402 -- the same

import boto3  # noqa: E402 -- the same

from delivery.domain.messages import Message, StatusUpdate, Timings  # noqa: E402 -- the same
from delivery.storage.messages import MessageStore  # noqa: E402 -- the same
from delivery.twilio.callback import (  # noqa: E402 -- the same
    account_of,
    parse_form,
    signature,
    status_update,
    verify,
)

if TYPE_CHECKING:
    from collections.abc import Callable

TOKEN = "sandbox-auth-token"
DOMAIN = "a1b2c3d4e5.execute-api.us-east-1.amazonaws.com"
QUERY = "request_id=rq_0123456789abcdef0123456789abcdef"
URL = f"https://{DOMAIN}/twilio/status?{QUERY}"
CHECKPOINTS = 10


def an_event(number: int) -> dict[str, Any]:
    """What API Gateway hands on of a delivered message's last callback."""
    sid = f"SM{number:032x}"
    form = {
        "AccountSid": "AC" + "0" * 32,
        "ApiVersion": "2010-04-01",
        "From": "+15005550006",
        "MessageSid": sid,
        "MessageStatus": "delivered",
        "RawDlrDoneDate": "2611231200",
        "SmsSid": sid,
        "SmsStatus": "delivered",
        "To": "+15558675310",
    }
    return {
        "version": "2.0",
        "routeKey": "POST /twilio/status",
        "rawPath": "/twilio/status",
        "rawQueryString": QUERY,
        "headers": {
            "content-type": "application/x-www-form-urlencoded; charset=utf-8",
            "host": DOMAIN,
            "user-agent": "TwilioProxy/1.1",
            "x-twilio-signature": signature(TOKEN, URL, form.items()),
        },
        "requestContext": {"domainName": DOMAIN, "http": {"method": "POST"}, "stage": "$default"},
        "isBase64Encoded": True,
        "body": base64.b64encode(urlencode(form).encode()).decode(),
    }


def handle(event: dict[str, Any]) -> None:
    """A callback, from Lambda's call to the answer."""
    answer = app.lambda_handler(event, None)
    assert answer == {"statusCode": 204}, answer


def first() -> dict[str, float]:
    """Milliseconds from an empty process to the first 204."""
    event = an_event(1)
    begun = perf_counter()
    handle(event)
    return {"called": (ready - started + perf_counter() - begun) * 1000}


class Seen(Exception):
    """The write that a callback makes."""


class Recorder:
    """In a client's place: shows what it is asked for."""

    exceptions = app.aws.client("dynamodb", config=app.IMPATIENT).exceptions

    def update_item(self, **arguments: Any) -> None:
        """Nothing is written."""
        raise Seen(arguments)


def the_write(event: dict[str, Any]) -> dict[str, Any]:
    """The arguments of the one request to DynamoDB that the callback makes."""
    store = MessageStore(Recorder(), "MessagesTable", Timings())  # type: ignore[arg-type]  # one method is enough
    try:
        store.record(the_update(event))
    except Seen as seen:
        arguments: dict[str, Any] = seen.args[0]
        return arguments
    raise AssertionError("nothing was written")


def the_update(event: dict[str, Any]) -> StatusUpdate:
    """What the handler makes of a callback before it touches the table."""
    parameters = parse_form(base64.b64decode(event["body"]))
    given = event["headers"]["x-twilio-signature"]
    assert account_of(parameters)
    verify(given, auth_tokens=(TOKEN,), urls=(URL,), parameters=parameters)
    return status_update(parameters, raw_query=QUERY, at=datetime.now(UTC))


def beside_bare_writes(number: int) -> dict[str, list[float]]:
    """Microseconds of each callback, and of its write alone by boto3's client and by ours.

    Of the callback also those in which the processor was at work.
    """
    bare, same = boto3.client("dynamodb"), app.aws.client("dynamodb", config=app.IMPATIENT)
    times: dict[str, list[float]] = {"handled": [], "bare": [], "same": [], "handled_cpu": []}
    order = deque(["handled", "bare", "same"])
    for event in map(an_event, range(number)):
        write = the_write(event)
        calls: dict[str, Callable[[], object]] = {
            "handled": partial(handle, event),
            "bare": partial(bare.update_item, **write),
            "same": partial(same.update_item, **write),
        }
        order.rotate()  # none of them is always the first
        for name in order:
            begun, at_work = perf_counter(), process_time()
            calls[name]()
            times[name].append((perf_counter() - begun) * 1e6)
            if name == "handled":
                times["handled_cpu"].append((process_time() - at_work) * 1e6)
    return times


def pure_parts(number: int) -> dict[str, list[float]]:
    """Microseconds of the signature and the parsing, and of the rules."""
    timings = Timings()
    parsed, ruled = [], []
    for event in map(an_event, range(number)):
        begun = perf_counter()
        update = the_update(event)
        between = perf_counter()
        Message.from_first_update(update, timings)
        ended = perf_counter()
        parsed.append((between - begun) * 1e6)
        ruled.append((ended - between) * 1e6)
    return {"parsed": parsed, "ruled": ruled}


def all_day(number: int) -> dict[str, Any]:
    """The memory of the process at each checkpoint."""
    used = []
    for count in range(1, number + 1):
        handle(an_event(count))
        if count % (number // CHECKPOINTS) == 0:
            used.append(memory_now())
    return {"memory_mib": used}


def memory_now() -> float:
    """What the process holds, in MiB: Linux tells.

    Not ru_maxrss, which a process inherits from the one that started it.
    """
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * resource.getpagesize() / 1024**2


TASKS: dict[str, Any] = {
    "first": lambda _: first(),
    "beside_bare_writes": beside_bare_writes,
    "pure_parts": pure_parts,
    "all_day": all_day,
}

if __name__ == "__main__":
    found = TASKS[sys.argv[1]](int(sys.argv[2]))
    sys.stdout.write(f"{json.dumps(found)}\n")
