"""What docs/operations.md tells people to type can be typed: shell, AWS CLI, names of the stack."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from botocore import xform_name
from botocore.model import ServiceModel
from botocore.session import Session

from delivery.metrics import COUNTED_BY
from tests.cloudformation import load_template
from tests.template.deployment import of_type, translate

PAGE = (Path(__file__).parents[1] / "docs/operations.md").read_text("utf-8")
STACK = translate(load_template())

GLOBAL_OPTIONS = {"query", "output", "region", "cli-binary-format"}
# The AWS CLI's own commands and names, which botocore does not know.
OWN_OPTIONS = {
    ("logs", "tail"): {"since", "format"},
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
    """The blocks for a shell, without the indentation that a list gives them."""
    found = re.findall(r"^( *)(?:\d+\. )?```sh\n(.*?)^ *```", PAGE, re.DOTALL | re.MULTILINE)
    return [
        "\n".join(line.removeprefix(indent or "   ") for line in block.splitlines())
        if indent or block.startswith("   ")
        else block
        for indent, block in found
    ]


def aws_commands(text: str) -> Iterator[Command]:
    """Those of a block, also those within others."""
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


COMMANDS = sorted({it for block in blocks() for it in aws_commands(block)}, key=str)


@cache
def model_of(service: str) -> ServiceModel:
    return Session().get_service_model(service)


@cache
def operations_of(service: str) -> dict[str, set[str]]:
    """The options of each operation, as the AWS CLI spells both."""
    model = model_of(service)
    shapes = {
        xform_name(name, "-"): model.operation_model(name).input_shape
        for name in model.operation_names
    }
    return {
        name: {xform_name(member, "-") for member in shape.members} if shape else set()
        for name, shape in shapes.items()
    }


def unknown_in(command: Command) -> set[str]:
    """What the AWS CLI would not understand of it."""
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


@pytest.mark.parametrize("block", blocks(), ids=lambda block: block.splitlines()[0][:60])
def test_a_block_is_something_that_a_shell_understands(block: str) -> None:
    checked = subprocess.run(
        ["/bin/bash", "-n"], input=block, text=True, capture_output=True, check=False
    )

    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_page_has_commands() -> None:
    assert len(blocks()) > 20
    assert len(COMMANDS) > 30


@pytest.mark.parametrize("command", COMMANDS, ids=lambda it: f"{it.service} {it.operation}")
def test_the_aws_cli_knows_a_command_and_its_options(command: Command) -> None:
    assert unknown_in(command) == set()


@pytest.mark.parametrize(
    ("helper", "names"),
    [
        ("resource", set(STACK["Resources"])),
        ("output", set(STACK["Outputs"])),
        ("logs", set(of_type(STACK, "AWS::Logs::LogGroup"))),
        ("queue_arn", set(of_type(STACK, "AWS::SQS::Queue"))),
    ],
)
def test_a_command_names_what_the_stack_has(helper: str, names: set[str]) -> None:
    named = set(re.findall(rf"(?<![-\w]){helper} ([A-Z]\w+)", PAGE))

    assert named
    assert named <= names


def test_every_parameter_is_in_the_table_with_a_reason_to_change_it() -> None:
    section = PAGE.partition("## Deploy\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.+?) \| (.+) \|$", section, re.MULTILINE)
    named = [name for names, _ in rows for name in re.findall(r"`(\w+)`", names)]

    assert sorted(named) == sorted(STACK["Parameters"])


def test_what_becomes_of_messages_is_counted_as_the_page_says() -> None:
    section = PAGE.partition("## Alarms\n")[2].partition("\n### ")[0]

    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == set(COUNTED_BY)


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("aws sqs purge-queue --queue-url X", set()),
        ("aws sqs purge-queue --queue-arn X", {"queue-arn"}),
        ("aws sqs empty-queue --queue-url X", {"empty-queue"}),
        ("aws sns publish --topic-arn \"$(aws sqs nothing)\" --message '--x'", {"nothing"}),
        ("aws dynamodb wait table-exists --table-name X", set()),
        ("aws dynamodb wait table-is-there --table-name X", {"table-is-there"}),
    ],
)
def test_what_the_aws_cli_does_not_know_is_found(text: str, unknown: set[str]) -> None:
    found = {name for command in aws_commands(text) for name in unknown_in(command)}

    assert found == unknown
