"""The sandbox's stand-in for the scheduler: finds what is scheduled, and hides no failure."""

import io
import json
import threading
from collections.abc import Sequence
from typing import Any, cast

import pytest
from botocore.exceptions import EndpointConnectionError

from sandbox.aws.schedule import Schedule, ScheduledRun, scheduled_runs
from sandbox.aws.time_scale import NOTICE_ABANDONED_AFTER, PARAMETERS
from sandbox.errors import SandboxError
from sandbox.polling import wait_for
from tests.cloudformation import load_template

type Json = Any


def a_schedule(function: str = "ReconcileFunction", **target: Json) -> Json:
    arn = {"Fn::GetAtt": [function, "Arn"]}
    return {"Type": "AWS::Scheduler::Schedule", "Properties": {"Target": {"Arn": arn, **target}}}


class Functions:
    """Lambda: answers with what it is told to, or raises it."""

    def __init__(self, *answers: Json) -> None:
        self.asked: list[tuple[str, Json]] = []
        self._answers = list(answers)

    def invoke(self, *, FunctionName: str, Payload: str) -> Json:  # noqa: N803 -- boto3's names
        self.asked.append((FunctionName, json.loads(Payload)))
        answer = self._answers.pop(0) if self._answers else {}
        if isinstance(answer, Exception):
            raise answer
        return answer


def a_running(functions: Functions, *runs: ScheduledRun, told: list[str]) -> Schedule:
    names = {"ReconcileFunction": "delivery-Reconcile-1", "NotifyFunction": "delivery-Notify-1"}
    return Schedule(
        cast("Any", functions), runs, names=names, failed=told.append, every_seconds=0.02
    )


def a_run(function: str = "ReconcileFunction", **event: Json) -> ScheduledRun:
    return ScheduledRun(function=function, event=event)


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, []),
        ({"Table": {"Type": "AWS::DynamoDB::Table"}}, []),
        ({"Every": a_schedule()}, [a_run()]),
        (
            {"Every": a_schedule(), "Sweep": a_schedule("NotifyFunction", Input='{"older": 300}')},
            [a_run(), a_run("NotifyFunction", older=300)],
        ),
    ],
    ids=["nothing", "no schedule", "one without input", "two"],
)
def test_every_schedule_of_the_deployed_template_is_found(
    resources: Json, expected: Sequence[ScheduledRun]
) -> None:
    assert scheduled_runs({"Resources": resources}, resources) == expected


def test_a_schedule_whose_condition_does_not_hold_is_not_run() -> None:
    resources = {"Every": a_schedule(), "Canary": a_schedule("SendFunction")}

    assert scheduled_runs({"Resources": resources}, {"Every"}) == [a_run()]


def test_a_schedule_of_something_else_is_named() -> None:
    elsewhere = a_schedule(Arn="arn:aws:sqs:us-east-1:1:queue")

    with pytest.raises(SandboxError, match="Elsewhere"):
        scheduled_runs({"Resources": {"Elsewhere": elsewhere}}, {"Elsewhere"})


def test_minutes_of_an_event_become_seconds() -> None:
    functions = Functions()
    sweep = a_run("NotifyFunction", sweep_notices_older_than_seconds=300, other="kept")

    a_running(functions, sweep, told=[]).run_once()

    event = {"sweep_notices_older_than_seconds": NOTICE_ABANDONED_AFTER, "other": "kept"}
    assert functions.asked == [("delivery-Notify-1", event)]


def test_while_it_is_entered_everything_scheduled_runs_again_and_again() -> None:
    functions = Functions()

    with a_running(functions, a_run(), told=[]) as schedule:
        wait_for(lambda: schedule.rounds > 1, within=10, what="The second round")

    assert [name for name, _ in functions.asked][:2] == ["delivery-Reconcile-1"] * 2
    assert (schedule.failures, schedule.summary) == ({}, "")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            {"FunctionError": "Unhandled", "Payload": io.BytesIO(b'{"errorType": "KeyError"}')},
            "KeyError",
        ),
        (EndpointConnectionError(endpoint_url="http://127.0.0.1:1"), "EndpointConnectionError"),
    ],
    ids=["the function fails", "nobody answers"],
)
def test_a_failure_is_told_counted_and_does_not_stop_the_others(answer: Json, reason: str) -> None:
    told: list[str] = []
    functions = Functions(answer)
    schedule = a_running(functions, a_run(), a_run("NotifyFunction"), told=told)

    schedule.run_once()

    assert [name for name, _ in functions.asked] == ["delivery-Reconcile-1", "delivery-Notify-1"]
    assert list(schedule.failures.values()) == [1]
    assert all(reason in text for text in (*told, schedule.summary))


def test_a_failure_that_repeats_is_told_once_and_counted() -> None:
    told: list[str] = []
    error = EndpointConnectionError(endpoint_url="http://127.0.0.1:1")
    schedule = a_running(Functions(error, error, error), a_run(), told=told)

    for _ in range(4):
        schedule.run_once()

    assert len(told) == 1
    assert "3 of 4" in schedule.summary


def test_a_run_that_is_under_way_when_a_person_stops_it_is_neither_waited_for_nor_told() -> None:
    told: list[str] = []
    begun, emulator_ended = threading.Event(), threading.Event()

    class Slow(Functions):
        def invoke(self, *, FunctionName: str, Payload: str) -> Json:  # noqa: N803 -- boto3's names
            begun.set()
            emulator_ended.wait(5)
            return super().invoke(FunctionName=FunctionName, Payload=Payload)

    gone = EndpointConnectionError(endpoint_url="http://127.0.0.1:1")
    schedule = a_running(Slow(gone), a_run(), told=told)

    def run_and_be_interrupted() -> None:
        with schedule:
            begun.wait(10)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_and_be_interrupted()

    emulator_ended.set()
    wait_for(lambda: schedule.rounds == 1, within=10, what="The end of the run")
    assert (told, schedule.summary) == ([], "")


@pytest.mark.parametrize("name", PARAMETERS)
def test_what_is_set_to_seconds_is_a_parameter_of_the_stack(name: str) -> None:
    parameter = load_template()["Parameters"][name]

    assert parameter["Type"] == "Number"
    assert 0 < float(PARAMETERS[name]) < float(parameter["Default"])
