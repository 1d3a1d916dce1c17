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
    """A message after the step of its notice; None if another notifier took the step."""
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
    """Another notifier took the step, or none is due."""
    return NoticeReport(metric="NoticeAlreadyHandled", level=Level.DEBUG, count=messages)


def failed(message_sids: Iterable[str], reason: str, **fields: object) -> NoticeReport:
    """A step failed; the stream or the sweep brings it again."""
    sids = list(message_sids)
    return NoticeReport(
        metric="NoticeFailed",
        level=Level.ERROR,
        fields={"message_sids": sids, "reason": reason, **fields},
        count=len(sids) or 1,
        unhandled=frozenset(sids),
    )


def skipped(message_sids: Iterable[str], **fields: object) -> NoticeReport:
    """Too little time was left of the invocation; the stream or the sweep brings it again."""
    sids = list(message_sids)
    return NoticeReport(
        metric="NoticeSkippedNoTime",
        level=Level.WARNING,
        fields={"message_sids": sids, **fields},
        count=len(sids) or 1,
        unhandled=frozenset(sids),
    )


def muted(key: IncidentKey, message_sids: list[str]) -> NoticeReport:
    """These failures are only counted here, because their category is muted."""
    return NoticeReport(
        metric="NoticeMuted",
        fields={**key_fields(key), "message_sids": message_sids},
        count=len(message_sids),
        steps=len(message_sids),
    )


def grouped(incident: Incident, message_sids: list[str]) -> NoticeReport:
    """These failures were counted in the incident."""
    return NoticeReport(
        metric="NoticeGrouped",
        fields={**incident_fields(incident), "message_sids": message_sids},
        count=len(message_sids),
        steps=len(message_sids),
    )


def recoveries_grouped(incident_id: str, message_sids: list[str]) -> NoticeReport:
    """These messages, which the incident counts, were delivered after all."""
    return NoticeReport(
        metric="RecoveryGrouped",
        fields={"incident_id": incident_id, "message_sids": message_sids},
        count=len(message_sids),
        steps=len(message_sids),
    )


def of_incident(incident: Incident, *, metric: str, **fields: object) -> NoticeReport:
    """The incident opened or closed, or its pending notice was published."""
    return NoticeReport(metric=metric, fields={**incident_fields(incident), **fields})


def incident_fields(incident: Incident) -> dict[str, object]:
    """The key, the id and the counts of an incident."""
    return {
        **key_fields(incident.key),
        "incident_id": incident.incident_id,
        "counted": incident.counted,
        "published": incident.published,
    }


def key_fields(key: IncidentKey) -> dict[str, object]:
    """The key of an incident."""
    return {"account_sid": key.account_sid, "cause": key.cause}


def _of_message(message: Message, *, metric: str) -> NoticeReport:
    fields = {
        "message_sids": [message.message_sid],
        "notice_id": message.notice_id,
        "status": message.status,
        "error_code": message.error_code,
    }
    return NoticeReport(metric=metric, fields=fields, steps=1)
