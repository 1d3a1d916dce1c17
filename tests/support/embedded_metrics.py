"""What CloudWatch makes of the lines of metrics that a function writes.

It does so by its specification, as far as Powertools' lines need it, and is strict where CloudWatch
would silently make nothing of a line:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from delivery.metrics import LOGGED_ONLY

_MAX_DIMENSIONS = 30
_LONGEST_VALUE = 1024
_MAX_VALUES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPoint:
    """The values of a metric in one line."""

    namespace: str
    name: str
    unit: str
    dimensions: frozenset[tuple[str, str]]
    values: tuple[float, ...]

    def counts(self, name: str, **dimensions: str) -> bool:
        """Whether it is of this metric."""
        return (self.name, self.dimensions) == (name, frozenset(dimensions.items()))


def data_points(output: str) -> list[DataPoint]:
    """Those of all lines; every line is one of metrics, or of counts that are only logged."""
    return [point for line in output.splitlines() for point in _points_of(json.loads(line))]


def _points_of(line: dict[str, Any]) -> Iterator[DataPoint]:
    if "_aws" not in line:
        assert line.keys() & LOGGED_ONLY, line
        return
    metadata = line["_aws"]
    assert metadata.keys() == {"Timestamp", "CloudWatchMetrics"}
    assert isinstance(metadata["Timestamp"], int)
    for directive in metadata["CloudWatchMetrics"]:
        assert directive.keys() == {"Namespace", "Dimensions", "Metrics"}
        assert directive["Dimensions"], "a directive without a set counts nothing"
        for names in directive["Dimensions"]:
            dimensions = {name: line[name] for name in names}
            assert len(dimensions) == len(names) <= _MAX_DIMENSIONS
            assert all(0 < len(value) <= _LONGEST_VALUE for value in dimensions.values())
            for metric in directive["Metrics"]:
                values = line[metric["Name"]]
                assert 0 < len(values) <= _MAX_VALUES
                yield DataPoint(
                    namespace=directive["Namespace"],
                    name=metric["Name"],
                    unit=metric["Unit"],
                    dimensions=frozenset(dimensions.items()),
                    values=tuple(values),
                )


def total(points: list[DataPoint], name: str, **dimensions: str) -> float | None:
    """The sum of a metric; None if it was not counted."""
    values = [value for it in points if it.counts(name, **dimensions) for value in it.values]
    return sum(values) if values else None
