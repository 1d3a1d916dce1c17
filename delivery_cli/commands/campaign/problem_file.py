"""The file of invalid rows with their problems, written beside the original file."""

import csv
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Final

from delivery_cli.commands.campaign.csv_file import CsvFile, Row
from delivery_cli.errors import CommandError

PROBLEM_COLUMNS: Final = ("problem_row", "problem")
"""Columns that are added to each row, and ignored when the file is sent in turn."""


def write_problem_file(path: Path, file: CsvFile, problems: Mapping[Row, str]) -> Path | None:
    """Write the invalid rows to a new file; returns its path, or None if there are no problems.

    Raises:
        CommandError: the file cannot be written.
    """
    if not problems:
        return None
    problem_path = next(path for path in _candidate_paths(path) if not path.exists())
    columns = [it for it in file.columns if it not in PROBLEM_COLUMNS]
    try:
        with problem_path.open("x", encoding="utf-8", newline="") as stream:
            stream.write(file.delimiter_line)
            writer = csv.writer(stream, delimiter=file.delimiter)
            writer.writerow([*columns, *PROBLEM_COLUMNS])
            for row in sorted(problems, key=lambda it: it.number):
                writer.writerow([*(row.cells[it] for it in columns), row.number, problems[row]])
    except OSError as error:
        raise CommandError(
            f"Cannot write {problem_path}: {error.strerror}.",
            "Repeat the command in a writable folder: no row is sent twice.",
        ) from None
    return problem_path


def _candidate_paths(path: Path) -> Iterator[Path]:
    """Yield numbered names: an earlier file may hold corrections and is never overwritten."""
    yield path.with_suffix(".problems.csv")
    for number in count(2):
        yield path.with_suffix(f".problems-{number}.csv")
