"""How many segments a text is sent in.

Source: https://github.com/TwilioDevEd/message-segment-calculator and GSM 03.38. Unlike that
calculator this one splits between code points, not between graphemes. The GSM-7 table is
independent of the one in functions/send_message on purpose: each checks the other in tests.
"""

from collections.abc import Iterable

_GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡"
    "ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_EXTENSION = frozenset("\f^{}\\[~]|€")

_LOOK_ALIKES = str.maketrans(
    {
        **dict.fromkeys("\u00ab\u00bb\u201c\u201d\u201e\u201f\u2033\u275d\u275e\uff02", '"'),
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u2035\u275b\u275c\u02bc`\u00b4", "'"),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\uff0d", "-"),
        **dict.fromkeys("\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008", " "),
        **dict.fromkeys("\u2009\u200a\u202f\u205f\u3000", " "),
        **dict.fromkeys("\u200b\u2060\ufeff", ""),
        "\u2026": "...",
        "\u2022": "*",
        "\u2039": "<",
        "\u203a": ">",
        "\u2044": "/",
        "\u2215": "/",
        # The full-width forms of ASCII stand in ASCII's own order.
        **{chr(0xFF01 + i): chr(0x21 + i) for i in range(0x5E)},
    }
)


def smart_encoded(text: str) -> str:
    """Replace look-alikes of GSM-7 characters by these, as `SmartEncoded` does."""
    return text.translate(_LOOK_ALIKES)


def utf16_length(text: str) -> int:
    """Count UTF-16 units, as Twilio's limit of 1600 characters does: an emoji is two or more."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def segment_count(text: str) -> int:
    """Count the segments of a text, at least one; a character is never split over two."""
    if all(character in _GSM or character in _GSM_EXTENSION for character in text):
        return _count((2 if c in _GSM_EXTENSION else 1 for c in text), single=160, joined=153)
    return _count((utf16_length(c) for c in text), single=70, joined=67)


def _count(widths: Iterable[int], *, single: int, joined: int) -> int:
    widths = list(widths)
    if sum(widths) <= single:
        return 1
    segments, used = 1, 0
    for width in widths:
        if used + width > joined:
            segments, used = segments + 1, 0
        used += width
    return segments
