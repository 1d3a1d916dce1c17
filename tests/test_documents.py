"""The pages in docs/ agree with the code: routes, fields, parameters, statuses, paths, links."""

import json
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from delivery.domain.messages import INTERNAL_FIELDS, Message, Source
from delivery.domain.notices import NoticeState
from delivery.domain.send_fields import SEND_FIELDS
from delivery.domain.send_requests import RequestState
from delivery.domain.statuses import STATUSES, Outcome
from delivery.twilio.error_codes import Category
from functions.query_messages.list_query import FILTERS
from sandbox.twilio.scenarios import SCENARIOS
from tests.support.api_description import api_document
from tests.support.cloudformation import load_template
from tests.template.deployment import references

PROJECT = Path(__file__).parents[1]
PAGES = sorted(
    [*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md"), *PROJECT.glob("[a-z]*/README.md")]
)
TEMPLATE = load_template()
RESOURCES = TEMPLATE["Resources"]
LAYER = PROJECT / "layers/delivery/delivery"


def page(name: str) -> str:
    return (PROJECT / "docs" / name).read_text("utf-8")


def section(text: str, title: str) -> str:
    """Returns the text under a heading, up to the next heading of the same or a higher level."""
    found = re.search(
        rf"^(#+) {re.escape(title)}\n(.*?)(?=^#{{2,}} |\Z)", text, re.DOTALL | re.MULTILINE
    )
    assert found, title
    return found[2]


def rows(text: str) -> Iterator[list[str]]:
    """Yields the cells of each table row, without the header's separator."""
    for line in re.findall(r"^\|(.*)\|$", text, re.MULTILINE):
        cells = [cell.strip() for cell in line.split("|")]
        if not set(line) <= set("|-: "):
            yield cells


def named(text: str) -> set[str]:
    """Returns the code spans of a text."""
    return set(re.findall(r"`([^`]+)`", text))


# --- links and paths -----------------------------------------------------------------------------


def anchors_of(text: str) -> set[str]:
    """Returns the anchors that GitHub gives to the headings of a page."""
    without_code = re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", without_code, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def is_broken(path: Path, link: str) -> bool:
    """Returns whether a relative link from a page leads to no file, or to no heading of a page."""
    target, _, anchor = link.partition("#")
    there = path.parent / target if target else path
    if anchor and there.suffix == ".md" and there.is_file():
        return anchor not in anchors_of(there.read_text("utf-8"))
    return not there.exists()


def test_every_link_of_a_page_leads_to_a_file_or_a_heading() -> None:
    links = [
        (path, link)
        for path in PAGES
        for link in re.findall(r"\]\(([^)\s]+)[^)]*\)", path.read_text("utf-8"))
        if "://" not in link
    ]

    broken = [
        (path.relative_to(PROJECT).as_posix(), link)
        for path, link in links
        if is_broken(path, link)
    ]

    assert any("#" in link for _, link in links)
    assert broken == []


@pytest.mark.parametrize("link", ["nowhere.md", "#nothing", "docs/operations.md#nothing"])
def test_a_broken_link_is_found(link: str) -> None:
    assert is_broken(PROJECT / "README.md", link)


def test_every_page_is_linked_from_another_page() -> None:
    linked = {
        (path.parent / link.partition("#")[0]).resolve()
        for path in PAGES
        for link in re.findall(r"\]\(([^)\s]+\.md)[^)]*\)", path.read_text("utf-8"))
        if "://" not in link
    }

    assert {path for path in PAGES if path.is_relative_to(PROJECT / "docs")} <= linked


def test_every_path_that_a_page_names_exists() -> None:
    folders = {path.name for path in PROJECT.iterdir() if path.is_dir()}

    missing = [
        (path.relative_to(PROJECT).as_posix(), name)
        for path in PAGES
        for name in named(path.read_text("utf-8"))
        if re.fullmatch(r"\.?[\w-]+/[\w./*-]*", name)
        and name.partition("/")[0] in folders - {"delivery"}
        and not name.startswith((".sandbox/", ".venv/"))
        and not any(PROJECT.glob(name.rstrip("/")))
    ]

    assert missing == []


# --- docs/configuration.md -----------------------------------------------------------------------


def parameters_in(text: str) -> Iterator[tuple[str, str]]:
    """Yields name and default of each parameter in tables of `| parameter | default | ... |`."""
    for cells in rows(text):
        for name in named(cells[0]):
            if cells[0] != "parameter":
                yield name, "" if cells[1] == "empty" else cells[1].strip("`")


def test_every_parameter_is_on_the_page_with_its_default() -> None:
    with_subsections = page("configuration.md").partition("\n## Parameters\n")[2]
    listed = dict(parameters_in(with_subsections.partition("\n## ")[0]))

    assert listed == {
        name: str(parameter["Default"]) for name, parameter in TEMPLATE["Parameters"].items()
    }


def test_the_readme_shows_parameters_with_their_defaults() -> None:
    readme = (PROJECT / "README.md").read_text("utf-8")
    listed = dict(parameters_in(section(readme, "Configuration")))

    assert listed
    assert {name: str(TEMPLATE["Parameters"][name]["Default"]) for name in listed} == listed


def test_every_output_is_on_the_page_and_no_other() -> None:
    listed = {cells[0].strip("`") for cells in rows(section(page("configuration.md"), "Outputs"))}

    assert listed - {"output"} == set(TEMPLATE["Outputs"])


# --- docs/api.md ---------------------------------------------------------------------------------


def test_every_route_is_on_the_page_and_no_other() -> None:
    introduction = page("api.md").partition("\n## ")[0]
    described = {
        f"{method.upper()} {path}"
        for path, methods in api_document()["paths"].items()
        for method in methods
    }

    assert {cells[0].strip("`") for cells in rows(introduction)} - {"route"} == described


def test_every_field_of_a_request_is_on_the_page_with_its_maximum_length() -> None:
    listed = {
        name: cells[1]
        for cells in rows(section(page("api.md"), "Request fields"))
        for name in named(cells[0])
    }
    described = api_document()["components"]["schemas"]["SendRequest"]["properties"]

    assert listed.keys() == SEND_FIELDS.keys()
    for name in ("body", "reference", "idempotency_key"):
        assert f"{described[name]['maxLength']:,} characters" in listed[name]


def test_every_list_is_on_the_page_and_no_other() -> None:
    listed = {
        name.partition("=")[0]
        for cells in rows(section(page("api.md"), "Lists"))
        for name in named(cells[0])
    }

    assert listed == FILTERS.keys()


def test_every_field_of_a_message_is_on_the_page_and_no_other() -> None:
    known = {item.name.rstrip("_") for item in fields(Message)} | {"explanation"}

    listed = list(rows(section(page("api.md"), "Message")))

    assert set[str]().union(*(named(cells[0]) for cells in listed)) == known - INTERNAL_FIELDS


@pytest.mark.parametrize("values", [Outcome, Source, RequestState])
def test_every_value_of_a_field_is_on_the_page(values: type[Outcome]) -> None:
    assert {str(value) for value in values} <= named(page("api.md"))


@pytest.mark.parametrize(
    ("title", "values"),
    [("Failure categories", Category), ("Notice states", NoticeState)],
)
def test_a_table_of_values_is_complete(title: str, values: type[Outcome]) -> None:
    listed = [cells[0].strip("`") for cells in rows(section(page("api.md"), title))]

    assert listed[1:] == [str(value) for value in values]


# --- docs/architecture.md ------------------------------------------------------------------------


def test_every_package_of_the_layer_is_on_the_page() -> None:
    listed = [
        name
        for cells in rows(section(page("architecture.md"), "Code layout"))
        for name in named(cells[0])
    ]
    packages = {path.parent.name for path in LAYER.glob("*/__init__.py")}
    modules = {path.stem for path in LAYER.glob("*.py")} - {"__init__"}

    assert sorted(listed) == sorted(packages | modules)


def test_every_component_is_in_the_template_in_its_order() -> None:
    components = [
        cells[0].strip("`") for cells in rows(section(page("architecture.md"), "Components"))
    ][1:]

    assert components == [name for name in RESOURCES if name in components]


def test_every_function_table_and_topic_is_a_component_on_the_page() -> None:
    types = {"AWS::Serverless::Function", "AWS::DynamoDB::Table", "AWS::SNS::Topic"}
    known = {name for name, resource in RESOURCES.items() if resource["Type"] in types}

    assert known <= named(section(page("architecture.md"), "Components"))


def test_every_status_has_its_rank_and_outcome_on_the_page() -> None:
    listed: dict[str, tuple[int, str]] = {}
    for statuses, ranks, outcome in rows(section(page("architecture.md"), "Message statuses")):
        words = re.findall(r"\w+", statuses.partition(" (")[0])
        numbers = re.findall(r"\d+", ranks)
        if numbers and numbers != ["0"]:
            numbers *= len(words) if len(numbers) == 1 else 1
            listed |= {
                word: (int(number), outcome.strip("`"))
                for word, number in zip(words, numbers, strict=True)
            }

    assert listed == {word: (it.rank, it.outcome) for word, it in STATUSES.items()}


# --- docs/upgrading.md ---------------------------------------------------------------------------

# The properties that a parameter can change, by what CloudFormation does then ("Update requires" in
# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-template-resource-type-ref.html).
IN_PLACE = {
    "AWS::CloudWatch::Alarm": {"EvaluationPeriods", "Metrics", "Threshold"},
    "AWS::CloudWatch::Dashboard": {"DashboardBody"},
    "AWS::DynamoDB::Table": {"DeletionProtectionEnabled"},
    "AWS::IAM::Role": {"PermissionsBoundary"},
    "AWS::Logs::LogGroup": {"RetentionInDays"},
    "AWS::S3::Bucket": {"LifecycleConfiguration"},
    "AWS::Scheduler::Schedule": {"ScheduleExpression", "Target"},
    "AWS::Serverless::Function": {"Environment", "Events", "Policies", "VersionDescription"},
    "AWS::Serverless::HttpApi": {"DefaultRouteSettings"},
}
REPLACED = {"AWS::SNS::Subscription": {"Endpoint"}}


def parameters_of(value: Any) -> set[str]:
    """Returns the parameters on which a part of the template depends, also through conditions."""
    found: set[str] = set(references(value)) & TEMPLATE["Parameters"].keys()
    for name in conditions_in(value):
        found |= parameters_of(TEMPLATE["Conditions"][name])
    return found


def conditions_in(value: Any) -> Iterator[str]:
    match value:
        case {"Condition": str(name)}:
            yield name
        case {"Fn::If": [str(name), *branches]}:
            yield name
            yield from conditions_in(branches)
        case dict():
            yield from conditions_in(list(value.values()))
        case list():
            for inner in value:
                yield from conditions_in(inner)


def changes_by_parameter() -> dict[str, tuple[set[str], str]]:
    """Returns the cells of each parameter's row: functions, and what else changes."""
    table = section(page("upgrading.md"), "Change a parameter")
    return {
        name: (named(functions), more)
        for names, functions, more in rows(table)
        for name in named(names)
    }


def test_every_parameter_is_on_the_page_with_the_functions_that_get_a_new_version() -> None:
    functions = {
        name: parameters_of(resource["Properties"]["VersionDescription"])
        for name, resource in RESOURCES.items()
        if resource["Type"] == "AWS::Serverless::Function"
    }

    assert {name: listed for name, (listed, _) in changes_by_parameter().items()} == {
        parameter: {name for name, described in functions.items() if parameter in described}
        for parameter in TEMPLATE["Parameters"]
    }


def test_a_parameter_replaces_what_the_page_says_and_nothing_else() -> None:
    replaced = set()
    unknown = set()
    for name, resource in RESOURCES.items():
        for property_, value in resource.get("Properties", {}).items():
            if parameters := parameters_of(value):
                if property_ in REPLACED.get(resource["Type"], ()):
                    replaced |= parameters
                elif property_ not in IN_PLACE.get(resource["Type"], ()):
                    unknown.add((name, property_))

    assert unknown == set()
    assert replaced == {
        name for name, (_, more) in changes_by_parameter().items() if "**replaced**" in more
    }


def test_the_page_says_which_parameters_add_or_remove_resources() -> None:
    conditional = {
        parameter
        for resource in RESOURCES.values()
        if "Condition" in resource
        for parameter in parameters_of({"Condition": resource["Condition"]})
    }

    assert conditional == {
        name for name, (_, more) in changes_by_parameter().items() if "remove" in more
    }


# --- docs/troubleshooting.md ---------------------------------------------------------------------

# Symptoms that other programs print: Python, SAM, the AWS CLI, CloudFormation.
PRINTED_BY_OTHERS = {
    *("The virtual environment was not created", "python3.13: not found", "sam: command not found"),
    *("Unable to locate credentials", "is not authorized to perform", "ROLLBACK_COMPLETE"),
    *("Security Constraints Not Satisfied!", "the secret … already exists"),
    "No rule to make target 'build-…'",
}


def test_every_message_that_the_page_quotes_is_in_the_code() -> None:
    code = (PROJECT / "Makefile").read_text("utf-8") + "".join(
        path.read_text("utf-8")
        for folder in ("functions", "layers", "delivery_cli", "sandbox")
        for path in (PROJECT / folder).rglob("*.py")
    )
    joined = re.sub(r'"\s*\n\s*f?"', "", code)
    quoted = {
        symptom
        for cells in rows(page("troubleshooting.md"))
        for symptom in named(cells[0]) - PRINTED_BY_OTHERS
    }

    missing = {
        symptom for symptom in quoted for part in symptom.split("…") if part.strip() not in joined
    }

    assert missing == set()


# --- samples -------------------------------------------------------------------------------------


def test_every_scenario_of_the_simulator_is_on_the_page_and_no_other() -> None:
    listed = re.findall(r"^\| `(\+15555550\d+)` \|", page("getting-started.md"), re.MULTILINE)

    assert listed == list(SCENARIOS)


def test_every_sample_event_is_on_the_page_under_its_function_and_no_other() -> None:
    listed = set()
    for events, function, _ in rows(section(page("sam-local.md"), "Invoke a function")):
        if function.endswith("Function"):
            first, *others = re.findall(r"`([^`]+)`", events)
            folder = first.partition("-")[0]
            listed |= {first, *(folder + other for other in others)}
            assert function == "".join(part.title() for part in folder.split("_")) + "Function"

    assert listed == {path.stem for path in PROJECT.glob("events/*.json")}
    assert all(json.loads(path.read_text("utf-8")) for path in PROJECT.glob("events/*.json"))
