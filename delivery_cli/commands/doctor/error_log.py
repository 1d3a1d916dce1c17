"""The errors in a function's log of the last hour."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient

ERROR_PATTERN: Final = '{ ($.level = "ERROR") || ($.level = "CRITICAL") }'
MAX_ERRORS: Final = 100

_ERROR_LEVELS: Final = frozenset({"ERROR", "CRITICAL"})
_WINDOW: Final = timedelta(hours=1)
_MAX_PAGES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorLog:
    """The first errors of the last hour, each with its time."""

    errors: tuple[str, ...]
    is_complete: bool
    """Whether all of the log was searched, or as much of it as has MAX_ERRORS errors."""


def read_errors(client: "CloudWatchLogsClient", group: str) -> ErrorLog:
    """Search a log group for errors.

    CloudWatch Logs searches a part of the log for each page, so a page can be empty and have a next
    one: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
    """
    since = datetime.now(UTC) - _WINDOW
    pages = client.get_paginator("filter_log_events").paginate(
        logGroupName=group,
        startTime=int(since.timestamp() * 1000),
        filterPattern=ERROR_PATTERN,
        PaginationConfig={"PageSize": MAX_ERRORS},
    )
    errors: list[str] = []
    is_complete = False
    for page in islice(pages, _MAX_PAGES):
        errors += _errors_in(page.get("events", []))
        is_complete = "nextToken" not in page or len(errors) >= MAX_ERRORS
        if is_complete:
            break
    return ErrorLog(errors=tuple(errors[:MAX_ERRORS]), is_complete=is_complete)


def _errors_in(events: list[Any]) -> Iterator[str]:
    for event in events:
        try:
            line: Any = json.loads(event["message"])
        except ValueError:
            continue
        if isinstance(line, dict) and line.get("level") in _ERROR_LEVELS:
            yield _describe(line, datetime.fromtimestamp(event["timestamp"] / 1000, UTC))


def _describe(line: Mapping[str, Any], at: datetime) -> str:
    text = line.get("message") or line.get("errorMessage") or line.get("errorType") or "?"
    reason = f" ({line['reason']})" if "reason" in line else ""
    return f"{at:%H:%M:%S} UTC {text}{reason}"
