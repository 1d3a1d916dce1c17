"""Counts what status updates did to messages, the same way in every function.

A function's own work is counted by `service`. What became of messages is counted across all
functions, by status or category. CloudWatch charges for each metric with each combination of its
dimensions, so a dimension has few values and is never a phone number or an id.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit

from delivery.domain.canary import CANARY_REFERENCE
from delivery.domain.messages import Effect, Source
from delivery.domain.statuses import MessageStatus, Outcome
from delivery.runtime.embedded_metrics import DimensionedMetrics, DimensionSets
from delivery.twilio.error_codes import explain

if TYPE_CHECKING:
    from delivery.storage.messages import Recorded

COUNTED_BY: Final[Mapping[str, DimensionSets]] = {
    # 1 for a status that the message did not have, in any order, and 0 for a duplicate: the sample
    # count is the number of both.
    "TransitionRecorded": (("service",),),
    # 1 for a failed message and 0 for a delivered one: the average is the failure rate, and the
    # sample count is the number of messages with either outcome.
    "MessageFailed": ((), ("category",)),
    "TimeToDelivered": ((),),
    "CanaryDelivered": ((),),
    # A message that an audit corrected, by what it corrected.
    "AuditCorrected": (("kind",),),
    # Problems that any function may find. One metric of all functions is one metric of an alarm;
    # the log line of each shows the function.
    "CredentialsRefused": ((),),
    "ItemUnreadable": ((),),
    "SecretInvalid": ((),),
}
"""The sets of dimensions of each metric that is not counted by `service` alone."""

LOGGED_ONLY: Final = frozenset(
    {
        "AuditInterrupted",
        "AuditRejected",
        "CancelRejected",
        "CancelUnavailable",
        "DayAudited",
        "ErrorCodeConflict",
        "MessageCanceled",
        "MessageNotStored",
        "NoticeAlreadyHandled",
        "NoticeSkippedNoTime",
        "RecoveryDue",
        "RecoveryGrouped",
        "RequestNotQueued",
        "RequestQueued",
    }
)
"""Counts that stay in the log: no alarm, graph or runbook reads them as a metric."""

_NEW: Final = {Effect.ADVANCED, Effect.OUT_OF_ORDER, Effect.UNKNOWN}
_KNOWN: Final = frozenset(MessageStatus) - {MessageStatus.UNKNOWN}
_COUNTED_OUTCOMES: Final = {Outcome.FAILED, Outcome.DELIVERED}


class CountedByFacts(DimensionedMetrics):
    """Powertools' provider for metrics with the dimensions of `COUNTED_BY`."""

    def __init__(self, **options: Any) -> None:
        super().__init__({**COUNTED_BY, **dict.fromkeys(LOGGED_ONLY, ())}, **options)


def count_recorded(metrics: Metrics, recorded: "Recorded") -> None:
    """Count what an update did to its message, with the message's ids in the same log line.

    A log line has room for one message; `count_apart` serves callers that record several.
    """
    update, message = recorded.update, recorded.message
    facts = {
        "message_sid": message.message_sid,
        "request_id": message.request_id,
        "status": update.status,
        "outcome": str(message.outcome),
        "error_code": update.error_code,
    }
    if recorded.effect in _NEW:
        metrics.add_metric("TransitionRecorded", MetricUnit.Count, 1)
        if update.status not in _KNOWN:
            facts |= {"status": "other", "unknown_status": update.status}
    elif recorded.effect is Effect.DUPLICATE:
        metrics.add_metric("TransitionRecorded", MetricUnit.Count, 0)
    if recorded.outcome_changed and message.outcome in _COUNTED_OUTCOMES:
        failed = message.outcome is Outcome.FAILED
        metrics.add_metric("MessageFailed", MetricUnit.Count, int(failed))
        if failed:
            facts["category"] = str(explain(message.error_code, message.status).category)
        elif update.source is Source.CALLBACK:
            _count_delivery(metrics, recorded)
    for name, fact in facts.items():
        if fact is not None:
            metrics.add_metadata(name, fact)


def count_apart(metrics: Metrics, recorded: "Recorded") -> None:
    """Count a new status in a log line of its own; `metrics` must hold nothing else."""
    if recorded.effect in _NEW:
        count_recorded(metrics, recorded)
        metrics.flush_metrics()


def count_corrections(metrics: Metrics, kinds: Mapping[str, int]) -> None:
    """Count corrections of an audit in a log line for each kind; `metrics` must hold nothing else.

    They are counted neither as statuses nor as failures: those metrics show what happens now.
    """
    for kind, count in kinds.items():
        metrics.add_metric("AuditCorrected", MetricUnit.Count, count)
        metrics.add_metadata("kind", kind)
        metrics.flush_metrics()


def _count_delivery(metrics: Metrics, recorded: "Recorded") -> None:
    update, message = recorded.update, recorded.message
    if len(message.transitions) > 1:  # a first update does not show when the message was sent
        seconds = (update.at - message.starts_at).total_seconds()
        metrics.add_metric("TimeToDelivered", MetricUnit.Seconds, max(seconds, 0))
    if message.reference == CANARY_REFERENCE:
        metrics.add_metric("CanaryDelivered", MetricUnit.Count, 1)
