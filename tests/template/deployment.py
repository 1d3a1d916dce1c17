"""The template as SAM translates it for CloudFormation, and functions that read it."""

import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from samtranslator.translator.transform import (  # type: ignore[import-untyped]  # brings no types
    transform,
)

from tests.support.cloudformation import Template

type Properties = dict[str, Any]

PROJECT = Path(__file__).parents[2]
OUR_NAMESPACE = "Delivery/${AWS::StackName}"
"""The namespace of the metrics that the functions count, as the template writes it."""
FUNCTIONS = sorted(path.parent.name for path in PROJECT.glob("functions/*/app.py"))

_ALIAS = "Aliaslive"
"""What SAM appends to the logical id of a function for its alias `live`."""


class Reference(NamedTuple):
    """A resource that a value refers to; without an attribute the value is a `Ref`."""

    logical_id: str
    attribute: str = ""


class _NoManagedPolicies:
    """An empty map of managed policies: SAM then keeps the name of a policy as it is."""

    def load(self) -> dict[str, str]:
        return {}


def translate(
    template: Template, *, functions: str = "functions", layer: str = "layer"
) -> Template:
    """Return the CloudFormation template that a deploy of this SAM template creates.

    Args:
        template: the SAM template.
        functions: a name for the uploaded code of the functions.
        layer: a name for the uploaded code of the layer.
    """
    packaged = deepcopy(template)
    packaged["Globals"]["Function"]["CodeUri"] = f"s3://built/{functions}"
    for resource in packaged["Resources"].values():
        if resource["Type"] == "AWS::Serverless::LayerVersion":
            resource["Properties"]["ContentUri"] = f"s3://built/{layer}"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")  # SAM takes the region from boto3
        environment.delenv("AWS_PROFILE", raising=False)
        translated: Template = transform(packaged, {}, _NoManagedPolicies())
    return translated


def logical_id(function: str) -> str:
    """Return the logical id of a function: its folder in CamelCase, plus `Function`."""
    return "".join(word.capitalize() for word in function.split("_")) + "Function"


def of_type(stack: Template, *types: str) -> dict[str, Properties]:
    """Return the properties of the resources of these types, by logical id."""
    return {
        name: resource.get("Properties", {})
        for name, resource in stack["Resources"].items()
        if resource["Type"] in types
    }


def type_of(stack: Template, name: str) -> str:
    """Return the type of the resource with this logical id."""
    kind: str = stack["Resources"][name]["Type"]
    return kind


def reference_of(value: Any) -> Reference:
    """Return the reference that a `Ref` or a `GetAtt` is."""
    match value:
        case {"Ref": str(name)}:
            return Reference(name)
        case {"Fn::GetAtt": [str(name), str(attribute)]}:
            return Reference(name, attribute)
        case _:
            raise AssertionError(f"{value} is not a reference")


def reference_in(text: str) -> str | Reference:
    """Return the reference that `${Name}` or `${Name.Attribute}` is; other text as it is."""
    match = re.fullmatch(r"\$\{(\w+)(?:\.(\w+))?\}", text)
    return Reference(match[1], match[2] or "") if match else text


def target_of(value: Any) -> str:
    """Return the logical id that a `Ref` or a `GetAtt` names."""
    return reference_of(value).logical_id


def function_of(value: Any) -> str:
    """Return the logical id of the function whose alias `live` a value refers to."""
    alias = target_of(value)
    assert alias.endswith(_ALIAS), f"{value} does not invoke the alias live"
    return alias.removesuffix(_ALIAS)


def references(value: Any) -> Iterator[str]:
    """Yield every resource, parameter and pseudo parameter that a value refers to."""
    match value:
        case {"Ref": str(name), **rest}:
            yield name
            yield from references(rest)
        case {"Fn::GetAtt": [str(name), *_]}:
            yield name
        case {"Fn::GetAtt": str(path)}:
            yield path.partition(".")[0]
        case {"Fn::Sub": str(text)}:
            yield from _substituted(text)
        case {"Fn::Sub": [str(text), dict(own)]}:
            yield from (name for name in _substituted(text) if name not in own)
            yield from references(own)
        case dict():
            for inner in value.values():
                yield from references(inner)
        case list():
            for inner in value:
                yield from references(inner)


def _substituted(text: str) -> list[str]:
    return [name.partition(".")[0] for name in re.findall(r"\$\{([^!}][^}]*)\}", text)]
