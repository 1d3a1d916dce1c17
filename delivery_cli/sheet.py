"""A CSV file of messages to send: what its columns mean, and each row as a request.

The file is read whole, once, so that what is sent and what the keys are made of is the same.
"""

import csv
import hashlib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from delivery_cli.drawing import visible
from delivery_cli.errors import CommandError
from delivery_cli.fields import NAMES, value_of
from delivery_cli.messages_api import Json

PROBLEM_COLUMNS: Final = ("problem_row", "problem")
"""What is added to a row that was not taken; of no meaning when such a file is sent in turn."""

_DELIMITERS: Final = ",;\t"
_CONTEXT: Final = "context."
_PLACE: Final = re.compile(r"\{\{|\}\}|\{([^{}]+)\}")
_MORE: Final = "\0more"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the file: the request that it makes, or why it makes none."""

    number: int
    """As a person counts: the first after the header is 1."""
    cells: Mapping[str, str] = field(repr=False)
    document: Json = field(default_factory=dict, repr=False)
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """The file's content: its rows by the names of their columns."""

    columns: tuple[str, ...]
    cells: tuple[Mapping[str, str], ...] = field(repr=False)
    digest: str
    """SHA-256 of its bytes."""
    delimiter: str

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read a CSV file in UTF-8 with a header; its delimiter is the one of its header.

        Raises:
            CommandError: it cannot be read as such a file.
        """
        try:
            content = file.read_bytes()
            text = content.decode("utf-8-sig")
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.") from None
        except UnicodeDecodeError:
            raise CommandError(f"{file} is not UTF-8.", "Save it as CSV UTF-8.") from None
        header = text.partition("\n")[0]
        delimiter = max(_DELIMITERS, key=header.count)
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restkey=_MORE)
        try:
            columns = tuple(name.strip() for name in reader.fieldnames or ())
            reader.fieldnames = columns
            cells = tuple(_clean(row) for row in reader)
        except csv.Error as error:
            raise CommandError(f"{file}, line {reader.line_num}: {error}.") from None
        if not cells:
            raise CommandError(f"{file} has no rows.", "Its first line names the columns.")
        if twice := sorted({name for name in columns if columns.count(name) > 1}):
            raise CommandError(f"{file} has several columns named {', '.join(twice)}.")
        return cls(
            columns=columns,
            cells=cells,
            digest=hashlib.sha256(content).hexdigest(),
            delimiter=delimiter,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What each column means.

    `fields` and `context` are columns by the API's names; `body` is a text with {column} in it;
    `fixed` goes into every row that does not say otherwise.
    """

    fields: Mapping[str, str]
    context: Mapping[str, str]
    fixed: Json
    body: str | None = None
    key_column: str | None = None
    campaign: str = ""

    @classmethod
    def of(  # noqa: PLR0913 -- what the command line can say about a file
        cls,
        columns: Sequence[str],
        *,
        mapped: Mapping[str, str],
        fixed: Json,
        body: str | None,
        key_column: str | None,
        campaign: str,
        ignores_others: bool,
    ) -> Self:
        """Find out what each column is for.

        Raises:
            CommandError: one is for nothing, or one that is named does not exist.
        """
        fields = {name: name for name in NAMES if name in columns and name not in mapped.values()}
        context = {
            name.removeprefix(_CONTEXT): name for name in columns if name.startswith(_CONTEXT)
        }
        for name, column in mapped.items():
            if name.startswith(_CONTEXT):
                context[name.removeprefix(_CONTEXT)] = column
            elif name in NAMES:
                fields[name] = column
            else:
                raise CommandError(
                    f"--column names a field {visible(name)}, and there is none.",
                    f"There are {', '.join(NAMES)}, and context.NAME.",
                )
        if body is not None:
            fields.pop("body", None)
        key_column = key_column or fields.get("idempotency_key")
        fields.pop("idempotency_key", None)
        if "to" not in fields:
            raise CommandError(
                "No column says who gets the messages.",
                f"Name it with --column to=COLUMN; there are {', '.join(map(visible, columns))}.",
            )
        named = [*fields.values(), *context.values(), *_places(body or "")]
        named += [key_column] if key_column else []
        _refuse_missing(columns, named)
        others = [it for it in columns if it not in {*named, *PROBLEM_COLUMNS}]
        if others and not ignores_others:
            raise CommandError(
                f"Nothing is said about the columns {', '.join(map(visible, others))}.",
                "Say what they are (--column FIELD=COLUMN), use them in the text "
                "(--body 'Hello {COLUMN}'), or leave them out with --ignore-other-columns.",
            )
        return cls(
            fields=fields,
            context=context,
            fixed=fixed,
            body=body,
            key_column=key_column,
            campaign=campaign,
        )

    def rows(self, sheet: Sheet) -> Iterator[Row]:
        """Every row as a request, with its idempotency key.

        The key is of the campaign's name and of the key column, or of the whole file's content and
        the row's number: the same again for the same file, whatever was taken of it before.
        """
        for number, cells in enumerate(sheet.cells, start=1):
            try:
                document = self._document(cells)
                key = self._key(cells, sheet, number)
            except _Unfit as unfit:
                yield Row(number=number, cells=cells, problem=str(unfit))
            else:
                keyed = document | {"idempotency_key": key}
                yield Row(number=number, cells=cells, document=keyed)

    def _document(self, cells: Mapping[str, str]) -> Json:
        if _MORE in cells:
            raise _Unfit("it has more cells than the header has columns")
        document = dict(self.fixed)
        for name, column in self.fields.items():
            if cells.get(column):
                document[name] = value_of(name, cells[column])
        if self.body is not None:
            document["body"] = _filled(self.body, cells)
        context = {name: cells[column] for name, column in self.context.items() if cells[column]}
        if context:
            document["context"] = {**document.get("context", {}), **context}
        return document

    def _key(self, cells: Mapping[str, str], sheet: Sheet, number: int) -> str:
        parts = [self.campaign] if self.campaign else []
        if self.key_column is None:
            return ":".join([*parts, f"csv-{sheet.digest[:32]}", str(number)])
        if not cells[self.key_column]:
            raise _Unfit(f"{self.key_column} is empty, and it is the row's key")
        return ":".join([*parts, cells[self.key_column]])


class _Unfit(ValueError):
    """A row that makes no request."""


def _clean(row: Mapping[str, str | list[str] | None]) -> Mapping[str, str]:
    """Cells without the space around them; what is missing at a row's end is empty."""
    return {
        name: value.strip() if isinstance(value, str) else "more" if value else ""
        for name, value in row.items()
    }


def _places(body: str) -> list[str]:
    return [match[1] for match in _PLACE.finditer(body) if match[1]]


def _filled(body: str, cells: Mapping[str, str]) -> str:
    def fill(match: re.Match[str]) -> str:
        if not match[1]:
            return match[0][0]  # of two braces one
        if not cells[match[1]]:
            raise _Unfit(f"{match[1]} is empty, and the text needs it")
        return cells[match[1]]

    return _PLACE.sub(fill, body)


def _refuse_missing(columns: Sequence[str], named: Sequence[str]) -> None:
    if missing := [it for it in dict.fromkeys(named) if it not in columns]:
        raise CommandError(
            f"The file has no column {', '.join(map(visible, missing))}.",
            f"It has {', '.join(map(visible, columns)) or 'none'}. In a text {{{{ stands for a "
            "brace.",
        )
