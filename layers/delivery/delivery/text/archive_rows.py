"""The row of a message in the archive, which reports read.

Pure. A row holds no recipient, text or reference. Queries keep the row of each message with the
greatest `recorded_at` and, where that is equal, the greatest `sequence`.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from delivery.domain.messages import Message, Source
from delivery.domain.prices import amount_of, currency_of
from delivery.domain.records import Record, iso
from delivery.domain.statuses import Outcome, outcome_of
from delivery.text.countries import country_of
from delivery.twilio.error_codes import explain

_SEQUENCE_DIGITS: Final = 40
"""DynamoDB's sequence numbers have up to 40 digits. Padded they sort as text.

Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_StreamRecord.html
"""
_MAX_INT: Final = 2**31 - 1
_MAX_DIMENSION_CHARACTERS: Final = 64
_SEVEN_DIGITS: Final = re.compile(r"\d{7}")


def archive_row(
    message: Message, *, sequence_number: str = "", dimensions: Sequence[str] = ()
) -> Record:
    """Return the message's row; unknown facts are omitted.

    Args:
        message: the message after a change.
        sequence_number: the change's place in the stream; empty for a row from the table, whose
            sequence is lower than that of any change.
        dimensions: the names in the message's context that are kept.
    """
    channel, number = _channel_and_number(message)
    kept = dict(_suitable(message, dimensions))
    facts = {
        "message_sid": message.message_sid,
        "account_sid": message.account_sid,
        "created_at": iso(message.created_at),
        "recorded_at": iso(message.updated_at),
        "sequence": sequence_number.zfill(_SEQUENCE_DIGITS),
        "outcome": str(message.outcome),
        "status": message.status,
        "error_code": _within_int(message.error_code),
        "category": _category(message),
        "channel": channel,
        "country": country_of(number) if number.startswith("+") else None,
        "sender": message.from_,
        "messaging_service_sid": message.messaging_service_sid,
        "seconds_to_final": _seconds_to_final(message),
        "num_segments": _segments(message.num_segments),
        "price": amount_of(message.price),
        "price_unit": currency_of(message.price_unit),
        "dimensions": kept or None,
    }
    return {name: fact for name, fact in facts.items() if fact is not None}


def is_new_row(message: Message, previous: Message, dimensions: Sequence[str] = ()) -> bool:
    """Return whether a change of a message gives it another row.

    A status that does not change the outcome does not: it would double the rows and change no
    report.
    """
    before, after = (archive_row(it, dimensions=dimensions) for it in (previous, message))
    compared = (before | after).keys() - {"status", "recorded_at", "sequence"}
    return any(before.get(name) != after.get(name) for name in compared)


def unsuitable_dimensions(message: Message, dimensions: Iterable[str]) -> list[str]:
    """Return the names whose values a row leaves out, because they may identify a person."""
    suitable = dict(_suitable(message, dimensions))
    return [name for name in dimensions if message.context.get(name) and name not in suitable]


def _suitable(message: Message, dimensions: Iterable[str]) -> Iterable[tuple[str, str]]:
    recipient = re.sub(r"\D", "", message.to or "")[-7:]
    for name in dimensions:
        value = message.context.get(name)
        if not value or len(value) > _MAX_DIMENSION_CHARACTERS or "@" in value:
            continue
        digits = re.sub(r"\D", "", value)
        if _SEVEN_DIGITS.search(value) or (recipient and recipient in digits):
            continue
        yield name, value


def _channel_and_number(message: Message) -> tuple[str | None, str]:
    """Return the channel and the recipient's address on it.

    Twilio's ids of messages with media begin with MM. A message that was sent over RCS or WhatsApp
    by a Messaging Service may show it on one of its addresses only.
    """
    channel, _, number = (message.to or "").rpartition(":")
    channel = channel or (message.from_ or "").rpartition(":")[0]
    if channel:
        return channel.lower(), number
    if not number:
        return None, number
    return "mms" if message.message_sid.startswith("MM") else "sms", number


def _category(message: Message) -> str | None:
    if message.outcome is not Outcome.FAILED:
        return None
    return str(explain(message.error_code, message.status).category)


def _seconds_to_final(message: Message) -> float | None:
    """Return the seconds from when a status could be expected to the final one.

    None unless a callback brought the final status: reconciliation and audit learn of it later.
    Also None if no earlier status is known: then it is unknown when the message was sent.
    """
    if message.outcome is Outcome.PENDING:
        return None
    found = (it for it in message.transitions if outcome_of(it.status) is message.outcome)
    final = next(found, None)
    if final is None or final is message.transitions[0] or final.source is not Source.CALLBACK:
        return None
    return max((final.at - message.starts_at).total_seconds(), 0.0)


def _segments(text: str | None) -> int | None:
    if text is None or not re.fullmatch(r"[0-9]{1,20}", text):
        return None
    return _within_int(int(text))


def _within_int(number: int | None) -> int | None:
    """Return the number; None if the column cannot hold it, because that would lose the row."""
    return number if number is not None and abs(number) <= _MAX_INT else None
