"""The functions follow the naming rules, log to groups with retention, and can be deployed."""

import re

from tests.support.cloudformation import Template
from tests.template.deployment import (
    FUNCTIONS,
    PROJECT,
    logical_id,
    of_type,
    target_of,
)


def test_the_logical_id_and_handler_of_a_function_follow_from_its_folder(stack: Template) -> None:
    handlers = {
        name: properties["Handler"]
        for name, properties in of_type(stack, "AWS::Lambda::Function").items()
    }

    assert handlers == {
        logical_id(function): f"{function}.app.lambda_handler" for function in FUNCTIONS
    }


def test_all_functions_use_the_python_version_of_the_project(stack: Template) -> None:
    version = (PROJECT / ".python-version").read_text("utf-8").strip()

    for properties in of_type(stack, "AWS::Lambda::Function").values():
        assert properties["Runtime"] == f"python{version}"
        assert properties["Architectures"] == [{"Ref": "Architecture"}]
    (layer,) = of_type(stack, "AWS::Lambda::LayerVersion").values()
    assert layer["CompatibleRuntimes"] == [f"python{version}"]
    assert layer["CompatibleArchitectures"] == ["arm64", "x86_64"]


def test_the_makefile_of_the_layer_builds_for_the_python_version_of_the_project(
    template: Template,
) -> None:
    version = (PROJECT / ".python-version").read_text("utf-8").strip()
    layer = template["Resources"]["DeliveryLayer"]
    makefile = PROJECT / layer["Properties"]["ContentUri"] / "Makefile"

    recipe = makefile.read_text("utf-8").partition("build-DeliveryLayer:\n")[2]

    assert layer["Metadata"] == {"BuildMethod": "makefile"}
    assert set(re.findall(r"python[\d.]+", recipe)) == {f"python{version}"}
    # Compiled wheels would work on only one of the two architectures.
    assert "--only-binary :all: --platform any" in recipe


def test_the_makefile_of_the_functions_builds_for_the_python_version_of_the_project(
    template: Template,
) -> None:
    version = (PROJECT / ".python-version").read_text("utf-8").strip()
    makefile = PROJECT / template["Globals"]["Function"]["CodeUri"] / "Makefile"

    recipe = makefile.read_text("utf-8").partition("build-%:\n")[2]

    functions = of_type(template, "AWS::Serverless::Function")
    built = {name: template["Resources"][name].get("Metadata") for name in functions}
    assert {name: it for name, it in built.items() if it != {"BuildMethod": "makefile"}} == {}
    assert set(re.findall(r"python[\d.]+", recipe)) == {f"python{version}"}


def test_a_function_logs_json_to_its_own_group_with_retention(stack: Template) -> None:
    groups = of_type(stack, "AWS::Logs::LogGroup")
    logging = {
        name: properties["LoggingConfig"]
        for name, properties in of_type(stack, "AWS::Lambda::Function").items()
    }

    used = [target_of(config["LogGroup"]) for config in logging.values()]

    assert len(used) == len(set(used)) == len(FUNCTIONS)
    assert set(used) <= set(groups)
    assert {config["LogFormat"] for config in logging.values()} == {"JSON"}
    for name, group in groups.items():
        assert group["RetentionInDays"] == {"Ref": "LogRetentionDays"}, name


def test_every_requirement_of_the_layer_is_pinned() -> None:
    requirements = (PROJECT / "layers/delivery/requirements.txt").read_text("utf-8")

    lines = [line for line in requirements.splitlines() if line and not line.startswith("#")]

    assert lines
    assert [it for it in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==\d[\w.]*", it)] == []
