"""What the summary or the closing notice of an incident says.

Pure: everything it says is in the pending notice, so that a repetition says the same.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Final

from delivery.domain.records import iso
from delivery.domain.statuses import UNSENT_STATUSES, MessageStatus
from delivery.text.formatting import format_duration
from delivery.twilio.error_codes import explain

from .advice import FIRST_STEP_FOR_MANY, impact_of
from .incident import Example, IncidentKey, NoticeKind, PendingNotice
from .notice import (
    Event,
    Links,
    NoticeContent,
    Values,
    failed_how,
    format_time,
    on_one_line,
    reason,
)
from .policy import NoticePolicy

_MAX_SENDERS: Final = 5
_MANY: Final = 5  # with fewer failures the advice for a single one still holds
_ONE_MINUTE: Final = timedelta(minutes=1)


def incident_content(
    key: IncidentKey, pending: PendingNotice, links: Links, policy: NoticePolicy
) -> NoticeContent:
    """Return what the pending notice of the incident with this key says."""
    explained = explain(key.error_code, key.cause)
    steps = [explained.action, explained.retry_advice]
    many = pending.range_to >= _MANY
    if many and key.cause != MessageStatus.PRESUMED_UNSENT:
        steps = [FIRST_STEP_FOR_MANY[explained.category], explained.action]
    summary = NoticeContent(
        event=Event.FAILURE,
        notice_id=pending.notice_id,
        incident_id=pending.incident_id,
        account_sid=key.account_sid,
        status=key.cause if key.cause in UNSENT_STATUSES else MessageStatus.FAILED,
        explained=explained,
        headline=_headline(key, pending, reason(explained)),
        lead=_lead(key, pending, reason(explained)),
        details=_details(key, pending),
        impact=impact_of(key.cause, explained.category, many=many),
        steps=steps,
        sections={
            "Top senders": _top_senders(pending),
            "Examples": list(map(_format_example, pending.examples)),
        },
        look_at={"Failed messages": links.api(f"messages?failed_on={pending.until:%Y-%m-%d}")},
        follow_up=(
            f"The next notice of this incident comes in {format_duration(policy.interval)}: a "
            "summary, or a closing notice if nothing has failed."
        ),
        message_sids=[example.message_sid for example in pending.examples],
        more_facts=_facts(key, pending, links),
        links=links,
    )
    return _closing(pending, summary) if pending.kind is NoticeKind.CLOSING else summary


def _closing(pending: PendingNotice, summary: NoticeContent) -> NoticeContent:
    """Return what the notice says if it closes the incident."""
    if pending.is_muted:
        lead = f"{summary.lead} This category is muted now: this is the last notice."
        follow_up = ""
    else:
        silence = _format_roughly(pending.until - pending.last_failure_at)
        lead = f"Incident closed: no message has failed like this for {silence}. {summary.lead}"
        follow_up = "The next failure of this kind opens a new incident and is published at once."
    return replace(
        summary,
        headline=f"Incident closed, {summary.headline}",
        lead=lead,
        impact="",
        steps=[],
        follow_up=follow_up,
    )


def _headline(key: IncidentKey, pending: PendingNotice, why: str) -> str:
    more = _count_messages(pending.failures, "more ")
    counted = more if pending.failures else _count_messages(pending.range_to)
    return f"{counted} {failed_how(key.cause)}: {why}"


def _lead(key: IncidentKey, pending: PendingNotice, why: str) -> str:
    same_day = pending.opened_at.date() == pending.until.date()
    opened = f"{pending.opened_at:{'%H:%M' if same_day else '%Y-%m-%d %H:%M'}} UTC"
    total = f"In total, {_count_messages(pending.range_to)} failed since {opened}"
    if pending.failures:
        more = _count_messages(pending.failures, "more ")
        were = "was" if pending.failures == 1 else "were"
        window = _format_roughly(pending.until - pending.since)
        text = f"{more} {were} {failed_how(key.cause)} in the last {window}: {why}. {total}."
    else:
        text = f"{total}: {why}."
    if pending.recovered:
        done = "sent" if key.cause in UNSENT_STATUSES else "delivered"
        was = "was" if pending.recovered == 1 else "were"
        text += f" {pending.recovered:,} of them {was} {done} later."
    if pending.tally.audited:
        text += f" The audit of earlier days found {pending.tally.audited:,} of the new ones."
    return text


def _details(key: IncidentKey, pending: PendingNotice) -> Values:
    first, last = pending.tally.first_at, pending.tally.last_at
    covered = (
        f"{pending.failures:,} (numbers {pending.range_from:,} to {pending.range_to:,} of this "
        "incident)"
    )
    return {
        "New": covered if pending.failures else None,
        "In total": f"{pending.range_to:,}",
        "Recovered": f"{pending.recovered:,}" if pending.recovered else None,
        "Account": key.account_sid,
        "First new": format_time(first) if first else None,
        "Last new": format_time(last) if last else None,
        "Opened": format_time(pending.opened_at),
        "Incident": pending.incident_id,
    }


def _top_senders(pending: PendingNotice) -> list[str]:
    """Return the senders with the most failures, each with its count, and the rest as one line."""
    counts = sorted(pending.tally.senders.items(), key=lambda item: (-item[1], item[0]))
    lines = [f"{on_one_line(name)}: {count:,}" for name, count in counts[:_MAX_SENDERS]]
    rest = sum(count for _, count in counts[_MAX_SENDERS:])
    return [*lines, f"others: {rest:,}"] if rest else lines


def _format_example(example: Example) -> str:
    to = f" to {example.to}" if example.to else ""
    reference = f", reference {example.reference}" if example.reference else ""
    return on_one_line(f"{example.message_sid}{to}{reference}")


def _facts(key: IncidentKey, pending: PendingNotice, links: Links) -> Values:
    first, last = pending.tally.first_at, pending.tally.last_at
    return {
        "kind": pending.kind,
        "range_from": str(pending.range_from) if pending.failures else None,
        "range_to": str(pending.range_to) if pending.failures else None,
        "failures": str(pending.failures),
        "counted": str(pending.range_to),
        "recovered": str(pending.recovered),
        "found_by_audit": str(pending.tally.audited),
        "cause": key.cause,
        "opened_at": iso(pending.opened_at),
        "since": iso(pending.since),
        "until": iso(pending.until),
        "last_failure_at": iso(pending.last_failure_at),
        "first_at": iso(first) if first else None,
        "last_at": iso(last) if last else None,
        "senders": "; ".join(_top_senders(pending)),
        "examples": "; ".join(map(_format_example, pending.examples)),
        "list_url": links.api(f"messages?failed_on={pending.until:%Y-%m-%d}"),
    }


def _format_roughly(length: timedelta) -> str:
    """Format a length of time in whole minutes if it is longer than one."""
    minutes = round(length / _ONE_MINUTE)
    return format_duration(timedelta(minutes=minutes) if minutes > 1 else length)


def _count_messages(count: int, which: str = "") -> str:
    """Format a number of messages, as in: 1 more message, 341 more messages, 342 messages."""
    return f"{count:,} {which}message{'' if count == 1 else 's'}"
