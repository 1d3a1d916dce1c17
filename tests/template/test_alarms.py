"""Every alarm can fire, fires for its problem only, and has a runbook."""

import re
from typing import Any

import pytest

from tests.support.cloudformation import Template, load_template
from tests.template.alarms import Alarm, Period, alarms_of
from tests.template.deployment import PROJECT, of_type, references, target_of, translate
from tests.template.metric import Metric

ALARMS = alarms_of(translate(load_template()))
RUNBOOK = "docs/operations.md"

HOUR = 60 * 60
DAY = 24 * HOUR
MAX_METRICS_OF_AN_ALARM = 10

# These alarms fire when a metric has no data. All others are on metrics without data when idle.
FIRE_WITHOUT_DATA = {"ReconcileNotRunningAlarm", "AuditNotRunningAlarm", "CanaryAlarm"}

ON_ANY_MESSAGE_IN_A_QUEUE = (
    *("SendDeadLetterAlarm", "SendInvocationFailuresAlarm", "CallbackDeadLetterAlarm"),
    *("NotifyFailureDeadLetterAlarm", "ScheduleDeadLetterAlarm", "PublishOutcomesDeadLetterAlarm"),
)

ONE: Period = {"measured": 1}
NO_DATA: Period = {}

FIRES: dict[str, list[list[Period]]] = {
    **{name: [[ONE]] for name in ON_ANY_MESSAGE_IN_A_QUEUE},
    "FailureRateAlarm": [
        [{"failure_rate": 1, "finished": 20}],
        [{"failure_rate": 0.21, "finished": 10_000}],
    ],
    "MessagesUnconfirmedAlarm": [
        [{"unconfirmed": 20}],
        [{"unconfirmed": 300, "finished": 1000}],
    ],
    "CallbacksSilentAlarm": [[{"sent": 1}, {"sent": 1}], [{"sent": 9, "recorded": 0}] * 2],
    "InvalidSignaturesAlarm": [
        [{"invalid": 1}] * 3,
        [{"invalid": 1}, NO_DATA, NO_DATA, {"invalid": 1}, NO_DATA, {"invalid": 1}],
        [{"invalid": 60, "accepted": 59}] * 3,
    ],
    "SharedKeysUnknownAlarm": [[ONE] * 3, [ONE, NO_DATA, ONE, NO_DATA, NO_DATA, ONE]],
    "SecretInvalidAlarm": [[ONE], [ONE, *[NO_DATA] * 5]],
    "CallbackErrorsAlarm": [
        [{"errors": 1}, {"server_errors": 1}],
        [{"queued": 1}, NO_DATA, {"queued": 1}],
    ],
    "CallbackThrottlesAlarm": [
        [{"throttles": 1}] * 3,
        [{"requests": 5000, "client_errors": 90, "rejected": 89}] * 3,
        [{"requests": 1000, "client_errors": 1}] * 3,
    ],
    "NoticeStreamAgeAlarm": [[{"measured": 300_001}] * 3],
    "NoticeSweepAlarm": [[ONE] * 5, [ONE, NO_DATA] * 5],
    "OutcomeStreamAgeAlarm": [[{"measured": 300_001}] * 3],
    "ArchiveRowsRejectedAlarm": [[ONE]],
    "ArchiveAgeAlarm": [
        [{"measured": 1801}] * 2,
        [{"measured": 1801}, NO_DATA, {"measured": 9000}],
    ],
    "SendQueueAlarm": [
        [{"age": 900, "visible": 1}] * 3,  # the event source is disabled
        [{"age": 28_801, "visible": 5, "received": 900}] * 3,  # the queue never empties
    ],
    "SendThrottlesAlarm": [[ONE, ONE], [ONE, *[NO_DATA] * 4, ONE]],
    "NoticesNotDeliveredAlarm": [
        [{"published": 1}] * 2,
        [{"published": 3, "delivered": 0, "filtered": 0}, *[NO_DATA] * 6, {"published": 1}],
    ],
    "SendErrorsAlarm": [[{"unavailable": 1}] * 3, [{"errors": 1}, NO_DATA] * 3],
    "CredentialsRefusedAlarm": [[ONE], [ONE, *[NO_DATA] * 5]],
    "SendsInDoubtAlarm": [[ONE, ONE]],
    "InDoubtAmbiguousAlarm": [[ONE], [ONE, NO_DATA]],
    "WorkLeftOverAlarm": [[ONE] * 12, [NO_DATA, *[ONE] * 11]],
    "ItemsUnreadableAlarm": [[ONE], [ONE, *[NO_DATA] * 5]],
    "ReconcileNotRunningAlarm": [[NO_DATA] * 3, [ONE, NO_DATA, NO_DATA, NO_DATA]],
    "AuditCorrectionsAlarm": [[{"measured": 1.1}], [{"measured": 50}, *[{"measured": 0}] * 23]],
    "AuditNotRunningAlarm": [[NO_DATA] * 4, [ONE, *[NO_DATA] * 4], [{"measured": 0}] * 4],
    "CanaryAlarm": [[NO_DATA] * 4, [ONE, *[NO_DATA] * 4]],
}
STAYS_OK: dict[str, list[list[Period]]] = {
    **{name: [[{"measured": 0}]] for name in ON_ANY_MESSAGE_IN_A_QUEUE},
    "FailureRateAlarm": [
        [{"failure_rate": 1, "finished": 19}],  # fewer than FailureRateMinMessages
        [{"failure_rate": 0.2, "finished": 1000}],
    ],
    "MessagesUnconfirmedAlarm": [
        [{"unconfirmed": 19, "finished": 1}],
        [{"unconfirmed": 200, "finished": 1000}],
        [{"finished": 1000}],
    ],
    "CallbacksSilentAlarm": [
        [NO_DATA, {"sent": 5}],  # sent in the last period only
        [{"sent": 5}, {"recorded": 10}],
        [{"sent": 5, "recorded": 1}] * 2,
    ],
    "InvalidSignaturesAlarm": [
        [{"invalid": 9}] * 2,  # two requests of a stranger
        [{"invalid": 50, "accepted": 50}] * 6,
        [{"invalid": 1, "accepted": 1}] * 6,
    ],
    "SharedKeysUnknownAlarm": [[ONE, ONE]],
    "SecretInvalidAlarm": [[ONE, *[NO_DATA] * 6]],
    "CallbackErrorsAlarm": [[{"errors": 1, "server_errors": 9, "queued": 1}]],
    "CallbackThrottlesAlarm": [
        [{"throttles": 50}, {"throttles": 50}],
        [{"requests": 999, "client_errors": 999}]
        * 5,  # requests for other paths, below the burst limit
        [{"requests": 5000, "client_errors": 80, "rejected": 80}] * 5,
    ],
    "NoticeStreamAgeAlarm": [[{"measured": 300_001}] * 2, [{"measured": 300_000}] * 5],
    "NoticeSweepAlarm": [[ONE] * 4],
    "OutcomeStreamAgeAlarm": [[{"measured": 300_001}] * 2],
    "ArchiveRowsRejectedAlarm": [[{"measured": 0}]],
    "ArchiveAgeAlarm": [[{"measured": 1801}], [{"measured": 300}] * 9],
    "SendQueueAlarm": [
        [{"age": 900, "visible": 1}] * 2,
        [{"age": 28_800, "visible": 1, "received": 1}] * 3,  # a rate-limited campaign
        [{"age": 5000, "visible": 0, "received": 0}] * 3,  # all messages wait for their slots
    ],
    "SendThrottlesAlarm": [[{"measured": 99}]],
    "NoticesNotDeliveredAlarm": [
        [{"published": 1}, *[NO_DATA] * 7],  # delivered just after the end of the period
        [{"published": 9, "delivered": 1}] * 8,
        [{"published": 9, "filtered": 9}] * 8,
        [{"published": 0}] * 8,
    ],
    "SendErrorsAlarm": [[{"unavailable": 50, "errors": 50}] * 2],
    "CredentialsRefusedAlarm": [[ONE, *[NO_DATA] * 6]],
    "SendsInDoubtAlarm": [[ONE]],
    "InDoubtAmbiguousAlarm": [[ONE, *[NO_DATA] * 6]],
    "WorkLeftOverAlarm": [[ONE] * 10, [*[ONE] * 5, NO_DATA, NO_DATA, *[ONE] * 5]],
    "ItemsUnreadableAlarm": [[ONE, *[NO_DATA] * 6]],
    "ReconcileNotRunningAlarm": [[ONE, NO_DATA, NO_DATA], [NO_DATA, NO_DATA, ONE]],
    "AuditCorrectionsAlarm": [[ONE] * 24, [{"measured": 50}, *[NO_DATA] * 24]],
    "AuditNotRunningAlarm": [[ONE, NO_DATA, NO_DATA, NO_DATA], [NO_DATA, NO_DATA, NO_DATA, ONE]],
    "CanaryAlarm": [[ONE, NO_DATA, NO_DATA, NO_DATA], [NO_DATA, NO_DATA, NO_DATA, ONE]],
}

each_alarm = pytest.mark.parametrize("alarm", ALARMS.values(), ids=ALARMS)


def cases(table: dict[str, list[list[Period]]]) -> list[Any]:
    return [
        pytest.param(name, periods, id=f"{name}-{number}")
        for name, all_periods in table.items()
        for number, periods in enumerate(all_periods)
    ]


# --- when an alarm fires -------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "measured"), cases(FIRES))
def test_an_alarm_fires_for_its_problem(name: str, measured: list[Period]) -> None:
    assert ALARMS[name].is_in_alarm(*measured)


@pytest.mark.parametrize(("name", "measured"), cases(STAYS_OK))
def test_an_alarm_stays_ok_for_a_short_or_small_problem(name: str, measured: list[Period]) -> None:
    assert not ALARMS[name].is_in_alarm(*measured)


def test_every_alarm_has_cases_for_both_states() -> None:
    assert set(FIRES) == set(STAYS_OK) == set(ALARMS)


@each_alarm
def test_an_idle_stack_fires_only_the_alarms_on_missing_data(alarm: Alarm) -> None:
    assert alarm.is_in_alarm() is (alarm.name in FIRE_WITHOUT_DATA)
    assert alarm.missing in {"breaching", "notBreaching"}


@pytest.mark.parametrize("table", [FIRES, STAYS_OK], ids=["fires", "stays OK"])
def test_a_case_names_metrics_of_its_alarm(table: dict[str, list[list[Period]]]) -> None:
    for name, all_periods in table.items():
        named = {key for periods in all_periods for period in periods for key in period}
        assert named <= set(ALARMS[name].metrics), name


# --- CloudWatch's limits -------------------------------------------------------------------------


@each_alarm
def test_an_alarm_has_a_period_and_a_window_that_cloudwatch_allows(alarm: Alarm) -> None:
    assert alarm.period_seconds % 60 == 0
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/AlarmThatSendsEmail.html
    window = alarm.period_seconds * alarm.evaluation_periods
    assert window <= (7 * DAY if alarm.period_seconds >= HOUR else DAY)
    assert 1 <= alarm.datapoints_to_alarm <= alarm.evaluation_periods


@each_alarm
def test_the_expression_of_an_alarm_uses_each_of_its_metrics(alarm: Alarm) -> None:
    named = set(re.findall(r"\b[a-z]\w*\b", alarm.expression))

    assert named == set(alarm.metrics)
    assert len(named) <= MAX_METRICS_OF_AN_ALARM
    assert all(re.fullmatch(r"[a-z][A-Za-z0-9_]*", name) for name in named)


@each_alarm
def test_an_alarm_has_only_the_properties_that_these_tests_evaluate(alarm: Alarm) -> None:
    single = {"Namespace", "MetricName", "Dimensions", "Statistic", "Period"}
    shared = {
        *("AlarmDescription", "AlarmActions", "OKActions", "EvaluationPeriods"),
        *("DatapointsToAlarm", "ComparisonOperator", "Threshold", "TreatMissingData"),
    }

    own = {"Metrics"} if "Metrics" in alarm.properties else single
    assert alarm.properties.keys() | {"DatapointsToAlarm", *own} == shared | own


def test_the_alarms_of_every_stack_stay_cheap(stack: Template) -> None:
    # 0.10 dollars a month for each metric of an alarm. An idle stack costs at most 9 dollars.
    # https://aws.amazon.com/cloudwatch/pricing/
    always = [it for it in ALARMS.values() if "Condition" not in stack["Resources"][it.name]]

    assert sum(len(it.metrics) for it in always) <= 41


# --- notification and runbook --------------------------------------------------------------------


@each_alarm
def test_an_alarm_and_its_recovery_go_to_the_alarm_topic(alarm: Alarm) -> None:
    assert (
        alarm.properties["AlarmActions"] == alarm.properties["OKActions"] == [{"Ref": "AlarmTopic"}]
    )


def test_cloudwatch_may_publish_to_the_alarm_topic(stack: Template) -> None:
    # A topic's default policy lets the alarms of the account publish. CloudWatch cannot use the
    # key alias/aws/sns.
    # https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
    assert "KmsMasterKeyId" not in of_type(stack, "AWS::SNS::Topic")["AlarmTopic"]
    assert "AlarmTopic" not in set(references(of_type(stack, "AWS::SNS::TopicPolicy")))


@each_alarm
def test_an_alarm_description_states_the_problem_and_links_the_runbook(alarm: Alarm) -> None:
    problem, _, link = alarm.properties["AlarmDescription"].partition(" Runbook: ")

    assert re.fullmatch(r"[A-Z].{20,160}\.", problem)
    assert link == f"{RUNBOOK}#{alarm.name.lower()}"


def test_every_alarm_has_exactly_one_runbook() -> None:
    page = (PROJECT / RUNBOOK).read_text("utf-8")
    runbooks = re.findall(r"^### (\w+Alarm)\n\n(.+?)(?=^#)", page + "#", re.MULTILINE | re.DOTALL)

    assert [name for name, _ in runbooks] == list(dict.fromkeys(name for name, _ in runbooks))
    assert {name for name, _ in runbooks} == set(ALARMS)
    assert all(len(text.split()) > 10 for _, text in runbooks)


# --- completeness --------------------------------------------------------------------------------


def test_every_dead_letter_queue_and_failure_destination_has_an_alarm(stack: Template) -> None:
    # Messages in SendQueue are normal, unless nothing receives them.
    watched = {it.resource for it in all_metrics() if it.namespace == "AWS/SQS"} - {"SendQueue"}
    queues = set(of_type(stack, "AWS::SQS::Queue"))
    consumed = {
        target_of(it["EventSourceArn"])
        for it in of_type(stack, "AWS::Lambda::EventSourceMapping").values()
    }

    assert watched == queues - consumed


def all_metrics() -> list[Metric]:
    return [metric for alarm in ALARMS.values() for metric in alarm.metrics.values()]
