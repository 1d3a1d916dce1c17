"""What the summary or the closing notice of an incident says.

Pure: everything it says is in the pending notice, so that a repetition says the same.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from delivery.domain.records import iso
from delivery.domain.statuses import MessageStatus
from delivery.text.formatting import format_duration
from delivery.twilio.error_codes import Explanation, explain

from .advice import FIRST_STEP_FOR_MANY, impact_of
from .incident import UNSENT_STATUSES, Example, IncidentKey, NoticeKind, PendingNotice
from .notice import Event, Links, NoticeContent, format_time, reason
from .policy import NoticePolicy

_MAX_SENDERS: Final = 5
_MANY: Final = 5  # with fewer failures the advice for a single one still holds
_ONE_MINUTE: Final = timedelta(minutes=1)
_WHAT_HAPPENED: Final[Mapping[str, str]] = {
    MessageStatus.REJECTED: "rejected and not sent",
    MessageStatus.PRESUMED_UNSENT: "probably not sent",
}


def incident_content(
    key: IncidentKey, pending: PendingNotice, links: Links, policy: NoticePolicy
) -> NoticeContent:
    """The content of the pending notice of the incident with this key."""
    explained = explain(key.error_code, key.cause)
    is_closing = pending.kind is NoticeKind.CLOSING
    many = pending.range_to >= _MANY
    failed = _WHAT_HAPPENED.get(key.cause, "not delivered")
    return NoticeContent(
        event=Event.FAILURE,
        notice_id=pending.notice_id,
        incident_id=pending.incident_id,
        account_sid=key.account_sid,
        status=key.cause if key.cause in UNSENT_STATUSES else MessageStatus.FAILED,
        explained=explained,
        headline=_headline(pending, failed, explained),
        lead=_lead(key, pending, failed, explained),
        details=_details(key, pending),
        impact="" if is_closing else impact_of(key.cause, explained.category, many=many),
        steps=[] if is_closing else _steps(key, explained, many=many),
        sections={
            "Top senders": _top_senders(pending),
            "Examples": list(map(_format_example, pending.examples)),
        },
        look_at={"Failed messages": links.api(f"messages?failed_on={pending.until:%Y-%m-%d}")},
        follow_up=_follow_up(pending, policy),
        message_sids=[example.message_sid for example in pending.examples],
        more_facts=_facts(key, pending, links),
        links=links,
    )


def _headline(pending: PendingNotice, failed: str, explained: Explanation) -> str:
    more = _count_messages(pending.failures, "more ")
    code = f" ({explained.code})" if explained.code else ""
    if pending.kind is not NoticeKind.CLOSING:
        return f"{more} {failed}: {explained.title}{code}"
    counted = more if pending.failures else _count_messages(pending.range_to)
    return f"Incident closed, {counted} {failed}: {explained.title}{code}"


def _lead(key: IncidentKey, pending: PendingNotice, failed: str, explained: Explanation) -> str:
    sentences = []
    if pending.kind is NoticeKind.CLOSING and not pending.is_muted:
        silence = _format_roughly(pending.until - pending.last_failure_at)
        sentences.append(f"Incident closed: no message has failed like this for {silence}.")
    total = f"In total, {_count_messages(pending.range_to)} failed since {_format_start(pending)}"
    if pending.failures:
        were = "was" if pending.failures == 1 else "were"
        window = _format_roughly(pending.until - pending.since)
        more = f"{_count_messages(pending.failures, 'more ')} {were} {failed}"
        sentences += [f"{more} in the last {window}: {reason(explained)}.", f"{total}."]
    else:
        sentences.append(f"{total}: {reason(explained)}.")
    if pending.recovered:
        done = "sent" if key.cause == MessageStatus.PRESUMED_UNSENT else "delivered"
        sentences.append(f"{_format_number(pending.recovered)} of them were {done} later.")
    if pending.is_muted:
        sentences.append("This category is muted now: this is the last notice of the incident.")
    return " ".join(sentences)


def _details(key: IncidentKey, pending: PendingNotice) -> dict[str, str | None]:
    first, last = pending.tally.first_at, pending.tally.last_at
    covered = (
        f"{_format_number(pending.failures)} (numbers {_format_number(pending.range_from)} to "
        f"{_format_number(pending.range_to)} of this incident)"
    )
    return {
        "New": covered if pending.failures else None,
        "In total": _format_number(pending.range_to),
        "Recovered": _format_number(pending.recovered) if pending.recovered else None,
        "Account": key.account_sid,
        "First new": format_time(first) if first else None,
        "Last new": format_time(last) if last else None,
        "Opened": format_time(pending.opened_at),
        "Incident": pending.incident_id,
    }


def _steps(key: IncidentKey, explained: Explanation, *, many: bool) -> list[str]:
    if many and key.cause != MessageStatus.PRESUMED_UNSENT:
        return [FIRST_STEP_FOR_MANY[explained.category], explained.action]
    return [explained.action, explained.again]


def _top_senders(pending: PendingNotice) -> list[str]:
    """The senders with the most failures, each with its count; the rest in one line."""
    counts = sorted(pending.tally.senders.items(), key=lambda item: (-item[1], item[0]))
    lines = [f"{name}: {_format_number(count)}" for name, count in counts[:_MAX_SENDERS]]
    rest = sum(count for _, count in counts[_MAX_SENDERS:])
    return [*lines, f"others: {_format_number(rest)}"] if rest else lines


def _format_example(example: Example) -> str:
    to = f" to {example.to}" if example.to else ""
    reference = f", reference {example.reference}" if example.reference else ""
    return f"{example.message_sid}{to}{reference}"


def _follow_up(pending: PendingNotice, policy: NoticePolicy) -> str:
    if pending.is_muted:
        return ""
    if pending.kind is NoticeKind.CLOSING:
        return "The next failure of this kind opens a new incident and is published at once."
    return (
        "The next notice of this incident comes in "
        f"{format_duration(policy.interval)}: a summary, or a closing notice if nothing has failed."
    )


def _facts(key: IncidentKey, pending: PendingNotice, links: Links) -> dict[str, str | None]:
    first, last = pending.tally.first_at, pending.tally.last_at
    return {
        "kind": str(pending.kind),
        "range_from": str(pending.range_from) if pending.failures else None,
        "range_to": str(pending.range_to) if pending.failures else None,
        "failures": str(pending.failures),
        "counted": str(pending.range_to),
        "recovered": str(pending.recovered),
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


def _format_start(pending: PendingNotice) -> str:
    """When the incident opened, with the date if that is not the day of the notice."""
    opened_at = pending.opened_at
    same_day = opened_at.date() == pending.until.date()
    return f"{opened_at:%H:%M} UTC" if same_day else f"{opened_at:%Y-%m-%d %H:%M} UTC"


def _format_roughly(length: timedelta) -> str:
    """A length of time, in whole minutes if it is longer than one."""
    minutes = round(length / _ONE_MINUTE)
    return format_duration(timedelta(minutes=minutes) if minutes > 1 else length)


def _count_messages(count: int, which: str = "") -> str:
    """As in: 1 more message, 341 more messages, 342 messages."""
    return f"{_format_number(count)} {which}message{'' if count == 1 else 's'}"


def _format_number(number: int) -> str:
    return f"{number:,}"
