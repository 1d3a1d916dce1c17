"""The row that a change of a message adds to the archive. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from delivery.domain.records import Record
from delivery.text.archive_rows import archive_row, is_new_row, unsuitable_dimensions

from .changes import Change


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRow:
    """A row, and the place in the stream of the change that it shows.

    `left_out` counts the dimensions that the row lacks, because their values may be personal.
    """

    sequence_number: str
    row: Record
    left_out: int


def change_row(change: Change, dimensions: Sequence[str]) -> ChangeRow | None:
    """Return the row of a change; None if no report can show the change."""
    message, sequence_number = change.message, change.sequence_number
    if change.previous and not is_new_row(message, change.previous, dimensions):
        return None
    return ChangeRow(
        sequence_number=sequence_number,
        row=archive_row(message, sequence_number=sequence_number, dimensions=dimensions),
        left_out=len(unsuitable_dimensions(message, dimensions)),
    )
