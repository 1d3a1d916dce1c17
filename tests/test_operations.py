"""The commands in docs/operations.md work: shell syntax, AWS CLI options, names of the stack."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from botocore import xform_name
from botocore.model import ServiceModel, Shape
from botocore.session import Session

from delivery.metrics import COUNTED_BY
from tests.support.cloudformation import load_template
from tests.template.deployment import of_type, translate

PAGE = (Path(__file__).parents[1] / "docs/operations.md").read_text("utf-8")
STACK = translate(load_template())

GLOBAL_OPTIONS = {"query", "output", "region", "cli-binary-format"}
# Commands of the AWS CLI itself, which botocore does not have.
OWN_OPTIONS = {
    ("logs", "tail"): {"since", "format"},
    ("s3", "ls"): {"recursive"},
    ("sns", "subscribe"): {"topic-arn", "protocol", "notification-endpoint"},
}


@dataclass(frozen=True, slots=True)
class Command:
    """A call of the AWS CLI."""

    service: str
    operation: str
    options: frozenset[str]
    waiter: str = ""


def blocks() -> list[str]:
    """Returns the shell blocks, without the indentation of a list."""
    found = re.findall(r"^( *)(?:\d+\. )?```sh\n(.*?)^ *```", PAGE, re.DOTALL | re.MULTILINE)
    return [
        "\n".join(line.removeprefix(indent or "   ") for line in block.splitlines())
        if indent or block.startswith("   ")
        else block
        for indent, block in found
    ]


def aws_commands(text: str) -> Iterator[Command]:
    """Yields the AWS CLI calls of a block, including nested ones."""
    text = text.replace("\\\n", " ")
    while nested := re.search(r"\$\(\(([^()]*)\)\)|\$\(([^()]*)\)", text):
        yield from aws_commands(nested[1] or nested[2])
        text = text[: nested.start()] + "X" + text[nested.end() :]
    text = re.sub(r"'[^']*'|\"[^\"]*\"", "X", text)
    for line in re.split(r"[\n|;&]", text):
        if match := re.search(r"\baws ([a-z0-9-]+) ([a-z0-9-]+)(.*)", line):
            service, operation, rest = match.groups()
            options = frozenset(re.findall(r"(?<=\s)--([a-z][a-z0-9-]*)", rest))
            waiter = rest.split()[0] if operation == "wait" else ""
            yield Command(service, operation, options, waiter)


@cache
def model_of(service: str) -> ServiceModel:
    return Session().get_service_model(service)


@cache
def operations_of(service: str) -> dict[str, set[str]]:
    """Returns the options of each operation, in the spelling of the AWS CLI."""
    model = model_of(service)
    shapes = {
        xform_name(name, "-"): model.operation_model(name).input_shape
        for name in model.operation_names
    }
    return {
        name: {option for member in shape.members.items() for option in options_of(*member)}
        if shape
        else set()
        for name, shape in shapes.items()
    }


def options_of(name: str, shape: Shape) -> set[str]:
    option = xform_name(name, "-")
    return {option, f"no-{option}"} if shape.type_name == "boolean" else {option}


def unknown_in(command: Command) -> set[str]:
    """Returns the parts of a call that the AWS CLI doesn't know."""
    own = OWN_OPTIONS.get((command.service, command.operation))
    if own is not None:
        return set(command.options) - own - GLOBAL_OPTIONS
    if command.waiter:
        waiters = Session().create_client(command.service, region_name="us-east-1").waiter_names
        known = {xform_name(name, "-") for name in waiters} | {
            it.replace("_", "-") for it in waiters
        }
        return {command.waiter} - known
    operations = operations_of(command.service)
    if command.operation not in operations:
        return {command.operation}
    return set(command.options) - operations[command.operation] - GLOBAL_OPTIONS


def test_the_syntax_of_every_shell_block_is_valid() -> None:
    assert len(blocks()) > 20
    for block in blocks():
        checked = subprocess.run(
            ["/bin/bash", "-n"], input=block, text=True, capture_output=True, check=False
        )
        assert (checked.returncode, checked.stderr) == (0, ""), block


def test_the_aws_cli_knows_every_command_and_its_options() -> None:
    commands = {it for block in blocks() for it in aws_commands(block)}

    assert len(commands) > 30
    assert [it for it in commands if unknown_in(it)] == []


@pytest.mark.parametrize(
    ("helper", "names"),
    [
        ("resource", set(STACK["Resources"])),
        ("output", set(STACK["Outputs"])),
        ("logs", set(of_type(STACK, "AWS::Logs::LogGroup"))),
        ("queue_arn", set(of_type(STACK, "AWS::SQS::Queue"))),
    ],
)
def test_a_command_names_a_resource_of_the_stack(helper: str, names: set[str]) -> None:
    named = set(re.findall(rf"(?<![-\w]){helper} ([A-Z]\w+)", PAGE))

    assert named
    assert named <= names


def test_every_metric_about_messages_is_on_the_page() -> None:
    section = PAGE.partition("## Metrics\n")[2].partition("\n## ")[0]

    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == set(COUNTED_BY)


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("aws sqs purge-queue --queue-arn X", {"queue-arn"}),
        ("aws sqs empty-queue --queue-url X", {"empty-queue"}),
        ("aws sns publish --topic-arn \"$(aws sqs nothing)\" --message '--x'", {"nothing"}),
        ("aws dynamodb wait table-is-there --table-name X", {"table-is-there"}),
    ],
)
def test_an_unknown_command_or_option_is_found(text: str, unknown: set[str]) -> None:
    found = {name for command in aws_commands(text) for name in unknown_in(command)}

    assert found == unknown
