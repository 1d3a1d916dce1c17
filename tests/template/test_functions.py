"""The functions are where their names say, log where it ends, and can be deployed in some order."""

import ast
import re
from copy import deepcopy
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.cloudformation import Template
from tests.template.deployment import (
    FUNCTIONS,
    PROJECT,
    logical_id,
    of_type,
    references,
    target_of,
    translate,
)


def test_a_function_is_named_after_its_folder(stack: Template) -> None:
    handlers = {
        name: properties["Handler"]
        for name, properties in of_type(stack, "AWS::Lambda::Function").items()
    }

    assert handlers == {
        logical_id(function): f"{function}.app.lambda_handler" for function in FUNCTIONS
    }


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_functions_handler_exists(function: str) -> None:
    module = ast.parse((PROJECT / "functions" / function / "app.py").read_text("utf-8"))

    assert "lambda_handler" in {it.name for it in module.body if isinstance(it, ast.FunctionDef)}


def test_all_functions_run_on_the_python_of_this_project(stack: Template) -> None:
    version = (PROJECT / ".python-version").read_text("utf-8").strip()

    for properties in of_type(stack, "AWS::Lambda::Function").values():
        assert properties["Runtime"] == f"python{version}"
        assert properties["Architectures"] == [{"Ref": "Architecture"}]
    (layer,) = of_type(stack, "AWS::Lambda::LayerVersion").values()
    assert layer["CompatibleRuntimes"] == [f"python{version}"]
    assert layer["CompatibleArchitectures"] == ["arm64", "x86_64"]


def test_the_layer_is_built_by_its_makefile_for_the_python_of_this_project(
    template: Template,
) -> None:
    version = (PROJECT / ".python-version").read_text("utf-8").strip()
    layer = template["Resources"]["DeliveryLayer"]
    makefile = PROJECT / layer["Properties"]["ContentUri"] / "Makefile"

    recipe = makefile.read_text("utf-8").partition("build-DeliveryLayer:\n")[2]

    assert layer["Metadata"] == {"BuildMethod": "makefile"}
    assert set(re.findall(r"python[\d.]+", recipe)) == {f"python{version}"}
    # Machine code would serve one of the two processors that the layer is said to serve.
    assert "--only-binary :all: --platform any" in recipe


def test_every_function_is_built_by_its_makefile_for_the_python_of_this_project(
    template: Template,
) -> None:
    version = (PROJECT / ".python-version").read_text("utf-8").strip()
    makefile = PROJECT / template["Globals"]["Function"]["CodeUri"] / "Makefile"

    recipe = makefile.read_text("utf-8").partition("build-%:\n")[2]

    functions = of_type(template, "AWS::Serverless::Function")
    built = {name: template["Resources"][name].get("Metadata") for name in functions}
    assert {name: it for name, it in built.items() if it != {"BuildMethod": "makefile"}} == {}
    assert set(re.findall(r"python[\d.]+", recipe)) == {f"python{version}"}


def test_the_folders_of_the_code_exist(template: Template) -> None:
    assert (PROJECT / template["Globals"]["Function"]["CodeUri"]).is_dir()
    layer = PROJECT / template["Resources"]["DeliveryLayer"]["Properties"]["ContentUri"]
    assert (layer / "requirements.txt").is_file()
    assert (layer / "delivery").is_dir()


def test_a_function_logs_json_into_a_group_of_its_own_that_ends(stack: Template) -> None:
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


# --- the order of a deployment -------------------------------------------------------------------


def needs(stack: Template) -> dict[str, set[str]]:
    """What must exist before each resource, by logical id."""
    resources = stack["Resources"]
    needed = {}
    for name, resource in resources.items():
        explicit = resource.get("DependsOn", [])
        needed[name] = {explicit} if isinstance(explicit, str) else set(explicit)
        needed[name] |= set(references(resource.get("Properties", {}))) & set(resources)
    return needed


def test_the_stack_can_be_created_in_some_order(stack: Template) -> None:
    order = list(TopologicalSorter(needs(stack)).static_order())

    assert set(order) == set(stack["Resources"])


def test_a_circle_is_found(template: Template) -> None:
    circular = deepcopy(template)
    function = circular["Resources"]["StatusCallbackFunction"]["Properties"]
    function["Environment"]["Variables"]["PUBLIC_BASE_URL"] = {
        "Fn::Sub": "https://${CallbackApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}"
    }

    with pytest.raises(CycleError):
        TopologicalSorter(needs(translate(circular))).prepare()


def test_the_receiver_of_status_callbacks_does_not_refer_to_its_api(template: Template) -> None:
    function = template["Resources"]["StatusCallbackFunction"]["Properties"]

    told = {name: it for name, it in function.items() if name != "Events"}

    assert "CallbackApi" not in set(references(told))
    assert "PublicBaseUrl" in set(references(told))


def test_everything_that_is_referred_to_exists(stack: Template) -> None:
    known = stack["Resources"].keys() | stack["Parameters"].keys()

    named = set(references([stack["Resources"], stack["Outputs"], stack["Conditions"]]))

    assert {name for name in named - known if not name.startswith("AWS::")} == set()
