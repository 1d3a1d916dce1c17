"""Caches what moto computes again at each call, which was a third of the tests' time.

Its answers stay the same: each cached value depends on nothing but its key.
"""

import pickle
from collections.abc import Callable, Hashable
from functools import cache
from pkgutil import resolve_name
from typing import Any

from moto.core import models

_PARSING = "moto.dynamodb.parsing"


def remember() -> None:
    """Caches from now on, in this process."""
    # Without this, moto compares every call of `requests` with all AWS endpoints; no test needs it.
    models.RESPONSES_METHODS.clear()
    _replace("moto.core.responses", "method_names_from_class", cache)
    _replace("moto.core.serialize.XFormedAttributePicker", "get_possible_keys", _by_kind_of_member)
    # The expression of an update is parsed twice, copied twice, and gone through twenty times.
    _replace(f"{_PARSING}.expressions.UpdateExpressionParser", "make", cache)
    _replace(f"{_PARSING}.validators", "deepcopy", lambda _: _copied)
    _replace(f"{_PARSING}.ast_nodes.DepthFirstTraverser", "nodes_to_be_processed", _by_class)
    # These two ask of each part again what they ask of the whole.
    for validator in ("ActionCountValidator", "OverlappingPathsValidator"):
        name = f"{_PARSING}.validators.{validator}"
        _replace(name, "traverse", lambda _: lambda itself, expression: itself.process(expression))


def _replace(owner_name: str, name: str, new: Callable[[Any], Any]) -> None:
    owner = resolve_name(owner_name)
    setattr(owner, name, new(getattr(owner, name)))


def _by_kind_of_member(find_keys: Any) -> Any:
    kept: dict[Hashable, list[str]] = {}

    def possible_keys(picker: Any, context: Any) -> list[str]:
        kind = context.shape, context.key, type(context.obj)
        if kind not in kept:
            kept[kind] = list(find_keys(picker, context))
        return kept[kind]

    return possible_keys


def _by_class(find_types: Any) -> Any:
    kept: dict[type, Any] = {}

    def types(traverser: Any) -> Any:
        if type(traverser) not in kept:
            kept[type(traverser)] = find_types(traverser)
        return kept[type(traverser)]

    return types


def _copied(tree: object) -> object:
    return pickle.loads(pickle.dumps(tree))  # noqa: S301 -- it was made in this process
