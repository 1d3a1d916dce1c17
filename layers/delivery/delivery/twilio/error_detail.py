"""Prepares the words that Twilio or a channel reports with a failure, so that they can be kept.

Pure. The words can quote phone numbers, e-mail addresses and markup of any channel.
"""

import re
import unicodedata
from typing import Final

MAX_LENGTH: Final = 200

# Longer texts are not read to their end: only the beginning can be kept.
_MAX_READ: Final = 2000
_TAG: Final = re.compile(r"<[^<>]{0,200}>")
_MARKUP: Final = str.maketrans(dict.fromkeys("<>@&*_~`|[]{}\\", " "))
_EMAIL: Final = re.compile(r"[^\s@,;:()\"']+@[^\s@,;:()\"']+")
# Five digits or more, with the separators of phone numbers.
_LONG_NUMBER: Final = re.compile(r"\+?\(?\d(?:[\s().\-/]*\d){4,}")


def clean_error_detail(*texts: str | None) -> str | None:
    """Return the texts on one line without markup and masked; None if nothing is left.

    E-mail addresses are masked, and all but the last four digits of each run of five or more.
    """
    cleaned = dict.fromkeys(_clean(text) for text in texts if text)
    return "; ".join(filter(None, cleaned))[:MAX_LENGTH].strip() or None


def _clean(text: str) -> str:
    visible = "".join(
        " " if unicodedata.category(it) in {"Cc", "Zl", "Zp"} else it
        for it in text[:_MAX_READ]
        if unicodedata.category(it) not in {"Cf", "Co", "Cs", "Cn"}
    )
    without_markup = _EMAIL.sub("…", _TAG.sub(" ", visible)).translate(_MARKUP)
    masked = _LONG_NUMBER.sub(_mask, without_markup)
    return " ".join(masked.split())


def _mask(found: re.Match[str]) -> str:
    return "…" + re.sub(r"\D", "", found[0])[-4:]
