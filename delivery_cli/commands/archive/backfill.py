"""Writes a row for each message of the table into the archive.

It may run while messages change, and be repeated: a row has the `updated_at` of the message that
was read, so a row of a later change replaces it, however late it was written.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import batched
from typing import Final

from delivery.domain.records import Record
from delivery.storage.archive import Archive
from delivery.storage.messages import MessageStore
from delivery.text.archive_rows import archive_row, unsuitable_dimensions

_BATCH_SIZE: Final = 2000
"""Rows of about 500 bytes each: one record of Firehose."""
_MAX_ATTEMPTS: Final = 8


class ArchiveUnavailable(Exception):
    """Firehose accepted no rows for minutes; the text has its error code."""


@dataclass(slots=True, kw_only=True)
class Result:
    """What a backfill did.

    Args:
        rows: the number of rows written: one for each message.
        left_out: the number of dimensions that were left out, because they may be personal.
        unreadable: the SIDs of the messages that this version cannot read.
    """

    rows: int = 0
    left_out: int = 0
    unreadable: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfill:
    """Reads the table and writes the archive.

    Args:
        messages: MessagesTable.
        archive: the delivery stream.
        dimensions: the names in the context of messages that the archive keeps.
        wait: waits for as many seconds.
    """

    messages: MessageStore
    archive: Archive
    dimensions: Sequence[str]
    wait: Callable[[float], object]

    def run(self, changed_since: date | None = None) -> Result:
        """Write a row for each message that changed on this day (UTC) or later.

        Raises:
            ArchiveUnavailable: Firehose did not accept the rows; repeating the run is harmless.
            StoreUnavailable: the table could not be read; the same.
        """
        result = Result(unreadable=[])
        for rows in batched(self._rows(changed_since, result), _BATCH_SIZE, strict=False):
            self._write(rows)
            result.rows += len(rows)
        return result

    def _rows(self, changed_since: date | None, result: Result) -> Iterator[Record]:
        messages = self.messages.every(
            changed_since=changed_since, unreadable=result.unreadable.append
        )
        for message in messages:
            result.left_out += len(unsuitable_dimensions(message, self.dimensions))
            yield archive_row(message, dimensions=self.dimensions)

    def _write(self, rows: Sequence[Record]) -> None:
        reason = ""
        for attempt in range(_MAX_ATTEMPTS):
            archived = self.archive.write(rows)
            rows, reason = rows[archived.accepted :], archived.reason
            if not rows:
                return
            self.wait(2.0**attempt)
        raise ArchiveUnavailable(reason)
