"""Where nobody waits for an answer: nothing is tried for ever, and nothing gets lost."""

import json
from copy import deepcopy
from typing import Any

import pytest

from tests.cloudformation import Template
from tests.template.deployment import Properties, of_type, target_of, translate, type_of

DAY = 24 * 60 * 60
FORTNIGHT = 14 * DAY  # the longest that SQS keeps a message

QUEUES = "AWS::SQS::Queue"
READERS = "AWS::Lambda::EventSourceMapping"
INVOCATIONS = "AWS::Lambda::EventInvokeConfig"
SCHEDULES = "AWS::Scheduler::Schedule"


def problems(stack: Template) -> list[str]:
    """What could be tried for ever, or be lost, at any asynchronous edge of the stack."""
    found = []
    for name, reader in of_type(stack, READERS).items():
        if reader.get("FunctionResponseTypes") != ["ReportBatchItemFailures"]:
            found.append(f"{name} repeats whole batches")
        source = target_of(reader["EventSourceArn"])
        if type_of(stack, source) == QUEUES:
            found += queue_problems(source, target_of(reader["FunctionName"]), stack)
        else:
            found += stream_problems(name, reader, stack)
    for name, invocation in of_type(stack, INVOCATIONS).items():
        found += limit_problems(
            name, invocation, most_attempts=2, age="MaximumEventAgeInSeconds", longest=DAY // 4
        )
        found += destination_problems(name, invocation, stack)
    for name, schedule in of_type(stack, SCHEDULES).items():
        found += schedule_problems(name, schedule, stack)
    found += [
        f"{function} is invoked asynchronously by Lambda's defaults"
        for function in invoked_by_others(stack) - configured(stack)
    ]
    return found


def queue_problems(name: str, function: str, stack: Template) -> list[str]:
    """AWS advises six times the function's time-out, and a queue for what never succeeds."""
    found = []
    queue = of_type(stack, QUEUES)[name]
    visible_after = queue.get("VisibilityTimeout", 30)
    kept = queue.get("MessageRetentionPeriod", 4 * DAY)
    if visible_after < 6 * of_type(stack, "AWS::Lambda::Function")[function]["Timeout"]:
        found.append(f"{name} hands out what {function} may still be working on")
    redrive = queue.get("RedrivePolicy", {})
    receives = redrive.get("maxReceiveCount", 0)
    if not 1 < receives <= 1000:
        found.append(f"{name} is received {receives} times")
    elif receives * visible_after >= kept:
        found.append(f"{name} forgets a message before its last try")
    target = redrive.get("deadLetterTargetArn")
    return found + keeps_problems(f"{name}'s dead-letter queue", target, stack)


def stream_problems(name: str, reader: Properties, stack: Template) -> list[str]:
    found = limit_problems(
        name, reader, most_attempts=100, age="MaximumRecordAgeInSeconds", longest=DAY
    )
    if reader.get("BisectBatchOnFunctionError") is not True:
        found.append(f"{name} gives up a whole batch for one record")
    return found + destination_problems(name, reader, stack)


def schedule_problems(name: str, schedule: Properties, stack: Template) -> list[str]:
    target = schedule["Target"]
    found = limit_problems(
        name,
        target.get("RetryPolicy", {}),
        most_attempts=10,
        age="MaximumEventAgeInSeconds",
        longest=DAY // 4,
    )
    lost = target.get("DeadLetterConfig", {}).get("Arn")
    return found + keeps_problems(f"{name}'s dead-letter queue", lost, stack)


def limit_problems(
    name: str, edge: Properties, *, most_attempts: int, age: str, longest: int
) -> list[str]:
    found = []
    if not 0 <= edge.get("MaximumRetryAttempts", -1) <= most_attempts:
        found.append(f"{name} has no limit of attempts")
    if not 60 <= edge.get(age, -1) <= longest:
        found.append(f"{name} has no limit of age")
    return found


def destination_problems(name: str, edge: Properties, stack: Template) -> list[str]:
    destination = edge.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination")
    return keeps_problems(f"{name}'s failure destination", destination, stack)


def keeps_problems(what: str, arn: Any, stack: Template) -> list[str]:
    match arn:
        case {"Fn::GetAtt": [str(name), "Arn"]} if name in of_type(stack, QUEUES):
            queue = of_type(stack, QUEUES)[name]
            short = queue.get("MessageRetentionPeriod") != FORTNIGHT
            return [f"{what} does not keep for 14 days"] if short else []
        case _:
            return [f"{what} does not exist"]


def invoked_by_others(stack: Template) -> set[str]:
    """The functions that AWS invokes without waiting: everybody but API Gateway does so."""
    permitted = {
        target_of(permission["FunctionName"])
        for permission in of_type(stack, "AWS::Lambda::Permission").values()
        if permission["Principal"] != "apigateway.amazonaws.com"
    }
    return permitted | scheduled(stack)


def scheduled(stack: Template) -> set[str]:
    return {target_of(it["Target"]["Arn"]) for it in of_type(stack, SCHEDULES).values()}


def configured(stack: Template) -> set[str]:
    return {target_of(it["FunctionName"]) for it in of_type(stack, INVOCATIONS).values()}


def test_every_asynchronous_edge_is_bounded_and_loses_nothing(stack: Template) -> None:
    assert problems(stack) == []


def test_the_asynchronous_edges_are_the_designs(stack: Template) -> None:
    readers = {
        (target_of(reader["EventSourceArn"]), target_of(reader["FunctionName"]))
        for reader in of_type(stack, READERS).values()
    }

    assert readers == {
        ("CallbackQueue", "StatusCallbackFunction"),
        ("MessagesTable", "NotifyFailureFunction"),
        ("MessagesTable", "PublishOutcomesFunction"),
        ("SendQueue", "SendMessageFunction"),
    }
    assert scheduled(stack) == {
        "NotifyFailureFunction",
        "ReconcileMessagesFunction",
        "SendMessageFunction",
    }
    assert configured(stack) == scheduled(stack)


@pytest.mark.parametrize(
    "function", ["SendMessageFunction", "NotifyFailureFunction", "ReconcileMessagesFunction"]
)
def test_an_invocation_is_not_tried_again_that_may_have_sent_or_comes_again_anyway(
    function: str, stack: Template
) -> None:
    (invocation,) = (
        it
        for it in of_type(stack, INVOCATIONS).values()
        if target_of(it["FunctionName"]) == function
    )

    assert invocation["MaximumRetryAttempts"] == 0


def test_a_days_outage_of_the_table_loses_no_status(stack: Template) -> None:
    queue = of_type(stack, QUEUES)["CallbackQueue"]
    (reader,) = (
        it
        for it in of_type(stack, READERS).values()
        if target_of(it["EventSourceArn"]) == "CallbackQueue"
    )

    assert queue["VisibilityTimeout"] * queue["RedrivePolicy"]["maxReceiveCount"] >= DAY
    # Half of the function's time goes by while the table hangs for one status.
    assert reader["BatchSize"] == 1


def test_notices_are_swept_every_minute_when_they_are_five_minutes_old(stack: Template) -> None:
    (sweep,) = (
        it
        for it in of_type(stack, SCHEDULES).values()
        if target_of(it["Target"]["Arn"]) == "NotifyFailureFunction"
    )

    assert sweep["ScheduleExpression"] == "rate(1 minute)"
    assert json.loads(sweep["Target"]["Input"]) == {"sweep_notices_older_than_seconds": 300}


def test_whoever_claimed_a_notice_is_dead_when_it_is_swept(stack: Template) -> None:
    seconds = of_type(stack, "AWS::Lambda::Function")["NotifyFailureFunction"]["Timeout"]

    # Or two would tell it at once; a minute is for clocks that differ.
    assert seconds + 60 <= 300


def test_reconciling_is_over_before_it_starts_again(stack: Template) -> None:
    (schedule,) = (
        it
        for it in of_type(stack, SCHEDULES).values()
        if target_of(it["Target"]["Arn"]) == "ReconcileMessagesFunction"
    )
    function = of_type(stack, "AWS::Lambda::Function")["ReconcileMessagesFunction"]

    assert schedule["ScheduleExpression"] == "rate(5 minutes)"
    assert function["Timeout"] < 5 * 60
    assert "ReservedConcurrentExecutions" not in function


def test_what_failed_in_different_ways_is_kept_apart(stack: Template) -> None:
    edges = of_type(stack, READERS).values()
    invocations = of_type(stack, INVOCATIONS).values()
    queues = of_type(stack, QUEUES).values()

    destinations = [
        target_of(edge["DestinationConfig"]["OnFailure"]["Destination"])
        for edge in edges
        if "DestinationConfig" in edge
    ]
    dead_letters = [
        target_of(queue["RedrivePolicy"]["deadLetterTargetArn"])
        for queue in queues
        if "RedrivePolicy" in queue
    ]

    failed_invocations = {
        target_of(it["FunctionName"]): target_of(
            it["DestinationConfig"]["OnFailure"]["Destination"]
        )
        for it in invocations
    }
    missed_runs = {
        target_of(it["Target"]["DeadLetterConfig"]["Arn"])
        for it in of_type(stack, SCHEDULES).values()
    }

    # A run that did not start and one that failed are the same to whoever looks: the next does it.
    # But for the canary, which may have been sent.
    repeated = scheduled(stack) - {"SendMessageFunction"}
    assert missed_runs == {failed_invocations[function] for function in repeated}
    assert len(missed_runs) == 1
    ends = [*destinations, *dead_letters, failed_invocations["SendMessageFunction"], *missed_runs]
    assert len(ends) == len(set(ends))
    assert set(failed_invocations.values()) <= set(ends)


def test_every_queue_is_encrypted(stack: Template) -> None:
    for queue in of_type(stack, QUEUES).values():
        assert queue["SqsManagedSseEnabled"] is True


def test_the_stream_shows_the_notifier_only_what_is_to_be_told(stack: Template) -> None:
    (reader,) = (
        it
        for it in of_type(stack, READERS).values()
        if target_of(it["FunctionName"]) == "NotifyFailureFunction"
    )

    patterns = [json.loads(it["Pattern"]) for it in reader["FilterCriteria"]["Filters"]]

    assert patterns == [{"dynamodb": {"NewImage": {"notice": {"S": ["due", "recovery_due"]}}}}]


def test_the_stream_is_read_from_its_beginning_by_as_many_as_it_serves(stack: Template) -> None:
    readers = [
        it
        for it in of_type(stack, READERS).values()
        if it["EventSourceArn"] == {"Fn::GetAtt": ["MessagesTable", "StreamArn"]}
    ]

    # A message that failed while the reader was being made would never be told of otherwise.
    assert {reader["StartingPosition"] for reader in readers} == {"TRIM_HORIZON"}
    # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html
    assert len(readers) <= 2


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("SendQueue", "VisibilityTimeout", 60),
        ("SendQueue", "MessageRetentionPeriod", 3600),
        ("SendQueue", "RedrivePolicy", None),
        ("SendQueue", "RedrivePolicy.maxReceiveCount", 1),
        ("SendQueue", "RedrivePolicy.maxReceiveCount", 1001),
        ("SendQueue", "RedrivePolicy.deadLetterTargetArn", {"Fn::GetAtt": ["Gone", "Arn"]}),
        ("CallbackQueue", "VisibilityTimeout", 30),
        ("CallbackQueue", "RedrivePolicy", None),
        ("SendDeadLetterQueue", "MessageRetentionPeriod", None),
        ("NotifyFailureFunction", "EventInvokeConfig", None),
        ("NotifyFailureFunction", "Events.SweepNotices.Properties.RetryPolicy", None),
        ("NotifyFailureFunction", "Events.SweepNotices.Properties.DeadLetterConfig", None),
        ("SendMessageFunction", "EventInvokeConfig.MaximumRetryAttempts", None),
        ("SendMessageFunction", "EventInvokeConfig.MaximumEventAgeInSeconds", None),
        ("SendMessageFunction", "EventInvokeConfig.DestinationConfig", None),
        ("NotifyFailureFunction", "Events.NoticeDue.Properties.FunctionResponseTypes", None),
        ("NotifyFailureFunction", "Events.NoticeDue.Properties.BisectBatchOnFunctionError", None),
        ("NotifyFailureFunction", "Events.NoticeDue.Properties.MaximumRetryAttempts", None),
        ("NotifyFailureFunction", "Events.NoticeDue.Properties.MaximumRetryAttempts", -1),
        ("NotifyFailureFunction", "Events.NoticeDue.Properties.MaximumRecordAgeInSeconds", None),
        ("NotifyFailureFunction", "Events.NoticeDue.Properties.MaximumRecordAgeInSeconds", -1),
        ("NotifyFailureFunction", "Events.NoticeDue.Properties.DestinationConfig", None),
        (
            "QueryMessagesFunction",
            "Events.Tick",
            {"Type": "Schedule", "Properties": {"Schedule": "rate(1 hour)"}},
        ),
    ],
)
def test_an_edge_that_could_lose_something_is_found(
    template: Template, name: str, path: str, value: Any
) -> None:
    careless = deepcopy(template)
    *parents, last = path.split(".")
    place = careless["Resources"][name]["Properties"]
    for parent in parents:
        place = place[parent]
    if value is None:
        del place[last]
    else:
        place[last] = value

    assert problems(translate(careless)) != []
