"""Detects text that was damaged before it arrived, and characters that people cannot see. Pure."""

import unicodedata
from typing import Final

_DAMAGE: Final = {
    "\ufffd": "U+FFFD (the text was not UTF-8 when it was decoded); encode it as UTF-8",
    "\0": "U+0000 (NUL); remove it",
}
_INVISIBLE: Final = {"Cc", "Cf", "Zl", "Zp"}


def damage_in(text: str) -> str | None:
    """Return what damaged a text and how to fix it; None for a text without damage."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        return "half a character (a lone surrogate); encode the text as UTF-8"
    return next((fix for character, fix in _DAMAGE.items() if character in text), None)


def invisible_in(text: str) -> str | None:
    """Return the first invisible character as `U+202A`; None if the text has none.

    Invisible are control and format characters, line separators, and spaces other than U+0020.
    """
    for character in text:
        category = unicodedata.category(character)
        if category in _INVISIBLE or (category == "Zs" and character != " "):
            return f"U+{ord(character):04X}"
    return None
