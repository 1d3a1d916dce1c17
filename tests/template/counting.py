"""Which metrics the functions count, as their source says."""

import ast
from collections.abc import Iterator
from functools import cache

from delivery.domain.messages import MessageStatus
from delivery.metrics import COUNTED_BY
from delivery.twilio.error_codes import Category
from tests.template.deployment import FUNCTIONS, PROJECT

type Dimensions = frozenset[tuple[str, str]]

COUNTING = {"add_metric", "_count"}
# The layer's own, which add the metrics of COUNTED_BY.
COUNTING_MESSAGES = {"count_recorded", "count_apart"}
VALUES = {
    "status": [*(str(it) for it in MessageStatus if it is not MessageStatus.UNKNOWN), "other"],
    "category": [str(it) for it in Category],
}
# Only a callback tells when a message arrived.
ONLY_COUNTED_BY = {name: {"status_callback"} for name in ("TimeToDelivered", "CanaryDelivered")}


def metrics_in(source: str) -> set[str]:
    """The names that a module counts under: given to a counter, or held for one."""
    return {
        node.value
        for expression in expressions_of_metrics(ast.parse(source))
        for node in ast.walk(expression)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def expressions_of_metrics(tree: ast.Module) -> Iterator[ast.expr]:
    """What is in the place of a name."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(attr=called) | ast.Name(id=called), args=[name, *_]
            ) if called in COUNTING:
                yield name
            case (
                ast.Assign(targets=[ast.Name(id="METRIC_OF")], value=ast.Dict(values=names))
                | ast.AnnAssign(target=ast.Name(id="METRIC_OF"), value=ast.Dict(values=names))
            ):
                yield from names
            case ast.keyword(arg="metric", value=name):
                yield name


def counts_messages(source: str) -> bool:
    """Whether a module counts what becomes of messages."""
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in COUNTING_MESSAGES
        for node in ast.walk(ast.parse(source))
    )


def metrics_of(function: str) -> set[str]:
    """The names of all metrics that a function counts."""
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
    """Every metric that there can be, with its dimensions: what may have to be paid for."""
    return frozenset(
        (name, dimensions)
        for function in FUNCTIONS
        for name in metrics_of(function)
        for names in COUNTED_BY.get(name, (("service",),))
        for dimensions in combinations(names, function)
    )


def combinations(names: tuple[str, ...], function: str) -> Iterator[Dimensions]:
    """The dimensions with each of their values; no metric of ours has more than one."""
    match names:
        case ():
            yield frozenset()
        case ("service",):
            yield frozenset({("service", function)})
        case (name,):
            for value in VALUES[name]:
                yield frozenset({(name, value)})
        case _:
            raise AssertionError(f"{names} multiply what is to be paid for")
