"""The template as data, and the tables that it describes."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from mypy_boto3_dynamodb import DynamoDBClient

TEMPLATE = Path(__file__).parents[2] / "template.yaml"

type Template = dict[str, Any]


class _TemplateLoader(yaml.CSafeLoader):
    """Understands CloudFormation's short tags: `!Ref X` becomes `{"Ref": "X"}`."""


def _long_form(loader: _TemplateLoader, tag: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    match node:
        case yaml.ScalarNode():
            value = loader.construct_scalar(node)
        case yaml.SequenceNode():
            value = loader.construct_sequence(node, deep=True)
        case yaml.MappingNode():
            value = loader.construct_mapping(node, deep=True)
    if tag == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {tag if tag in {"Ref", "Condition"} else f"Fn::{tag}": value}


_TemplateLoader.add_multi_constructor("!", _long_form)


def parse_template(text: str) -> Template:
    """A template with every short tag in its long form."""
    template: Template = yaml.load(text, _TemplateLoader)  # noqa: S506 -- it is a SafeLoader
    return template


@cache
def load_template() -> Template:
    """The project's own template; read it, and change only copies of it."""
    return parse_template(TEMPLATE.read_text("utf-8"))


def create_table(client: DynamoDBClient, logical_id: str, name: str | None = None) -> str:
    """Make the table as the template describes it: its name.

    Whatever the template says is handed on, so that boto3 refuses what is not understood here.
    """
    properties = dict(load_template()["Resources"][logical_id]["Properties"])
    properties.pop("DeletionProtectionEnabled", None)  # depends on a parameter
    time_to_live = properties.pop("TimeToLiveSpecification", None)
    backups = properties.pop("PointInTimeRecoverySpecification", None)
    if stream := properties.get("StreamSpecification"):
        properties["StreamSpecification"] = {"StreamEnabled": True, **stream}
    name = name or logical_id
    client.create_table(TableName=name, **properties)
    if time_to_live:
        client.update_time_to_live(TableName=name, TimeToLiveSpecification=time_to_live)
    if backups:
        client.update_continuous_backups(TableName=name, PointInTimeRecoverySpecification=backups)
    return name
