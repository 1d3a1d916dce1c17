"""The metrics that the functions count, found in their source.

The name of a metric is text at the argument `metric` of a call, as in
`Report(metric="MessageSent")`, in an assignment to `metric`, or in a table in upper case that one
of these refers to. Found are keyword arguments of any call, and positional arguments of `Report`,
of Powertools' `add_metric` and of every function that has a parameter called `metric`.
"""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache

from delivery.domain.audits import Correction
from delivery.metrics import COUNTED_BY, LOGGED_ONLY
from delivery.twilio.error_codes import Category
from tests.template.deployment import FUNCTIONS, PROJECT

type Dimensions = frozenset[tuple[str, str]]

POSITIONS = {"Report": 0, "add_metric": 0}
"""The position of the argument `metric` in calls of what the functions import."""
OF_STATUS_UPDATES = frozenset(
    {"TransitionRecorded", "MessageFailed", "TimeToDelivered", "CanaryDelivered"}
)
COUNTED_IN_LAYER = {
    "count_recorded": OF_STATUS_UPDATES,
    "count_apart": OF_STATUS_UPDATES,
    "count_corrections": {"AuditCorrected"},
}
"""The layer's functions that count, and which of the metrics in COUNTED_BY."""
COUNTING_MESSAGES = COUNTED_IN_LAYER.keys() - {"count_corrections"}
"""Those that count what status updates did to messages."""
VALUES = {
    "category": [str(it) for it in Category],
    "kind": [str(it) for it in Correction],
}
# Only a status callback shows when a message was delivered.
ONLY_COUNTED_BY = {name: {"status_callback"} for name in ("TimeToDelivered", "CanaryDelivered")}


def metrics_in(*sources: str) -> set[str]:
    """Return the names of the metrics that the modules of a function count."""
    nodes = nodes_in(sources)
    tables = tables_in(nodes)
    return {name for it in metric_expressions(nodes) for name in texts_in(it, tables)}


def hidden_metrics_in(*sources: str) -> list[str]:
    """Return the expressions for a metric's name in which `metrics_in` finds no name.

    A parameter, a variable or a field called `metric` hides nothing: `metrics_in` finds its value
    where it is passed or assigned.
    """
    nodes = nodes_in(sources)
    tables = tables_in(nodes)
    return [
        ast.unparse(it)
        for it in metric_expressions(nodes)
        if not texts_in(it, tables) and not re.search(r"\bmetric$", ast.unparse(it))
    ]


@cache
def nodes_of(source: str) -> tuple[ast.AST, ...]:
    """Return every node of a module, the module first. Callers must not change them."""
    return tuple(ast.walk(ast.parse(source)))


def nodes_in(sources: Iterable[str]) -> list[ast.AST]:
    return [node for source in sources for node in nodes_of(source)]


def metric_expressions(nodes: Iterable[ast.AST]) -> Iterator[ast.expr]:
    """Yield the expressions that are the name of a metric."""
    positions = POSITIONS | positions_of_metric(nodes)
    for node in nodes:
        match node:
            case ast.Call(func=ast.Attribute(attr=called) | ast.Name(id=called), args=args) if len(
                args
            ) > positions.get(called, len(args)):
                yield args[positions[called]]
            case ast.keyword(arg="metric", value=name):
                yield name
            case (
                ast.Assign(targets=[ast.Name(id="metric")], value=name)
                | ast.Assign(
                    targets=[ast.Tuple(elts=[ast.Name(id="metric"), *_])],
                    value=ast.Tuple(elts=[name, *_]),
                )
            ):
                yield name


def texts_in(expression: ast.expr, tables: Mapping[str, ast.Dict]) -> set[str]:
    """Return the texts in an expression and in the values of the tables that it refers to."""
    found = set()
    for node in ast.walk(expression):
        match node:
            case ast.Constant(value=str(text)):
                found.add(text)
            case ast.Name(id=name) if name in tables:
                found |= {text for it in tables[name].values for text in texts_in(it, {})}
    return found


def tables_in(nodes: Iterable[ast.AST]) -> dict[str, ast.Dict]:
    """Return the dictionaries that are assigned to names in upper case."""
    tables = {}
    for node in nodes:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=ast.Dict() as table)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.Dict() as table)
            ) if name.isupper():
                tables[name] = table
    return tables


def positions_of_metric(nodes: Iterable[ast.AST]) -> dict[str, int]:
    """Return the position of the parameter `metric` of each function that has it."""
    return {
        node.name: [it.arg for it in node.args.args if it.arg != "self"].index("metric")
        for node in nodes
        if isinstance(node, ast.FunctionDef) and "metric" in {it.arg for it in node.args.args}
    }


def counts_messages(source: str) -> bool:
    """Return whether a module counts what status updates did to messages."""
    return not COUNTING_MESSAGES.isdisjoint(called_in(source))


def called_in(source: str) -> set[str]:
    """Return the names of the functions that a module calls by their name alone."""
    return {
        node.func.id
        for node in nodes_of(source)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }


def sources_of(function: str) -> list[str]:
    """Return the source of each module of a function."""
    folder = PROJECT / "functions" / function
    return [module.read_text("utf-8") for module in sorted(folder.glob("*.py"))]


@cache
def metrics_of(function: str) -> frozenset[str]:
    """Return the names of all metrics that a function counts."""
    sources = sources_of(function)
    names = metrics_in(*sources)
    for called in set[str]().union(*map(called_in, sources)):
        names |= {
            name
            for name in COUNTED_IN_LAYER.get(called, set())
            if function in ONLY_COUNTED_BY.get(name, {function})
        }
    return frozenset(names)


@cache
def counted() -> frozenset[tuple[str, Dimensions]]:
    """Return every metric that the functions can count, with its dimensions."""
    return frozenset(
        (name, dimensions)
        for function in FUNCTIONS
        for name in metrics_of(function) - LOGGED_ONLY
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
