"""The rows that were not taken, with the reason, in a file beside theirs."""

import csv
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Final

from delivery_cli.commands.campaign.csv_file import Row, Sheet
from delivery_cli.errors import CommandError

PROBLEM_COLUMNS: Final = ("problem_row", "problem")
"""What is added to such a row; of no meaning when the file is sent in turn."""


def write_problems(file: Path, sheet: Sheet, problems: Mapping[Row, str]) -> Path | None:
    """Write them to a file that was not there: its path, or None where there are none.

    Raises:
        CommandError: it cannot be written there.
    """
    if not problems:
        return None
    path = next(path for path in _names(file) if not path.exists())
    columns = [it for it in sheet.columns if it not in PROBLEM_COLUMNS]
    try:
        with path.open("x", encoding="utf-8", newline="") as written:
            writer = csv.writer(written, delimiter=sheet.delimiter)
            writer.writerow([*columns, *PROBLEM_COLUMNS])
            for row in sorted(problems, key=lambda it: it.number):
                writer.writerow([*(row.cells[it] for it in columns), row.number, problems[row]])
    except OSError as error:
        raise CommandError(
            f"{path} cannot be written: {error.strerror}.",
            "Repeat the command where it can: what was taken is not sent twice.",
        ) from None
    return path


def _names(file: Path) -> Iterator[Path]:
    """Corrections that somebody made in an earlier one are not overwritten."""
    yield file.with_suffix(".problems.csv")
    for number in count(2):
        yield file.with_suffix(f".problems-{number}.csv")
