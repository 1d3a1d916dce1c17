"""A day in numbers, and what is open right now: counted from the indexes, with an end to the work.

Pure but for what the iterators read.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from delivery.domain.messages import Message
from delivery.domain.records import Record, iso
from delivery.domain.send_requests import RequestState, SendRequest
from delivery.twilio.error_codes import Explanation, explain

_MAX_SENDERS: Final = 20

# Twilio is first asked about a message after an hour, by default: until then all is as usual.
_AGES: Final = (
    (timedelta(0), "scheduled"),
    (timedelta(hours=1), "under_1_hour"),
    (timedelta(hours=24), "1_to_24_hours"),
    (timedelta.max, "over_24_hours"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """What is counted: of the day, and of right now; each is read as it is iterated."""

    failed: Iterable[Message]
    unconfirmed: Iterable[Message]
    pending: Iterable[Message]
    unresolved: Iterable[SendRequest]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Where counting ends though there is more: nothing is counted wrong, but not all of it."""

    most: int
    """Of one list."""
    out_of_time: Callable[[], bool]


class _Counted[T]:
    """What is iterated, up to the bounds; `complete` is false once there was more."""

    def __init__(self, listed: Iterable[T], bounds: Bounds) -> None:
        self._listed = listed
        self._bounds = bounds
        self.count = 0
        self.complete = True

    def __iter__(self) -> Iterator[T]:
        for it in self._listed:
            if self.count >= self._bounds.most or self._bounds.out_of_time():
                self.complete = False
                return
            self.count += 1
            yield it


def summarize(day: date, lists: Lists, *, now: datetime, bounds: Bounds) -> Record:
    """The summary as it is answered; what is likely to be short is counted first."""
    parts = {
        "in_doubt": _in_doubt(_Counted(lists.unresolved, bounds), now),
        "unconfirmed": _unconfirmed(_Counted(lists.unconfirmed, bounds)),
        "failed": _failed(_Counted(lists.failed, bounds)),
        "pending": _awaiting(_Counted(lists.pending, bounds), now),
    }
    return {
        "date": day.isoformat(),
        "at": iso(now),
        "complete": all(part["complete"] for part in parts.values()),
        **{name: parts[name] for name in ("failed", "unconfirmed", "pending", "in_doubt")},
    }


def _failed(messages: _Counted[Message]) -> Record:
    reasons, senders = Counter[Explanation](), Counter[str]()
    for message in messages:
        reasons[explain(message.error_code, message.status)] += 1
        senders[_sender_of(message)] += 1
    categories = Counter[str]()
    listed = []
    for reason, count in reasons.most_common():
        categories[reason.category] += count
        listed.append(
            {
                "error_code": reason.code,
                "count": count,
                "category": str(reason.category),
                "title": reason.title,
            }
        )
    return {
        "count": messages.count,
        "complete": messages.complete,
        "by_category": {str(name): count for name, count in categories.most_common()},
        "by_error_code": listed,
        "by_sender": _by_sender(senders),
    }


def _unconfirmed(messages: _Counted[Message]) -> Record:
    senders = Counter(_sender_of(message) for message in messages)
    return {
        "count": messages.count,
        "complete": messages.complete,
        "by_sender": _by_sender(senders),
    }


def _awaiting(messages: _Counted[Message], now: datetime) -> Record:
    ages = Counter(_age_of(message, now) for message in messages)
    return {
        "count": messages.count,
        "complete": messages.complete,
        "by_age": {name: ages[name] for _, name in _AGES},
    }


def _in_doubt(requests: _Counted[SendRequest], now: datetime) -> Record:
    """Of the requests on the list some are still at work, and some are given up but looked for."""
    claimed = [it.claimed_at for it in requests if it.state_at(now) is RequestState.IN_DOUBT]
    shown: Record = {"count": len(claimed), "complete": requests.complete}
    return shown | ({"oldest_at": iso(min(claimed))} if claimed else {})


def _sender_of(message: Message) -> str:
    return message.from_ or message.messaging_service_sid or "unknown"


def _by_sender(senders: Counter[str]) -> Record:
    shown: Record = dict(senders.most_common(_MAX_SENDERS))
    others = senders.total() - sum(shown.values())
    return shown | ({"others": others} if others else {})


def _age_of(message: Message, now: datetime) -> str:
    # One that was sent while this counts is younger than that, and not scheduled.
    age = now - message.starts_at if message.send_at else max(now - message.created_at, timedelta())
    return next(name for limit, name in _AGES if age < limit)
