"""Virtual time: waiting costs nothing, and concurrent work happens in a repeatable order.

Everything that waits (a function, a caller) is a task, and runs until it waits. So two tasks are
interleaved at their calls and nowhere else, which is where two Lambda functions can meet.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from greenlet import getcurrent, greenlet

FOREVER: Final = float("inf")

type Action = Callable[[], object]
type Resolve = Callable[[Any], None]


class TaskKilled(BaseException):
    """The process of the task crashed or timed out: nothing of it runs any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResult:
    """How a task ended: with a value, with an error of its own, or killed."""

    value: Any = None
    error: Exception | None = None
    killed: bool = False


class Task:
    """Work that may wait, and is killed at `deadline`."""

    def __init__(self, name: str, work: Action, deadline: float, loop: greenlet) -> None:
        self.name = name
        self.greenlet = greenlet(work, loop)
        self.deadline = deadline
        self.killed = False


class EventLoop:
    """Runs what is due, in order; `seconds` have passed since `start`."""

    def __init__(self, start: datetime) -> None:
        self.seconds = 0.0
        self._start = start
        self._due: list[tuple[float, int, Action]] = []
        self._count = 0
        self._running: Task | None = None
        self._runs_until = 0.0
        self._greenlet = getcurrent()

    def clock(self) -> float:
        """Return the seconds since the start."""
        return self.seconds

    @property
    def now(self) -> datetime:
        """The time, aware and in UTC."""
        return self.time_at(self.seconds)

    def seconds_at(self, time: datetime) -> float:
        """Return the seconds from the start to a time."""
        return (time - self._start).total_seconds()

    def time_at(self, seconds: float) -> datetime:
        """Return the time that is so many seconds after the start."""
        return self._start + timedelta(seconds=seconds)

    def at(self, seconds: float, action: Action) -> None:
        """Schedule an action; a time that is past means now."""
        self._count += 1
        heapq.heappush(self._due, (max(seconds, self.seconds), self._count, action))

    def after(self, delay: float, action: Action) -> None:
        """Schedule an action after so many seconds."""
        self.at(self.seconds + delay, action)

    def run_until(self, seconds: float) -> None:
        """Run everything that is due until then."""
        self._runs_until = seconds
        while self._due and self._due[0][0] <= seconds:
            self.seconds, _, action = heapq.heappop(self._due)
            action()
        self.seconds = max(self.seconds, seconds)

    def spawn(
        self,
        name: str,
        work: Action,
        then: Callable[[TaskResult], object],
        *,
        limit: float = FOREVER,
    ) -> None:
        """Start a task that is killed after `limit` seconds; `then` gets its result."""

        def run() -> None:
            try:
                result = TaskResult(value=work())
            except TaskKilled:
                result = TaskResult(killed=True)
            except Exception as error:  # noqa: BLE001 -- `then` decides about every error
                result = TaskResult(error=error)
            self.after(0, lambda: then(result))

        task = Task(name, run, self.seconds + limit, self._greenlet)
        self.after(0, lambda: self._resume(task))

    def sleep(self, seconds: float) -> None:
        """Suspend the running task; one that outlives its limit is killed while it waits."""
        task = self._current()
        wake = self.seconds + seconds
        if wake <= min(task.deadline, self._runs_until) and not self._is_due_until(wake):
            self.seconds = wake  # nothing else happens before the task would wake
            return
        if wake > task.deadline:
            task.killed = True
        self.at(min(wake, task.deadline), lambda: self._resume(task))
        self._suspend(task)

    def wait_for(self, begin: Callable[[Resolve], object]) -> Any:
        """Begin something that calls `resolve` later, and return the value that it passes."""
        task = self._current()
        values: list[Any] = []

        def resolve(value: Any) -> None:
            if not values:
                values.append(value)
                self.after(0, lambda: self._resume(task))

        begin(resolve)
        self._suspend(task)
        return values[0]

    def kill(self) -> None:
        """Kill the running task here and now."""
        self._current().killed = True
        raise TaskKilled

    @property
    def task_name(self) -> str:
        """The name of the running task, which is alive."""
        return self._current().name

    @property
    def running_name(self) -> str:
        """The name of the running task, also while it is being killed; empty where none runs."""
        return self._running.name if self._running else ""

    def seconds_left(self) -> float:
        """Return the seconds until the deadline of the running task."""
        return self._current().deadline - self.seconds

    def _is_due_until(self, seconds: float) -> bool:
        return bool(self._due) and self._due[0][0] <= seconds

    def _current(self) -> Task:
        if self._running is None:
            raise RuntimeError("only a task can wait")
        if self._running.killed:
            raise TaskKilled
        return self._running

    def _resume(self, task: Task) -> None:
        before, self._running = self._running, task
        task.greenlet.switch()
        self._running = before

    def _suspend(self, task: Task) -> None:
        self._greenlet.switch()
        if task.killed:
            raise TaskKilled
