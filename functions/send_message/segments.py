"""Estimates the segments of a text, in which Twilio counts a sender's rate.

The estimate may be one less than Twilio's count if a character would have to be split.
Source: https://www.twilio.com/docs/glossary/what-is-gsm-7-character-encoding and GSM 03.38.
"""

from typing import Final

_GSM: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡"
    "ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_EXTENSION: Final = frozenset("\f^{}\\[~]|€")  # two units each


def segments_of(text: str) -> int:
    """Return the number of segments, at least 1."""
    extended = sum(character in _GSM_EXTENSION for character in text)
    if all(character in _GSM or character in _GSM_EXTENSION for character in text):
        return _parts(len(text) + extended, single=160, joined=153)
    return _parts(len(text.encode("utf-16-le", "surrogatepass")) // 2, single=70, joined=67)


def _parts(units: int, *, single: int, joined: int) -> int:
    return 1 if units <= single else -(-units // joined)
