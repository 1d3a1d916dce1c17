"""One page of an account's messages.

Source: https://www.twilio.com/docs/messaging/api/message-resource#read-multiple-message-resources
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlencode

from sandbox.twilio.errors import ApiError
from sandbox.twilio.parameters import Parameters, parse_time
from sandbox.twilio.resource import Document, Message, message_document

_DEFAULT_PAGE_SIZE = 50
_LARGEST_PAGE_SIZE = 1000
_FILTERS = ("To", "From", "DateSent", "DateSent<", "DateSent>")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moment:
    """A date, which stands for the whole day, or a time."""

    day: date
    time: datetime | None = None

    def compared_with(self, at: datetime) -> int:
        """-1 when the message's time is before this, 0 when it is the same, 1 when after."""
        if self.time is None:
            return (at.date() > self.day) - (at.date() < self.day)
        at = at.replace(microsecond=0)
        return (at > self.time) - (at < self.time)


def page_document(messages: Iterable[Message], parameters: Parameters, *, uri: str) -> Document:
    """A page, newest first; `uri` is the list's own, with its ending.

    Raises:
        ApiError: a parameter that Twilio would refuse.
    """
    size, number = _page_size(parameters), _count(parameters.one("Page") or "0")
    found = sorted(_filtered(messages, parameters), key=_listed_at, reverse=True)
    start = _start(found, parameters.one("PageToken"), size)
    rows = found[start : start + size]
    kept = [(name, value) for name in _FILTERS if (value := parameters.one(name))]

    def link(page: int, token: str | None = None) -> str:
        tokens = [("PageToken", token)] if token else []
        return f"{uri}?" + urlencode([*kept, ("PageSize", size), ("Page", page), *tokens])

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
    """What Twilio's list is sorted by; it doesn't say where messages without `date_sent` stand."""
    return message.send_at or message.created


def _filtered(messages: Iterable[Message], parameters: Parameters) -> list[Message]:
    found = list(messages)
    if to := parameters.one("To"):
        found = [message for message in found if message.to == to]
    if sender := parameters.one("From"):
        found = [message for message in found if message.sender == sender]
    for name, orders in (("DateSent", {0}), ("DateSent<", {-1, 0}), ("DateSent>", {0, 1})):
        if text := parameters.one(name):
            moment = _moment(name, text)
            found = [m for m in found if moment.compared_with(m.sent or _listed_at(m)) in orders]
    return found


def _moment(name: str, text: str) -> _Moment:
    try:
        return _Moment(day=date.fromisoformat(text))
    except ValueError:
        pass
    for parse in (parse_time, _parse_rfc_2822):
        try:
            time = parse(text).replace(microsecond=0)
        except ValueError:
            continue
        return _Moment(day=time.date(), time=time)
    raise ApiError(20422, f"{name} {text} is not a date.")


def _parse_rfc_2822(text: str) -> datetime:
    return parse_time(parsedate_to_datetime(text).isoformat())


def _page_size(parameters: Parameters) -> int:
    size = _count(parameters.one("PageSize") or str(_DEFAULT_PAGE_SIZE))
    if size > _LARGEST_PAGE_SIZE:
        raise ApiError(20007, f"Page size must be at most {_LARGEST_PAGE_SIZE}.")
    if size == 0:
        raise ApiError(20422, "Page size must be at least 1.")
    return size


def _count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise ApiError(20422, f"{text} is not a number.")
    return int(text)


def _start(found: list[Message], token: str | None, size: int) -> int:
    """Where the page begins: after (PA) or before (PB) the message that its token names."""
    if token is None:
        return 0
    places = {message.sid: place for place, message in enumerate(found)}
    side, place = token[:2], places.get(token[2:])
    if side not in {"PA", "PB"} or place is None:
        raise ApiError(21481, "Invalid PageToken.")
    return place + 1 if side == "PA" else max(0, place - size)
