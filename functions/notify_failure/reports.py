"""What the function logs and counts: a report for each step of a notice or an incident.

Pure. The fields hold ids, counts and reasons, never a phone number.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from delivery.domain.messages import Message
from delivery.domain.notices import NoticeState
from delivery.runtime.reports import Level, Report

from .incident import Incident, IncidentKey


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeReport(Report):
    """A report, and what it says about the messages to be handled."""

    steps: int = 0
    """How many messages' notices took a step."""
    unhandled: frozenset[str] = frozenset()
    """The SIDs of messages that have to be handled again."""


def step_taken(message: Message | None) -> NoticeReport:
    """Report the step of a message's notice; for None, that another notifier took it."""
    match message:
        case Message(notice=NoticeState.PUBLISHED):
            return _of_message(message, metric="NoticePublished")
        case Message(notice=NoticeState.WITHDRAWN):
            return _of_message(message, metric="NoticeWithdrawn")
        case Message(notice=NoticeState.RECOVERY_DUE):
            return _of_message(message, metric="RecoveryDue")
        case Message(notice=NoticeState.RECOVERED):
            return _of_message(message, metric="RecoveryPublished")
        case _:
            return already_handled(1)


def already_handled(messages: int) -> NoticeReport:
    """Report that another notifier took the step, or that none is due."""
    return NoticeReport(metric="NoticeAlreadyHandled", level=Level.DEBUG, count=messages)


def failed(message_sids: Iterable[str], reason: str, **fields: object) -> NoticeReport:
    """Report a step that failed; the stream or the sweep brings it again."""
    fields = {"reason": reason, **fields}
    return _unhandled(message_sids, fields, metric="NoticeFailed", level=Level.ERROR)


def sweep_interrupted(reason: str) -> NoticeReport:
    """Report a list that the sweep could not read; the next sweep tries again."""
    return NoticeReport(
        metric="NoticeSweepInterrupted", level=Level.WARNING, fields={"reason": reason}
    )


def unreadable(key: str, reason: str, **fields: object) -> NoticeReport:
    """Report an item that this version cannot read, as after a rollback.

    Its messages stay due, so the sweep finds them again. Returned to the stream, they would hold up
    all later records of their shard.
    """
    fields = {"key": key, "reason": reason, **fields}
    return NoticeReport(metric="ItemUnreadable", level=Level.ERROR, fields=fields)


def skipped(message_sids: Iterable[str], **fields: object) -> NoticeReport:
    """Report a step for which too little time was left; the next invocation takes it."""
    return _unhandled(message_sids, fields, metric="NoticeSkippedNoTime", level=Level.WARNING)


def counted(message_sids: list[str], *, metric: str, **fields: object) -> NoticeReport:
    """Report messages that were counted together."""
    count = len(message_sids)
    fields = {"message_sids": message_sids, **fields}
    return NoticeReport(metric=metric, fields=fields, count=count, steps=count)


def of_incident(incident: Incident, *, metric: str, **fields: object) -> NoticeReport:
    """Report that the incident opened or closed, or that its pending notice was published."""
    return NoticeReport(metric=metric, fields={**incident_fields(incident), **fields})


def incident_fields(incident: Incident) -> dict[str, object]:
    """Return the key, the id and the counts of an incident as fields of a log line."""
    return {
        **key_fields(incident.key),
        "incident_id": incident.incident_id,
        "counted": incident.counted,
        "published": incident.published,
    }


def key_fields(key: IncidentKey) -> dict[str, object]:
    """Return the key of an incident as fields of a log line."""
    return {"account_sid": key.account_sid, "cause": key.cause}


def _of_message(message: Message, *, metric: str) -> NoticeReport:
    fields = {
        "message_sids": [message.message_sid],
        "notice_id": message.notice_id,
        "status": message.status,
        "error_code": message.error_code,
    }
    return NoticeReport(metric=metric, fields=fields, steps=1)


def _unhandled(
    message_sids: Iterable[str], fields: dict[str, object], *, metric: str, level: Level
) -> NoticeReport:
    sids = list(message_sids)
    return NoticeReport(
        metric=metric,
        level=level,
        fields={"message_sids": sids, **fields},
        count=len(sids) or 1,
        unhandled=frozenset(sids),
    )
