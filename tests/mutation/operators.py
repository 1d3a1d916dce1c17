"""Mutation operators for faults that mutmut's own operators do not make.

They imitate the faults that hurt this project: a condition that is missing from an expression or
from an `if`, a write that is left out, two statements in the wrong order, a lease or a retention
time that starts at another time.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import libcst as cst

_OTHER_TIME = {
    "created_at": "updated_at",
    "updated_at": "created_at",
    "claimed_at": "lease_until",
    "lease_until": "claimed_at",
}
_SIMPLE_STATEMENTS = (cst.Expr, cst.Assign, cst.AugAssign)


def drop_operand(node: cst.BooleanOperation) -> Iterator[cst.BaseExpression]:
    """Replace `a and b` by `a` and by `b`."""
    yield _in_parentheses(node.left)
    yield _in_parentheses(node.right)


def force_branch(node: cst.If) -> Iterator[cst.If]:
    """Take one branch always: evaluate the test, and ignore its result."""
    test = _in_parentheses(node.test)
    for operator, result in ((cst.And(), "False"), (cst.Or(), "True")):
        forced = cst.BooleanOperation(left=test, operator=operator, right=cst.Name(result))
        yield node.with_changes(test=forced)


def drop_conjunct(node: cst.Call) -> Iterator[cst.Call]:
    """Drop a part of a DynamoDB condition, and the values that only this part needs."""
    if not node.args or not isinstance(text := node.args[0].value, cst.SimpleString):
        return
    parts = str(text.evaluated_value).split(" AND ")
    if len(parts) == 1 or "#" not in parts[0]:
        return
    for dropped in parts:
        rest = " AND ".join(part for part in parts if part is not dropped)
        args = [
            arg
            for arg in node.args[1:]
            if not arg.keyword
            or f":{arg.keyword.value}" in rest
            or f":{arg.keyword.value}" not in dropped
        ]
        condition = node.args[0].with_changes(value=text.with_changes(value=repr(rest)))
        yield node.with_changes(args=[condition, *args])


def drop_statement(node: cst.SimpleStatementLine) -> Iterator[cst.SimpleStatementLine]:
    """Leave out a call whose result is not used."""
    if len(node.body) == 1 and _is_call(node.body[0]):
        yield node.with_changes(body=[cst.Pass()])


def swap_statements(node: cst.IndentedBlock) -> Iterator[cst.IndentedBlock]:
    """Swap two neighboring statements of which one is a call whose result is not used."""
    for first, (one, other) in enumerate(zip(node.body, node.body[1:], strict=False)):
        if _is_simple(one) and _is_simple(other) and any(map(_has_call, (one, other))):
            yield node.with_changes(body=[*node.body[:first], other, one, *node.body[first + 2 :]])


def take_other_time(node: cst.Attribute) -> Iterator[cst.Attribute]:
    """Count from another time of the same item."""
    if other := _OTHER_TIME.get(node.attr.value):
        yield node.with_changes(attr=cst.Name(other))


def _in_parentheses(node: cst.BaseExpression) -> cst.BaseExpression:
    lpar, rpar = [cst.LeftParen(), *node.lpar], [*node.rpar, cst.RightParen()]
    return node.with_changes(lpar=lpar, rpar=rpar)


def _is_call(statement: cst.CSTNode) -> bool:
    return isinstance(statement, cst.Expr) and isinstance(statement.value, cst.Call)


def _is_simple(line: cst.CSTNode) -> bool:
    return (
        isinstance(line, cst.SimpleStatementLine)
        and len(line.body) == 1
        and isinstance(line.body[0], _SIMPLE_STATEMENTS)
        and not _is_docstring(line.body[0])
    )


def _is_docstring(statement: cst.CSTNode) -> bool:
    return isinstance(statement, cst.Expr) and isinstance(statement.value, cst.SimpleString)


def _has_call(line: cst.CSTNode) -> bool:
    return isinstance(line, cst.SimpleStatementLine) and _is_call(line.body[0])


type Operator = Callable[..., Iterable[cst.CSTNode]]

OPERATORS: Sequence[tuple[type, Operator]] = (
    (cst.BooleanOperation, drop_operand),
    (cst.If, force_branch),
    (cst.Call, drop_conjunct),
    (cst.SimpleStatementLine, drop_statement),
    (cst.IndentedBlock, swap_statements),
    (cst.Attribute, take_other_time),
)
"""What each operator mutates."""
