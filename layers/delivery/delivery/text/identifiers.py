"""What people type for a number or a SID, as Twilio spells it.

Pure. Numbers are copied from contacts, spreadsheets and invoices, with spaces, dashes, dots,
parentheses and characters that nobody sees; SIDs from log lines.
"""

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_CHANNEL: Final = re.compile(r"\s*([A-Za-z][A-Za-z0-9]*)\s*:(.*)", re.DOTALL)
_NO_CHANNEL: Final = frozenset({"tel", "sms", "mms"})
_CHANNELS_OF_NUMBERS: Final = frozenset({"whatsapp", "rcs"})
_E164: Final = re.compile(r"\+[1-9][0-9]{1,14}")
# Eleven digits and more hold a country's code, but for those that a trunk's zero begins.
_WITHOUT_PLUS: Final = re.compile(r"[1-9][0-9]{10,14}")
# "+44 (0)20 …": the zero is dialled within the country only.
_TRUNK_ZERO: Final = re.compile(r"(?<=[0-9+]) *\(0\)")
_SID: Final = re.compile(r"(SM|MM|rq_)([0-9a-f]{32})", re.IGNORECASE)
_PREFIXES: Final = {"sm": "SM", "mm": "MM", "rq_": "rq_"}
_QUOTES: Final = "'\"`\u2018\u2019\u201c\u201d<>,;"


class InvalidAddress(ValueError):
    """The text is no number; the message goes on from its name, and holds the fix."""


class Kind(StrEnum):
    """What a text that somebody looks for can be."""

    MESSAGE = "message"
    RECIPIENT = "recipient"
    REFERENCE = "reference"


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupCandidate:
    """One way to understand a text: what it is, and how it is spelled in the table."""

    kind: Kind
    value: str


def normalize_recipient(text: str) -> str:
    """The address as messages have it in `to`: a number in E.164 form, or of a channel.

    A `+` that arrives as a space, as in a query whose writer did not encode it, is understood; so
    is `00` for it, and a number with its country's code and neither.

    Raises:
        InvalidAddress: it is no number, or has no country's code.
    """
    channel, address = _split(_seen(text))
    if not channel:
        return _e164(address)
    is_number = channel in _CHANNELS_OF_NUMBERS and not re.search(r"[A-Za-z]", address)
    if is_number or "+" in address:
        return f"{channel}:{_e164(address)}"
    if not re.fullmatch(r"[!-~]+", address.strip()):
        raise InvalidAddress("names a channel, and nobody there")
    return f"{channel}:{address.strip()}"  # such as messenger:<id>


def normalize_message_id(text: str) -> str | None:
    """The SID of a message, or the id of a request to send one; None where it is neither.

    Twilio's SIDs are SM or MM and 32 hex digits, in lower case.
    """
    plain = re.sub(r"\s+", "", _seen(text)).strip(_QUOTES)
    found = _SID.fullmatch(plain)
    return _PREFIXES[found[1].lower()] + found[2].lower() if found else None


def interpret(text: str) -> tuple[LookupCandidate, ...]:
    """Every way to understand what somebody looks for, the likeliest first; none for a blank.

    A caller's reference can be anything, so it is always among them.
    """
    typed = text.strip()
    if not typed:
        return ()
    reference = LookupCandidate(kind=Kind.REFERENCE, value=typed)
    if sid := normalize_message_id(typed):
        return (LookupCandidate(kind=Kind.MESSAGE, value=sid), reference)
    try:
        address = normalize_recipient(typed)
    except InvalidAddress:
        return (reference,)
    to = LookupCandidate(kind=Kind.RECIPIENT, value=address)
    return (to, reference) if "+" in address else (reference, to)


def _seen(text: str) -> str:
    """The text as people see it: other forms and scripts plain, what nobody sees left out."""
    plain = unicodedata.normalize("NFKC", text)
    return "".join(
        str(unicodedata.decimal(it)) if it.isdecimal() else it
        for it in plain
        if unicodedata.category(it) != "Cf"
    )


def _split(text: str) -> tuple[str, str]:
    """The channel, in lower case and empty for a plain number, and the rest."""
    found = _CHANNEL.fullmatch(text)
    if not found:
        return "", text
    channel = found[1].lower()
    if channel in _NO_CHANNEL:
        return "", found[2].partition(";")[0]  # a tel: URI has parameters after it (RFC 3966)
    return channel, found[2]


def _e164(text: str) -> str:
    begins_with_space = text[:1] == " " and text.strip()[:1].isdigit()
    text = text.strip().strip(_QUOTES)
    number = "".join(it for it in _TRUNK_ZERO.sub("", text) if not _separates(it))
    if number.startswith("00"):
        number = "+" + number[2:]
    elif begins_with_space or _WITHOUT_PLUS.fullmatch(number):
        number = "+" + number
    if not _E164.fullmatch(number):
        raise InvalidAddress(
            "is no number with its country's code; write it as +, the code and the digits"
        )
    return number


def _separates(character: str) -> bool:
    return character.isspace() or character in "()./·[]" or unicodedata.category(character) == "Pd"
