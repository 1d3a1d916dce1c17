"""Values of a report as people read them. Pure."""

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Final

from delivery_cli.commands.report.measures import Measures, plain_amount
from delivery_cli.terminal_text import escape_controls

MISSING: Final = "-"
"""Stands for a value that is unknown or does not apply."""

EMPTY: Final = frozenset({"0", MISSING})
_UNITS: Final = (("s", 1, 100), ("min", 60, 6000), ("h", 3600, float("inf")))
"""Units of time: name, seconds, and the seconds from which the next unit is used."""


def shown_measures(total: Measures) -> list[str]:
    """Return the names of the measures to show: some only if there is a value in total."""
    return [
        name
        for name, format_measure in MEASURES.items()
        if name not in _OPTIONAL or format_measure(total) not in EMPTY
    ]


def format_rate(rate: float | None) -> str:
    """Return a rate in percent. It is not rounded up to 100%."""
    if rate is None:
        return MISSING
    return f"{min(100 * rate, 99.9) if rate < 1 else 100:.1f}%"


def format_seconds(seconds: float | None) -> str:
    """Return a length of time in a fitting unit."""
    if seconds is None:
        return MISSING
    name, unit = next((name, unit) for name, unit, limit in _UNITS if seconds < limit)
    return f"{seconds / unit:.1f} {name}"


def format_spend(spend: Mapping[str, Decimal]) -> str:
    """Return the amounts, with a line for each currency."""
    lines = (f"{_format_amount(it)} {escape_controls(unit)}" for unit, it in sorted(spend.items()))
    return "\n".join(lines) or MISSING


def _format_amount(amount: Decimal) -> str:
    """Return the exact amount, with two decimal places at least."""
    _, _, decimals = plain_amount(amount).partition(".")
    return f"{amount:,.{max(len(decimals), 2)}f}"


def format_days(days: list[date]) -> str:
    """Return the days, with consecutive ones as one span."""
    spans: list[list[date]] = []
    for day in days:
        if spans and (day - spans[-1][-1]).days == 1:
            spans[-1].append(day)
        else:
            spans.append([day])
    return ", ".join(f"{it[0]} to {it[-1]}" if it[1:] else f"{it[0]}" for it in spans)


MEASURES: Final[Mapping[str, Callable[[Measures], str]]] = {
    "messages": lambda it: f"{it.messages:,}",
    "delivered": lambda it: f"{it.delivered:,}",
    "rate": lambda it: format_rate(it.delivery_rate),
    "failed": lambda it: f"{it.failed:,}",
    "unconfirmed": lambda it: f"{it.unconfirmed:,}",
    "canceled": lambda it: f"{it.canceled:,}",
    "pending": lambda it: f"{it.pending:,}",
    "median": lambda it: format_seconds(it.median_seconds),
    "p95": lambda it: format_seconds(it.p95_seconds),
    "segments": lambda it: f"{it.segments:,}",
    "spend": lambda it: format_spend(it.spend),
}
"""The measures by their titles in tables."""
_OPTIONAL: Final = frozenset({"unconfirmed", "canceled", "pending", "median", "p95", "spend"})
