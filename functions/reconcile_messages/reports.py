"""What the function logs and counts: a report for each message, request or interruption.

Pure. The fields hold ids, statuses and reasons, never a phone number or a text.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from delivery.domain.messages import Message
from delivery.domain.send_requests import SendRequest
from delivery.runtime.reports import Level, Report
from delivery.storage.messages import Recorded
from delivery.twilio.client import CredentialsRefused, MessageResource, TwilioError


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileReport(Report):
    """A report, and the status update that was recorded, if there was one.

    `is_interruption`: the task that reports it left work to the next run.
    """

    recorded: Recorded | None = None
    is_interruption: bool = False


def reconciled(recorded: Recorded) -> ReconcileReport:
    """Report that Twilio knew something about a stale message that no callback had reported."""
    message, update = recorded.message, recorded.update
    return ReconcileReport(
        metric="MessageReconciled",
        fields={
            "message_sid": message.message_sid,
            "request_id": message.request_id,
            "status": update.status,
            "effect": recorded.effect,
            "outcome": message.outcome,
            "error_code": update.error_code,
        },
        recorded=recorded,
    )


def backfilled(request: SendRequest, resource: MessageResource) -> ReconcileReport:
    """Report that the message of a request that was sent is in the table now."""
    fields = {
        "message_sid": resource.sid,
        "request_id": request.request_id,
        "status": resource.status,
    }
    return ReconcileReport(metric="MessageReconciled", fields=fields)


def unconfirmed(message: Message) -> ReconcileReport:
    """Report that Twilio reported no final status of the message in time."""
    return _warning("MessageUnconfirmed", message_sid=message.message_sid, status=message.status)


def resolved(
    request: SendRequest, message: Message, *, evidence: str, recorded: Recorded | None
) -> ReconcileReport:
    """Report that evidence showed that a request in doubt, or presumed unsent, was sent."""
    fields = {
        "message_sid": message.message_sid,
        **_ids_of(request),
        "evidence": evidence,
        "was": request.state,
    }
    return ReconcileReport(metric="InDoubtResolved", fields=fields, recorded=recorded)


def presumed_unsent(request: SendRequest, recorded: Recorded) -> ReconcileReport:
    """Report that no evidence of the request was found in time."""
    return ReconcileReport(
        metric="InDoubtPresumedUnsent",
        level=Level.WARNING,
        fields=_ids_of(request),
        recorded=recorded,
    )


def ambiguous(request: SendRequest, matches: Iterable[MessageResource]) -> ReconcileReport:
    """Report that it is not clear which message a request sent: an operator has to look."""
    return _error(
        "InDoubtAmbiguous", **_ids_of(request), message_sids=[resource.sid for resource in matches]
    )


def failed(error: Exception, **fields: object) -> ReconcileReport:
    """Report a message or requests that could not be handled; the next run tries again."""
    return _warning("ReconcileError", **fields, reason=str(error))


def unreadable(key: str) -> ReconcileReport:
    """Report an item that was skipped because this version cannot read it."""
    return _error("ItemUnreadable", key=key)


def interrupted(reason: object, **fields: object) -> ReconcileReport:
    """Report that the run left work to the next one."""
    return ReconcileReport(
        metric="ReconcileInterrupted",
        level=Level.WARNING,
        fields={**fields, "reason": str(reason)},
        is_interruption=True,
    )


def work_left_over(task: str) -> ReconcileReport:
    """Report that a task had work for more than its share of the run's time."""
    return _warning("WorkLeftOver", task=task)


def credentials_refused(error: Exception, **fields: object) -> ReconcileReport:
    """Report that one account or the whole run stops until an operator corrects the secret."""
    return _error("CredentialsRefused", **fields, reason=str(error))


def secret_invalid(error: Exception) -> ReconcileReport:
    """Report that the secret is invalid now; this environment continues with the cached one."""
    return _error("SecretInvalid", reason=str(error))


def account_stopped(error: TwilioError, account_sid: str) -> ReconcileReport:
    """Report that Twilio does not answer, or not for this account."""
    if isinstance(error, CredentialsRefused):
        return credentials_refused(error, account_sid=account_sid)
    return interrupted(error, account_sid=account_sid)


def _warning(metric: str, **fields: object) -> ReconcileReport:
    return ReconcileReport(metric=metric, level=Level.WARNING, fields=fields)


def _error(metric: str, **fields: object) -> ReconcileReport:
    return ReconcileReport(metric=metric, level=Level.ERROR, fields=fields)


def _ids_of(request: SendRequest) -> dict[str, object]:
    return {"request_id": request.request_id, "reference": request.reference}
