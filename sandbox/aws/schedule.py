"""Runs the stack's schedules at an interval of seconds; the emulator's shortest is a minute."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from botocore.exceptions import BotoCoreError, ClientError

from sandbox.aws.time_scale import SCHEDULE_INTERVAL_SECONDS, scale_event
from sandbox.errors import SandboxError

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

_MAX_REASON_LENGTH: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledRun:
    """A scheduled invocation of a function's alias, by its logical id, with an event."""

    alias: str
    event: Mapping[str, Any]


def find_scheduled_runs(
    template: Mapping[str, Any], deployed: Container[str]
) -> list[ScheduledRun]:
    """Find the runs of all schedules in a template that SAM has transformed.

    Args:
        template: the template.
        deployed: logical ids of deployed resources; those with a false condition are not.

    Raises:
        SandboxError: a schedule's target is not an alias of the template.
    """
    return [
        _scheduled_run(logical_id, resource["Properties"]["Target"])
        for logical_id, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Scheduler::Schedule" and logical_id in deployed
    ]


class Schedule:
    """Invokes the scheduled functions one after the other while the context lasts.

    If an error leaves the context, it does not wait for the current run, which ends with the
    emulator.

    Args:
        functions: the client of Lambda.
        runs: the invocations of each round.
        arns: the ARNs of the aliases by logical id.
        on_failure: called with each kind of failure when it first occurs, in the schedule's thread.
        interval_seconds: the pause between two rounds.
    """

    def __init__(
        self,
        functions: "LambdaClient",
        runs: Sequence[ScheduledRun],
        *,
        arns: Mapping[str, str],
        on_failure: Callable[[str], None],
        interval_seconds: float = SCHEDULE_INTERVAL_SECONDS,
    ) -> None:
        self._functions = functions
        self._runs = runs
        self._arns = arns
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
    def failures(self) -> Mapping[str, int]:
        """The number of failed invocations, by alias and reason."""
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
                failure = f"{run.alias}: {reason[:_MAX_REASON_LENGTH]}"
                self._failures[failure] += 1
                if self._failures[failure] == 1:
                    self._on_failure(failure)
        self._rounds += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._cancelled = error is not None
        self._stopping.set()
        if not self._cancelled:
            self._thread.join()

    def _run_until_stopped(self) -> None:
        while not self._stopping.wait(self._interval_seconds):
            self.run_once()

    def _invoke(self, run: ScheduledRun) -> str:
        """Invoke a function, and return the reason of its failure, or an empty string."""
        try:
            response = self._functions.invoke(
                FunctionName=self._arns[run.alias], Payload=json.dumps(scale_event(run.event))
            )
        except (BotoCoreError, ClientError) as error:
            return f"{type(error).__name__}: {error}"
        if response.get("FunctionError"):
            return response["Payload"].read().decode(errors="replace")
        return ""


def _scheduled_run(logical_id: str, target: Mapping[str, Any]) -> ScheduledRun:
    match target["Arn"]:
        case {"Ref": str(alias)}:
            return ScheduledRun(alias=alias, event=json.loads(target.get("Input", "{}")))
        case arn:
            raise SandboxError(f"Schedule {logical_id}: expected an alias as its target, got {arn}")
