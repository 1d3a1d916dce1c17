"""The stand-in for EventBridge Scheduler: finding the schedules, running them, failures."""

import io
import json
import threading
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from botocore.exceptions import EndpointConnectionError

from sandbox.aws.schedule import Schedule, ScheduledRun, read_scheduled_runs
from sandbox.aws.time_scale import NOTICE_CLAIM_SECONDS, PARAMETERS
from sandbox.polling import wait_for
from tests.support.cloudformation import load_template

type Json = Any


class Schedules:
    """Stands in for EventBridge Scheduler."""

    def __init__(self, *deployed: Json) -> None:
        self._deployed = {schedule["Name"]: schedule for schedule in deployed}

    def get_schedule(self, *, Name: str) -> Json:  # noqa: N803 -- boto3's names
        return self._deployed[Name]


def a_schedule(name: str = "Reconcile", *, state: str = "ENABLED", **target: Json) -> Json:
    return {"Name": name, "State": state, "Target": {"Arn": f"{name}:live", **target}}


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
    return Schedule(cast("Any", functions), runs, on_failure=reported.append, interval_seconds=0.02)


def a_run(schedule: str = "Reconcile", **event: Json) -> ScheduledRun:
    return ScheduledRun(schedule=schedule, target_arn=f"{schedule}:live", input=json.dumps(event))


def test_a_deployed_schedule_is_run_with_its_input_and_a_disabled_one_is_not() -> None:
    schedules = Schedules(
        a_schedule(),
        a_schedule("Sweep", Input='{"older": 300}'),
        a_schedule("Audit", state="DISABLED"),
    )

    runs = read_scheduled_runs(cast("Any", schedules), ["Reconcile", "Sweep", "Audit"])

    assert runs == [a_run(), a_run("Sweep", older=300)]


def test_an_event_has_the_time_of_the_run_and_times_scaled_to_seconds() -> None:
    functions = Functions()
    canary = a_run("Canary", key="canary <aws.scheduler.scheduled-time>")
    sweep = a_run("Notify", sweep_notices_older_than_seconds=300, other="kept")

    a_running(functions, canary, sweep, reported=[]).run_once()

    (_, event), swept = functions.invocations
    scaled = {"sweep_notices_older_than_seconds": NOTICE_CLAIM_SECONDS, "other": "kept"}
    assert swept == ("Notify:live", scaled)
    at = datetime.fromisoformat(event["key"].removeprefix("canary "))
    assert abs(datetime.now(UTC) - at) < timedelta(minutes=1)


def test_the_scheduled_functions_run_repeatedly_while_the_context_lasts() -> None:
    functions = Functions()

    with a_running(functions, a_run(), reported=[]) as schedule:
        wait_for(lambda: schedule.rounds > 1, timeout=10, what="The second round")

    assert [name for name, _ in functions.invocations][:2] == ["Reconcile:live"] * 2
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
    schedule = a_running(functions, a_run(), a_run("Notify"), reported=reported)

    schedule.run_once()

    assert [name for name, _ in functions.invocations] == ["Reconcile:live", "Notify:live"]
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
