"""Runs the stack's schedules at an interval of seconds; the emulator's shortest is a minute."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Self

from botocore.exceptions import BotoCoreError, ClientError

from sandbox.aws.time_scale import SCHEDULE_INTERVAL_SECONDS, scale_event

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_scheduler import EventBridgeSchedulerClient

_MAX_REASON_LENGTH: Final = 200

# EventBridge Scheduler puts the time of the run in its place:
# https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
_SCHEDULED_TIME: Final = "<aws.scheduler.scheduled-time>"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledRun:
    """A scheduled invocation: the schedule's name, the ARN of its target, and its input."""

    schedule: str
    target_arn: str
    input: str = "{}"


def read_scheduled_runs(
    client: "EventBridgeSchedulerClient", schedules: Iterable[str]
) -> list[ScheduledRun]:
    """Read what the deployed schedules invoke; those that are disabled invoke nothing.

    Args:
        client: the client of EventBridge Scheduler.
        schedules: the names of the schedules.
    """
    deployed = [client.get_schedule(Name=name) for name in schedules]
    return [
        ScheduledRun(
            schedule=schedule["Name"],
            target_arn=schedule["Target"]["Arn"],
            input=schedule["Target"].get("Input", "{}"),
        )
        for schedule in deployed
        if schedule["State"] == "ENABLED"
    ]


class Schedule:
    """Invokes the scheduled functions one after the other while the context lasts.

    If an error leaves the context, it does not wait for the current run, which ends with the
    emulator.

    Args:
        functions: the client of Lambda.
        runs: the invocations of each round.
        on_failure: called with each kind of failure when it first occurs, in the schedule's thread.
        interval_seconds: the pause between two rounds.
    """

    def __init__(
        self,
        functions: "LambdaClient",
        runs: Sequence[ScheduledRun],
        *,
        on_failure: Callable[[str], None],
        interval_seconds: float = SCHEDULE_INTERVAL_SECONDS,
    ) -> None:
        self._functions = functions
        self._runs = runs
        self._on_failure = on_failure
        self._interval_seconds = interval_seconds
        self._rounds = 0
        self._failures: Counter[str] = Counter()
        self._stopping = threading.Event()
        self._cancelled = False
        self._thread = threading.Thread(target=self._run_until_stopped, name="schedule")

    @property
    def rounds(self) -> int:
        """How often all scheduled functions have been invoked."""
        return self._rounds

    @property
    def failures(self) -> "Mapping[str, int]":
        """The number of failed invocations, by schedule and reason."""
        return dict(self._failures)

    @property
    def summary(self) -> str:
        """The failures, one line for each kind; empty without failures."""
        return "\n".join(
            f"Scheduled runs failed, {count} of {self._rounds}: {failure}"
            for failure, count in self._failures.items()
        )

    def run_once(self) -> None:
        """Invoke each of the functions and wait for their responses."""
        for run in self._runs:
            reason = self._invoke(run)
            if reason and not self._cancelled:
                failure = f"{run.schedule}: {reason[:_MAX_REASON_LENGTH]}"
                self._failures[failure] += 1
                if self._failures[failure] == 1:
                    self._on_failure(failure)
        self._rounds += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        self._cancelled = error is not None
        self._stopping.set()
        if not self._cancelled:
            self._thread.join()

    def _run_until_stopped(self) -> None:
        while not self._stopping.wait(self._interval_seconds):
            self.run_once()

    def _invoke(self, run: ScheduledRun) -> str:
        """Invoke a function, and return the reason of its failure, or an empty string."""
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        event = scale_event(json.loads(run.input.replace(_SCHEDULED_TIME, now)))
        try:
            response = self._functions.invoke(
                FunctionName=run.target_arn, Payload=json.dumps(event)
            )
        except (BotoCoreError, ClientError) as error:
            return f"{type(error).__name__}: {error}"
        if response.get("FunctionError"):
            return response["Payload"].read().decode(errors="replace")
        return ""
