"""The metrics that the functions count, found in their source.

A metric is found where a handler reports it (`Report(metric="MessageSent", ...)`), where it is
added with Powertools (`metrics.add_metric("MessageSent", ...)`) and in a table `METRIC_OF`.
"""

import ast
from collections.abc import Iterator
from functools import cache

from delivery.domain.messages import MessageStatus
from delivery.metrics import COUNTED_BY
from delivery.twilio.error_codes import Category
from tests.template.deployment import FUNCTIONS, PROJECT

type Dimensions = frozenset[tuple[str, str]]

REPORTING = {"Report", "add_metric", "_count"}
"""The calls whose argument `metric`, or else the first one, is the name of a metric."""
COUNTING_MESSAGES = {"count_recorded", "count_apart"}
"""The layer's functions that count the metrics in COUNTED_BY."""
VALUES = {
    "status": [*(str(it) for it in MessageStatus if it is not MessageStatus.UNKNOWN), "other"],
    "category": [str(it) for it in Category],
}
# Only a status callback shows when a message was delivered.
ONLY_COUNTED_BY = {name: {"status_callback"} for name in ("TimeToDelivered", "CanaryDelivered")}


def metrics_in(source: str) -> set[str]:
    """Return the names of the metrics that a module counts."""
    return {
        node.value
        for expression in metric_expressions(ast.parse(source))
        for node in ast.walk(expression)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def metric_expressions(tree: ast.Module) -> Iterator[ast.expr]:
    """Yield the expressions that stand where the name of a metric is expected."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(attr=called) | ast.Name(id=called), args=[name, *_]
            ) if called in REPORTING:
                yield name
            case (
                ast.Assign(targets=[ast.Name(id="METRIC_OF")], value=ast.Dict(values=names))
                | ast.AnnAssign(target=ast.Name(id="METRIC_OF"), value=ast.Dict(values=names))
            ):
                yield from names
            case ast.keyword(arg="metric", value=name):
                yield name


def counts_messages(source: str) -> bool:
    """Return whether a module counts the metrics in COUNTED_BY."""
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in COUNTING_MESSAGES
        for node in ast.walk(ast.parse(source))
    )


def metrics_of(function: str) -> set[str]:
    """Return the names of all metrics that a function counts."""
    sources = [
        module.read_text("utf-8")
        for module in sorted((PROJECT / "functions" / function).glob("*.py"))
    ]
    names = {name for source in sources for name in metrics_in(source)}
    if any(counts_messages(source) for source in sources):
        names |= {name for name in COUNTED_BY if function in ONLY_COUNTED_BY.get(name, {function})}
    return names


@cache
def counted() -> frozenset[tuple[str, Dimensions]]:
    """Return every metric that the functions can count, with its dimensions."""
    return frozenset(
        (name, dimensions)
        for function in FUNCTIONS
        for name in metrics_of(function)
        for names in COUNTED_BY.get(name, (("service",),))
        for dimensions in combinations(names, function)
    )


def combinations(names: tuple[str, ...], function: str) -> Iterator[Dimensions]:
    """Yield the dimensions with each of their values; a metric of ours has at most one."""
    match names:
        case ():
            yield frozenset()
        case ("service",):
            yield frozenset({("service", function)})
        case (name,):
            for value in VALUES[name]:
                yield frozenset({(name, value)})
        case _:
            raise AssertionError(f"the combinations of {names} would be too many metrics")
