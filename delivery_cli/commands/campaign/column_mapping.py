"""What the columns of a CSV file mean, and the send request of each row."""

import argparse
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Self

from delivery.text.addresses import addresses_of
from delivery.text.identifiers import InvalidAddress
from delivery_cli.commands.campaign.csv_file import CsvFile, Row, format_columns
from delivery_cli.commands.campaign.problem_file import PROBLEM_COLUMNS
from delivery_cli.errors import CommandError
from delivery_cli.fields import KEY_FIELD, NAMES, parse_field
from delivery_cli.messages_api import Json
from delivery_cli.terminal_text import escape_controls

_CONTEXT_PREFIX: Final = "context."
_PLACEHOLDER: Final = re.compile(r"\{\{|\}\}|\{([^{}]+)\}|[{}]")


class InvalidRow(ValueError):
    """The row cannot be sent; the message states the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnMapping:
    """Maps the columns of a file to the fields of a send request.

    `fields` and `context` map names of the API to columns; `body` is a text with {COLUMN}
    placeholders; `defaults` are fields for rows whose own cell is missing or empty.
    """

    file: CsvFile
    fields: Mapping[str, str]
    context: Mapping[str, str]
    defaults: Json
    body: str | None
    key_column: str | None
    campaign: str

    @classmethod
    def from_options(
        cls, file: CsvFile, options: argparse.Namespace, *, defaults: Json, body: str | None
    ) -> Self:
        """Return the mapping that the command line describes.

        Raises:
            CommandError: a named column does not exist, or a column maps to nothing.
        """
        fields, context = _match(file.columns, dict(options.column))
        if body is not None:
            fields.pop("body", None)
        key_column = fields.pop(KEY_FIELD, None)
        mapping = cls(
            file=file,
            fields=fields,
            context=context,
            defaults=defaults,
            body=body,
            key_column=options.key_column or key_column,
            campaign=options.campaign,
        )
        mapping._check(ignore_other_columns=options.ignore_other_columns)
        return mapping

    def documents(self, problems: dict[Row, str]) -> Iterator[tuple[Row, Json]]:
        """Yield each row with its send request; a row that cannot be sent is added to `problems`.

        Two rows with the same key are never both sent, so the second has a problem.
        """
        row_of_key: dict[str, Row] = {}
        for row in self.file.rows:
            try:
                document = self._document(row)
            except InvalidRow as error:
                problems[row] = str(error)
                continue
            first = row_of_key.setdefault(document[KEY_FIELD], row)
            if first is row:
                yield row, document
            else:
                problems[row] = f"its key is that of {first}; give each row its own"

    def duplicate_recipients(self) -> dict[str, list[Row]]:
        """Return the rows of each person, by the first row's address, who is in several rows.

        This is not a problem: a person may get several messages.
        """
        rows = dict[str, list[Row]]()
        for row in self.file.rows:
            with suppress(InvalidAddress):
                rows.setdefault(addresses_of(self._recipient(row))[0], []).append(row)
        several = (it for it in rows.values() if len(it) > 1)
        return {self._recipient(it[0]): it for it in several}

    def _recipient(self, row: Row) -> str:
        return row.cells[self.fields["to"]]

    def _document(self, row: Row) -> Json:
        """Return the send request of a row, with its idempotency key.

        Raises:
            InvalidRow: the row cannot be sent.
        """
        if row.has_surplus:
            raise InvalidRow("it has more cells than the header has columns")
        cells = row.cells
        given = {name: cells[column] for name, column in self.fields.items() if cells[column]}
        document = self.defaults | {name: parse_field(name, it) for name, it in given.items()}
        if self.body is not None:
            document["body"] = _fill_placeholders(self.body, cells)
        context = {name: cells[column] for name, column in self.context.items() if cells[column]}
        if context:
            document["context"] = {**document.get("context", {}), **context}
        return document | {KEY_FIELD: self._key(row)}

    def _key(self, row: Row) -> str:
        """Return the row's idempotency key, the same whenever the file is sent again.

        Without a key column it is derived from the content of the whole file and the row number.
        """
        prefix = [self.campaign] if self.campaign else []
        if self.key_column is None:
            return ":".join([*prefix, f"csv-{self.file.digest[:32]}", str(row.number)])
        if not row.cells[self.key_column]:
            raise InvalidRow(f"{self.key_column} is empty, but it is the key column")
        return ":".join([*prefix, row.cells[self.key_column]])

    def _check(self, *, ignore_other_columns: bool) -> None:
        columns = self.file.columns
        if "to" not in self.fields:
            raise CommandError(
                "No column for the recipient.",
                f"Name it with --column to=COLUMN. Columns: {format_columns(columns)}.",
            )
        used = {*self.fields.values(), *self.context.values(), *_columns_in(self.body or "")}
        if self.key_column is not None:
            used.add(self.key_column)
        if missing := sorted(used.difference(columns)):
            raise CommandError(
                f"No such column: {format_columns(missing)}.",
                f"Columns of the file: {format_columns(columns)}.",
            )
        others = [it for it in columns if it not in {*used, *PROBLEM_COLUMNS}]
        if others and not ignore_other_columns:
            raise CommandError(
                f"Columns that map to no field: {format_columns(others)}.",
                "Map them with --column FIELD=COLUMN, use them in the text (--body 'Hello "
                "{COLUMN}'), or add --ignore-other-columns.",
            )


def _match(
    columns: Sequence[str], explicit: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the columns of fields and those of the context, each by the API's name.

    Raises:
        CommandError: `explicit` names an unknown field.
    """
    fields = {name: name for name in NAMES if name in columns and name not in explicit.values()}
    context = {
        name.removeprefix(_CONTEXT_PREFIX): name
        for name in columns
        if name.startswith(_CONTEXT_PREFIX)
    }
    for name, column in explicit.items():
        if name.startswith(_CONTEXT_PREFIX):
            context[name.removeprefix(_CONTEXT_PREFIX)] = column
        elif name in NAMES:
            fields[name] = column
        else:
            raise CommandError(
                f"Unknown field in --column: {escape_controls(name)}.",
                f"Fields: {', '.join(NAMES)} and context.NAME.",
            )
    return fields, context


def _columns_in(body: str) -> list[str]:
    """Return the columns of the text's placeholders.

    Raises:
        CommandError: a brace belongs to no placeholder.
    """
    matches = list(_PLACEHOLDER.finditer(body))
    if any(match[0] in {"{", "}"} for match in matches):
        raise CommandError(
            "Unmatched brace in the text: expected {COLUMN}.",
            "Double a brace that is part of the text: {{ or }}.",
        )
    return [match[1] for match in matches if match[1]]


def _fill_placeholders(body: str, cells: Mapping[str, str]) -> str:
    def fill(match: re.Match[str]) -> str:
        if not match[1]:
            return match[0][0]  # a doubled brace
        if not cells[match[1]]:
            raise InvalidRow(f"{match[1]} is empty, but the text contains it")
        return cells[match[1]]

    return _PLACEHOLDER.sub(fill, body)
