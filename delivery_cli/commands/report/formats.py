"""Numbers of a report as people read them. Pure."""

from datetime import date
from decimal import Decimal
from typing import Final

from delivery_cli.commands.report.measures import plain_amount

MISSING: Final = "-"
"""Stands for a value that is unknown or does not apply."""

_UNITS: Final = (("s", 1, 100), ("min", 60, 6000), ("h", 3600, float("inf")))
"""Units of time: name, seconds, and the seconds from which the next unit is used."""


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


def format_amount(amount: Decimal) -> str:
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
