"""The row that a change of a message adds to the archive. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from delivery.domain.records import Record
from delivery.text.archive_rows import archive_row, is_new_row, unsuitable_dimensions

from .changes import Change, UnreadableImage


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRow:
    """A row, and the place in the stream of the change that it shows.

    `left_out` counts the dimensions that the row lacks, because their values may be personal.
    """

    sequence_number: str
    row: Record
    left_out: int


def change_row(change: Change, dimensions: Sequence[str]) -> ChangeRow | None:
    """Return the row of a change; None if no report can show the change.

    Raises:
        UnreadableImage: a fact of the message has another type than this version writes.
    """
    message, sequence_number = change.message, change.sequence_number
    try:
        if change.previous and not is_new_row(message, change.previous, dimensions):
            return None
        row = archive_row(message, sequence_number=sequence_number, dimensions=dimensions)
    except (AttributeError, TypeError, ValueError) as error:
        raise UnreadableImage(type(error).__name__) from error
    left_out = len(unsuitable_dimensions(message, dimensions))
    return ChangeRow(sequence_number=sequence_number, row=row, left_out=left_out)
