"""The template declares exactly the environment variables that a function reads."""

import json
import re
from collections.abc import Iterable

import pytest

from tests.support.cloudformation import Template
from tests.template.deployment import FUNCTIONS, OUR_NAMESPACE, PROJECT, logical_id, of_type

POWERTOOLS = "POWERTOOLS_"  # read by Powertools itself
NO_VALUE = {"Ref": "AWS::NoValue"}  # no deploy sets such a variable; `sam local` may


def variables_read(sources: Iterable[str]) -> set[str]:
    """Return the names in `environ["X"]` and `environ.get("X")`: no other read is allowed."""
    names = set()
    for source in sources:
        assert not re.search(r"getenv|environb|environ(\[|\.get\()(?!\")|import environ", source)
        names |= set(re.findall(r'\benviron(?:\[|\.get\()"(\w+)"', source))
    return names


def sources_of(folder: str) -> list[str]:
    return [path.read_text("utf-8") for path in sorted((PROJECT / folder).rglob("*.py"))]


def declared(function: str, stack: Template) -> dict[str, object]:
    properties = of_type(stack, "AWS::Lambda::Function")[logical_id(function)]
    variables: dict[str, object] = properties["Environment"]["Variables"]
    return {name: value for name, value in variables.items() if value != NO_VALUE}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_has_exactly_the_variables_that_it_reads(function: str, stack: Template) -> None:
    read = variables_read(sources_of(f"functions/{function}"))

    variables = {name for name in declared(function, stack) if not name.startswith(POWERTOOLS)}

    assert read
    assert variables == read


def test_the_layer_reads_no_environment_variable() -> None:
    assert variables_read(sources_of("layers/delivery/delivery")) == set()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_powertools_uses_the_folder_of_a_function_as_its_service(
    function: str, stack: Template
) -> None:
    variables = declared(function, stack)

    assert {name: it for name, it in variables.items() if name.startswith(POWERTOOLS)} == {
        "POWERTOOLS_METRICS_NAMESPACE": {"Fn::Sub": OUR_NAMESPACE},
        "POWERTOOLS_SERVICE_NAME": function,
    }


def test_no_variable_contains_a_secret_value(stack: Template) -> None:
    about_secrets = {
        name: value
        for function in FUNCTIONS
        for name, value in declared(function, stack).items()
        if re.search(r"SECRET|TOKEN|PASSWORD|CREDENTIAL|(?<!IDEMPOTENCY_)KEY", name)
    }

    assert about_secrets == {"TWILIO_SECRET_NAME": {"Ref": "TwilioSecretName"}}
    assert "{{resolve:" not in json.dumps(stack)
