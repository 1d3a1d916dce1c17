"""The stand-in for EventBridge Scheduler: finding the schedules, running them, failures."""

import io
import json
import threading
from collections.abc import Sequence
from typing import Any, cast

import pytest
from botocore.exceptions import EndpointConnectionError

from sandbox.aws.schedule import Schedule, ScheduledRun, find_scheduled_runs
from sandbox.aws.time_scale import NOTICE_CLAIM_SECONDS, PARAMETERS
from sandbox.errors import SandboxError
from sandbox.polling import wait_for
from tests.support.cloudformation import load_template

type Json = Any


def a_schedule(alias: str = "ReconcileAlias", **target: Json) -> Json:
    arn = {"Ref": alias}
    return {"Type": "AWS::Scheduler::Schedule", "Properties": {"Target": {"Arn": arn, **target}}}


class Functions:
    """Stands in for Lambda: returns the given responses, or raises them."""

    def __init__(self, *responses: Json) -> None:
        self.invocations: list[tuple[str, Json]] = []
        self._answers = list(responses)

    def invoke(self, *, FunctionName: str, Payload: str) -> Json:  # noqa: N803 -- boto3's names
        self.invocations.append((FunctionName, json.loads(Payload)))
        response = self._answers.pop(0) if self._answers else {}
        if isinstance(response, Exception):
            raise response
        return response


def a_running(functions: Functions, *runs: ScheduledRun, reported: list[str]) -> Schedule:
    arns = {"ReconcileAlias": "delivery-Reconcile-1:live", "NotifyAlias": "delivery-Notify-1:live"}
    return Schedule(
        cast("Any", functions), runs, arns=arns, on_failure=reported.append, interval_seconds=0.02
    )


def a_run(alias: str = "ReconcileAlias", **event: Json) -> ScheduledRun:
    return ScheduledRun(alias=alias, event=event)


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, []),
        ({"Table": {"Type": "AWS::DynamoDB::Table"}}, []),
        ({"Every": a_schedule()}, [a_run()]),
        (
            {"Every": a_schedule(), "Sweep": a_schedule("NotifyAlias", Input='{"older": 300}')},
            [a_run(), a_run("NotifyAlias", older=300)],
        ),
    ],
    ids=["nothing", "no schedule", "one without input", "two"],
)
def test_every_schedule_of_the_template_is_found(
    resources: Json, expected: Sequence[ScheduledRun]
) -> None:
    assert find_scheduled_runs({"Resources": resources}, resources) == expected


def test_a_schedule_that_was_not_deployed_is_not_run() -> None:
    resources = {"Every": a_schedule(), "Canary": a_schedule("SendAlias")}

    assert find_scheduled_runs({"Resources": resources}, {"Every"}) == [a_run()]


def test_a_schedule_without_an_alias_is_an_error_that_names_the_schedule() -> None:
    elsewhere = a_schedule(Arn="arn:aws:sqs:us-east-1:1:queue")

    with pytest.raises(SandboxError, match="Elsewhere"):
        find_scheduled_runs({"Resources": {"Elsewhere": elsewhere}}, {"Elsewhere"})


def test_times_in_an_event_are_scaled_to_seconds() -> None:
    functions = Functions()
    sweep = a_run("NotifyAlias", sweep_notices_older_than_seconds=300, other="kept")

    a_running(functions, sweep, reported=[]).run_once()

    event = {"sweep_notices_older_than_seconds": NOTICE_CLAIM_SECONDS, "other": "kept"}
    assert functions.invocations == [("delivery-Notify-1:live", event)]


def test_the_scheduled_functions_run_repeatedly_while_the_context_lasts() -> None:
    functions = Functions()

    with a_running(functions, a_run(), reported=[]) as schedule:
        wait_for(lambda: schedule.rounds > 1, timeout=10, what="The second round")

    assert [name for name, _ in functions.invocations][:2] == ["delivery-Reconcile-1:live"] * 2
    assert (schedule.failures, schedule.summary) == ({}, "")


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (
            {"FunctionError": "Unhandled", "Payload": io.BytesIO(b'{"errorType": "KeyError"}')},
            "KeyError",
        ),
        (EndpointConnectionError(endpoint_url="http://127.0.0.1:1"), "EndpointConnectionError"),
    ],
    ids=["the function fails", "no response"],
)
def test_a_failure_is_reported_and_the_other_functions_still_run(
    response: Json, reason: str
) -> None:
    reported: list[str] = []
    functions = Functions(response)
    schedule = a_running(functions, a_run(), a_run("NotifyAlias"), reported=reported)

    schedule.run_once()

    assert [name for name, _ in functions.invocations] == [
        "delivery-Reconcile-1:live",
        "delivery-Notify-1:live",
    ]
    assert list(schedule.failures.values()) == [1]
    assert all(reason in text for text in (*reported, schedule.summary))


def test_a_repeated_failure_is_reported_once_and_counted() -> None:
    reported: list[str] = []
    error = EndpointConnectionError(endpoint_url="http://127.0.0.1:1")
    schedule = a_running(Functions(error, error, error), a_run(), reported=reported)

    for _ in range(4):
        schedule.run_once()

    assert len(reported) == 1
    assert "3 of 4" in schedule.summary


def test_an_interrupt_neither_waits_for_the_current_run_nor_reports_its_failure() -> None:
    reported: list[str] = []
    begun, emulator_ended = threading.Event(), threading.Event()

    class Slow(Functions):
        def invoke(self, *, FunctionName: str, Payload: str) -> Json:  # noqa: N803 -- boto3's names
            begun.set()
            emulator_ended.wait(5)
            return super().invoke(FunctionName=FunctionName, Payload=Payload)

    gone = EndpointConnectionError(endpoint_url="http://127.0.0.1:1")
    schedule = a_running(Slow(gone), a_run(), reported=reported)

    def run_and_be_interrupted() -> None:
        with schedule:
            begun.wait(10)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_and_be_interrupted()

    emulator_ended.set()
    wait_for(lambda: schedule.rounds == 1, timeout=10, what="The end of the run")
    assert (reported, schedule.summary) == ([], "")


@pytest.mark.parametrize("name", PARAMETERS)
def test_every_scaled_parameter_exists_and_is_shorter_than_its_default(name: str) -> None:
    parameter = load_template()["Parameters"][name]

    assert parameter["Type"] == "Number"
    assert 0 < float(PARAMETERS[name]) < float(parameter["Default"])
