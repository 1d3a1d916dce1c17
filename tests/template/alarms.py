"""The alarms of the template, evaluated for given measurements as CloudWatch does it.

Metric math with a missing value gives no value, except in FILL. AWS recommends FILL for metrics
that have no value in a period without events.
Sources: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html and
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
"""

import ast
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.support.cloudformation import Template
from tests.template.deployment import Properties, Reference, of_type, reference_of
from tests.template.metric import Metric
from tests.template.resolving import resolved

type Period = Mapping[str, float]
"""The values measured in one period, by metric id; a missing id has no value."""

_OPERATIONS: Final[Mapping[type, Callable[[float, float], float]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
}
_COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """An alarm; the expression of an alarm on a single metric is that metric's id."""

    name: str
    metrics: Mapping[str, Metric]
    period_seconds: int
    expression: str
    comparison: str
    threshold: float
    evaluation_periods: int
    datapoints_to_alarm: int
    missing: str
    properties: Properties

    def is_in_alarm(self, *measured: Period) -> bool:
        """Return whether the alarm is in alarm after these periods, evaluating the last ones."""
        no_data: Sequence[Period] = [{}] * self.evaluation_periods
        evaluated = [*no_data, *measured][-self.evaluation_periods :]
        return sum(map(self._is_breaching, evaluated)) >= self.datapoints_to_alarm

    def _is_breaching(self, period: Period) -> bool:
        value = evaluate(self.expression, period)
        if value is None:
            return {"breaching": True, "notBreaching": False}[self.missing]
        return _COMPARISONS[self.comparison](value, self.threshold)


def alarms_of(stack: Template) -> dict[str, Alarm]:
    """Return the alarms by logical id, with the default values of the parameters."""
    return {
        name: _alarm(name, properties, stack)
        for name, properties in of_type(stack, "AWS::CloudWatch::Alarm").items()
    }


def evaluate(expression: str, period: Period) -> float | None:
    """Return the value of a metric math expression, or None if it has no value."""
    python = re.sub(r"\b(AND|OR)\b", lambda it: it[1].lower(), expression)
    python = re.sub(r"\bIF\(", "CHOOSE(", python)
    return _value(ast.parse(python, mode="eval").body, period)


def _value(node: ast.expr, period: Period) -> float | None:
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.Name(id=name):
            return period.get(name)
        case ast.Call(func=ast.Name(id="FILL"), args=[filled, filler]):
            value = _value(filled, period)
            return _value(filler, period) if value is None else value
        case ast.Call(func=ast.Name(id="CHOOSE"), args=[condition, then, otherwise]):
            holds = _value(condition, period)
            return None if holds is None else _value(then if holds else otherwise, period)
        case ast.BoolOp(op=op, values=parts):
            values = [_value(part, period) for part in parts]
            joined = all if isinstance(op, ast.And) else any
            return None if None in values else float(joined(values))
        case (
            ast.BinOp(left=left, op=op, right=right)
            | ast.Compare(left=left, ops=[op], comparators=[right])
        ):
            one, other = _value(left, period), _value(right, period)
            return None if one is None or other is None else _OPERATIONS[type(op)](one, other)
        case _:
            raise AssertionError(f"add metric math for {ast.unparse(node)}")


def _alarm(name: str, properties: Properties, stack: Template) -> Alarm:
    if "Metrics" in properties:
        (result,) = (it for it in properties["Metrics"] if it.get("ReturnData", True))
        queries = [it for it in properties["Metrics"] if it is not result]
        assert all(it["ReturnData"] is False for it in queries)
        expression = resolved(result["Expression"], stack)
        metrics = {
            it["Id"]: _metric(it["MetricStat"]["Metric"], it["MetricStat"]) for it in queries
        }
        (period_seconds,) = {it["MetricStat"]["Period"] for it in queries}
    else:
        expression = "measured"
        metrics = {expression: _metric(properties, properties)}
        period_seconds = properties["Period"]
    evaluation_periods = int(resolved(properties["EvaluationPeriods"], stack))
    return Alarm(
        name=name,
        metrics=metrics,
        period_seconds=period_seconds,
        expression=expression,
        comparison=properties["ComparisonOperator"],
        threshold=float(resolved(properties["Threshold"], stack)),
        evaluation_periods=evaluation_periods,
        datapoints_to_alarm=properties.get("DatapointsToAlarm") or evaluation_periods,
        missing=properties["TreatMissingData"],
        properties=properties,
    )


def _metric(metric: Properties, query: Properties) -> Metric:
    return Metric(
        namespace=_namespace(metric),
        name=metric["MetricName"],
        dimensions=frozenset(
            (it["Name"], _dimension_value(it["Value"])) for it in metric.get("Dimensions", [])
        ),
        stat=query.get("Stat") or query["Statistic"],
    )


def _namespace(metric: Properties) -> str:
    """Return the namespace as the template writes it: ours contains the stack's name."""
    match metric["Namespace"]:
        case {"Fn::Sub": str(text)} | str(text):
            return text
        case other:
            raise AssertionError(f"{other} is not a namespace")


def _dimension_value(value: Any) -> str | Reference:
    return value if isinstance(value, str) else reference_of(value)
