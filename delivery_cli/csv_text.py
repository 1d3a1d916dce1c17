"""Text of cells in CSV that people may open in a spreadsheet."""

import re
from typing import Final

from delivery_cli.terminal_text import escape_controls

_FORMULA: Final = re.compile(r"[=+\-@]")
_NUMBER: Final = re.compile(r"[+-]?[0-9][0-9.]*")
"""A phone number or an amount, which a spreadsheet never runs."""


def csv_cell(text: object) -> str:
    """Return the text of a cell, with control characters escaped.

    A text that a spreadsheet would run as a formula gets an apostrophe before it:
    https://owasp.org/www-community/attacks/CSV_Injection
    """
    cell = escape_controls(text)
    is_formula = _FORMULA.match(cell) and not _NUMBER.fullmatch(cell)
    return f"'{cell}" if is_formula else cell
