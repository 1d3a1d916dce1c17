"""The import rules in pyproject.toml find wrong imports, plus rules that import-linter lacks."""

import ast
import importlib
import re
import sys
from copy import deepcopy
from functools import cache
from typing import Any

import pytest
from grimp import ImportGraph, build_graph
from importlinter import Contract
from importlinter.api import read_configuration

from tests.template.deployment import PROJECT

CONFIGURATION = read_configuration(str(PROJECT / "pyproject.toml"))
ROOT_PACKAGES: list[str] = CONFIGURATION["session_options"]["root_packages"]
PRODUCT = ("delivery", "functions", "delivery_cli", "sandbox")
TYPE_STUBS = "mypy_boto3_"


@cache
def imports(*, without_type_checking: bool = False) -> ImportGraph:
    """Return the import graph of the repository; callers must not change it."""
    return build_graph(
        *ROOT_PACKAGES,
        include_external_packages=True,
        exclude_type_checking_imports=without_type_checking,
        cache_dir=None,
    )


def product_modules() -> list[str]:
    return [name for name in imports().modules if name.partition(".")[0] in PRODUCT]


def contract(options: dict[str, Any]) -> Contract:
    """Return the contract that a table of the configuration describes."""
    kind = options["type"]
    module = importlib.import_module(f"importlinter.contracts.{kind}")
    class_name = "".join(word.capitalize() for word in kind.split("_")) + "Contract"
    made: Contract = getattr(module, class_name)(
        name=options["name"],
        session_options=CONFIGURATION["session_options"],
        contract_options=options,
    )
    return made


def broken_contracts(graph: ImportGraph) -> set[str]:
    """Return the names of the contracts that an import graph breaks."""
    return {
        options["name"]
        for options in CONFIGURATION["contracts_options"]
        if not contract(options).check(deepcopy(graph), verbose=False).kept
    }


# --- the contracts -------------------------------------------------------------------------------


def test_the_repository_keeps_its_import_contracts() -> None:
    assert broken_contracts(imports()) == set()


@pytest.mark.parametrize(
    ("importer", "imported", "broken"),
    [
        ("delivery.domain.messages", "delivery.twilio.client", "Packages of the layer"),
        ("delivery.text.formatting", "delivery.twilio.client", "Text imports the domain"),
        ("delivery.storage.table", "delivery.storage.messages", "No circular imports"),
        ("functions.send_message.app", "functions.query_messages.app", "Functions do not import"),
        ("delivery.domain.messages", "functions.send_message.app", "Programs import the layer"),
        ("functions.send_message.app", "delivery_cli.main", "Programs import the layer"),
        ("sandbox.command", "simulation.world", "Programs import the layer"),
        ("sandbox.command", "tests.support.cloudformation", "The product does not import tests"),
        ("functions.send_message.sending", "botocore", "Importers of botocore"),
        ("functions.send_message.app", "boto3", "Importers of boto3"),
        ("delivery.twilio.client", "aws_lambda_powertools", "Importers of Powertools"),
        ("functions.send_message.sending", "requests", "Importers of the HTTP client"),
        ("functions.send_message.app", "rich", "Importers of rich"),
        ("sandbox.command", "moto", "Importers of the test libraries"),
    ],
)
def test_a_wrong_import_breaks_a_contract(importer: str, imported: str, broken: str) -> None:
    graph = deepcopy(imports())

    graph.add_import(importer=importer, imported=imported)

    assert [name for name in broken_contracts(graph) if name.startswith(broken)]


def test_every_third_party_package_has_a_contract() -> None:
    graph = imports()
    third_party = {
        name
        for name in graph.modules
        if graph.is_module_squashed(name)
        and name not in sys.stdlib_module_names
        and not name.startswith(TYPE_STUBS)
    }

    with_contract = {
        module
        for options in CONFIGURATION["contracts_options"]
        for module in options.get("protected_modules", [])
    }

    assert "botocore" in third_party
    assert third_party - with_contract == set()


# --- further rules -------------------------------------------------------------------------------


def test_type_stubs_are_imported_for_type_checking_only() -> None:
    graph = imports(without_type_checking=True)

    at_run_time = {
        (module, imported)
        for module in product_modules()
        for imported in graph.find_modules_directly_imported_by(module)
        if imported.startswith(TYPE_STUBS)
    }

    assert at_run_time == set()


def test_a_function_imports_its_own_modules_relatively() -> None:
    # On Lambda the function's folder is a top-level package: there is no package `functions`.
    absolute = re.compile(r"^ *(?:from|import) functions\b", re.MULTILINE)
    sources = sorted((PROJECT / "functions").rglob("*.py"))

    assert sources
    assert [path for path in sources if absolute.search(path.read_text("utf-8"))] == []


# One function alone uses them, but the reader of what is Twilio's, or of a table, looks here.
STAYS_WITH_ITS_KIND = {"delivery.twilio.callback"}


def test_a_module_that_one_function_alone_uses_is_in_its_folder() -> None:
    graph = imports(without_type_checking=True)
    users = {
        module: {
            re.sub(r"^(functions\.\w+|sandbox|delivery_cli)\..*", r"\1", importer)
            for importer in graph.find_modules_that_directly_import(module)
            if importer.partition(".")[0] in PRODUCT
        }
        for module in graph.find_descendants("delivery")
        if not graph.find_children(module)
    }

    misplaced = {
        module: importers
        for module, importers in users.items()
        if len(importers) == 1
        and next(iter(importers)).startswith("functions.")
        and module not in STAYS_WITH_ITS_KIND
    }

    assert len(users) > 10
    assert misplaced == {}


def test_a_module_that_is_documented_as_pure_imports_no_aws_and_no_http() -> None:
    graph = imports(without_type_checking=True)
    impure = {"boto3", "botocore", "requests", "urllib3", "aws_lambda_powertools", "socket"}
    pure = {module for module in product_modules() if "Pure" in first_words(module)}

    assert pure
    assert {
        (module, imported)
        for module in pure
        for imported in graph.find_modules_directly_imported_by(module)
        if imported in impure
    } == set()


def first_words(module: str) -> set[str]:
    """Return the words that start a line of a module's docstring and end with `.` or `:`."""
    name = module.replace(".", "/")
    path = PROJECT / ("layers/delivery" if module.startswith("delivery.") else ".") / f"{name}.py"
    if not path.is_file():
        return set()
    docstring = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return set(re.findall(r"^(\w+)[.:]", docstring, re.MULTILINE))
