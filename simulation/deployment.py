"""The template: its functions with their triggers, and the resources that they use."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from tests.support.cloudformation import load_template
from tests.template.resolving import resolved as resolve

PROJECT: Final = Path(__file__).parents[1]
REGION: Final = "us-east-1"
_AWS: Final = {
    "AWS::Region": REGION,
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::StackName": "simulated",
}

PARAMETERS: Final = {
    "UnconfirmedAfterHours": "5",
    "ReconcileAfterMinutes": "20",
    "OutcomeEventBusName": "outcomes",
    "ArchiveOutcomes": "true",
    "ReportDimensions": "campaign",
}
"""The parameters that differ from their defaults: hours instead of days keep runs short."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """An event source of a function: its type in the template, and its properties."""

    kind: str
    properties: Mapping[str, Any]

    @property
    def source(self) -> str:
        """The logical id of the queue or table of an event source mapping."""
        value = self.properties["Queue" if self.kind == "SQS" else "Stream"]
        return str(value["Fn::GetAtt"][0])


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionResource:
    """A deployed function; `name` is the name of its folder."""

    name: str
    timeout: float
    environment: Mapping[str, str]
    triggers: tuple[Trigger, ...] = field(default=())

    @property
    def source(self) -> Path:
        """The path of its app.py."""
        return PROJECT / "functions" / self.name / "app.py"


@cache
def functions() -> Mapping[str, FunctionResource]:
    """Return the functions of the template, by name."""
    return {each.name: each for each in _functions()}


def resources(kind: str) -> dict[str, Mapping[str, Any]]:
    """Return the properties of all resources of a type, by logical id."""
    return {
        name: resource.get("Properties", {})
        for name, resource in load_template()["Resources"].items()
        if resource["Type"] == kind and _is_created(resource)
    }


def queue_url(logical_id: str) -> str:
    """Return the URL of a queue."""
    return f"https://sqs.{REGION}.amazonaws.com/123456789012/{logical_id}"


def parameter(name: str) -> str:
    """Return the value of a parameter: from PARAMETERS, or its default."""
    declared = load_template()["Parameters"][name]
    return str(PARAMETERS.get(name, declared.get("Default", "")))


def resolved(value: Any) -> str:
    """Return a value of the template as CloudFormation resolves it, as text."""
    found = resolve(value, load_template(), _known())
    if not isinstance(found, str | int | float):
        raise NotImplementedError(f"cannot resolve {value}")
    return str(found)


def _is_created(resource: Mapping[str, Any]) -> bool:
    choice = {"Fn::If": [resource.get("Condition"), True, False]}
    return "Condition" not in resource or bool(resolve(choice, load_template(), _known()))


@cache
def _known() -> Mapping[str, str]:
    """Return what a reference to a parameter, a queue or a topic becomes."""
    template = load_template()
    types = {name: resource["Type"] for name, resource in template["Resources"].items()}
    topic = f"arn:aws:sns:{REGION}:123456789012:"
    return {
        **_AWS,
        **{name: parameter(name) for name in template["Parameters"]},
        **{name: queue_url(name) for name, kind in types.items() if kind == "AWS::SQS::Queue"},
        **{name: topic + name for name, kind in types.items() if kind == "AWS::SNS::Topic"},
    }


def _functions() -> Iterator[FunctionResource]:
    template = load_template()
    shared = template["Globals"]["Function"]["Environment"]["Variables"]
    for resource in template["Resources"].values():
        if resource["Type"] != "AWS::Serverless::Function" or not _is_created(resource):
            continue
        properties = resource["Properties"]
        own = properties.get("Environment", {}).get("Variables", {})
        yield FunctionResource(
            name=properties["Handler"].partition(".")[0],
            timeout=float(properties["Timeout"]),
            environment={
                name: resolved(value)
                for name, value in {**shared, **own}.items()
                if value != {"Ref": "AWS::NoValue"}
            },
            triggers=tuple(
                Trigger(kind=event["Type"], properties=event["Properties"])
                for event in properties.get("Events", {}).values()
            ),
        )
