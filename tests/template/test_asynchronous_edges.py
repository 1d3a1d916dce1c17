"""Every asynchronous edge has limited retries, an age limit and a place where failures land."""

import json
from collections import defaultdict
from copy import deepcopy
from typing import Any

import pytest

from tests.support.cloudformation import Template
from tests.template.deployment import (
    Properties,
    function_of,
    of_type,
    target_of,
    translate,
    type_of,
)

DAY = 24 * 60 * 60
MAX_RETENTION = 14 * DAY  # of SQS

QUEUES = "AWS::SQS::Queue"
READERS = "AWS::Lambda::EventSourceMapping"
INVOCATIONS = "AWS::Lambda::EventInvokeConfig"
SCHEDULES = "AWS::Scheduler::Schedule"


def problems(stack: Template) -> list[str]:
    """Return the asynchronous edges that could retry without end or lose an event."""
    found = []
    for name, reader in of_type(stack, READERS).items():
        if reader.get("FunctionResponseTypes") != ["ReportBatchItemFailures"]:
            found.append(f"{name} retries whole batches")
        source = target_of(reader["EventSourceArn"])
        if type_of(stack, source) == QUEUES:
            found += queue_problems(source, function_of(reader["FunctionName"]), stack)
        else:
            found += stream_problems(name, reader, stack)
    for name, invocation in of_type(stack, INVOCATIONS).items():
        found += limit_problems(
            name, invocation, max_attempts=2, age="MaximumEventAgeInSeconds", max_age=DAY // 4
        )
        found += destination_problems(name, invocation, stack)
    for name, schedule in of_type(stack, SCHEDULES).items():
        found += schedule_problems(name, schedule, stack)
    found += [
        f"{function} is invoked asynchronously with Lambda's default settings"
        for function in invoked_asynchronously(stack) - configured(stack)
    ]
    return found


def queue_problems(name: str, function: str, stack: Template) -> list[str]:
    """Return the problems of a queue that invokes a function.

    AWS recommends a dead-letter queue and a visibility timeout of six times the function's timeout.
    """
    found = []
    queue = of_type(stack, QUEUES)[name]
    visible_after = queue.get("VisibilityTimeout", 30)
    kept = queue.get("MessageRetentionPeriod", 4 * DAY)
    if visible_after < 6 * of_type(stack, "AWS::Lambda::Function")[function]["Timeout"]:
        found.append(f"{name} redelivers messages that {function} may still be processing")
    redrive = queue.get("RedrivePolicy", {})
    receives = redrive.get("maxReceiveCount", 0)
    if not 1 < receives <= 1000:
        found.append(f"{name} is received {receives} times")
    elif receives * visible_after >= kept:
        found.append(f"{name} expires a message before its last receive")
    target = redrive.get("deadLetterTargetArn")
    return found + retention_problems(f"{name}'s dead-letter queue", target, stack)


def stream_problems(name: str, reader: Properties, stack: Template) -> list[str]:
    found = limit_problems(
        name, reader, max_attempts=100, age="MaximumRecordAgeInSeconds", max_age=DAY
    )
    if reader.get("BisectBatchOnFunctionError") is not True:
        found.append(f"{name} drops a whole batch because of one record")
    return found + destination_problems(name, reader, stack)


def schedule_problems(name: str, schedule: Properties, stack: Template) -> list[str]:
    target = schedule["Target"]
    found = limit_problems(
        name,
        target.get("RetryPolicy", {}),
        max_attempts=10,
        age="MaximumEventAgeInSeconds",
        max_age=DAY // 4,
    )
    dead_letters = target.get("DeadLetterConfig", {}).get("Arn")
    return found + retention_problems(f"{name}'s dead-letter queue", dead_letters, stack)


def limit_problems(
    name: str, edge: Properties, *, max_attempts: int, age: str, max_age: int
) -> list[str]:
    found = []
    if not 0 <= edge.get("MaximumRetryAttempts", -1) <= max_attempts:
        found.append(f"{name} has no limit of attempts")
    if not 60 <= edge.get(age, -1) <= max_age:
        found.append(f"{name} has no limit of age")
    return found


def destination_problems(name: str, edge: Properties, stack: Template) -> list[str]:
    destination = edge.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination")
    return retention_problems(f"{name}'s failure destination", destination, stack)


def retention_problems(what: str, arn: Any, stack: Template) -> list[str]:
    match arn:
        case {"Fn::GetAtt": [str(name), "Arn"]} if name in of_type(stack, QUEUES):
            queue = of_type(stack, QUEUES)[name]
            short = queue.get("MessageRetentionPeriod") != MAX_RETENTION
            return [f"{what} keeps messages for less than 14 days"] if short else []
        case _:
            return [f"{what} does not exist"]


def invoked_asynchronously(stack: Template) -> set[str]:
    """Return the functions that a service other than API Gateway may invoke."""
    permitted = {
        function_of(permission["FunctionName"])
        for permission in of_type(stack, "AWS::Lambda::Permission").values()
        if permission["Principal"] != "apigateway.amazonaws.com"
    }
    return permitted | scheduled(stack)


def scheduled(stack: Template) -> set[str]:
    """Return the functions that a schedule invokes."""
    return {function_of(it["Target"]["Arn"]) for it in of_type(stack, SCHEDULES).values()}


def schedule_of(function: str, stack: Template) -> Properties:
    """Return the only schedule of a function."""
    schedules = of_type(stack, SCHEDULES).values()
    (found,) = (it for it in schedules if function_of(it["Target"]["Arn"]) == function)
    return found


def configured(stack: Template) -> set[str]:
    """Return the functions whose alias has settings for asynchronous invocation."""
    invocations = of_type(stack, INVOCATIONS).values()
    return {target_of(it["FunctionName"]) for it in invocations if it["Qualifier"] == "live"}


def test_every_asynchronous_edge_has_limits_and_a_failure_destination(stack: Template) -> None:
    assert problems(stack) == []


def test_the_stack_has_exactly_these_asynchronous_edges(stack: Template) -> None:
    readers = {
        (target_of(reader["EventSourceArn"]), function_of(reader["FunctionName"]))
        for reader in of_type(stack, READERS).values()
    }

    assert readers == {
        ("CallbackQueue", "StatusCallbackFunction"),
        ("MessagesTable", "NotifyFailureFunction"),
        ("MessagesTable", "PublishOutcomesFunction"),
        ("SendQueue", "SendMessageFunction"),
    }
    assert scheduled(stack) == {
        "AuditMessagesFunction",
        "NotifyFailureFunction",
        "ReconcileMessagesFunction",
        "SendMessageFunction",
    }
    assert configured(stack) == scheduled(stack)


def test_lambda_does_not_retry_a_failed_invocation(stack: Template) -> None:
    # The sender may have sent the message; the next run of a schedule repeats the others' work.
    assert {it["MaximumRetryAttempts"] for it in of_type(stack, INVOCATIONS).values()} == {0}


def test_asynchronous_invocations_of_the_sender_have_the_same_settings_without_the_alias(
    stack: Template,
) -> None:
    settings = [
        {name: value for name, value in it.items() if name != "Qualifier"}
        for it in of_type(stack, INVOCATIONS).values()
        if target_of(it["FunctionName"]) == "SendMessageFunction"
    ]

    assert len(settings) == 2
    assert settings[0] == settings[1]


def test_queues_leave_concurrency_for_callbacks_in_a_new_account(template: Template) -> None:
    # A new account may have a quota of 10 concurrent executions.
    # https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
    concurrency = template["Parameters"]["SendConcurrency"]

    limits = {
        target_of(it["EventSourceArn"]): it["ScalingConfig"]["MaximumConcurrency"]
        for it in of_type(translate(template), READERS).values()
        if "ScalingConfig" in it
    }

    assert limits == {"SendQueue": {"Ref": "SendConcurrency"}, "CallbackQueue": 2}
    assert concurrency["Default"] + limits["CallbackQueue"] <= 7
    # https://docs.aws.amazon.com/lambda/latest/api/API_ScalingConfig.html
    assert (concurrency["MinValue"], concurrency["MaxValue"]) == (2, 1000)


def test_the_callback_queue_survives_a_day_without_the_table(stack: Template) -> None:
    queue = of_type(stack, QUEUES)["CallbackQueue"]
    readers = of_type(stack, READERS).values()
    (reader,) = (it for it in readers if target_of(it["EventSourceArn"]) == "CallbackQueue")

    assert queue["VisibilityTimeout"] * queue["RedrivePolicy"]["maxReceiveCount"] >= DAY
    # A table that hangs takes half of the function's timeout for one status update.
    assert reader["BatchSize"] == 1


def test_the_sweep_runs_every_minute_for_notices_older_than_five_minutes(stack: Template) -> None:
    sweep = schedule_of("NotifyFailureFunction", stack)

    assert sweep["ScheduleExpression"] == "rate(1 minute)"
    assert json.loads(sweep["Target"]["Input"]) == {"sweep_notices_older_than_seconds": 300}


def test_the_lease_of_a_notice_ends_after_the_notifier_timed_out(stack: Template) -> None:
    seconds = of_type(stack, "AWS::Lambda::Function")["NotifyFailureFunction"]["Timeout"]

    # Otherwise two invocations could publish the same notice. One minute covers clock differences.
    assert seconds + 60 <= 300


def test_a_reconciliation_run_ends_before_the_next_one_starts(stack: Template) -> None:
    schedule = schedule_of("ReconcileMessagesFunction", stack)
    function = of_type(stack, "AWS::Lambda::Function")["ReconcileMessagesFunction"]

    assert schedule["ScheduleExpression"] == "rate(5 minutes)"
    assert function["Timeout"] < 5 * 60
    assert "ReservedConcurrentExecutions" not in function


def test_each_kind_of_failure_has_its_own_queue(stack: Template) -> None:
    resources = {**of_type(stack, READERS), **of_type(stack, INVOCATIONS)}
    ends = {
        name: target_of(it["DestinationConfig"]["OnFailure"]["Destination"])
        for name, it in resources.items()
        if "DestinationConfig" in it
    }
    for name, queue in of_type(stack, QUEUES).items():
        if "RedrivePolicy" in queue:
            ends[name] = target_of(queue["RedrivePolicy"]["deadLetterTargetArn"])
    for name, schedule in of_type(stack, SCHEDULES).items():
        ends[name] = target_of(schedule["Target"]["DeadLetterConfig"]["Arn"])

    sources: dict[str, set[str]] = defaultdict(set)
    for name, end in ends.items():
        sources[end].add(name)
    # A scheduled run that did not start and one that failed share a queue: the next run repeats
    # them. The canary does not, because its message may have been sent.
    assert {end: sorted(names) for end, names in sources.items() if len(names) > 1} == {
        "ScheduleDeadLetterQueue": [
            "AuditMessagesFunctionAudit",
            "AuditMessagesFunctionEventInvokeConfig",
            "CanarySchedule",
            "NotifyFailureFunctionEventInvokeConfig",
            "NotifyFailureFunctionSweepNotices",
            "ReconcileMessagesFunctionEventInvokeConfig",
            "ReconcileMessagesFunctionReconcile",
        ],
        "SendInvocationFailuresQueue": [
            "SendMessageFunctionEventInvokeConfig",
            "SendMessageFunctionLatestInvokeConfig",
        ],
    }


def test_every_queue_is_encrypted(stack: Template) -> None:
    for queue in of_type(stack, QUEUES).values():
        assert queue["SqsManagedSseEnabled"] is True


def test_the_stream_invokes_the_notifier_for_due_notices_only(stack: Template) -> None:
    readers = of_type(stack, READERS).values()
    (reader,) = (it for it in readers if function_of(it["FunctionName"]) == "NotifyFailureFunction")

    patterns = [json.loads(it["Pattern"]) for it in reader["FilterCriteria"]["Filters"]]

    assert patterns == [{"dynamodb": {"NewImage": {"notice": {"S": ["due", "recovery_due"]}}}}]


def test_at_most_two_consumers_read_the_stream_from_its_beginning(stack: Template) -> None:
    readers = [
        it
        for it in of_type(stack, READERS).values()
        if it["EventSourceArn"] == {"Fn::GetAtt": ["MessagesTable", "StreamArn"]}
    ]

    # Otherwise a message that failed while the consumer was created would never be published.
    assert {reader["StartingPosition"] for reader in readers} == {"TRIM_HORIZON"}
    # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html
    assert len(readers) <= 2


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("SendQueue", "MessageRetentionPeriod", 3600),
        ("SendQueue", "RedrivePolicy.maxReceiveCount", 1),
        ("SendQueue", "RedrivePolicy.deadLetterTargetArn", {"Fn::GetAtt": ["Gone", "Arn"]}),
        ("SendDeadLetterQueue", "MessageRetentionPeriod", None),
        ("NotifyFailureFunction", "Events.SweepNotices.Properties.DeadLetterConfig", None),
        ("NotifyFailureFunction", "Events.NoticeDue.Properties.FunctionResponseTypes", None),
        ("NotifyFailureFunction", "Events.NoticeDue.Properties.MaximumRetryAttempts", -1),
        (
            "QueryMessagesFunction",
            "Events.Tick",
            {"Type": "Schedule", "Properties": {"Schedule": "rate(1 hour)"}},
        ),
    ],
)
def test_an_edge_without_a_limit_or_a_failure_destination_is_reported(
    template: Template, name: str, path: str, value: Any
) -> None:
    changed = deepcopy(template)
    *parents, last = path.split(".")
    place = changed["Resources"][name]["Properties"]
    for parent in parents:
        place = place[parent]
    if value is None:
        del place[last]
    else:
        place[last] = value

    assert problems(translate(changed)) != []
