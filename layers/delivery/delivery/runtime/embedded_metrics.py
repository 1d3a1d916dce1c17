"""Writes metrics in the embedded metric format, each with dimensions of its own.

Powertools gives all metrics of a log line the same dimensions.
Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import (
    AmazonCloudWatchEMFProvider,
)

if TYPE_CHECKING:
    from aws_lambda_powertools.metrics.provider.cloudwatch_emf.types import CloudWatchEMFOutput

type DimensionSets = tuple[tuple[str, ...], ...]

BY_SERVICE: Final[DimensionSets] = (("service",),)


class DimensionedMetrics(AmazonCloudWatchEMFProvider):
    """Powertools' provider, with sets of dimensions for each metric.

    The values of dimensions are the metadata of the log line; a set is left out if the line lacks
    one of its names. The empty set aggregates over everything. A metric without any set is only a
    field of the log line. A metric that `dimensions` lacks is counted by `service`.
    """

    def __init__(self, dimensions: Mapping[str, DimensionSets], **options: Any) -> None:
        super().__init__(**options)
        self._dimensions_of = dimensions

    def flush_metrics(
        self,
        raise_on_empty_metrics: bool = False,  # noqa: FBT001, FBT002 -- as Powertools declares it
    ) -> None:
        """Write the log line; nothing, and no warning, if nothing was counted."""
        if self.metric_set:
            super().flush_metrics(raise_on_empty_metrics)

    def serialize_metric_set(
        self,
        metrics: dict[str, Any] | None = None,
        dimensions: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> "CloudWatchEMFOutput":
        """Return the log line with a directive for each combination of sets of dimensions."""
        line = super().serialize_metric_set(metrics, dimensions, metadata)
        (directive,) = line["_aws"]["CloudWatchMetrics"]
        grouped: dict[DimensionSets, list[Any]] = {}
        for metric in directive["Metrics"]:
            if not (sets := self._dimensions_of.get(metric["Name"], BY_SERVICE)):
                continue
            present = tuple(names for names in sets if line.keys() >= set(names))
            grouped.setdefault(present, []).append(metric)
        line["_aws"]["CloudWatchMetrics"] = [
            {
                "Namespace": directive["Namespace"],
                "Dimensions": [list(names) for names in sets],
                "Metrics": group,
            }
            for sets, group in grouped.items()
        ]
        return line
