"""Reading a CSV file, once: rows and idempotency keys come from the same bytes."""

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from delivery_cli.errors import CommandError
from delivery_cli.terminal_text import escape_controls

_DELIMITERS: Final = ",;\t"
# Spreadsheets read this line, and export programs write it for them.
_DELIMITER_LINE: Final = re.compile(r'"?sep=([^\r\n"])"?\r?\n', re.IGNORECASE)

type _Records = Iterator[tuple[int, list[str]]]
"""The cells of each record, with the line on which it begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row, with its cells by column name; missing cells at the end are empty."""

    number: int
    """The first row after the header is 1; part of the row's idempotency key."""
    line: int
    """The line on which the row begins, as an editor counts."""
    cells: Mapping[str, str] = field(repr=False, compare=False)
    has_surplus: bool = False
    """Whether it has more cells than the header has columns."""

    def __str__(self) -> str:
        return f"row {self.number} (line {self.line})"


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvFile:
    """The columns and rows of a CSV file."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...] = field(repr=False)
    digest: str
    """SHA-256 of the file's bytes."""
    delimiter: str
    delimiter_line: str
    """The line before the header that names the delimiter; empty if there is none."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a CSV file in UTF-8 with a header.

        The delimiter is the one that a first line `sep=…` names, else the header's most frequent.

        Raises:
            CommandError: it cannot be read, is malformed or has no rows.
        """
        content, text = _read_content(path)
        named = _DELIMITER_LINE.match(text)
        delimiter_line = named[0] if named else ""
        header = text.partition("\n")[0]
        delimiter = named[1] if named else max(_DELIMITERS, key=header.count)
        records = _parse(path, text, delimiter, begin=len(delimiter_line))
        _, columns = next(records, (1, []))
        while columns and not columns[-1]:  # spreadsheets write a delimiter after the last column
            columns.pop()
        rows = tuple(_rows(columns, records))
        if not columns:
            raise CommandError(f"{path} is empty.", "The first line must name the columns.")
        if not rows:
            raise CommandError(
                f"{path} has no rows after its header: {format_columns(columns)}.",
                "The first line names the columns, and each further line is a message.",
            )
        if duplicates := sorted({name for name in columns if name and columns.count(name) > 1}):
            raise CommandError(f"Duplicate columns in {path}: {format_columns(duplicates)}.")
        return cls(
            columns=tuple(columns),
            rows=rows,
            digest=hashlib.sha256(content).hexdigest(),
            delimiter=delimiter,
            delimiter_line=delimiter_line,
        )


def format_columns(names: Iterable[str]) -> str:
    """Return column names as a list for a person."""
    return ", ".join(escape_controls(name) or "(unnamed)" for name in names)


def _read_content(path: Path) -> tuple[bytes, str]:
    try:
        content = path.read_bytes()
        return content, content.decode("utf-8-sig")
    except OSError as error:
        raise CommandError(f"Cannot read {path}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise CommandError(f"{path} is not UTF-8.", "Save it as CSV UTF-8.") from None


def _parse(path: Path, text: str, delimiter: str, *, begin: int) -> _Records:
    """Yield the records from a place on, with their cells stripped; blank lines are skipped."""
    lines = io.StringIO(text[begin:], newline="")
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    line = first_line = 1 + text.count("\n", 0, begin)
    try:
        for record in reader:
            if record:
                yield line, [cell.strip() for cell in record]
            line = reader.line_num + first_line
    except csv.Error as error:
        raise CommandError(
            f"Malformed CSV in {path}, line {line}: {error}.",
            'Check for an unclosed ". Within a quoted cell, write "" for a quotation mark.',
        ) from None


def _rows(columns: Sequence[str], records: _Records) -> Iterator[Row]:
    for number, (line, cells) in enumerate(records, start=1):
        padded = [*cells, *[""] * (len(columns) - len(cells))]
        yield Row(
            number=number,
            line=line,
            cells=dict(zip(columns, padded, strict=False)),
            has_surplus=any(cells[len(columns) :]),
        )
