"""Parses Twilio's status callbacks.

Pure.

Errors:

    ParameterMissing     signed by Twilio, but not a status callback
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self
from urllib.parse import parse_qsl

from delivery.domain.messages import Source, StatusUpdate, within_context_limits
from delivery.twilio.error_detail import clean_error_detail
from delivery.twilio.signature import Parameters

MAX_BODY_BYTES = 64 * 1024
REQUEST_ID = re.compile(r"rq_[0-9a-f]{32}")

# Twilio's SIDs have 34 characters and its longest addresses are far shorter than this. The bounds
# keep an unexpected value within DynamoDB's limits for keys and items.
_MAX_SID_LENGTH = 128
_MAX_VALUE_LENGTH = 256
_MAX_STATUS_LENGTH = 64
_MAX_ERROR_CODE_DIGITS = 9
_INBOUND_STATUSES = frozenset({"receiving", "received"})


class ParameterMissing(Exception):
    """A parameter that every status callback has is missing, blank or too long."""

    def __init__(self, parameter: str) -> None:
        super().__init__(f"{parameter} is missing, blank or too long: every status callback has it")
        self.parameter = parameter


def parse_form(body: bytes) -> Parameters:
    """Return every name and value of a form body, in order, blanks and repetitions included.

    Bytes that are not UTF-8 become U+FFFD: no signature can match such a body, and parsing it must
    not raise.
    """
    return parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)


def account_of(parameters: Parameters) -> str | None:
    """Return the AccountSid that the callback claims; it selects the tokens to verify with."""
    return _first_values(parameters).get("AccountSid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """A verified status callback; `dropped_names` of its query do not fit in a context."""

    update: StatusUpdate
    dropped_names: int = 0

    @classmethod
    def parse(cls, parameters: Parameters, *, raw_query: str, at: datetime) -> Self:
        """Read a verified status callback that arrived at `at`.

        Query parameters that the sender put on its callback URL become the update's context, except
        for a `request_id` of our own form. Unknown parameters, unknown statuses and malformed error
        codes are not errors: Twilio adds new ones without notice.

        Raises:
            ParameterMissing: the SID or the status is missing under both of its names, or the SID
                is too long.
        """
        values = _first_values(parameters)
        message_sid = values.get("MessageSid") or values.get("SmsSid")
        if message_sid is None or len(message_sid) > _MAX_SID_LENGTH:
            raise ParameterMissing("MessageSid")
        status = values.get("MessageStatus") or values.get("SmsStatus")
        if status is None:
            raise ParameterMissing("MessageStatus")
        request_id, pairs = _query(raw_query)
        context = within_context_limits(pairs)
        update = StatusUpdate(
            message_sid=message_sid,
            status=status[:_MAX_STATUS_LENGTH],
            at=at,
            source=Source.CALLBACK,
            error_code=error_code(values.get("ErrorCode")),
            error_detail=clean_error_detail(
                values.get("ErrorMessage"), values.get("ChannelStatusMessage")
            ),
            carrier_time=_clipped(values, "RawDlrDoneDate"),
            account_sid=_clipped(values, "AccountSid"),
            to=_clipped(values, "To"),
            from_=_clipped(values, "From"),
            messaging_service_sid=_clipped(values, "MessagingServiceSid"),
            request_id=request_id,
            context=context,
        )
        names = {name for name, _ in pairs if name}
        return cls(update=update, dropped_names=len(names - context.keys()))

    @property
    def is_inbound(self) -> bool:
        """Whether it reports a message that someone sent to the account."""
        return self.update.status in _INBOUND_STATUSES


def error_code(text: str | None) -> int | None:
    """Return Twilio's error code as a number; None where there is none or it is malformed.

    Zero means "no error" in Twilio's older products and does not count as a code.
    """
    if text is None or not re.fullmatch(rf"[0-9]{{1,{_MAX_ERROR_CODE_DIGITS}}}", text.strip()):
        return None
    return int(text) or None


def _first_values(parameters: Parameters) -> dict[str, str]:
    """Return, for each name, its first value that is not blank."""
    values: dict[str, str] = {}
    for name, value in parameters:
        if value.strip():
            values.setdefault(name, value)
    return values


def _clipped(values: Mapping[str, str], name: str) -> str | None:
    value = values.get(name)
    return value[:_MAX_VALUE_LENGTH] if value else None


def _query(raw_query: str) -> tuple[str | None, list[tuple[str, str]]]:
    """Return our request id, and the parameters that the sender put on its callback URL."""
    request_id = None
    pairs = []
    for name, value in parse_qsl(raw_query, keep_blank_values=True):
        if name == "request_id" and REQUEST_ID.fullmatch(value):
            request_id = request_id or value
        else:
            pairs.append((name, value))
    return request_id, pairs
