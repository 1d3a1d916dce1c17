"""Queueing the rows of a CSV file, up to a thousand in a batch.

Each row has its own idempotency key. A run that was interrupted, or whose answers were lost, can
be repeated: rows that were queued before are queued again, and sent once.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from delivery_cli.batches import split_into_batches
from delivery_cli.commands.campaign.column_mapping import ColumnMapping
from delivery_cli.commands.campaign.csv_file import Row
from delivery_cli.errors import CommandError, NoAnswer
from delivery_cli.messages_api import ApiResponse, Json, MessagesApi, describe_problems
from delivery_cli.terminal_text import format_count

_BATCH_SIZE: Final = 1000
_MAX_BATCH_BYTES: Final = 3 * 1024 * 1024  # the API accepts 4 MiB
_MAX_ATTEMPTS: Final = 5
_BACKOFF_SECONDS: Final = 2.0

type _Item = tuple[Row, Json]
"""A row and its send request."""


@dataclass(slots=True)
class Submission:
    """The outcome of each row so far."""

    rows: int
    request_ids: dict[Row, str] = field(default_factory=dict)
    """Queued rows."""
    problems: dict[Row, str] = field(default_factory=dict)
    """Invalid rows."""

    @property
    def determined(self) -> int:
        """Number of rows that are known to be queued or invalid."""
        return len(self.request_ids) + len(self.problems)

    @property
    def undetermined(self) -> int:
        """Number of the remaining rows."""
        return self.rows - self.determined


def submit(
    api: MessagesApi,
    mapping: ColumnMapping,
    submission: Submission,
    *,
    report_done: Callable[[int], None],
) -> None:
    """Queue every row; `submission` is updated after each batch.

    Raises:
        CommandError: after several attempts, some rows are still undetermined.
    """
    batches = split_into_batches(
        mapping.documents(submission.problems),
        max_items=_BATCH_SIZE,
        max_bytes=_MAX_BATCH_BYTES,
        size_of=_size,
    )
    for batch in batches:
        _submit_batch(api, batch, submission)
        report_done(submission.determined)


def _size(item: _Item) -> int:
    _, document = item
    return len(json.dumps(document)) + 2  # with the separator


def _submit_batch(api: MessagesApi, batch: Sequence[_Item], submission: Submission) -> None:
    """Queue a batch; items that are not known to be queued are repeated with linear backoff."""
    left = list(batch)
    cause = CommandError("The queue did not accept all rows.")
    for attempt in range(_MAX_ATTEMPTS):
        time.sleep(_BACKOFF_SECONDS * attempt)  # gives the API time to recover
        try:
            response = api.send_batch([document for _, document in left])
        except NoAnswer as error:
            cause = error
            continue
        if "results" not in response.content:
            cause = CommandError(f"The stack reported an error: {response.detail}")
            if not _is_transient(response):
                break
            continue
        left = _record_results(left, response.content["results"], submission)
        if not left:
            return
    raise CommandError(
        f"{cause} {format_count(submission.undetermined, 'row')} undetermined.",
        "Repeat the command when the cause is resolved: no row is sent twice.",
    )


def _is_transient(response: ApiResponse) -> bool:
    return (
        response.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        or response.status == HTTPStatus.TOO_MANY_REQUESTS
    )


def _record_results(
    items: Sequence[_Item], results: Sequence[Json], submission: Submission
) -> list[_Item]:
    """Record the result of each row, and return the items that must be repeated."""
    left = []
    for (row, document), result in zip(items, results, strict=True):
        if "problems" in result:
            submission.problems[row] = "; ".join(describe_problems(result))
        elif result["queued"]:
            submission.request_ids[row] = result["request_id"]
        else:
            left.append((row, document))
    return left
