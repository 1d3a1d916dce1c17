"""What a report measures, for each group of messages and in total. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Self

from delivery_cli.messages_api import Json

type Row = Mapping[str, str | None]
"""A row of the query's result: column names and values as text."""

type Group = tuple[str | None, ...]
"""The value of each thing that is grouped by; None where it is unknown or does not apply."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """The measures of some messages; the counts of the outcomes add up to `messages`."""

    messages: int = 0
    delivered: int = 0
    failed: int = 0
    unconfirmed: int = 0
    canceled: int = 0
    pending: int = 0
    median_seconds: float | None = None
    """To delivery, of the messages whose delivery a callback reported."""
    p95_seconds: float | None = None
    segments: int = 0
    spend: Mapping[str, Decimal] = field(default_factory=dict)
    """Positive amounts by currency."""

    @property
    def delivery_rate(self) -> float | None:
        """The share of delivered messages, of those that are not pending or canceled."""
        ended = self.delivered + self.failed + self.unconfirmed
        return self.delivered / ended if ended else None

    def plus(self, other: Self) -> Self:
        """Return the measures of both: parts of the same messages, as `report_query` has them."""
        spend = dict(self.spend)
        for currency, amount in other.spend.items():
            spend[currency] = spend.get(currency, Decimal(0)) + amount
        return type(self)(
            **{name: getattr(self, name) + getattr(other, name) for name in (*COUNTS, "segments")},
            median_seconds=_lower(self.median_seconds, other.median_seconds),
            p95_seconds=_lower(self.p95_seconds, other.p95_seconds),
            spend=spend,
        )

    def as_json(self) -> Json:
        """Return the measures as documents show them: `docs/command-line.md` describes them."""
        rate = self.delivery_rate
        return {
            **{name: getattr(self, name) for name in COUNTS},
            "delivery_rate": None if rate is None else round(rate, 4),
            "median_seconds": self.median_seconds,
            "p95_seconds": self.p95_seconds,
            "segments": self.segments,
            "spend": {currency: plain_amount(it) for currency, it in sorted(self.spend.items())},
        }


COUNTS: Final = ("messages", "delivered", "failed", "unconfirmed", "canceled", "pending")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The measures of each group, and of all messages."""

    by: Sequence[str]
    groups: Mapping[Group, Measures]
    """In the order of their days, else those with most messages first; empty without `by`."""
    total: Measures

    @classmethod
    def of(cls, rows: Iterable[Row], by: Sequence[str]) -> Self:
        """Read the result of `report_query`."""
        groups: dict[Group, Measures] = {}
        total = Measures()
        for row in rows:
            group = tuple(row[f"group_{number}"] for number in range(1, len(by) + 1))
            groups[group] = groups.get(group, Measures()).plus(_read(row, ""))
            total = total.plus(_read(row, "total_"))
        in_order = sorted(groups.items(), key=lambda it: _order(it[0], it[1], by)) if by else ()
        return cls(by=by, groups=dict(in_order), total=total)

    @property
    def currencies(self) -> Sequence[str]:
        """The currencies of the report."""
        return sorted(self.total.spend)

    def as_json(self) -> Json:
        """Return the groups and the total as a document."""
        return {
            "by": list(self.by),
            "groups": [
                {"group": dict(zip(self.by, group, strict=True)), **measures.as_json()}
                for group, measures in self.groups.items()
            ],
            "total": self.total.as_json(),
        }


def plain_amount(amount: Decimal) -> str:
    """Return an amount without exponent and without zeros at its end."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _read(row: Row, prefix: str) -> Measures:
    """Read the measures of a row; `prefix` selects the percentiles."""
    currency = row["currency"]
    return Measures(
        **{name: int(row[name] or 0) for name in (*COUNTS, "segments")},
        median_seconds=_seconds(row[f"{prefix}median_seconds"]),
        p95_seconds=_seconds(row[f"{prefix}p95_seconds"]),
        spend={currency: Decimal(row["spend"] or 0)} if currency else {},
    )


def _order(group: Group, measures: Measures, by: Sequence[str]) -> tuple[str, int, list[str]]:
    day = (group[by.index("day")] or "") if "day" in by else ""
    return day, -measures.messages, [it or "" for it in group]


def _seconds(text: str | None) -> float | None:
    return None if text is None else float(text)


def _lower(one: float | None, other: float | None) -> float | None:
    return min((it for it in (one, other) if it is not None), default=None)
