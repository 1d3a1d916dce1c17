"""Normalizes phone numbers, channel addresses and SIDs that people type or paste.

Pure. Numbers come from contacts, spreadsheets and invoices, with spaces, dashes, dots, parentheses
and invisible characters; SIDs come from log lines.
"""

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_CHANNEL: Final = re.compile(r"\s*([A-Za-z][A-Za-z0-9]*)\s*:(.*)", re.DOTALL)
_NO_CHANNEL: Final = frozenset({"tel", "sms", "mms"})
_CHANNELS_OF_NUMBERS: Final = frozenset({"whatsapp", "rcs", "viber"})
_E164: Final = re.compile(r"\+[1-9][0-9]{1,14}")
# Eleven digits or more begin with a country code, unless they begin with a trunk prefix (0).
_WITHOUT_PLUS: Final = re.compile(r"[1-9][0-9]{10,14}")
# "+44 (0)20 …": the trunk prefix is dialled within the country only.
_TRUNK_PREFIX: Final = re.compile(r"(?<=[0-9+]) *\(0\)")
_SID: Final = re.compile(r"(SM|MM|rq_)([0-9a-f]{32})", re.IGNORECASE)
_PREFIXES: Final = {"sm": "SM", "mm": "MM", "rq_": "rq_"}
_QUOTES: Final = "'\"`\u2018\u2019\u201c\u201d<>,;"


class InvalidAddress(ValueError):
    """The text is not an address; the error's text continues the field's name and holds the fix."""


class Kind(StrEnum):
    """What an operator's search text can mean."""

    MESSAGE = "message"
    RECIPIENT = "recipient"
    REFERENCE = "reference"


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupCandidate:
    """One meaning of a search text, with the normalized value to look up."""

    kind: Kind
    value: str


def normalize_recipient(text: str) -> str:
    """Return the address as `to` of a message has it: a number in E.164 form, or of a channel.

    The `+` of a number may be missing, or be typed as `00` or as a space (an unencoded `+` in a
    query).

    Raises:
        InvalidAddress: the text is not a number with a country code.
    """
    channel, address = _split(_visible(text))
    if not channel:
        return _e164(address)
    is_number = channel in _CHANNELS_OF_NUMBERS and not re.search(r"[A-Za-z]", address)
    if is_number or "+" in address:
        return f"{channel}:{_e164(address)}"
    if not re.fullmatch(r"[!-~]+", address.strip()):
        raise InvalidAddress("must have an address after the channel")
    return f"{channel}:{address.strip()}"  # such as messenger:<id>


def normalize_message_id(text: str) -> str | None:
    """Return a message's SID or a send request's id in its usual case; None for other text.

    Twilio's SIDs are SM or MM in upper case, and 32 hex digits in lower case.
    """
    plain = re.sub(r"\s+", "", _visible(text)).strip(_QUOTES)
    found = _SID.fullmatch(plain)
    return _PREFIXES[found[1].lower()] + found[2].lower() if found else None


def is_request_id(normalized: str) -> bool:
    """Return whether a normalized id is that of a send request, not a message's SID."""
    return normalized.startswith("rq_")


def interpret(text: str) -> tuple[LookupCandidate, ...]:
    """Return every meaning of a search text, the likeliest first; none for a blank text.

    A caller's reference can be any text, so it is always among them.
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


def _visible(text: str) -> str:
    """Return the text in compatibility form, with ASCII digits, without invisible characters."""
    plain = unicodedata.normalize("NFKC", text)
    return "".join(
        str(unicodedata.decimal(it)) if it.isdecimal() else it
        for it in plain
        if unicodedata.category(it) != "Cf"
    )


def _split(text: str) -> tuple[str, str]:
    """Return the channel in lower case (empty for a plain number) and the rest."""
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
    number = "".join(it for it in _TRUNK_PREFIX.sub("", text) if not _is_separator(it))
    if number.startswith("00"):
        number = "+" + number[2:]
    elif begins_with_space or _WITHOUT_PLUS.fullmatch(number):
        number = "+" + number
    if not _E164.fullmatch(number):
        raise InvalidAddress("must be a phone number with its country code, such as +12025550123")
    return number


def _is_separator(character: str) -> bool:
    return character.isspace() or character in "()./·[]" or unicodedata.category(character) == "Pd"
