"""The functions count few metrics; alarms and dashboard show only metrics that exist."""

import re

import pytest

from delivery.metrics import COUNTED_BY, LOGGED_ONLY
from tests.support.cloudformation import Template, load_template
from tests.template.alarms import alarms_of
from tests.template.counting import (
    OF_STATUS_UPDATES,
    counted,
    counts_messages,
    hidden_metrics_in,
    metrics_in,
    metrics_of,
    sources_of,
)
from tests.template.dashboard import graphs_of, lines_of
from tests.template.deployment import (
    FUNCTIONS,
    OUR_NAMESPACE,
    PROJECT,
    Reference,
    function_of,
    of_type,
    translate,
    type_of,
)
from tests.template.metric import Metric

# A custom metric costs 0.30 dollars a month, prorated to the hours in which it has values. All of
# them all the time would be 27 dollars; a healthy stack counts only a few.
# https://aws.amazon.com/cloudwatch/pricing/
MAX_METRICS = 90

# AWS's own metrics: the dimension, the resource that it names, and the statistics that make sense.
# Sources: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
# https://docs.aws.amazon.com/sns/latest/dg/sns-monitoring-using-cloudwatch.html
# https://docs.aws.amazon.com/firehose/latest/dev/monitoring-with-cloudwatch-metrics.html
# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html
OF_A_QUEUE = ("QueueName", "AWS::SQS::Queue", "QueueName")
OF_A_FUNCTION = ("FunctionName", "AWS::Lambda::Function", "")
OF_A_TOPIC = ("TopicName", "AWS::SNS::Topic", "TopicName")
OF_A_DELIVERY_STREAM = ("DeliveryStreamName", "AWS::KinesisFirehose::DeliveryStream", "")
OF_AN_API = ("ApiId", "AWS::ApiGatewayV2::Api", "")
AWS_METRICS = {
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible"): (*OF_A_QUEUE, {"Maximum"}),
    ("AWS/SQS", "ApproximateAgeOfOldestMessage"): (*OF_A_QUEUE, {"Maximum"}),
    ("AWS/SQS", "NumberOfMessagesReceived"): (*OF_A_QUEUE, {"Sum"}),
    ("AWS/SNS", "NumberOfMessagesPublished"): (*OF_A_TOPIC, {"Sum"}),
    ("AWS/SNS", "NumberOfNotificationsDelivered"): (*OF_A_TOPIC, {"Sum"}),
    ("AWS/SNS", "NumberOfNotificationsFilteredOut"): (*OF_A_TOPIC, {"Sum"}),
    ("AWS/Firehose", "FailedConversion.Records"): (*OF_A_DELIVERY_STREAM, {"Sum"}),
    ("AWS/Firehose", "DeliveryToS3.DataFreshness"): (*OF_A_DELIVERY_STREAM, {"Maximum"}),
    ("AWS/Lambda", "Errors"): (*OF_A_FUNCTION, {"Sum"}),
    ("AWS/Lambda", "Throttles"): (*OF_A_FUNCTION, {"Sum"}),
    ("AWS/Lambda", "Duration"): (*OF_A_FUNCTION, {"p50", "p99"}),
    ("AWS/Lambda", "IteratorAge"): (*OF_A_FUNCTION, {"Maximum"}),
    ("AWS/ApiGateway", "Count"): (*OF_AN_API, {"SampleCount"}),
    ("AWS/ApiGateway", "4xx"): (*OF_AN_API, {"Sum"}),
    ("AWS/ApiGateway", "5xx"): (*OF_AN_API, {"Sum"}),
}
OUR_STATS = {
    "MessageFailed": {"Sum", "Average", "SampleCount"},
    "TransitionRecorded": {"Sum", "SampleCount"},
    "TimeToDelivered": {"p50", "p90", "p99"},
    "AuditCorrectedPercent": {"Maximum"},
}
"""The statistics of our metrics that make sense; of all others it is the sum."""

OPERATIONS = (
    (PROJECT / "docs/operations.md")
    .read_text("utf-8")
    .partition("## Metrics\n")[2]
    .partition("\n## ")[0]
)
STACK = translate(load_template())
SHOWN = [
    *(
        pytest.param(metric, id=f"{name}-{id_}")
        for name, alarm in alarms_of(STACK).items()
        for id_, metric in alarm.metrics.items()
    ),
    *(
        pytest.param(metric, id=f"{graph['title']}-{number}")
        for graph in graphs_of(STACK)
        for number, metric in enumerate(lines_of(graph))
    ),
]


# --- what the functions count --------------------------------------------------------------------


def test_the_number_of_metrics_stays_affordable() -> None:
    assert len(counted()) <= MAX_METRICS


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_counts_by_the_same_table(function: str) -> None:
    made = re.findall(r"\bMetrics\((.*)\)", "\n".join(sources_of(function)))

    assert made
    assert set(made) == {"provider=CountedByFacts()"}


@pytest.mark.parametrize(
    ("metric", "functions"),
    [
        ("CredentialsRefused", {"send_message", "reconcile_messages", "audit_messages"}),
        ("SecretInvalid", {"status_callback", "reconcile_messages"}),
        (
            "ItemUnreadable",
            {"reconcile_messages", "audit_messages", "notify_failure", "publish_outcomes"},
        ),
    ],
)
def test_a_problem_of_any_function_is_in_the_metric_of_its_alarm(
    metric: str, functions: set[str]
) -> None:
    (alarm,) = (
        it
        for it in alarms_of(STACK).values()
        if {measured.name for measured in it.metrics.values()} == {metric}
    )

    assert functions <= {it for it in FUNCTIONS if metric in metrics_of(it)}
    assert COUNTED_BY[metric] == ((),)
    assert alarm.metrics["measured"].dimensions == frozenset()


def test_every_metric_is_used_or_described() -> None:
    shown = {
        it.name
        for it in [
            *(metric for alarm in alarms_of(STACK).values() for metric in alarm.metrics.values()),
            *(line for graph in graphs_of(STACK) for line in lines_of(graph)),
        ]
    }
    first_cells = re.findall(r"^\| (`.*?) \|", OPERATIONS, re.MULTILINE)
    described = {name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)}

    assert {name for name, _ in counted()} - shown <= described
    assert described <= {name for name, _ in counted()}
    assert shown.isdisjoint(LOGGED_ONLY)


def test_a_report_that_is_only_logged_exists() -> None:
    assert {name for function in FUNCTIONS for name in metrics_of(function)} >= LOGGED_ONLY


def test_a_metric_name_is_two_to_five_words_in_camel_case() -> None:
    names = {name for function in FUNCTIONS for name in metrics_of(function)}

    assert names
    assert [name for name in names if not re.fullmatch(r"([A-Z][a-z]+){2,5}", name)] == []


def test_only_the_layer_counts_the_metrics_of_a_status_update() -> None:
    own = {name for function in FUNCTIONS for name in metrics_in(*sources_of(function))}

    assert own
    assert own & (OF_STATUS_UPDATES | {"AuditCorrected"}) == set()


def test_every_function_that_records_status_updates_counts_them() -> None:
    recording = {
        function
        for function in FUNCTIONS
        for source in sources_of(function)
        if re.search(r"(store|messages)\.record(_unsent_request)?\(", source)
    }
    counting = {
        function
        for function in FUNCTIONS
        for source in sources_of(function)
        if counts_messages(source)
    }

    # What an audit corrects is counted apart: it says nothing about the messages of today.
    assert recording == counting | {"audit_messages"}
    assert counting == {"send_message", "status_callback", "reconcile_messages"}


# --- what alarms and dashboard show --------------------------------------------------------------


@pytest.mark.parametrize("metric", SHOWN)
def test_an_alarm_or_graph_refers_to_an_existing_metric(metric: Metric) -> None:
    if metric.namespace == OUR_NAMESPACE:
        assert (metric.name, metric.dimensions) in counted()
        assert metric.stat in OUR_STATS.get(metric.name, {"Sum"})
    else:
        dimension, kind, attribute, stats = AWS_METRICS[metric.namespace, metric.name]
        assert metric.dimensions == {(dimension, Reference(metric.resource, attribute))}
        assert type_of(STACK, metric.resource) == kind
        assert metric.stat in stats


def test_every_consumer_of_the_stream_has_an_alarm_on_its_age(stack: Template) -> None:
    consumers = {
        function_of(it["FunctionName"])
        for it in of_type(stack, "AWS::Lambda::EventSourceMapping").values()
        if "StreamArn" in str(it["EventSourceArn"])
    }
    with_alarm = {
        metric.resource
        for alarm in alarms_of(stack).values()
        for metric in alarm.metrics.values()
        if metric.name == "IteratorAge"
    }

    assert with_alarm == consumers


# --- how the tests find a metric -----------------------------------------------------------------


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_metric_of_a_function_can_be_found_in_its_source(function: str) -> None:
    assert hidden_metrics_in(*sources_of(function)) == []
