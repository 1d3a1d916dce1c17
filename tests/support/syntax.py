"""The syntax of the modules that tests look at, parsed once for all tests of a process."""

import ast
from functools import cache


@cache
def nodes_of(source: str) -> tuple[ast.AST, ...]:
    """Return every node of a module, the module first. Callers must not change them."""
    return tuple(ast.walk(ast.parse(source)))
