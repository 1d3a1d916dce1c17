"""What is counted is known, means one thing, and is little."""

import re

import pytest

from delivery.metrics import COUNTED_BY
from tests.template.counting import (
    COUNTING_MESSAGES,
    counted,
    counts_messages,
    metrics_in,
    metrics_of,
)
from tests.template.deployment import FUNCTIONS, PROJECT

# Each costs 0.30 dollars a month, but only for the hours in which it is counted: all of them at
# once would be 27 dollars, and what a healthy stack counts is a handful.
# https://aws.amazon.com/cloudwatch/pricing/
MOST_METRICS = 90


def test_there_are_few_metrics() -> None:
    assert len(counted()) <= MOST_METRICS


def test_what_becomes_of_messages_is_counted_over_all_functions() -> None:
    over_all = [name for name, dimensions in counted() if not dimensions]

    assert sorted(over_all) == ["CanaryDelivered", "MessageFailed", "TimeToDelivered"]


def test_a_metric_is_named_after_something_that_happened() -> None:
    names = {name for function in FUNCTIONS for name in metrics_of(function)}

    assert names
    assert [name for name in names if not re.fullmatch(r"([A-Z][a-z]+){2,4}", name)] == []


def test_only_the_layer_counts_what_becomes_of_messages() -> None:
    own = {
        (function, name)
        for function in FUNCTIONS
        for module in (PROJECT / "functions" / function).glob("*.py")
        for name in metrics_in(module.read_text("utf-8"))
    }

    assert {(function, name) for function, name in own if name in COUNTED_BY} == set()


def test_whoever_learns_what_becomes_of_a_message_counts_it() -> None:
    learning = {
        function
        for function in FUNCTIONS
        for module in (PROJECT / "functions" / function).glob("*.py")
        if re.search(r"store\.record(_never_sent)?\(", module.read_text("utf-8"))
    }
    counting = {
        function
        for function in FUNCTIONS
        for module in (PROJECT / "functions" / function).glob("*.py")
        if counts_messages(module.read_text("utf-8"))
    }

    assert learning == counting == {"send_message", "status_callback", "reconcile_messages"}


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ('metrics.add_metric("A", unit, 1)', {"A"}),
        ('metrics.add_metric(METRIC_OF.get(it, "A"), unit, 1)', {"A"}),
        ('METRIC_OF = {it: "A", that: "B"}', {"A", "B"}),
        ('METRIC_OF: dict[str, str] = {"it": "A"}', {"A"}),
        ('Report(metric="A" if it else "B", facts={"c": "d"})', {"A", "B"}),
        ('logger.info("A", b="c")', set()),
    ],
)
def test_what_is_counted_is_found(source: str, names: set[str]) -> None:
    assert metrics_in(source) == names


def test_the_counting_of_messages_is_found() -> None:
    assert all(counts_messages(f"{name}(metrics, recorded)") for name in COUNTING_MESSAGES)
    assert not counts_messages("_count(it)")
