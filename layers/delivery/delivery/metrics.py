"""Counting what becomes of messages, the same for whichever function learns it.

Powertools counts all that a line of its log holds by one set of dimensions. Here a function's own
work is counted by `service`, but what becomes of a message is counted over all functions, by status
or category. A metric is paid for by the hour in which it has values, once for each combination of
its dimensions: so those have few values, and no number and no id is one.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import (
    AmazonCloudWatchEMFProvider,
)

from delivery.domain.messages import Effect, Source
from delivery.domain.statuses import MessageStatus, Outcome
from delivery.twilio.error_codes import explain

if TYPE_CHECKING:
    from aws_lambda_powertools.metrics.provider.cloudwatch_emf.types import CloudWatchEMFOutput

    from delivery.storage.messages import Recorded

type DimensionSets = tuple[tuple[str, ...], ...]

COUNTED_BY: Final[Mapping[str, DimensionSets]] = {
    # A status that the message did not have, in whatever order it came.
    "TransitionRecorded": (("service",), ("status",)),
    # 1 for a message that failed and 0 for one that was delivered: the average is the failure
    # rate, and the number of samples that of the messages that ended.
    "MessageFailed": ((), ("category",)),
    "TimeToDelivered": ((),),
    "CanaryDelivered": ((),),
}
"""The sets of dimensions of each metric that is not counted by `service` alone."""

CANARY: Final = "canary"
"""The reference of the message that the stack itself sends every few hours, if it is to."""

_BY_SERVICE: Final[DimensionSets] = (("service",),)
_NEW: Final = {Effect.ADVANCED, Effect.OUT_OF_ORDER, Effect.UNKNOWN}
_KNOWN: Final = frozenset(MessageStatus) - {MessageStatus.UNKNOWN}
_ENDED: Final = {Outcome.FAILED, Outcome.DELIVERED}


class CountedByFacts(AmazonCloudWatchEMFProvider):
    """Powertools' lines, in which each metric has the dimensions of `COUNTED_BY`.

    Their values are the facts that stand beside the metrics in the line (its metadata); a set of
    which the line lacks one is left out. An empty set counts over everything.
    Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """

    def serialize_metric_set(
        self,
        metrics: dict[str, Any] | None = None,
        dimensions: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> "CloudWatchEMFOutput":
        """The line, with a directive for each of the sets of dimensions that its metrics have."""
        line = super().serialize_metric_set(metrics, dimensions, metadata)
        (directive,) = line["_aws"]["CloudWatchMetrics"]
        alike: dict[DimensionSets, list[Any]] = {}
        for metric in directive["Metrics"]:
            sets = COUNTED_BY.get(metric["Name"], _BY_SERVICE)
            present = tuple(names for names in sets if line.keys() >= set(names))
            alike.setdefault(present, []).append(metric)
        line["_aws"]["CloudWatchMetrics"] = [
            {
                "Namespace": directive["Namespace"],
                "Dimensions": [list(names) for names in sets],
                "Metrics": those,
            }
            for sets, those in alike.items()
        ]
        return line


def count_recorded(metrics: Metrics, recorded: "Recorded") -> None:
    """Count what a status did to its message, with the ids beside it in the same line.

    A line has room for one message; `count_apart` is for those who deal with several.
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
    if recorded.outcome_changed and message.outcome in _ENDED:
        failed = message.outcome is Outcome.FAILED
        metrics.add_metric("MessageFailed", MetricUnit.Count, int(failed))
        if failed:
            facts["category"] = str(explain(message.error_code, message.status).category)
        elif update.source is Source.CALLBACK:
            _count_arrival(metrics, recorded)
    for name, fact in facts.items():
        if fact is not None:
            metrics.add_metadata(name, fact)


def count_apart(metrics: Metrics, recorded: "Recorded") -> None:
    """Count it in a line of its own, if there is anything; `metrics` must hold nothing else."""
    if recorded.effect in _NEW:
        count_recorded(metrics, recorded)
        metrics.flush_metrics()


def _count_arrival(metrics: Metrics, recorded: "Recorded") -> None:
    update, message = recorded.update, recorded.message
    if len(message.transitions) > 1:  # else nobody knows when it was sent
        seconds = (update.at - message.starts_at).total_seconds()
        metrics.add_metric("TimeToDelivered", MetricUnit.Seconds, max(seconds, 0))
    if message.reference == CANARY:
        metrics.add_metric("CanaryDelivered", MetricUnit.Count, 1)
