"""Puts the rows of a sheet into SendQueue, a thousand at a time.

Every row goes under an idempotency key of its own, so a run that ended early, or whose answers were
lost, is simply repeated: what was taken before is taken again, and sent once.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from delivery_cli.batches import batches
from delivery_cli.commands.campaign.column_mapping import Layout, Unfit
from delivery_cli.commands.campaign.csv_file import Row
from delivery_cli.errors import CommandError, NoAnswer
from delivery_cli.messages_api import Json, MessagesApi
from delivery_cli.terminal_text import counted

_MAX_MESSAGES: Final = 1000
_MAX_BYTES: Final = 3 * 1024 * 1024  # the API takes 4 MiB
_TRIES: Final = 5
_PAUSE_SECONDS: Final = 2.0
_THROTTLED: Final = HTTPStatus.TOO_MANY_REQUESTS

type _Asked = tuple[Row, Json]
"""A row, and what is asked for with it."""


@dataclass(slots=True)
class Tally:
    """What became of the rows so far."""

    rows: int
    request_ids: dict[Row, str] = field(default_factory=dict)
    """Of those that wait in SendQueue."""
    problems: dict[Row, str] = field(default_factory=dict)
    """Of those that cannot be sent as they are."""

    @property
    def decided(self) -> int:
        """How many rows it is known of."""
        return len(self.request_ids) + len(self.problems)

    @property
    def open(self) -> int:
        """How many rows nobody has decided about."""
        return self.rows - self.decided


def queue_all(
    api: MessagesApi, layout: Layout, tally: Tally, *, reached: Callable[[int], None]
) -> None:
    """Ask for every row; the tally tells how far it came, however this ends.

    Raises:
        CommandError: after some tries there are still rows that are not known to be queued.
    """
    asked = _fit(layout, tally)
    for batch in batches(asked, most=_MAX_MESSAGES, most_bytes=_MAX_BYTES, size=_size):
        _queue(api, batch, tally)
        reached(tally.decided)


def _fit(layout: Layout, tally: Tally) -> Iterator[_Asked]:
    for row in layout.sheet.rows:
        try:
            yield row, layout.request(row)
        except Unfit as unfit:
            tally.problems[row] = str(unfit)


def _size(asked: _Asked) -> int:
    _, document = asked
    return len(json.dumps(document)) + 2  # and what stands between two


def _queue(api: MessagesApi, batch: Sequence[_Asked], tally: Tally) -> None:
    """Ask for these rows, and again for those that are not known to be queued."""
    left = list(batch)
    cause = CommandError("The queue did not take all.")
    for number in range(_TRIES):
        # Nothing tells when the stack can take more: each further try waits longer.
        time.sleep(_PAUSE_SECONDS * number)
        try:
            answer = api.send_batch([document for _, document in left])
        except NoAnswer as error:
            cause = error
            continue
        if "results" not in answer.content:
            cause = CommandError(f"The stack answered: {answer.detail}")
            if answer.status < HTTPStatus.INTERNAL_SERVER_ERROR and answer.status != _THROTTLED:
                break
            continue
        left = _took(left, answer.content["results"], tally)
        if not left:
            return
    raise CommandError(
        f"{cause} {counted(tally.open, 'row')} open.",
        "Repeat the same command when the cause is gone: what was taken is not sent twice.",
    )


def _took(asked: Sequence[_Asked], results: Sequence[Json], tally: Tally) -> list[_Asked]:
    """Note what became of each row; those that have to be asked for again."""
    again = []
    for (row, document), result in zip(asked, results, strict=True):
        if "problems" in result:
            problems = (f"{it['field']} {it['problem']}" for it in result["problems"])
            tally.problems[row] = "; ".join(problems)
        elif result["queued"]:
            tally.request_ids[row] = result["request_id"]
        else:
            again.append((row, document))
    return again
