"""One page of an account's messages.

Source: https://www.twilio.com/docs/messaging/api/message-resource#read-multiple-message-resources
"""

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from urllib.parse import urlencode

from sandbox.twilio.errors import ApiError
from sandbox.twilio.parameters import Parameters, parse_time
from sandbox.twilio.resource import Document, Message, message_document

_DEFAULT_PAGE_SIZE = 50
_MAX_PAGE_SIZE = 1000
DATE_FILTERS = ("DateSent", "DateSent<", "DateSent>")
_FILTERS = ("To", "From", *DATE_FILTERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moment:
    """A date, which means the whole day, or a time."""

    day: date
    time: datetime | None = None

    def compared_with(self, at: datetime) -> int:
        """Return -1 if a message's time is before this, 0 if it is the same, 1 if it is after."""
        if self.time is None:
            return (at.date() > self.day) - (at.date() < self.day)
        at = at.replace(microsecond=0)
        return (at > self.time) - (at < self.time)


def page_document(messages: Iterable[Message], parameters: Parameters, *, uri: str) -> Document:
    """Return a page of messages, newest first; `uri` is the path of the list, with its format.

    Raises:
        ApiError: Twilio would reject a parameter.
    """
    size, number = _page_size(parameters), _parse_count(parameters.one("Page") or "0")
    found = sorted(_filter(messages, parameters), key=_listed_at, reverse=True)
    start = _start_index(found, parameters.one("PageToken"), size)
    rows = found[start : start + size]
    filters = [(name, value) for name in _FILTERS if (value := parameters.one(name))]

    def link(page: int, token: str | None = None) -> str:
        tokens = [("PageToken", token)] if token else []
        return f"{uri}?" + urlencode([*filters, ("PageSize", size), ("Page", page), *tokens])

    more = start + size < len(found)
    return {
        "first_page_uri": link(0),
        "end": number * size + len(rows) - 1 if rows else 0,
        "previous_page_uri": link(max(0, number - 1), "PB" + rows[0].sid)
        if rows and start
        else None,
        "messages": [message_document(message) for message in rows],
        "uri": link(number, parameters.one("PageToken")),
        "page_size": size,
        "start": number * size,
        "next_page_uri": link(number + 1, "PA" + rows[-1].sid) if more else None,
        "page": number,
    }


def _listed_at(message: Message) -> datetime:
    """The time that lists are sorted by; for messages without `date_sent` Twilio documents none."""
    return message.send_at or message.created


def _filter(messages: Iterable[Message], parameters: Parameters) -> list[Message]:
    found = list(messages)
    if to := parameters.one("To"):
        found = [message for message in found if message.to == to]
    if sender := parameters.one("From"):
        found = [message for message in found if message.sender == sender]
    for name, orders in (("DateSent", {0}), ("DateSent<", {-1, 0}), ("DateSent>", {0, 1})):
        if text := parameters.one(name):
            moment = _parse_moment(name, text)
            found = [m for m in found if moment.compared_with(m.sent or _listed_at(m)) in orders]
    return found


def _parse_moment(name: str, text: str) -> _Moment:
    with suppress(ValueError):
        return _Moment(day=date.fromisoformat(text))
    try:
        time = parse_time(text).replace(microsecond=0)
    except ValueError as error:
        raise ApiError(20422, f"Invalid date {text} in {name}.") from error
    return _Moment(day=time.date(), time=time)


def _page_size(parameters: Parameters) -> int:
    size = _parse_count(parameters.one("PageSize") or str(_DEFAULT_PAGE_SIZE))
    if size > _MAX_PAGE_SIZE:
        raise ApiError(20007, f"Page size must be at most {_MAX_PAGE_SIZE}.")
    if size == 0:
        raise ApiError(20422, "Page size must be at least 1.")
    return size


def _parse_count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise ApiError(20422, f"Invalid number {text}.")
    return int(text)


def _start_index(found: list[Message], token: str | None, size: int) -> int:
    """Return the index of the page: after (PA) or before (PB) the message that its token names."""
    if token is None:
        return 0
    indexes = {message.sid: index for index, message in enumerate(found)}
    side, index = token[:2], indexes.get(token[2:])
    if side not in {"PA", "PB"} or index is None:
        raise ApiError(21481, "Invalid PageToken.")
    return index + 1 if side == "PA" else max(0, index - size)
