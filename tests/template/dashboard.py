"""The widgets of the template's dashboard and the metrics that its graphs show."""

import json
from collections.abc import Iterator
from typing import Any

from tests.support.cloudformation import Template
from tests.template.deployment import of_type, reference_in
from tests.template.metric import Metric

type Graph = dict[str, Any]
"""The properties of a metric widget."""


def widgets_of(stack: Template, *, with_options: bool = True) -> list[dict[str, Any]]:
    """Return the widgets of a stack with all optional resources, or with none."""
    (dashboard,) = of_type(stack, "AWS::CloudWatch::Dashboard").values()
    body, own = dashboard["DashboardBody"]["Fn::Sub"]
    for name, value in own.items():
        _, with_option, without_option = value["Fn::If"]
        body = body.replace(
            f"${{{name}}}", with_option["Fn::Sub"] if with_options else without_option
        )
    # The other substitutions cannot break the JSON: AWS or a pattern restricts these names.
    widgets: list[dict[str, Any]] = json.loads(body)["widgets"]
    return widgets


def graphs_of(stack: Template) -> list[Graph]:
    """Return the graphs of a stack with all optional resources."""
    return [it["properties"] for it in widgets_of(stack) if it["type"] == "metric"]


def lines_of(graph: Graph) -> Iterator[Metric]:
    """Yield the metrics of a graph, with `.` and `...` replaced by the fields of the line above.

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
        yield Metric(
            namespace=namespace,
            name=name,
            dimensions=frozenset(
                (dimension, reference_in(value))
                for dimension, value in zip(pairs[::2], pairs[1::2], strict=True)
            ),
            stat=options.get("stat") or graph.get("stat", ""),
        )
