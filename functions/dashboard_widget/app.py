"""Renders the page inside the CloudWatch dashboard: failures, audits, and any message.

Trigger: a custom widget of the dashboard, when it is shown or a button in it is clicked.
Effect: none; it only reads. Returns HTML, or Markdown for CloudWatch's request to describe itself.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config

from delivery.domain.messages import Message
from delivery.domain.send_requests import SendRequest
from delivery.metrics import CountedByFacts
from delivery.runtime import aws
from delivery.runtime.reports import Level, Report, log_and_count
from delivery.storage.audits import AuditStore
from delivery.storage.cursor import TokenInvalid
from delivery.storage.messages import MessageStore
from delivery.storage.send_requests import SendRequestStore
from delivery.storage.table import StoreUnavailable
from delivery.text.identifiers import Kind, LookupCandidate

from .html import Markup
from .lookup import InvalidCursor, Lookup, Matches, PageCursor
from .viewer import Viewer
from .views import audits, detail, failures, found, popup, problem, request, single_result, widget

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

DESCRIPTION: Final = """\
## Failed messages, and what became of any message
Lists failed messages, newest first, with the meaning of each failure and what to do about it. Finds
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

MESSAGE_NOT_FOUND: Final = "Message not found. It may not be kept any more."
NOTHING_TYPED: Final = "Enter a message SID, a phone number or a reference."
NOTHING_FOUND: Final = (
    "Nothing found. A phone number needs its country code, e.g. +1 555 867 5310; a reference must "
    "be exactly the one of the request."
)
UNAVAILABLE: Final = "The messages could not be read. Retry in a moment."
PAGE_NOT_FOUND: Final = "This page does not exist any more. Start with the recent failures."

_CONFIG: Final = Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 3})

logger = Logger()
metrics = Metrics(provider=CountedByFacts())
utc_now = partial(datetime.now, UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class DashboardWidget:
    """The function, with everything that it works with."""

    lookup: Lookup
    now: Callable[[], datetime]

    def handle(self, event: Mapping[str, Any], endpoint: str) -> str:
        """Return the widget as HTML; its buttons invoke `endpoint`, the ARN of the function."""
        if "describe" in event:
            return DESCRIPTION
        viewer = Viewer.of(event.get("widgetContext"), endpoint=endpoint, now=self.now())
        try:
            return self._show(event, viewer)
        except StoreUnavailable as error:
            logger.error("Table not readable", reason=str(error))
            return widget(viewer, problem(viewer, UNAVAILABLE), typed=viewer.typed)
        except (InvalidCursor, TokenInvalid):
            return widget(viewer, problem(viewer, PAGE_NOT_FOUND))

    def _show(self, event: Mapping[str, Any], viewer: Viewer) -> str:
        """Return the view that the clicked button names; without one, the recent failures."""
        match event:
            case {"view": "message", "message_sid": str(message_sid)}:
                message = self.lookup.message(message_sid)
                shown = detail(viewer, message) if message else problem(viewer, MESSAGE_NOT_FOUND)
                return popup(viewer, shown)
            case {
                "view": "lookup",
                "kind": Kind.RECIPIENT | Kind.REFERENCE as kind,
                "value": str(value),
                "next_token": str(token),
            }:
                matches = self.lookup.page(LookupCandidate(kind=Kind(kind), value=value), token)
                return widget(viewer, found(viewer, matches), typed=viewer.typed)
            case {"view": "lookup"}:
                return widget(viewer, self._found(viewer), typed=viewer.typed)
            case {"view": "failures", "day": str(day), "next_token": None | str() as token}:
                page = self.lookup.failures(viewer.now.date(), PageCursor.of(day, token))
                return widget(viewer, failures(viewer, page))
            case _:
                page = self.lookup.failures(viewer.now.date())
                counts = self.lookup.counts(viewer.now)
                audited = audits(self.lookup.audits(viewer.now.date()))
                return widget(viewer, failures(viewer, page, counts=counts), audited)

    def _found(self, viewer: Viewer) -> Markup:
        match self.lookup.look_up(viewer.typed):
            case Message() as message:
                return single_result(viewer, message)
            case Matches() as matches:
                return found(viewer, matches)
            case SendRequest() as claimed:
                return request(viewer, claimed)
            case None:
                return problem(viewer, NOTHING_FOUND if viewer.typed.strip() else NOTHING_TYPED)


def build(
    environ: Mapping[str, str], dynamodb: "DynamoDBClient", *, now: Callable[[], datetime] = utc_now
) -> DashboardWidget:
    """Return the function as these environment variables configure it."""
    lookup = Lookup(
        MessageStore(dynamodb, environ["MESSAGES_TABLE"], unreadable=_report_unreadable),
        SendRequestStore(dynamodb, environ["SEND_REQUESTS_TABLE"], unreadable=_report_unreadable),
        AuditStore(dynamodb, environ["CONTROL_TABLE"], unreadable=_report_unreadable),
        retention=timedelta(days=float(environ["MESSAGE_RETENTION_DAYS"])),
    )
    return DashboardWidget(lookup=lookup, now=now)


def _report_unreadable(key: str) -> None:
    """Log and count an item that a list skips because this version cannot read it."""
    report = Report(metric="ItemUnreadable", level=Level.ERROR, fields={"key": key})
    log_and_count(report, logger, metrics)
    metrics.flush_metrics()


function = build(os.environ, aws.client("dynamodb", config=_CONFIG))


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> str:
    """CloudWatch invokes this with the widget's parameters, or with those of a button."""
    return function.handle(event, context.invoked_function_arn)
