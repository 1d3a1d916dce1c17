"""What CloudFormation really gets: the template as SAM translates it, and ways to look into it."""

import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from samtranslator.translator.transform import (  # type: ignore[import-untyped]  # brings no types
    transform,
)

from tests.cloudformation import Template

type Properties = dict[str, Any]

PROJECT = Path(__file__).parents[2]
OUR_NAMESPACE = "Delivery/${AWS::StackName}"
"""Of the metrics that the functions count, as the template writes it."""
FUNCTIONS = sorted(path.parent.name for path in PROJECT.glob("functions/*/app.py"))


class _NoManagedPolicies:
    """Without names to look up, SAM leaves a policy's name as it is."""

    def load(self) -> dict[str, str]:
        return {}


def translate(template: Template) -> Template:
    """The CloudFormation template that a deployment makes of this one, which stays as it is."""
    packaged = deepcopy(template)
    packaged["Globals"]["Function"]["CodeUri"] = "s3://built/functions"
    for resource in packaged["Resources"].values():
        if resource["Type"] == "AWS::Serverless::LayerVersion":
            resource["Properties"]["ContentUri"] = "s3://built/layer"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")  # SAM asks boto3 where it is
        environment.delenv("AWS_PROFILE", raising=False)
        translated: Template = transform(packaged, {}, _NoManagedPolicies())
    return translated


def logical_id(function: str) -> str:
    """The function's name in the template: its folder's in CamelCase, and what it is."""
    return "".join(word.capitalize() for word in function.split("_")) + "Function"


def of_type(stack: Template, *types: str) -> dict[str, Properties]:
    """The properties of the resources of these types, by logical id."""
    return {
        name: resource.get("Properties", {})
        for name, resource in stack["Resources"].items()
        if resource["Type"] in types
    }


def type_of(stack: Template, name: str) -> str:
    """The type of the resource with this logical id."""
    kind: str = stack["Resources"][name]["Type"]
    return kind


def target_of(value: Any) -> str:
    """The logical id that a Ref or a GetAtt names."""
    match value:
        case {"Ref": str(name)} | {"Fn::GetAtt": [str(name), *_]}:
            return name
        case _:
            raise AssertionError(f"{value} refers to nothing")


def references(value: Any) -> Iterator[str]:
    """Every name that a value refers to: of resources, parameters and pseudo parameters."""
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
