"""What the columns of a sheet mean, and the request that each row makes."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

from delivery_cli.commands.campaign.csv_file import Row, Sheet, listed
from delivery_cli.commands.campaign.problem_file import PROBLEM_COLUMNS
from delivery_cli.errors import CommandError
from delivery_cli.fields import NAMES, value_of
from delivery_cli.messages_api import Json
from delivery_cli.terminal_text import visible

_CONTEXT: Final = "context."
_BRACES: Final = re.compile(r"\{\{|\}\}|\{([^{}]+)\}|[{}]")


class Unfit(ValueError):
    """A row makes no request; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What each column of a sheet means.

    `fields` and `context` are columns by the API's names; `body` is a text with {column} in it;
    `fixed` goes into every row that does not say otherwise.
    """

    sheet: Sheet
    fields: Mapping[str, str]
    context: Mapping[str, str]
    fixed: Json
    body: str | None
    key_column: str | None
    campaign: str

    @classmethod
    def of(  # noqa: PLR0913 -- what the command line can say about a file
        cls,
        sheet: Sheet,
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
        fields, context = _meanings(sheet.columns, mapped)
        if body is not None:
            fields.pop("body", None)
        named_so = fields.pop("idempotency_key", None)
        layout = cls(
            sheet=sheet,
            fields=fields,
            context=context,
            fixed=fixed,
            body=body,
            key_column=key_column or named_so,
            campaign=campaign,
        )
        layout._check(ignores_others=ignores_others)
        return layout

    def request(self, row: Row) -> Json:
        """What is asked for with this row.

        Its idempotency key is of the campaign's name and of the key column, or of the whole file's
        content and the row's number: the same again for the same file, whatever was taken of it
        before.

        Raises:
            Unfit: the row makes no request.
        """
        if row.has_surplus:
            raise Unfit("it has more cells than the header has columns")
        cells = row.cells
        said = {name: column for name, column in self.fields.items() if cells[column]}
        document = self.fixed | {name: value_of(name, cells[it]) for name, it in said.items()}
        if self.body is not None:
            document["body"] = _filled(self.body, cells)
        context = {name: cells[column] for name, column in self.context.items() if cells[column]}
        if context:
            document["context"] = {**document.get("context", {}), **context}
        return document | {"idempotency_key": self._key(row)}

    def _key(self, row: Row) -> str:
        parts = [self.campaign] if self.campaign else []
        if self.key_column is None:
            return ":".join([*parts, f"csv-{self.sheet.digest[:32]}", str(row.number)])
        if not row.cells[self.key_column]:
            raise Unfit(f"{self.key_column} is empty, and it is the row's key")
        return ":".join([*parts, row.cells[self.key_column]])

    def _check(self, *, ignores_others: bool) -> None:
        columns = self.sheet.columns
        if "to" not in self.fields:
            raise CommandError(
                "No column says who gets the messages.",
                f"Name it with --column to=COLUMN; there are {listed(columns)}.",
            )
        named = {*self.fields.values(), *self.context.values(), *_columns_in(self.body or "")}
        if self.key_column is not None:
            named.add(self.key_column)
        if missing := sorted(named.difference(columns)):
            raise CommandError(
                f"The file has no column {listed(missing)}.", f"It has {listed(columns)}."
            )
        others = [it for it in columns if it not in {*named, *PROBLEM_COLUMNS}]
        if others and not ignores_others:
            raise CommandError(
                f"Nothing is said about the columns {listed(others)}.",
                "Say what they are (--column FIELD=COLUMN), use them in the text "
                "(--body 'Hello {COLUMN}'), or leave them out with --ignore-other-columns.",
            )


def _meanings(
    columns: Sequence[str], mapped: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """The columns that are fields, and those that are context, by the API's names.

    Raises:
        CommandError: `mapped` names a field that there is not.
    """
    fields = {name: name for name in NAMES if name in columns and name not in mapped.values()}
    context = {name.removeprefix(_CONTEXT): name for name in columns if name.startswith(_CONTEXT)}
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
    return fields, context


def _columns_in(body: str) -> list[str]:
    """The columns that a text names.

    Raises:
        CommandError: it has a brace that names none, as when one is forgotten.
    """
    matches = list(_BRACES.finditer(body))
    if any(match[0] in {"{", "}"} for match in matches):
        raise CommandError(
            "The text has a brace that belongs to no {COLUMN}.", "For a brace write it twice."
        )
    return [match[1] for match in matches if match[1]]


def _filled(body: str, cells: Mapping[str, str]) -> str:
    def fill(match: re.Match[str]) -> str:
        if not match[1]:
            return match[0][0]  # of two braces one
        if not cells[match[1]]:
            raise Unfit(f"{match[1]} is empty, and the text needs it")
        return cells[match[1]]

    return _BRACES.sub(fill, body)
