"""Numbers and graphs of the sandbox's dashboard, computed from what tables and queues hold.

The emulated AWS has no metrics. The graphs are those of the CloudWatch dashboard in template.yaml
that can be computed from them.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Final

from delivery.domain.send_requests import RequestState
from delivery.domain.statuses import Outcome
from delivery.text.formatting import CATEGORY_LABELS
from delivery.twilio.error_codes import Category, explain
from sandbox.aws.account import Record

_PERCENTILES: Final = (50, 90, 99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A number with its name; `tone` is a CSS class."""

    name: str
    value: str
    tone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A bar of a graph; `label` is its value with the unit."""

    name: str
    value: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A graph of horizontal bars; `tone` is a CSS class."""

    title: str
    tone: str
    bars: Sequence[Bar]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """All numbers and graphs of the page."""

    numbers: Sequence[Number]
    graphs: Sequence[Graph]


def measure(
    messages: Iterable[Record],
    requests: Iterable[Record],
    queues: Mapping[str, int],
    now: datetime,
) -> Measures:
    """Compute the measures of one moment.

    Args:
        messages: the items of MessagesTable.
        requests: the items of SendRequestsTable.
        queues: the number of messages in each queue, by its label.
        now: the current time, for leases.
    """
    known = [message for message in messages if message.get("transitions")]  # not erased
    outcomes = Counter(message["outcome"] for message in known)
    failed = [message for message in known if message["outcome"] == Outcome.FAILED]
    categories = Counter(CATEGORY_LABELS[_category(message)] for message in failed)
    delivered = [message for message in known if message["outcome"] == Outcome.DELIVERED]
    in_doubt = sum(_is_in_doubt(request, now) for request in requests)
    return Measures(
        numbers=[
            Number(name="messages", value=str(len(known))),
            Number(name="delivered", value=_delivery_rate(outcomes), tone="good"),
            Number(name="failed", value=str(len(failed)), tone="bad"),
            Number(name="unconfirmed", value=str(outcomes[Outcome.UNCONFIRMED]), tone="doubtful"),
            Number(name="pending", value=str(outcomes[Outcome.PENDING])),
            Number(name="requests in doubt", value=str(in_doubt), tone="doubtful"),
        ],
        graphs=[
            Graph(title="Failures by category", tone="bad", bars=_counts(categories.most_common())),
            Graph(
                title="Seconds from creation to delivered",
                tone="good",
                bars=_percentiles(map(_seconds_to_final, delivered)),
            ),
            Graph(title="Messages in queues", tone="doubtful", bars=_counts(queues.items())),
        ],
    )


def _delivery_rate(outcomes: Mapping[str, int]) -> str:
    """Return the share of delivered messages, of those that are not pending or canceled."""
    delivered = outcomes.get(Outcome.DELIVERED, 0)
    ended = delivered + sum(outcomes.get(it, 0) for it in (Outcome.FAILED, Outcome.UNCONFIRMED))
    return f"{100 * delivered / ended:.0f} %" if ended else "none yet"


def _counts(counts: Iterable[tuple[str, int]]) -> list[Bar]:
    return [Bar(name=name, value=count, label=str(count)) for name, count in counts]


def _percentiles(values: Iterable[float]) -> list[Bar]:
    """The percentiles by nearest rank; empty without values."""
    ordered = sorted(values)
    found = {it: ordered[ceil(len(ordered) * it / 100) - 1] for it in _PERCENTILES if ordered}
    return [Bar(name=f"p{it}", value=value, label=f"{value:.2f} s") for it, value in found.items()]


def _category(message: Record) -> Category:
    code = message.get("error_code")
    return explain(int(code) if code is not None else None, message["status"]).category


def _is_in_doubt(request: Record, now: datetime) -> bool:
    """As `SendRequest.state_at`: also a claim whose lease has expired without a result."""
    state = request.get("state")
    return state == RequestState.IN_DOUBT or (
        state == RequestState.IN_PROGRESS and _time(request["lease_until"]) <= now
    )


def _seconds_to_final(message: Record) -> float:
    return max((_time(message["final_at"]) - _time(message["created_at"])).total_seconds(), 0)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
