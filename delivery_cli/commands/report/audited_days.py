"""Which days of a report may still change, because their final audit is due."""

from collections.abc import Iterator
from datetime import date, datetime

from delivery.domain.audits import FINAL_AFTER, MAX_CATCH_UP, AuditState, end_of
from delivery_cli.commands.report.query import Span
from delivery_cli.messages_api import MessagesApi


def days_not_final(span: Span, api: MessagesApi, *, now: datetime) -> Iterator[date]:
    """Yield the days of the span that have no final audit, and may still get one.

    The API is asked about days whose final audit is due: 26 at most, because later audits are not
    made up for.
    """
    for day in span.days:
        if (now - MAX_CATCH_UP).date() <= day <= now.date() and (
            now < end_of(day) + FINAL_AFTER or not _is_final(api, day)
        ):
            yield day


def _is_final(api: MessagesApi, day: date) -> bool:
    audits = api.audits(day.isoformat())["audits"]
    return bool(audits) and all(it["state"] == AuditState.FINAL for it in audits)
