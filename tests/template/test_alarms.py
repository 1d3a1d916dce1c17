"""Every alarm can ring, does so for what it is about and for nothing else, and has a runbook."""

import re
from typing import Any

import pytest

from tests.cloudformation import Template, load_template
from tests.template.alarms import Alarm, Metric, Period, alarms_of, calculated
from tests.template.counting import counted
from tests.template.deployment import (
    OUR_NAMESPACE,
    PROJECT,
    of_type,
    references,
    target_of,
    translate,
    type_of,
)

ALARMS = alarms_of(translate(load_template()))
RUNBOOK = "docs/operations.md"

# AWS's own metrics that we look at: their dimension, and what it names.
# Sources: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html
OF_A_QUEUE = ("QueueName", "AWS::SQS::Queue")
OF_A_FUNCTION = ("FunctionName", "AWS::Lambda::Function")
OF_AN_API = ("ApiId", "AWS::ApiGatewayV2::Api")
AWS_METRICS = {
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "Maximum"): OF_A_QUEUE,
    ("AWS/Lambda", "Errors", "Sum"): OF_A_FUNCTION,
    ("AWS/Lambda", "Throttles", "Sum"): OF_A_FUNCTION,
    ("AWS/Lambda", "IteratorAge", "Maximum"): OF_A_FUNCTION,
    ("AWS/ApiGateway", "Count", "SampleCount"): OF_AN_API,
    ("AWS/ApiGateway", "4xx", "Sum"): OF_AN_API,
    ("AWS/ApiGateway", "5xx", "Sum"): OF_AN_API,
}
OUR_STATS = {"Sum", "Average", "SampleCount", "Maximum"}

HOUR = 60 * 60
DAY = 24 * HOUR
MOST_METRICS_OF_AN_ALARM = 10

# Their silence is the news; all others are about what is counted only when it happens.
RING_WHEN_NOTHING_IS_HEARD = {"ReconcileNotRunningAlarm", "CanaryAlarm"}

ONE: Period = {"measured": 1}
NOTHING: Period = {}

RINGS: dict[str, list[list[Period]]] = {
    "SendDeadLetterAlarm": [[ONE]],
    "SendInvocationFailuresAlarm": [[ONE]],
    "CallbackDeadLetterAlarm": [[ONE]],
    "NotifyFailureDeadLetterAlarm": [[ONE]],
    "ScheduleDeadLetterAlarm": [[ONE]],
    "PublishOutcomesDeadLetterAlarm": [[ONE]],
    "FailureRateAlarm": [
        [{"failed": 1, "ended": 20}],
        [{"failed": 0.21, "ended": 10_000}],
    ],
    "MessagesUnconfirmedAlarm": [
        [{"unconfirmed": 20}],
        [{"unconfirmed": 300, "ended": 1000}],
    ],
    "CallbacksSilentAlarm": [[{"sent": 1}, {"sent": 1}], [{"sent": 9, "recorded": 0}] * 2],
    "SignaturesRefusedAlarm": [[ONE, ONE], [ONE, NOTHING, NOTHING, NOTHING, NOTHING, ONE]],
    "CallbackErrorsAlarm": [
        [{"errors": 1}, {"unanswered": 1}],
        [{"waiting": 1}, NOTHING, {"waiting": 1}],
    ],
    "CallbackThrottlesAlarm": [
        [{"throttles": 1}] * 3,
        [{"requests": 5000, "turnedaway": 90, "refused": 40, "unsigned": 40, "malformed": 9}] * 3,
    ],
    "StreamAgeAlarm": [[{"measured": 300_001}] * 3],
    "OutcomeStreamAgeAlarm": [[{"measured": 300_001}] * 3],
    "SendErrorsAlarm": [[{"unavailable": 1}] * 3, [{"errors": 1}, NOTHING] * 3],
    "CredentialsRefusedAlarm": [
        [{"sending": 1}],
        [{"reconciling": 1}],
        [{"sending": 1}, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING],
    ],
    "SendsInDoubtAlarm": [[ONE, ONE]],
    "DoubtsAmbiguousAlarm": [[ONE], [ONE, NOTHING]],
    "ReconcileNotRunningAlarm": [[NOTHING] * 3, [ONE, NOTHING, NOTHING, NOTHING]],
    "CanaryAlarm": [[NOTHING] * 4, [ONE, *[NOTHING] * 4]],
}
IS_QUIET: dict[str, list[list[Period]]] = {
    "SendDeadLetterAlarm": [[{"measured": 0}]],
    "SendInvocationFailuresAlarm": [[{"measured": 0}]],
    "CallbackDeadLetterAlarm": [[{"measured": 0}]],
    "NotifyFailureDeadLetterAlarm": [[{"measured": 0}]],
    "ScheduleDeadLetterAlarm": [[{"measured": 0}]],
    "PublishOutcomesDeadLetterAlarm": [[{"measured": 0}]],
    "FailureRateAlarm": [
        [{"failed": 1, "ended": 19}],  # too few to say anything
        [{"failed": 0.2, "ended": 1000}],
    ],
    "MessagesUnconfirmedAlarm": [
        [{"unconfirmed": 19, "ended": 1}],
        [{"unconfirmed": 200, "ended": 1000}],
        [{"ended": 1000}],
    ],
    "CallbacksSilentAlarm": [
        [NOTHING, {"sent": 5}],  # just now
        [{"sent": 5}, {"recorded": 10}],
        [{"sent": 5, "recorded": 1}] * 2,
    ],
    "SignaturesRefusedAlarm": [[ONE]],
    "CallbackErrorsAlarm": [[{"errors": 1, "unanswered": 9, "waiting": 1}]],
    "CallbackThrottlesAlarm": [
        [{"throttles": 50}, {"throttles": 50}],
        [{"requests": 999, "turnedaway": 999}] * 5,  # strangers: the stage lets these in
        [{"requests": 5000, "turnedaway": 80, "refused": 80}] * 5,
    ],
    "StreamAgeAlarm": [[{"measured": 300_001}] * 2, [{"measured": 300_000}] * 5],
    "OutcomeStreamAgeAlarm": [[{"measured": 300_001}] * 2],
    "SendErrorsAlarm": [[{"unavailable": 50, "errors": 50}] * 2],
    "CredentialsRefusedAlarm": [[{"sending": 1}, *[NOTHING] * 6]],
    "SendsInDoubtAlarm": [[ONE]],
    "DoubtsAmbiguousAlarm": [[ONE, *[NOTHING] * 6]],
    "ReconcileNotRunningAlarm": [[ONE, NOTHING, NOTHING], [NOTHING, NOTHING, ONE]],
    "CanaryAlarm": [[ONE, NOTHING, NOTHING, NOTHING], [NOTHING, NOTHING, NOTHING, ONE]],
}

each_alarm = pytest.mark.parametrize("alarm", ALARMS.values(), ids=ALARMS)


def cases(table: dict[str, list[list[Period]]]) -> list[Any]:
    return [
        pytest.param(name, periods, id=f"{name}-{number}")
        for name, all_periods in table.items()
        for number, periods in enumerate(all_periods)
    ]


# --- each can ring -------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "measured"), cases(RINGS))
def test_an_alarm_rings_for_what_it_is_about(name: str, measured: list[Period]) -> None:
    assert ALARMS[name].rings(*measured)


@pytest.mark.parametrize(("name", "measured"), cases(IS_QUIET))
def test_an_alarm_is_quiet_about_what_passes(name: str, measured: list[Period]) -> None:
    assert not ALARMS[name].rings(*measured)


def test_every_alarm_has_its_cases() -> None:
    assert set(RINGS) == set(IS_QUIET) == set(ALARMS)


@each_alarm
def test_an_idle_stack_rings_only_if_its_own_clockwork_stands_still(alarm: Alarm) -> None:
    assert alarm.rings() is (alarm.name in RING_WHEN_NOTHING_IS_HEARD)
    assert alarm.missing in {"breaching", "notBreaching"}


@pytest.mark.parametrize(("name", "measured"), [*cases(RINGS), *cases(IS_QUIET)])
def test_the_cases_name_metrics_of_their_alarm(name: str, measured: list[Period]) -> None:
    assert {key for period in measured for key in period} <= set(ALARMS[name].metrics)


# --- what it looks at exists ---------------------------------------------------------------------


def test_every_metric_of_ours_is_counted_with_just_these_dimensions() -> None:
    ours = [it for it in all_metrics() if it.namespace == OUR_NAMESPACE]

    assert ours
    for metric in ours:
        assert (metric.name, frozenset(metric.dimensions.items())) in counted(), metric
        assert metric.stat in OUR_STATS


def test_every_metric_of_awss_exists_for_what_its_dimension_names(stack: Template) -> None:
    theirs = [it for it in all_metrics() if it.namespace != OUR_NAMESPACE]

    assert theirs
    for metric in theirs:
        dimension, kind = AWS_METRICS[metric.namespace, metric.name, metric.stat]
        ((name, value),) = metric.dimensions.items()
        assert (name, type_of(stack, target_of(value))) == (dimension, kind), metric


def test_only_a_function_that_reads_a_stream_has_an_iterators_age(stack: Template) -> None:
    readers = {
        target_of(it["FunctionName"])
        for it in of_type(stack, "AWS::Lambda::EventSourceMapping").values()
        if "StreamArn" in str(it["EventSourceArn"])
    }
    aged = {
        target_of(it.dimensions["FunctionName"]) for it in all_metrics() if it.name == "IteratorAge"
    }

    assert aged == readers


def all_metrics() -> list[Metric]:
    return [metric for alarm in ALARMS.values() for metric in alarm.metrics.values()]


# --- CloudWatch takes it -------------------------------------------------------------------------


@each_alarm
def test_an_alarm_looks_at_periods_that_cloudwatch_knows(alarm: Alarm) -> None:
    (period,) = {metric.period for metric in alarm.metrics.values()}

    assert period % 60 == 0
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/AlarmThatSendsEmail.html
    assert period * alarm.periods <= (7 * DAY if period >= HOUR else DAY)
    assert 1 <= alarm.breaching_periods <= alarm.periods


@each_alarm
def test_an_alarms_expression_uses_each_of_its_metrics(alarm: Alarm) -> None:
    named = set(re.findall(r"\b[a-z]\w*\b", alarm.expression))

    assert named == set(alarm.metrics)
    assert len(named) <= MOST_METRICS_OF_AN_ALARM
    assert all(re.fullmatch(r"[a-z][A-Za-z0-9_]*", name) for name in named)


@each_alarm
def test_an_alarm_has_no_other_properties(alarm: Alarm) -> None:
    single = {"Namespace", "MetricName", "Dimensions", "Statistic", "Period"}
    shared = {
        *("AlarmDescription", "AlarmActions", "OKActions", "EvaluationPeriods"),
        *("DatapointsToAlarm", "ComparisonOperator", "Threshold", "TreatMissingData"),
    }

    own = {"Metrics"} if "Metrics" in alarm.properties else single
    assert alarm.properties.keys() | {"DatapointsToAlarm", *own} == shared | own


def test_the_alarms_cost_little() -> None:
    # 0.10 dollars a month for each metric that an alarm looks at.
    # https://aws.amazon.com/cloudwatch/pricing/
    assert len(all_metrics()) <= 40


# --- somebody hears it, and knows what to do -----------------------------------------------------


@each_alarm
def test_an_alarm_and_its_end_are_told_on_the_operators_topic(alarm: Alarm) -> None:
    assert (
        alarm.properties["AlarmActions"] == alarm.properties["OKActions"] == [{"Ref": "AlarmTopic"}]
    )


def test_cloudwatch_may_publish_to_the_operators_topic(stack: Template) -> None:
    # A topic's default policy lets the account's own alarms publish; with alias/aws/sns they could
    # not use the key.
    # https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
    assert "KmsMasterKeyId" not in of_type(stack, "AWS::SNS::Topic")["AlarmTopic"]
    assert "AlarmTopic" not in set(references(of_type(stack, "AWS::SNS::TopicPolicy")))


@each_alarm
def test_an_alarm_says_in_a_sentence_what_it_means_and_where_its_runbook_is(alarm: Alarm) -> None:
    sentence, _, place = alarm.properties["AlarmDescription"].partition(" Runbook: ")

    assert re.fullmatch(r"[A-Z][^.]{20,160}\.", sentence)
    assert place == f"{RUNBOOK}#{alarm.name.lower()}"


def test_every_alarm_has_its_runbook_and_no_other_alarm_has_one() -> None:
    page = (PROJECT / RUNBOOK).read_text("utf-8")
    runbooks = re.findall(r"^### (\w+Alarm)\n\n(.+?)(?=^#)", page + "#", re.MULTILINE | re.DOTALL)

    assert [name for name, _ in runbooks] == list(dict.fromkeys(name for name, _ in runbooks))
    assert {name for name, _ in runbooks} == set(ALARMS)
    assert all(len(text.split()) > 10 for _, text in runbooks)


# --- nothing falls through -----------------------------------------------------------------------


def test_whatever_is_given_up_rings(stack: Template) -> None:
    watched = {
        target_of(it.dimensions["QueueName"]) for it in all_metrics() if it.namespace == "AWS/SQS"
    }
    queues = set(of_type(stack, "AWS::SQS::Queue"))
    read = {
        target_of(it["EventSourceArn"])
        for it in of_type(stack, "AWS::Lambda::EventSourceMapping").values()
    }

    assert watched == queues - read


@pytest.mark.parametrize(
    ("expression", "period", "value"),
    [
        ("a + 2 * b", {"a": 1, "b": 2}, 5),
        ("a + b", {"a": 1}, None),
        ("FILL(a, 0) + b", {"b": 2}, 2),
        ("IF(a > 1, a, 0)", {"a": 2}, 2),
        ("IF(a > 1, a, 0)", {"a": 1}, 0),
        ("IF(a > 1, a, 0)", {}, None),
        ("IF(a > 0 AND FILL(b, 0) == 0, 1, 0)", {"a": 1}, 1),
        ("IF(a > 0 AND FILL(b, 0) == 0, 1, 0)", {"a": 1, "b": 1}, 0),
    ],
)
def test_an_expression_is_calculated(expression: str, period: Period, value: float | None) -> None:
    assert calculated(expression, period) == value
