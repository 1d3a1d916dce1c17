"""The summary of a day: counts of its failures, and of what is pending and in doubt now.

Pure, except that the iterators read the tables. The bounds limit the work.
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

# By default a message is stale after an hour: until then, pending is normal.
_AGES: Final = (
    (timedelta(0), "scheduled"),
    (timedelta(hours=1), "under_1_hour"),
    (timedelta(hours=24), "1_to_24_hours"),
    (timedelta.max, "over_24_hours"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """The lists that are counted; each is read as it is iterated."""

    failed: Iterable[Message]
    unconfirmed: Iterable[Message]
    pending: Iterable[Message]
    unresolved: Iterable[SendRequest]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """When counting stops before the end of a list."""

    max_count: int
    """Of each list."""
    out_of_time: Callable[[], bool]


class _Counted[T]:
    """Iterates a list up to the bounds; `complete` becomes false where the list goes on."""

    def __init__(self, listed: Iterable[T], bounds: Bounds) -> None:
        self._listed = listed
        self._bounds = bounds
        self.count = 0
        self.complete = True

    def __iter__(self) -> Iterator[T]:
        for it in self._listed:
            if self.count >= self._bounds.max_count or self._bounds.out_of_time():
                self.complete = False
                return
            self.count += 1
            yield it


def summarize(day: date, lists: Lists, *, now: datetime, bounds: Bounds) -> Record:
    """Return the body of the response; lists that are likely short are counted first."""
    parts = {
        "in_doubt": _in_doubt(_Counted(lists.unresolved, bounds), now),
        "unconfirmed": _unconfirmed(_Counted(lists.unconfirmed, bounds)),
        "failed": _failed(_Counted(lists.failed, bounds)),
        "pending": _pending(_Counted(lists.pending, bounds), now),
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


def _pending(messages: _Counted[Message], now: datetime) -> Record:
    ages = Counter(_age_of(message, now) for message in messages)
    return {
        "count": messages.count,
        "complete": messages.complete,
        "by_age": {name: ages[name] for _, name in _AGES},
    }


def _in_doubt(requests: _Counted[SendRequest], now: datetime) -> Record:
    """Count the requests in doubt; the worklist also has those in progress and presumed unsent."""
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
    # A message that is created during the count is younger than `now`, but not scheduled.
    age = now - message.starts_at if message.send_at else max(now - message.created_at, timedelta())
    return next(name for limit, name in _AGES if age < limit)
