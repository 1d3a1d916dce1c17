"""The dashboard shows only numbers that somebody counts."""

import json
import re
from collections.abc import Iterator
from typing import Any

from tests.cloudformation import Template
from tests.template.counting import metrics_of
from tests.template.deployment import FUNCTIONS, of_type


def widgets_of(stack: Template) -> list[dict[str, Any]]:
    (dashboard,) = of_type(stack, "AWS::CloudWatch::Dashboard").values()
    # What is substituted cannot break the JSON: these are names that AWS or a pattern restricts.
    body = re.sub(r"\$\{[^}]+\}", "given", dashboard["DashboardBody"]["Fn::Sub"])
    widgets: list[dict[str, Any]] = json.loads(body)["widgets"]
    return widgets


def shown_in(widget: dict[str, Any]) -> Iterator[list[str]]:
    """Its metrics in full: `.` and `...` stand for what is there in the line above."""
    above: list[str] = []
    for line in widget["properties"].get("metrics", []):
        fields = [it for it in line if isinstance(it, str)]
        if fields and fields[0] == "...":
            fields = above[: len(above) - len(fields) + 1] + fields[1:]
        above = [above[place] if field == "." else field for place, field in enumerate(fields)]
        yield above


def test_the_dashboard_is_named_after_the_stack_and_shows_something(stack: Template) -> None:
    (dashboard,) = of_type(stack, "AWS::CloudWatch::Dashboard").values()

    assert dashboard["DashboardName"] == {"Ref": "AWS::StackName"}
    assert widgets_of(stack)


def test_every_number_of_ours_is_one_that_its_function_counts(stack: Template) -> None:
    shown = [it for widget in widgets_of(stack) for it in shown_in(widget) if it[0] == "Delivery"]

    assert shown
    for _, metric, dimension, function in shown:
        assert dimension == "service"
        assert function in FUNCTIONS
        assert metric in metrics_of(function)


def test_every_number_belongs_to_us_or_to_aws(stack: Template) -> None:
    shown = [it for widget in widgets_of(stack) for it in shown_in(widget)]

    assert {namespace for namespace, *_ in shown} <= {"Delivery", "AWS/Lambda", "AWS/SQS"}


def test_no_number_of_ours_is_shown_twice_in_a_widget(stack: Template) -> None:
    for widget in widgets_of(stack):
        ours = [tuple(it) for it in shown_in(widget) if it[0] == "Delivery"]

        assert len(ours) == len(set(ours))


def test_widgets_do_not_overlap(stack: Template) -> None:
    cells = [
        (x, y)
        for widget in widgets_of(stack)
        for x in range(widget["x"], widget["x"] + widget["width"])
        for y in range(widget["y"], widget["y"] + widget["height"])
    ]

    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24  # the columns of a dashboard


def test_abbreviated_lines_are_read_in_full() -> None:
    lines = [
        ["Delivery", "A", "service", "x"],
        [".", "B", ".", "."],
        ["AWS/SQS", "C", "QueueName", "q", {"label": "q"}],
        ["...", "r", {"label": "r"}],
    ]

    assert list(shown_in({"properties": {"metrics": lines}})) == [
        ["Delivery", "A", "service", "x"],
        ["Delivery", "B", "service", "x"],
        ["AWS/SQS", "C", "QueueName", "q"],
        ["AWS/SQS", "C", "QueueName", "r"],
    ]
