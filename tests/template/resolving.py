"""Values of the template for given parameters, as CloudFormation resolves them."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from tests.support.cloudformation import Template

_NO_VALUE = object()
_PSEUDO_PARAMETERS: Mapping[str, str] = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "eu-west-1",
    "AWS::StackName": "delivery",
    "AWS::URLSuffix": "amazonaws.com",
}


def resolved(value: Any, template: Template, given: Mapping[str, str] | None = None) -> Any:
    """Return a value with its functions and references resolved.

    Args:
        value: what to resolve; a reference to a resource becomes the name of the resource.
        template: declares the parameters and conditions that the value refers to.
        given: values of parameters and pseudo parameters; the others have their defaults.
    """
    defaults = {name: str(it.get("Default")) for name, it in template["Parameters"].items()}
    known = {**_PSEUDO_PARAMETERS, **defaults, **(given or {})}
    return _Resolver(template["Conditions"], known).resolve(value)


class _Resolver:
    def __init__(self, conditions: Mapping[str, Any], known: Mapping[str, str]) -> None:
        self._conditions = conditions
        self._known = known
        self._functions: Mapping[str, Callable[[Any], Any]] = {
            "Ref": lambda name: _NO_VALUE if name == "AWS::NoValue" else known.get(name, name),
            "Fn::GetAtt": lambda path: path[0],
            "Fn::Sub": self._substitute,
            "Fn::If": self._choose,
            "Fn::Equals": lambda both: self.resolve(both[0]) == self.resolve(both[1]),
            "Fn::Not": lambda condition: not self.resolve(condition[0]),
            "Fn::Or": lambda conditions: any(map(self.resolve, conditions)),
            "Condition": lambda name: self.resolve(self._conditions[name]),
        }

    def resolve(self, value: Any) -> Any:
        match value:
            case dict() if len(value) == 1 and (called := next(iter(value))) in self._functions:
                return self._functions[called](value[called])
            case dict():
                found = {name: self.resolve(it) for name, it in value.items()}
                return {name: it for name, it in found.items() if it is not _NO_VALUE}
            case list():
                return [it for it in map(self.resolve, value) if it is not _NO_VALUE]
            case _:
                return value

    def _choose(self, branches: list[Any]) -> Any:
        condition, then, otherwise = branches
        holds = self.resolve(self._conditions[condition])
        return self.resolve(then if holds else otherwise)

    def _substitute(self, content: str | list[Any]) -> str:
        text, own = (content, {}) if isinstance(content, str) else content
        names = {**self._known, **{name: self.resolve(it) for name, it in own.items()}}
        return re.sub(r"\$\{([\w:.]+)\}", lambda it: str(names.get(it[1], it[1])), text)
