"""What the function logs and counts of each result.

Pure. The fields hold ids, states and reasons, never a phone number, a text or a token.
"""

from collections.abc import Mapping
from typing import assert_never

from delivery.runtime.reports import Level, Report

from .results import (
    Accepted,
    Batch,
    CancelResult,
    DuplicateRequest,
    IdempotencyConflict,
    Invalid,
    MessageNotFound,
    Rejected,
    SendResult,
    ServiceUnavailable,
    Unresolved,
)


def of_send(  # noqa: PLR0911 -- one for each result
    result: SendResult, **fields: object
) -> list[Report]:
    """Return the reports of a request to send; `fields` are added to each."""
    match result:
        case Accepted():
            return _accepted(result, fields)
        case DuplicateRequest():
            ids = {"request_id": result.request_id, "message_sid": result.message_sid}
            return [_warning("SendDeduplicated", ids, fields)]
        case Unresolved():
            facts = {
                "request_id": result.request_id,
                "state": result.state,
                "reason": result.reason,
            }
            metric = "SendInDoubt" if result.reason else "SendDeduplicated"
            return [_warning(metric, facts, fields)]
        case IdempotencyConflict():
            return [_warning("IdempotencyConflict", {"used_by": result.request_id}, fields)]
        case Invalid():
            names = {"fields": [it.field for it in result.problems]}
            return [_warning("RequestInvalid", names, fields)]
        case Rejected():
            ids_and_code = {"request_id": result.request_id, "error_code": result.code}
            return [_warning("SendRejected", ids_and_code, fields)]
        case ServiceUnavailable():
            return [_unavailable(result, "SendUnavailable", fields)]
        case _:
            assert_never(result)


def of_cancel(result: CancelResult, message_sid: str) -> Report:
    """Return the report of a request to cancel a message."""
    ids = {"message_sid": message_sid}
    match result:
        case Accepted():
            fields = {**ids, "stored": result.stored or result.queued}
            return Report(metric="MessageCanceled", fields=fields)
        case Rejected():
            return _warning("CancelRejected", ids, {"error_code": result.code})
        case MessageNotFound():  # the text in the place of the SID may be a phone number
            return _warning("CancelRejected", {})
        case ServiceUnavailable():
            return _unavailable(result, "CancelUnavailable", ids)
        case _:
            assert_never(result)


def of_batch(batch: Batch) -> list[Report]:
    """Return the reports of a batch: its messages that are queued, invalid, and not queued."""
    problems = [it.problems for it in batch.results if isinstance(it, Invalid)]
    names = sorted({problem.field for each in problems for problem in each})
    reports = [
        Report(metric="RequestQueued", count=batch.queued),
        invalid_request(names, count=batch.invalid),
        Report(
            metric="RequestNotQueued",
            level=Level.WARNING,
            fields={"reason": batch.reason},
            count=batch.not_queued,
        ),
    ]
    return [report for report in reports if report.count]


def invalid_request(names: list[str], *, count: int = 1) -> Report:
    """Return the report of requests that are invalid in these fields."""
    fields = {"fields": names}
    return Report(metric="RequestInvalid", level=Level.WARNING, fields=fields, count=count)


def queue_batch_unavailable(messages: int, reason: str) -> Report:
    """Return the report of queue messages for which the rate limiter could not reserve slots."""
    return Report(
        metric="SendUnavailable", level=Level.WARNING, fields={"reason": reason}, count=messages
    )


def deferred(queue_message_id: str) -> Report:
    """Return the report of a queue message that the rate limiter returned to the queue."""
    return Report(
        metric="SendDeferred", level=Level.DEBUG, fields={"queue_message_id": queue_message_id}
    )


def _accepted(accepted: Accepted, fields: Mapping[str, object]) -> list[Report]:
    message = accepted.message
    facts = {
        "message_sid": message.message_sid,
        "request_id": message.request_id,
        "reference": message.reference,
        **fields,
    }
    # Twilio reports nothing about a scheduled message until it sends it.
    metric = "MessageScheduled" if message.send_at else "MessageSent"
    reports = [Report(metric=metric, fields=facts)]
    if not (accepted.stored or accepted.queued):
        reports.append(Report(metric="MessageNotStored", level=Level.ERROR, fields=facts))
    return reports


def _unavailable(result: ServiceUnavailable, metric: str, fields: Mapping[str, object]) -> Report:
    if result.credentials_refused:
        metric = "CredentialsRefused"
    return _warning(metric, fields, {"reason": result.reason})


def _warning(
    metric: str, fields: Mapping[str, object], more: Mapping[str, object] | None = None
) -> Report:
    return Report(metric=metric, level=Level.WARNING, fields={**fields, **(more or {})})
