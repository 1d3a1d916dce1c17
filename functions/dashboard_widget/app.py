"""The page inside the CloudWatch dashboard: recent failures, and what became of any message.

Trigger: a custom widget of the dashboard, when it is shown or something in it is clicked on.
Effect: none; it only reads. Returns HTML, or Markdown where it is asked to describe itself.
"""

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config

from delivery.domain.messages import Message
from delivery.domain.send_requests import SendRequest
from delivery.runtime import aws
from delivery.storage.cursor import TokenInvalid
from delivery.storage.messages import MessageStore
from delivery.storage.send_requests import SendRequestStore
from delivery.storage.table import StoreUnavailable
from delivery.text.identifiers import Kind, LookupCandidate

from .html import Markup
from .lookup import Finder, NoSuchPlace, Place, Several
from .viewer import Viewer
from .views import alone, detail, failures, found, popup, problem, request, widget

DOCS = """\
## Messages that failed, and what became of any message
Lists the messages that failed, newest first, each with what it means and what to do, and looks up
a message by its SID, its recipient's phone number or your reference.

### Widget parameters
Param | Description
---|---
**showNumbers** | Whether phone numbers are shown in full instead of their last four digits

### Example parameters
``` yaml
showNumbers: false
```
"""

GONE = "This message is not known here any more."
NOTHING_TYPED = "Type a message SID, a phone number or a reference, and look it up."
NOTHING_FOUND = (
    "Nothing is known here by that SID, number or reference. A number needs its country's code, "
    "such as +1 555 867 5310; a reference has to be spelled exactly as it was given."
)
UNAVAILABLE = "The messages could not be read just now. Try again in a moment."
NO_SUCH_PAGE = "There is no such page any more. Begin anew with the recent failures."

now = partial(datetime.now, UTC)
logger = Logger()
dynamodb = aws.client(
    "dynamodb", config=Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 3})
)
finder = Finder(
    MessageStore(dynamodb, os.environ["MESSAGES_TABLE"]),
    SendRequestStore(dynamodb, os.environ["SEND_REQUESTS_TABLE"]),
    kept_for=timedelta(days=float(os.environ["MESSAGE_RETENTION_DAYS"])),
)


def show(event: Mapping[str, Any], viewer: Viewer) -> str:
    """What was clicked on, as HTML; the recent failures where nothing was."""
    match event:
        case {"view": "message", "message_sid": str(message_sid)}:
            message = finder.message(message_sid)
            return popup(viewer, detail(viewer, message) if message else problem(viewer, GONE))
        case {
            "view": "lookup",
            "kind": Kind.RECIPIENT | Kind.REFERENCE as kind,
            "value": str(value),
            "next_token": str(token),
        }:
            several = finder.page(LookupCandidate(kind=Kind(kind), value=value), token)
            return widget(viewer, found(viewer, several), asked=viewer.typed)
        case {"view": "lookup"}:
            return widget(viewer, _found(viewer), asked=viewer.typed)
        case {"view": "failures", "day": str(day), "next_token": None | str() as token}:
            listed = finder.failures(viewer.now.date(), Place.of(day, token))
            return widget(viewer, failures(viewer, listed))
        case _:
            listed, counts = finder.failures(viewer.now.date()), finder.counts(viewer.now)
            return widget(viewer, failures(viewer, listed, counts=counts))


def _found(viewer: Viewer) -> Markup:
    match finder.look_up(viewer.typed):
        case Message() as message:
            return alone(viewer, message)
        case Several() as several:
            return found(viewer, several)
        case SendRequest() as sent:
            return request(viewer, sent)
        case None:
            return problem(viewer, NOTHING_FOUND if viewer.typed.strip() else NOTHING_TYPED)


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> str:
    """CloudWatch calls this with the widget's parameters, or with those of what was clicked on."""
    if "describe" in event:
        return DOCS
    viewer = Viewer.of(event.get("widgetContext"), endpoint=context.invoked_function_arn, now=now())
    try:
        return show(event, viewer)
    except StoreUnavailable as error:
        logger.error("Not read", reason=str(error))
        return widget(viewer, problem(viewer, UNAVAILABLE), asked=viewer.typed)
    except (NoSuchPlace, TokenInvalid):
        return widget(viewer, problem(viewer, NO_SUCH_PAGE))
