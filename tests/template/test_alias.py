"""Every function is invoked through its alias `live`, and each change publishes a version."""

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from tests.support.cloudformation import Template
from tests.template.dashboard import widgets_of
from tests.template.deployment import (
    FUNCTIONS,
    function_of,
    logical_id,
    of_type,
    references,
    target_of,
    translate,
)
from tests.template.resolving import resolved

MAX_VERSION_DESCRIPTION = 256
MAX_NUMBER = 11
"""Characters of a number, such as a fraction of an hour."""

each_function = pytest.mark.parametrize("function", FUNCTIONS)


def versions_of(stack: Template) -> dict[str, str]:
    """Return the logical id of each function's version."""
    return {
        target_of(properties["FunctionName"]): name
        for name, properties in of_type(stack, "AWS::Lambda::Version").items()
    }


def parameters_of(value: Any, template: Template) -> set[str]:
    """Return the parameters that a value depends on, also by its conditions."""
    found: set[str] = set(references(value))
    for condition in conditions_in(value):
        found |= set(references(template["Conditions"][condition]))
    return found.intersection(template["Parameters"])


def conditions_in(value: Any) -> Iterator[str]:
    match value:
        case dict():
            if "Fn::If" in value:
                yield value["Fn::If"][0]
            for inner in value.values():
                yield from conditions_in(inner)
        case list():
            for inner in value:
                yield from conditions_in(inner)


# --- who invokes what ----------------------------------------------------------------------------


@each_function
def test_the_alias_leads_to_the_published_version(function: str, stack: Template) -> None:
    name = logical_id(function)

    alias = of_type(stack, "AWS::Lambda::Alias")[f"{name}Aliaslive"]

    version = versions_of(stack)[name]
    assert alias == {
        "Name": "live",
        "FunctionName": {"Ref": name},
        "FunctionVersion": {"Fn::GetAtt": [version, "Version"]},
    }


def test_nothing_invokes_the_unpublished_code_of_a_function(stack: Template) -> None:
    invoked = [
        *(it["FunctionName"] for it in of_type(stack, "AWS::Lambda::EventSourceMapping").values()),
        *(it["FunctionName"] for it in of_type(stack, "AWS::Lambda::Permission").values()),
        *(it["Target"]["Arn"] for it in of_type(stack, "AWS::Scheduler::Schedule").values()),
        stack["Outputs"]["SendMessageFunctionArn"]["Value"],
    ]

    # It fails for a reference to the function itself.
    assert {function_of(it) for it in invoked} >= {"SendMessageFunction", "NotifyFailureFunction"}
    text = json.dumps([stack["Resources"], stack["Outputs"]])
    assert set(re.findall(r"functions/\$\{(\w+)\}/invocations", text)) == {
        "SendMessageFunctionAliaslive",
        "StatusCallbackFunctionAliaslive",
        "QueryMessagesFunctionAliaslive",
    }
    functions = "|".join(map(logical_id, FUNCTIONS))
    assert re.findall(rf"\$\{{(?:{functions})\.Arn\}}", text) == []
    assert re.findall(rf'"Fn::GetAtt": \["(?:{functions})", "Arn"\]', text) == []


def test_the_dashboard_invokes_the_alias_of_the_widget(stack: Template) -> None:
    (widget,) = (it for it in widgets_of(stack) if it["type"] == "custom")

    assert widget["properties"]["endpoint"] == "${DashboardWidgetFunctionAliaslive}"


# --- what publishes a version --------------------------------------------------------------------


def test_an_unchanged_build_publishes_no_version(template: Template, stack: Template) -> None:
    assert versions_of(translate(template)) == versions_of(stack)


@pytest.mark.parametrize("changed", ["functions", "layer"])
def test_changed_code_publishes_a_version_of_every_function(
    changed: str, template: Template, stack: Template
) -> None:
    # The rules are in the layer, and every function contains the code of all functions.
    versions = versions_of(translate(template, **{changed: "changed"}))

    before = versions_of(stack)
    assert versions.keys() == before.keys()
    assert set(versions.values()).isdisjoint(before.values())


def test_a_changed_property_publishes_a_version_of_its_function(
    template: Template, stack: Template
) -> None:
    changed = deepcopy(template)
    changed["Resources"]["QueryMessagesFunction"]["Properties"]["Timeout"] = 14

    versions, before = versions_of(translate(changed)), versions_of(stack)

    assert {name for name in before if versions[name] != before[name]} == {"QueryMessagesFunction"}


@each_function
def test_a_changed_parameter_publishes_a_version_of_each_function_that_uses_it(
    function: str, template: Template, stack: Template
) -> None:
    # The logical id of a version doesn't depend on values of parameters. CloudFormation replaces
    # the version if its description changes.
    # https://github.com/aws/serverless-application-model/issues/3820
    name = logical_id(function)
    version = of_type(stack, "AWS::Lambda::Version")[versions_of(stack)[name]]
    used = parameters_of(of_type(stack, "AWS::Lambda::Function")[name], template)

    assert parameters_of(version["Description"], template) == used
    for parameter in used:
        given = [{parameter: text} for text in ("one-value", "other-value")]
        one, other = (resolved(version["Description"], stack, it) for it in given)
        assert one != other, parameter


@each_function
def test_the_description_of_a_version_is_not_too_long(
    function: str, template: Template, stack: Template
) -> None:
    version = of_type(stack, "AWS::Lambda::Version")[versions_of(stack)[logical_id(function)]]
    used = parameters_of(version["Description"], template)

    longest = resolved(
        version["Description"], stack, {name: "x" * longest_value(name, template) for name in used}
    )

    assert len(longest) <= MAX_VERSION_DESCRIPTION


def longest_value(name: str, template: Template) -> int:
    """Return the number of characters that a value of a parameter may have."""
    match template["Parameters"][name]:
        case {"AllowedValues": list(values)}:
            return max(len(str(value)) for value in values)
        case {"Type": "Number"}:
            return MAX_NUMBER
        case {"MaxLength": int(length)}:
            return length
        case parameter:
            raise AssertionError(f"{name} has no maximum length: {parameter}")
