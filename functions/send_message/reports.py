"""What is logged and counted of each result.

Pure. Never a number, a text or a token: ids, states and reasons.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A line of the log and the metric that it is named after."""

    metric: str
    number: int = 1
    facts: Mapping[str, object]
    is_good: bool = False


def report_of(sent: SendResult) -> Report:  # noqa: PLR0911 -- one for each result
    """What came of a request to send."""
    match sent:
        case Accepted(message=message):
            # Nobody expects a callback about a scheduled one yet.
            return Report(
                metric="MessageScheduled" if message.send_at else "MessageSent",
                facts={
                    "message_sid": message.message_sid,
                    "request_id": message.request_id,
                    "reference": message.reference,
                },
                is_good=True,
            )
        case DuplicateRequest():
            return Report(
                metric="SendDeduplicated",
                facts={"request_id": sent.request_id, "message_sid": sent.message_sid},
            )
        case Unresolved():
            return Report(
                metric="SendInDoubt" if sent.reason else "SendDeduplicated",
                facts={
                    "request_id": sent.request_id,
                    "state": sent.state,
                    "reason": sent.reason,
                },
            )
        case IdempotencyConflict():
            return Report(metric="IdempotencyConflict", facts={"key_of": sent.request_id})
        case Invalid():
            fields = [it.field for it in sent.problems]
            return Report(metric="RequestInvalid", facts={"fields": fields})
        case Rejected():
            return Report(
                metric="SendRejected",
                facts={"request_id": sent.request_id, "error_code": sent.code},
            )
        case ServiceUnavailable():
            return _not_done(sent, metric="SendUnavailable")
        case _:
            assert_never(sent)


def report_of_cancel(canceled: CancelResult, message_sid: str) -> Report:
    """What came of a request to cancel a message."""
    known = {"message_sid": message_sid}
    match canceled:
        case Accepted():
            facts = {**known, "stored": canceled.stored or canceled.queued}
            return Report(metric="MessageCanceled", facts=facts, is_good=True)
        case Rejected():
            return Report(metric="CancelRejected", facts={**known, "error_code": canceled.code})
        case MessageNotFound():  # whatever stands in the SID's place may be somebody's number
            return Report(metric="CancelRejected", facts={})
        case ServiceUnavailable():
            return _not_done(canceled, metric="CancelUnavailable", **known)
        case _:
            assert_never(canceled)


def report_of_batch(batch: Batch) -> Report:
    """What came of the messages of a batch together."""
    problems = [it.problems for it in batch.results if isinstance(it, Invalid)]
    return Report(
        metric="RequestQueued",
        number=batch.queued,
        facts={
            "queued": batch.queued,
            "invalid": batch.invalid,
            "not_queued": batch.not_queued,
            "fields": sorted({problem.field for each in problems for problem in each}),
            "reason": batch.reason,
        },
        is_good=not (batch.invalid or batch.not_queued),
    )


def _not_done(result: ServiceUnavailable, *, metric: str, **facts: object) -> Report:
    return Report(
        metric="CredentialsRefused" if result.credentials_refused else metric,
        facts={**facts, "reason": result.reason},
    )
