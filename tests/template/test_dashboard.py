"""The dashboard shows every alarm, queue and function of the stack, without gaps or overlaps."""

import re

import pytest

from delivery.text.formatting import CATEGORY_LABELS
from delivery.twilio.error_codes import Category
from tests.support.cloudformation import Template, load_template
from tests.template.alarms import alarms_of
from tests.template.dashboard import Graph, graphs_of, lines_of, widgets_of
from tests.template.deployment import of_type, references, translate

COLUMNS = 24
MAX_FREE_METRICS = 50

STACK = translate(load_template())
WIDGETS = widgets_of(STACK)
GRAPHS = graphs_of(STACK)

each_graph = pytest.mark.parametrize("graph", GRAPHS, ids=[it["title"] for it in GRAPHS])


def unconditional(stack: Template, kind: str) -> list[str]:
    """Return the resources of a type that every stack has."""
    return [
        name
        for name, resource in stack["Resources"].items()
        if resource["Type"] == kind and "Condition" not in resource
    ]


# --- graphs --------------------------------------------------------------------------------------


@each_graph
def test_a_graph_shows_no_metric_twice(graph: Graph) -> None:
    lines = list(lines_of(graph))

    assert lines
    assert len(lines) == len(set(lines))


@each_graph
def test_an_expression_uses_metrics_of_its_own_graph(graph: Graph) -> None:
    options = [line[-1] for line in graph["metrics"] if isinstance(line[-1], dict)]
    ids = [it["id"] for it in options if "id" in it]

    used = {
        name for it in options for name in re.findall(r"\b[a-z]\w*\b", it.get("expression", ""))
    }

    assert len(ids) == len(set(ids))
    assert used <= set(ids)
    assert {it["id"] for it in options if it.get("visible") is False} <= used


@each_graph
def test_a_graph_has_a_region_a_period_and_a_title(graph: Graph) -> None:
    assert graph["region"] == "${AWS::Region}"
    assert graph["period"] % 60 == 0
    assert re.match(r"[A-Z]", graph["title"])


def test_the_graph_of_the_audits_shows_a_week_in_any_time_range() -> None:
    # Days are audited once in 24 hours: the dashboard's own three hours would show nothing.
    (graph,) = (it for it in GRAPHS if any(m.name == "AuditCorrected" for m in lines_of(it)))

    assert (graph["start"], graph["end"], graph["period"]) == ("-P7D", "P0D", 86400)
    assert not any("start" in it for it in GRAPHS if it is not graph)


def test_every_failure_category_has_a_line_with_its_label() -> None:
    (graph,) = (it for it in GRAPHS if it["title"] == "Failures by category")

    lines = [dict(line.dimensions)["category"] for line in lines_of(graph)]
    labels = [line[-1]["label"] for line in graph["metrics"]]

    assert lines == [str(category) for category in Category]
    assert dict(zip(lines, labels, strict=True)) == CATEGORY_LABELS


# --- completeness --------------------------------------------------------------------------------


@pytest.mark.parametrize("with_options", [True, False])
def test_the_first_widget_shows_every_alarm(stack: Template, *, with_options: bool) -> None:
    kind = "AWS::CloudWatch::Alarm"
    alarms = of_type(stack, kind) if with_options else unconditional(stack, kind)

    first = widgets_of(stack, with_options=with_options)[0]

    assert (first["type"], first["y"]) == ("alarm", 0)
    assert sorted(first["properties"]["alarms"]) == sorted(f"${{{name}.Arn}}" for name in alarms)


def test_an_optional_resource_is_shown_under_its_own_condition(stack: Template) -> None:
    (dashboard,) = of_type(stack, "AWS::CloudWatch::Dashboard").values()
    _, own = dashboard["DashboardBody"]["Fn::Sub"]

    assert own
    for value in own.values():
        condition, with_option, without_option = value["Fn::If"]
        assert without_option == ""
        for name in references(with_option):
            assert stack["Resources"][name]["Condition"] == condition, name


def test_every_queue_is_shown_or_has_an_alarm_for_any_message_in_it(stack: Template) -> None:
    shown = {
        line.resource for graph in GRAPHS for line in lines_of(graph) if line.namespace == "AWS/SQS"
    }
    with_alarm = {
        alarm.metrics["measured"].resource
        for alarm in alarms_of(stack).values()
        if alarm.threshold == 0 and alarm.expression == "measured"
        if alarm.metrics["measured"].name == "ApproximateNumberOfMessagesVisible"
    }

    assert shown | with_alarm == set(of_type(stack, "AWS::SQS::Queue"))
    assert not shown & with_alarm


def test_the_dashboard_stays_within_the_free_tier() -> None:
    # The free tier has 3 dashboards of up to 50 metrics each. https://aws.amazon.com/cloudwatch/pricing/
    metrics = {(it.namespace, it.name, it.dimensions) for graph in GRAPHS for it in lines_of(graph)}

    assert len(metrics) <= MAX_FREE_METRICS


def test_the_errors_of_every_function_are_shown(stack: Template) -> None:
    shown = {line.resource for graph in GRAPHS for line in lines_of(graph) if line.name == "Errors"}

    assert shown == set(unconditional(stack, "AWS::Lambda::Function"))


def test_the_custom_widget_masks_numbers(stack: Template) -> None:
    (widget,) = (it for it in widgets_of(stack) if it["type"] == "custom")

    assert widget["properties"]["params"] == {"showNumbers": False}
    assert widget["properties"]["updateOn"]["refresh"] is True


def test_widgets_fill_the_grid_without_overlapping() -> None:
    cells = [
        (x, y)
        for widget in WIDGETS
        for x in range(widget["x"], widget["x"] + widget["width"])
        for y in range(widget["y"], widget["y"] + widget["height"])
    ]
    bottom = max(y for _, y in cells)

    assert len(cells) == len(set(cells)) == COLUMNS * (bottom + 1)
    assert max(x for x, _ in cells) == COLUMNS - 1
