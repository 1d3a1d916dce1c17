"""What the pages in docs/ list is what there is: routes, fields, statuses, samples."""

import json
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from delivery.domain.messages import (
    FINAL_OUTCOME,
    RANK,
    Message,
    MessageStatus,
    Notice,
    Outcome,
    Source,
)
from delivery.domain.send_requests import RequestState
from delivery.twilio.error_codes import Category
from functions.query_messages.list_query import InvalidQuery, parse_list
from functions.send_message.request import InvalidRequest, parse
from sandbox.twilio.scenarios import SCENARIOS
from tests.builders import NOON
from tests.cloudformation import load_template

PROJECT = Path(__file__).parents[1]
TEMPLATE = load_template()["Resources"]


def page(name: str) -> str:
    return (PROJECT / "docs" / name).read_text("utf-8")


def section(text: str, title: str) -> str:
    """What stands under a title, up to the next one."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    assert found, title
    return found[1]


def rows(text: str) -> Iterator[list[str]]:
    """The cells of each row of the tables in it, but for the titles."""
    for line in re.findall(r"^\|(.*)\|$", text, re.MULTILINE):
        cells = [cell.strip() for cell in line.split("|")]
        if not set(line) <= set("|-: "):
            yield cells


def named(text: str) -> set[str]:
    """Whatever stands between backticks."""
    return set(re.findall(r"`([^`]+)`", text))


def anchor_of(title: str) -> str:
    """What GitHub makes of a title, for links to lead to."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def test_every_link_into_a_page_leads_to_a_title() -> None:
    pages = [*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md")]
    anchors = {
        path: {
            anchor_of(title)
            for title in re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)
        }
        for path in pages
    }

    broken = [
        (path.name, target, anchor)
        for path in pages
        for target, anchor in re.findall(r"\]\(([\w./-]*)#([^)]+)\)", path.read_text("utf-8"))
        if anchor not in anchors[(path.parent / target).resolve() if target else path]
    ]

    assert broken == []


# --- docs/api.md ---------------------------------------------------------------------------------


def test_every_route_is_on_the_page_and_no_other() -> None:
    routes = {
        f"{event['Properties']['Method']} {event['Properties']['Path']}"
        for resource in TEMPLATE.values()
        for event in resource.get("Properties", {}).get("Events", {}).values()
        if event["Type"] == "HttpApi" and event["Properties"]["ApiId"] == {"Ref": "MessagesApi"}
    }

    introduction = page("api.md").partition("\n## ")[0]

    assert {cells[0].strip("`") for cells in rows(introduction)} - {"route"} == routes


def test_every_field_of_a_request_is_on_the_page_and_no_other() -> None:
    source = (PROJECT / "functions/send_message/request.py").read_text("utf-8")
    table = source.partition("_FIELDS: Final")[2].partition("\n}\n")[0]
    known = set(re.findall(r'^    "(\w+)": \(', table, re.MULTILINE))

    listed = rows(section(page("api.md"), "What a message is sent with"))

    assert set[str]().union(*(named(cells[0]) for cells in listed)) == known


@pytest.mark.parametrize(
    ("field", "longest"),
    [("body", 1600), ("reference", 128), ("idempotency_key", 256)],
)
def test_a_text_may_be_as_long_as_the_page_says(field: str, longest: int) -> None:
    wanted = {"to": "+15558675310", "from": "+15005550006", "body": "Hello"}

    (row,) = (
        cells
        for cells in rows(section(page("api.md"), "What a message is sent with"))
        if field in named(cells[0])
    )

    assert f"{longest:,} characters" in row[1]
    parse({**wanted, field: "x" * longest}, now=NOON)
    with pytest.raises(InvalidRequest):
        parse({**wanted, field: "x" * (longest + 1)}, now=NOON)


def test_every_field_of_a_message_is_on_the_page_and_no_other() -> None:
    known = {item.name.rstrip("_") for item in fields(Message)} | {"explanation"}

    listed = list(rows(section(page("api.md"), "A message")))

    assert set[str]().union(*(named(cells[0]) for cells in listed)) == known


@pytest.mark.parametrize("words", [Outcome, Notice, Source, Category, RequestState])
def test_every_word_that_an_answer_can_hold_is_on_the_page(words: type[Outcome]) -> None:
    assert {str(word) for word in words} <= named(page("api.md"))


@pytest.mark.parametrize(
    "question",
    sorted(
        question
        for cells in rows(section(page("api.md"), "Questions"))
        for question in named(cells[0])
    ),
)
def test_a_question_of_the_page_is_understood(question: str) -> None:
    name, _, value = question.partition("=")
    examples = {"to": "%2B15558675310", "reference": "order-4711", "awaiting": value}

    understood = parse_list(f"{name}={examples.get(name, '2026-11-23')}")

    assert understood.about == name


def test_every_question_is_on_the_page() -> None:
    with pytest.raises(InvalidQuery) as invalid:
        parse_list("")

    (missing,) = invalid.value.problems
    others = missing.problem.partition("give it, or ")[2]
    known = {"to", *re.findall(r"[a-z_]+", others)} - {"or", "true"}
    listed = rows(section(page("api.md"), "Questions"))
    assert {name.partition("=")[0] for cells in listed for name in named(cells[0])} == known


# --- docs/architecture.md ------------------------------------------------------------------------


def test_every_module_of_the_layer_is_on_the_page_once() -> None:
    listed = [
        name
        for cells in rows(section(page("architecture.md"), "Rooms and rules"))
        for name in named(cells[0])
    ]
    modules = (PROJECT / "layers/delivery/delivery").glob("*.py")

    assert sorted(listed) == sorted(it.stem for it in modules if it.stem != "__init__")


def test_every_part_is_in_the_template_in_its_order() -> None:
    parts = [
        cells[0].strip("`") for cells in rows(section(page("architecture.md"), "What is what"))
    ]

    order = [name for name in TEMPLATE if name in parts]

    assert parts[1:] == order


def test_every_status_has_its_rank_and_outcome_on_the_page() -> None:
    said: dict[str, tuple[int, str]] = {}
    for statuses, ranks, outcome in rows(section(page("architecture.md"), "The life of a message")):
        words = re.findall(r"\w+", statuses.partition(" (")[0])
        numbers = re.findall(r"\d+", ranks)
        if numbers and numbers != ["0"]:
            numbers *= len(words) if len(numbers) == 1 else 1
            said |= {
                word: (int(number), outcome.strip("`"))
                for word, number in zip(words, numbers, strict=True)
            }

    ours = dict.fromkeys(
        (MessageStatus.REFUSED, MessageStatus.NOT_FOUND),
        (RANK[MessageStatus.FAILED], Outcome.FAILED),
    )
    twilios = {
        word: (rank, FINAL_OUTCOME.get(word, Outcome.PENDING)) for word, rank in RANK.items()
    }
    assert said == twilios | ours


# --- samples -------------------------------------------------------------------------------------


def test_every_story_of_the_simulator_is_on_the_page_and_no_other() -> None:
    told = re.findall(r"^\| `(\+15555550\d+)` \|", page("getting-started.md"), re.MULTILINE)

    assert told == list(SCENARIOS)


def test_every_sample_event_is_on_the_page_under_its_function_and_no_other() -> None:
    told = set()
    for events, function, _ in rows(section(page("sam-local.md"), "A function")):
        if function.endswith("Function"):
            first, *others = re.findall(r"`([^`]+)`", events)
            folder = first.partition("-")[0]
            told |= {first, *(folder + other for other in others)}
            assert function == "".join(part.title() for part in folder.split("_")) + "Function"

    assert told == {path.stem for path in PROJECT.glob("events/*.json")}
    assert all(json.loads(path.read_text("utf-8")) for path in PROJECT.glob("events/*.json"))
