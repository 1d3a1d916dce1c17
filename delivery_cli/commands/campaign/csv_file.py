"""A CSV file as it was read, once: what is sent and what the keys are made of is the same."""

import csv
import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from delivery_cli.errors import CommandError
from delivery_cli.terminal_text import visible

_DELIMITERS: Final = ",;\t"

type _Records = Iterator[tuple[int, list[str]]]
"""The cells of each record, and the line on which it begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the file, by the names of its columns; what is missing at its end is empty."""

    number: int
    """The first after the header is 1; it is part of the row's key."""
    line: int
    """Where it begins, as an editor counts."""
    cells: Mapping[str, str] = field(repr=False, compare=False)
    has_surplus: bool = False
    """Whether it has more cells than there are columns."""

    def __str__(self) -> str:
        return f"row {self.number} (line {self.line})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """The file's columns and rows."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...] = field(repr=False)
    digest: str
    """SHA-256 of its bytes."""
    delimiter: str

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read a CSV file in UTF-8 with a header; its delimiter is the one of its header.

        Raises:
            CommandError: it cannot be read as such a file.
        """
        content, text = _content_of(file)
        header = text.partition("\n")[0]
        delimiter = max(_DELIMITERS, key=header.count)
        records = _records(file, text, delimiter)
        _, names = next(records, (1, []))
        while names and not names[-1]:  # spreadsheets write a delimiter after the last
            names.pop()
        rows = tuple(_rows(names, records))
        if not rows:
            raise CommandError(f"{file} has no rows.", "Its first line names the columns.")
        if twice := sorted({name for name in names if name and names.count(name) > 1}):
            raise CommandError(f"{file} has several columns named {listed(twice)}.")
        return cls(
            columns=tuple(names),
            rows=rows,
            digest=hashlib.sha256(content).hexdigest(),
            delimiter=delimiter,
        )


def listed(names: Iterable[str]) -> str:
    """Names of columns, for a person; one may have none."""
    return ", ".join(visible(name) or "(without a name)" for name in names)


def _content_of(file: Path) -> tuple[bytes, str]:
    try:
        content = file.read_bytes()
        return content, content.decode("utf-8-sig")
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise CommandError(f"{file} is not UTF-8.", "Save it as CSV UTF-8.") from None


def _records(file: Path, text: str, delimiter: str) -> _Records:
    """Blank lines are none, and the space around a cell is not part of it."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        for record in reader:
            if record:
                yield line, [cell.strip() for cell in record]
            line = reader.line_num + 1
    except csv.Error as error:
        raise CommandError(
            f"{file}, line {line}: {error}.",
            'Is a " open there? Within a cell that begins with one it is written twice.',
        ) from None


def _rows(names: Sequence[str], records: _Records) -> Iterator[Row]:
    for number, (line, cells) in enumerate(records, start=1):
        filled_up = [*cells, *[""] * (len(names) - len(cells))]
        yield Row(
            number=number,
            line=line,
            cells=dict(zip(names, filled_up, strict=False)),
            has_surplus=any(cells[len(names) :]),
        )
