"""The dashboard shows only what is counted, all of what rings, and nothing over anything else."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from delivery.text.formatting import CATEGORY_IN_WORDS
from delivery.twilio.error_codes import Category
from tests.cloudformation import Template, load_template
from tests.template.counting import counted
from tests.template.deployment import OUR_NAMESPACE, of_type, references, translate, type_of

COLUMNS = 24

# AWS's own metrics: the dimension, what it names, and the statistics that say something.
# Sources: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html
OF_A_QUEUE = ("QueueName", "AWS::SQS::Queue", "QueueName")
OF_A_FUNCTION = ("FunctionName", "AWS::Lambda::Function", "")
OF_AN_API = ("ApiId", "AWS::ApiGatewayV2::Api", "")
AWS_METRICS = {
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible"): (*OF_A_QUEUE, {"Maximum"}),
    ("AWS/Lambda", "Errors"): (*OF_A_FUNCTION, {"Sum"}),
    ("AWS/Lambda", "Throttles"): (*OF_A_FUNCTION, {"Sum"}),
    ("AWS/Lambda", "Duration"): (*OF_A_FUNCTION, {"p50", "p99"}),
    ("AWS/Lambda", "IteratorAge"): (*OF_A_FUNCTION, {"Maximum"}),
    ("AWS/ApiGateway", "4xx"): (*OF_AN_API, {"Sum"}),
    ("AWS/ApiGateway", "5xx"): (*OF_AN_API, {"Sum"}),
}
OUR_STATS = {"Sum"}
STATS_OF = {
    "MessageFailed": {"Sum", "Average", "SampleCount"},
    "TimeToDelivered": {"p50", "p90", "p99"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A metric of a graph; its dimensions are as the template has them."""

    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]
    stat: str


def widgets_of(stack: Template, *, with_options: bool = True) -> list[dict[str, Any]]:
    """Those of a stack that has all that is optional, or nothing of it."""
    (dashboard,) = of_type(stack, "AWS::CloudWatch::Dashboard").values()
    body, own = dashboard["DashboardBody"]["Fn::Sub"]
    for name, value in own.items():
        _, if_there, otherwise = value["Fn::If"]
        body = body.replace(f"${{{name}}}", if_there["Fn::Sub"] if with_options else otherwise)
    # What else is substituted cannot break the JSON: names that AWS or a pattern restricts.
    widgets: list[dict[str, Any]] = json.loads(body)["widgets"]
    return widgets


def lines_of(graph: dict[str, Any]) -> Iterator[Line]:
    """Its metrics in full: `.` and `...` stand for what is there in the line above.

    Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
    """
    above: list[str] = []
    for line in graph["metrics"]:
        fields = [it for it in line if isinstance(it, str)]
        options = line[-1] if isinstance(line[-1], dict) else {}
        if "expression" in options:
            continue
        if fields[0] == "...":
            fields = above[: len(above) - len(fields) + 1] + fields[1:]
        above = [above[place] if field == "." else field for place, field in enumerate(fields)]
        namespace, name, *pairs = above
        yield Line(
            namespace=namespace,
            name=name,
            dimensions=frozenset(zip(pairs[::2], pairs[1::2], strict=True)),
            stat=options.get("stat") or graph.get("stat", ""),
        )


def always_there(stack: Template, kind: str) -> list[str]:
    """The resources of a type that every stack has: what is not there cannot be referred to."""
    return [
        name
        for name, resource in stack["Resources"].items()
        if resource["Type"] == kind and "Condition" not in resource
    ]


WIDGETS = widgets_of(translate(load_template()))
GRAPHS = [widget["properties"] for widget in WIDGETS if widget["type"] == "metric"]

each_graph = pytest.mark.parametrize("graph", GRAPHS, ids=[it["title"] for it in GRAPHS])


def test_the_dashboard_is_named_after_the_stack(stack: Template) -> None:
    (dashboard,) = of_type(stack, "AWS::CloudWatch::Dashboard").values()

    assert dashboard["DashboardName"] == {"Ref": "AWS::StackName"}


def test_the_categories_are_named_as_everywhere_else() -> None:
    (graph,) = (it for it in GRAPHS if it["title"] == "Failures by category")
    names = [line[-2] for line in graph["metrics"]]
    labels = [line[-1]["label"] for line in graph["metrics"]]

    assert dict(zip(names, labels, strict=True)) == CATEGORY_IN_WORDS


# --- what it shows exists ------------------------------------------------------------------------


@each_graph
def test_every_metric_of_ours_is_counted_with_just_these_dimensions(graph: dict[str, Any]) -> None:
    for line in lines_of(graph):
        if line.namespace == OUR_NAMESPACE:
            assert (line.name, line.dimensions) in counted(), line
            assert line.stat in STATS_OF.get(line.name, OUR_STATS), line


@each_graph
def test_every_metric_of_awss_exists_for_what_its_dimension_names(
    graph: dict[str, Any], stack: Template
) -> None:
    for line in lines_of(graph):
        if line.namespace != OUR_NAMESPACE:
            dimension, kind, attribute, stats = AWS_METRICS[line.namespace, line.name]
            ((name, value),) = line.dimensions
            named = re.fullmatch(r"\$\{(\w+)(?:\.(\w+))?\}", value)
            assert named, line
            assert (name, type_of(stack, named[1])) == (dimension, kind), line
            assert (named[2] or "") == attribute, line
            assert line.stat in stats, line


@each_graph
def test_a_graph_shows_nothing_twice(graph: dict[str, Any]) -> None:
    lines = list(lines_of(graph))

    assert lines
    assert len(lines) == len(set(lines))


@each_graph
def test_an_expression_uses_metrics_of_its_graph(graph: dict[str, Any]) -> None:
    options = [line[-1] for line in graph["metrics"] if isinstance(line[-1], dict)]
    ids = [it["id"] for it in options if "id" in it]

    used = {
        name for it in options for name in re.findall(r"\b[a-z]\w*\b", it.get("expression", ""))
    }

    assert len(ids) == len(set(ids))
    assert used <= set(ids)
    assert {it["id"] for it in options if it.get("visible") is False} <= used


@each_graph
def test_a_graph_says_where_it_looks_and_what_it_is(graph: dict[str, Any]) -> None:
    assert graph["region"] == "${AWS::Region}"
    assert graph["period"] % 60 == 0
    assert re.match(r"[A-Z]", graph["title"])


def test_every_category_of_failures_is_drawn() -> None:
    (graph,) = (it for it in GRAPHS if it["title"] == "Failures by category")

    drawn = [dict(line.dimensions)["category"] for line in lines_of(graph)]

    assert drawn == [str(category) for category in Category]


# --- and what has to be seen is there ------------------------------------------------------------


@pytest.mark.parametrize("with_options", [True, False])
def test_every_alarm_that_there_is_is_shown_first(stack: Template, *, with_options: bool) -> None:
    kind = "AWS::CloudWatch::Alarm"
    alarms = of_type(stack, kind) if with_options else always_there(stack, kind)

    first = widgets_of(stack, with_options=with_options)[0]

    assert (first["type"], first["y"]) == ("alarm", 0)
    assert sorted(first["properties"]["alarms"]) == sorted(f"${{{name}.Arn}}" for name in alarms)


def test_what_is_optional_is_shown_where_it_is(stack: Template) -> None:
    (dashboard,) = of_type(stack, "AWS::CloudWatch::Dashboard").values()
    _, own = dashboard["DashboardBody"]["Fn::Sub"]

    assert own
    for value in own.values():
        condition, if_there, otherwise = value["Fn::If"]
        assert otherwise == ""
        for name in references(if_there):
            assert stack["Resources"][name]["Condition"] == condition, name


def test_every_queue_that_there_is_is_shown(stack: Template) -> None:
    shown = {
        value.removeprefix("${").removesuffix(".QueueName}")
        for graph in GRAPHS
        for line in lines_of(graph)
        for name, value in line.dimensions
        if name == "QueueName"
    }

    assert shown == set(of_type(stack, "AWS::SQS::Queue"))


def test_every_function_that_fails_is_shown(stack: Template) -> None:
    shown = {
        value
        for graph in GRAPHS
        for line in lines_of(graph)
        if line.name == "Errors"
        for _, value in line.dimensions
    }

    assert shown == {f"${{{name}}}" for name in always_there(stack, "AWS::Lambda::Function")}


def test_the_widget_is_our_function_and_masks_numbers(stack: Template) -> None:
    (widget,) = (it for it in widgets_of(stack) if it["type"] == "custom")

    assert widget["properties"]["endpoint"] == "${DashboardWidgetFunction.Arn}"
    assert widget["properties"]["params"] == {"showNumbers": False}
    assert widget["properties"]["updateOn"]["refresh"] is True


def test_widgets_do_not_overlap_and_leave_no_row_half_empty() -> None:
    cells = [
        (x, y)
        for widget in WIDGETS
        for x in range(widget["x"], widget["x"] + widget["width"])
        for y in range(widget["y"], widget["y"] + widget["height"])
    ]
    bottom = max(y for _, y in cells)

    assert len(cells) == len(set(cells)) == COLUMNS * (bottom + 1)
    assert max(x for x, _ in cells) == COLUMNS - 1


def test_abbreviated_lines_are_read_in_full() -> None:
    lines = [
        [{"expression": "1 - a"}],
        ["Delivery", "A", "service", "x", {"id": "a"}],
        [".", "B", ".", "."],
        ["...", {"stat": "p50"}],
        ["AWS/SQS", "C", "QueueName", "q", {"label": "q"}],
        ["...", "r", {"label": "r"}],
        ["Delivery", "D"],
    ]

    assert list(lines_of({"metrics": lines, "stat": "Sum"})) == [
        line("Delivery", "A", ("service", "x")),
        line("Delivery", "B", ("service", "x")),
        line("Delivery", "B", ("service", "x"), stat="p50"),
        line("AWS/SQS", "C", ("QueueName", "q")),
        line("AWS/SQS", "C", ("QueueName", "r")),
        line("Delivery", "D"),
    ]


def line(namespace: str, name: str, *dimensions: tuple[str, str], stat: str = "Sum") -> Line:
    return Line(namespace=namespace, name=name, dimensions=frozenset(dimensions), stat=stat)
