"""What an alarm of the template would do about given numbers, as CloudWatch evaluates it.

A calculation with something that was not measured gives nothing, but for FILL: that is how AWS
advises to reckon with what is only counted when it happens.
Sources: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html and
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
"""

import ast
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.cloudformation import Template
from tests.template.deployment import Properties, of_type

type Period = Mapping[str, float]
"""What was measured in one period, by id; what is not there was not measured."""

_CALCULATIONS: Final[Mapping[type, Callable[[float, float], float]]] = {
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
class Metric:
    """One of the metrics that an alarm looks at; its dimensions are as the template has them."""

    id: str
    namespace: str
    name: str
    dimensions: Mapping[str, Any]
    stat: str
    period: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """An alarm; one that looks at a single metric has that as its expression."""

    name: str
    metrics: Mapping[str, Metric]
    expression: str
    comparison: str
    threshold: float
    periods: int
    breaching_periods: int
    missing: str
    properties: Properties

    def rings(self, *measured: Period) -> bool:
        """Whether it is in alarm after these periods, of which it looks at the last ones."""
        quiet: Sequence[Period] = [{}] * self.periods
        looked_at = [*quiet, *measured][-self.periods :]
        return sum(map(self._is_breaching, looked_at)) >= self.breaching_periods

    def _is_breaching(self, period: Period) -> bool:
        value = calculated(self.expression, period)
        if value is None:
            return {"breaching": True, "notBreaching": False}[self.missing]
        return _COMPARISONS[self.comparison](value, self.threshold)


def alarms_of(stack: Template) -> dict[str, Alarm]:
    """The alarms by logical id, with the parameters' defaults."""
    defaults = {name: it.get("Default") for name, it in stack["Parameters"].items()}
    return {
        name: _alarm(name, properties, defaults)
        for name, properties in of_type(stack, "AWS::CloudWatch::Alarm").items()
    }


def calculated(expression: str, period: Period) -> float | None:
    """The value of an expression of metric math; None where there is none."""
    python = re.sub(r"\bAND\b", "and", re.sub(r"\bIF\(", "CHOOSE(", expression))
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
        case ast.BoolOp(op=ast.And(), values=parts):
            values = [_value(part, period) for part in parts]
            return None if None in values else float(all(values))
        case (
            ast.BinOp(left=left, op=op, right=right)
            | ast.Compare(left=left, ops=[op], comparators=[right])
        ):
            one, other = _value(left, period), _value(right, period)
            return None if one is None or other is None else _CALCULATIONS[type(op)](one, other)
        case _:
            raise AssertionError(f"{ast.unparse(node)} must be taught first")


def _alarm(name: str, properties: Properties, defaults: Mapping[str, Any]) -> Alarm:
    if "Metrics" in properties:
        (answer,) = (it for it in properties["Metrics"] if it.get("ReturnData", True))
        expression = _resolved(answer["Expression"], defaults)
        metrics = [_metric_of_math(it) for it in properties["Metrics"] if it is not answer]
    else:
        expression = "measured"
        metrics = [_only_metric(expression, properties)]
    periods = int(_resolved(properties["EvaluationPeriods"], defaults))
    return Alarm(
        name=name,
        metrics={metric.id: metric for metric in metrics},
        expression=expression,
        comparison=properties["ComparisonOperator"],
        threshold=float(_resolved(properties["Threshold"], defaults)),
        periods=periods,
        breaching_periods=properties.get("DatapointsToAlarm") or periods,
        missing=properties["TreatMissingData"],
        properties=properties,
    )


def _metric_of_math(query: Properties) -> Metric:
    assert query["ReturnData"] is False
    stat = query["MetricStat"]
    return Metric(
        id=query["Id"],
        namespace=_namespace(stat["Metric"]),
        name=stat["Metric"]["MetricName"],
        dimensions=_dimensions(stat["Metric"]),
        stat=stat["Stat"],
        period=stat["Period"],
    )


def _only_metric(name: str, properties: Properties) -> Metric:
    return Metric(
        id=name,
        namespace=_namespace(properties),
        name=properties["MetricName"],
        dimensions=_dimensions(properties),
        stat=properties["Statistic"],
        period=properties["Period"],
    )


def _namespace(properties: Properties) -> str:
    """As the template writes it: ours holds the stack's name."""
    match properties["Namespace"]:
        case {"Fn::Sub": str(text)} | str(text):
            return text
        case other:
            raise AssertionError(f"{other} is no namespace")


def _dimensions(properties: Properties) -> dict[str, Any]:
    return {it["Name"]: it["Value"] for it in properties.get("Dimensions", [])}


def _resolved(value: Any, parameters: Mapping[str, Any]) -> str:
    match value:
        case {"Ref": str(name)}:
            return str(parameters[name])
        case {"Fn::Sub": str(text)}:
            return re.sub(r"\$\{(\w+)\}", lambda named: str(parameters[named[1]]), text)
        case _:
            return str(value)
