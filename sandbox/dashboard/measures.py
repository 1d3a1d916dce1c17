"""The numbers behind the graphs, from what the tables hold: there are no metrics in the sandbox."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Final

from delivery.domain.messages import Outcome
from delivery.domain.send_requests import RequestState
from delivery.twilio.error_codes import Category, explain
from sandbox.aws_account import Record
from sandbox.seconds import RECONCILE_AFTER, UNCONFIRMED_AFTER

BINS: Final = 30

_PERCENTILES: Final = (50, 90, 99)
_SECOND: Final = timedelta(seconds=1)
# How much time a bin can span, in seconds: round, so that bars stay what they are as time goes by.
_SPANS: Final = (10, 20, 30, 60, 120, 300, 600, 1800, 3600, 4 * 3600, 24 * 3600)
_AGES: Final = (
    (f"under {RECONCILE_AFTER} s", RECONCILE_AFTER * _SECOND),
    (f"{RECONCILE_AFTER} to {UNCONFIRMED_AFTER} s", UNCONFIRMED_AFTER * _SECOND),
    (f"{UNCONFIRMED_AFTER} s to 2 min", 120 * _SECOND),
    ("over 2 min", timedelta.max),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """How the messages of one moment are doing."""

    outcomes: Mapping[str, int]
    bin_spans: timedelta
    outcomes_over_time: Sequence[Mapping[str, int]]
    """By when the message was created, in `BINS` bins of which the last one holds this moment."""
    failures_by_category: Mapping[Category, int]
    """The most frequent first."""
    seconds_to_delivered: Mapping[str, float]
    """From creation, e.g. {"p50": 1.2}; empty while nothing is delivered."""
    awaiting_by_age: Mapping[str, int]
    requests_in_doubt: int

    @property
    def delivery_rate(self) -> float | None:
        """The part of those that ended which was delivered; None while none has."""
        ended = sum(count for outcome, count in self.outcomes.items() if outcome != Outcome.PENDING)
        return self.outcomes.get(Outcome.DELIVERED, 0) / ended if ended else None


def measured(messages: Iterable[Record], requests: Iterable[Record], now: datetime) -> Measures:
    """The measures of all that the tables hold."""
    known = [message for message in messages if message.get("transitions")]
    created = [_time(message["created_at"]) for message in known]
    age = now - min(created, default=now)
    bin_spans = next((it for it in _SPANS if age <= (BINS - 1) * it * _SECOND), _SPANS[-1])
    over_time = [Counter[str]() for _ in range(BINS)]
    for message, at in zip(known, created, strict=True):
        bins_ago = int(now.timestamp() // bin_spans) - int(at.timestamp() // bin_spans)
        over_time[min(max(BINS - 1 - bins_ago, 0), BINS - 1)][message["outcome"]] += 1
    of = {outcome: [it for it in known if it["outcome"] == outcome] for outcome in Outcome}
    categories = Counter(_category(message) for message in of[Outcome.FAILED])
    return Measures(
        outcomes=Counter(message["outcome"] for message in known),
        bin_spans=bin_spans * _SECOND,
        outcomes_over_time=over_time,
        failures_by_category=dict(categories.most_common()),
        seconds_to_delivered=_percentiles(map(_seconds_to_end, of[Outcome.DELIVERED])),
        awaiting_by_age=_ages(now - _time(it["created_at"]) for it in of[Outcome.PENDING]),
        requests_in_doubt=sum(_is_in_doubt(request, now) for request in requests),
    )


def _percentiles(values: Iterable[float]) -> dict[str, float]:
    """The nearest rank: a value that was really seen."""
    ordered = sorted(values)
    if not ordered:
        return {}
    return {f"p{it}": ordered[ceil(len(ordered) * it / 100) - 1] for it in _PERCENTILES}


def _ages(ages: Iterable[timedelta]) -> dict[str, int]:
    found = Counter(next(name for name, limit in _AGES if age < limit) for age in ages)
    return {name: found[name] for name, _ in _AGES}


def _category(message: Record) -> Category:
    code = message.get("error_code")
    return explain(int(code) if code is not None else None, message["status"]).category


def _is_in_doubt(request: Record, now: datetime) -> bool:
    """As `SendRequest.state_at` says it: a claim whose lease is over without a result is, too."""
    state = request.get("state")
    return state == RequestState.IN_DOUBT or (
        state == RequestState.IN_PROGRESS and _time(request["lease_until"]) <= now
    )


def _seconds_to_end(message: Record) -> float:
    span = _time(message["final_at"]) - _time(message["created_at"])
    return max(span.total_seconds(), 0)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
