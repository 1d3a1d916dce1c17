"""The one way in which handlers log and count: what happened is a report."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from aws_lambda_powertools.metrics import MetricUnit

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger, Metrics


class Level(StrEnum):
    """The level of the log line. Lambda's loggers show `INFO` and above by default."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Something that happened: one metric, and one log line that is named after it.

    `fields` hold ids, states and reasons; never a phone number, a text or a token.
    """

    metric: str
    level: Level = Level.INFO
    fields: Mapping[str, object] = field(default_factory=dict)
    count: int = 1


def log_and_count(report: Report, logger: "Logger", metrics: "Metrics") -> None:
    """Write the log line and add to the metric, once each."""
    metrics.add_metric(report.metric, MetricUnit.Count, report.count)
    log = getattr(logger, report.level)
    log(report.metric, extra={"count": report.count, **report.fields})
