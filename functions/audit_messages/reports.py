"""What the function logs and counts of an audit. Pure: ids, days and counts, never a number."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date

from delivery.domain.audits import AuditResult
from delivery.runtime.reports import Level, Report
from delivery.storage.table import ItemUnreadable
from delivery.twilio.client import CredentialsRefused, RequestRejected


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport(Report):
    """A report, with what is counted besides its metric.

    `corrections` counts the corrected messages by kind. `status_corrected_percent` is there once
    the audit of a day has ended. `accepted` is False where Twilio rejected the list of a day: the
    account's later days wait for that one.
    """

    corrections: Mapping[str, int] = field(default_factory=dict)
    status_corrected_percent: float | None = None
    accepted: bool = True


def audited(result: AuditResult) -> Iterator[AuditReport]:
    """Report that a day of an account was audited to its end, and what stays different."""
    yield AuditReport(
        metric="DayAudited",
        fields={**_fields(result), "corrected_by_kind": dict(result.corrected)},
        corrections=result.corrected,
        status_corrected_percent=result.status_corrected_percent,
    )
    if result.imported:
        yield AuditReport(metric="MessageImported", fields=_day_of(result), count=result.imported)
    if result.differences:
        yield AuditReport(
            metric="AuditDifference",
            level=Level.WARNING,
            fields={**_day_of(result), **result.differences},
            count=result.difference_count,
        )


def interrupted(error: Exception, result: AuditResult | None = None) -> AuditReport:
    """Report that an audit cannot go on now; the next run continues it."""
    if isinstance(error, CredentialsRefused):
        return credentials_refused(error, result)
    fields = {**(_fields(result) if result else {}), "reason": str(error)}
    if isinstance(error, RequestRejected):
        return AuditReport(metric="AuditRejected", level=Level.ERROR, fields=fields, accepted=False)
    return AuditReport(metric="AuditInterrupted", level=Level.WARNING, fields=fields)


def unreadable(error: ItemUnreadable, account_sid: str, day: date) -> AuditReport:
    """Report that a day is not audited, because this version cannot read its earlier result."""
    fields = {"account_sid": account_sid, "day": day.isoformat(), "reason": str(error)}
    return AuditReport(metric="ItemUnreadable", level=Level.ERROR, fields=fields)


def credentials_refused(error: Exception, result: AuditResult | None = None) -> AuditReport:
    """Report that one account or the whole run stops until an operator corrects the secret."""
    return AuditReport(
        metric="CredentialsRefused",
        level=Level.ERROR,
        fields={**(_day_of(result) if result else {}), "reason": str(error)},
    )


def _day_of(result: AuditResult) -> dict[str, object]:
    return {"account_sid": result.account_sid, "day": result.day.isoformat()}


def _fields(result: AuditResult) -> dict[str, object]:
    return {
        **_day_of(result),
        "state": str(result.state),
        "messages": result.messages,
        "known": result.known,
        "corrected": result.corrected_messages,
        "differences": result.difference_count,
    }
