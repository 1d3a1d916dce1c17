"""The stack's schedules, run every other second: the emulator's smallest step is a minute."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from botocore.exceptions import BotoCoreError, ClientError

from sandbox.aws.time_scale import SCHEDULES_RUN_EVERY, hastened
from sandbox.errors import SandboxError

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

_LONGEST_REASON: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledRun:
    """What a schedule does: invoke a function, by its logical id, with an event."""

    function: str
    event: Mapping[str, Any]


def scheduled_runs(template: Mapping[str, Any], made: Container[str]) -> list[ScheduledRun]:
    """Those of every schedule in a template that SAM has transformed; there may be none.

    `made` are the logical ids of the resources that the deploy made: some have a condition.

    Raises:
        SandboxError: a schedule leads to something other than a function of the template.
    """
    return [
        _scheduled_run(logical_id, resource["Properties"]["Target"])
        for logical_id, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Scheduler::Schedule" and logical_id in made
    ]


class Schedule:
    """Invokes the scheduled functions, one after the other, for as long as it is entered.

    When it is left by an error, the run under way is not waited for: it ends with the emulator.

    Args:
        functions: Lambda.
        runs: what to invoke.
        names: the functions' names by logical id.
        failed: told of each kind of failure when it happens first, in the schedule's thread.
        every_seconds: the pause between two rounds.
    """

    def __init__(
        self,
        functions: "LambdaClient",
        runs: Sequence[ScheduledRun],
        *,
        names: Mapping[str, str],
        failed: Callable[[str], None],
        every_seconds: float = SCHEDULES_RUN_EVERY,
    ) -> None:
        self._functions = functions
        self._runs = runs
        self._names = names
        self._failed = failed
        self._every_seconds = every_seconds
        self._rounds = 0
        self._failures: Counter[str] = Counter()
        self._stopping = threading.Event()
        self._dismissed = False
        self._thread = threading.Thread(target=self._run_on, name="schedule")

    @property
    def rounds(self) -> int:
        """How often every scheduled function has been invoked."""
        return self._rounds

    @property
    def failures(self) -> Mapping[str, int]:
        """How many invocations failed, by function and reason."""
        return dict(self._failures)

    @property
    def summary(self) -> str:
        """The failures, in a line for each kind; empty if there were none."""
        return "\n".join(
            f"Scheduled runs failed, {count} of {self._rounds}: {what}"
            for what, count in self._failures.items()
        )

    def run_once(self) -> None:
        """Invoke each of the functions now, and wait for their answers."""
        for run in self._runs:
            reason = self._invoke(run)
            if reason and not self._dismissed:
                what = f"{run.function}: {reason[:_LONGEST_REASON]}"
                self._failures[what] += 1
                if self._failures[what] == 1:
                    self._failed(what)
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
        self._dismissed = error is not None
        self._stopping.set()
        if not self._dismissed:
            self._thread.join()

    def _run_on(self) -> None:
        while not self._stopping.wait(self._every_seconds):
            self.run_once()

    def _invoke(self, run: ScheduledRun) -> str:
        """Why it failed; empty if it did not."""
        try:
            answer = self._functions.invoke(
                FunctionName=self._names[run.function], Payload=json.dumps(hastened(run.event))
            )
        except (BotoCoreError, ClientError) as error:
            return f"{type(error).__name__}: {error}"
        if answer.get("FunctionError"):
            return answer["Payload"].read().decode(errors="replace")
        return ""


def _scheduled_run(logical_id: str, target: Mapping[str, Any]) -> ScheduledRun:
    match target["Arn"]:
        case {"Fn::GetAtt": [str(function), "Arn"]}:
            return ScheduledRun(function=function, event=json.loads(target.get("Input", "{}")))
        case _:
            raise SandboxError(f"The sandbox cannot tell which function {logical_id} runs.")
