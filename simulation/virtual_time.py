"""Virtual time: waiting costs nothing, and what happens at once happens in the same order again.

Whatever waits (a function, a caller) is a task, and runs until it waits. So two tasks are
interleaved at their calls and nowhere else, which is where two Lambda functions can meet.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from greenlet import getcurrent, greenlet

FOREVER: Final = float("inf")

type Act = Callable[[], object]
type Answered = Callable[[Any], None]


class Died(BaseException):
    """The process is gone, in the middle of what it did: nothing of it runs any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What became of a task: a value, an error of its own, or its death."""

    value: Any = None
    error: Exception | None = None
    died: bool = False


class Task:
    """Something that waits now and then, and is over at `deadline` at the latest."""

    def __init__(self, name: str, work: Act, deadline: float, loop: greenlet) -> None:
        self.name = name
        self.greenlet = greenlet(work, loop)
        self.deadline = deadline
        self.dead = False


class Loop:
    """Everything that will happen, in order; `seconds` have passed since `start`."""

    def __init__(self, start: datetime) -> None:
        self.seconds = 0.0
        self._start = start
        self._due: list[tuple[float, int, Act]] = []
        self._count = 0
        self._running: Task | None = None
        self._greenlet = getcurrent()

    @property
    def now(self) -> datetime:
        """The time, aware and in UTC."""
        return self._start + timedelta(seconds=self.seconds)

    def seconds_at(self, time: datetime) -> float:
        """The seconds from the start to a time."""
        return (time - self._start).total_seconds()

    def time_at(self, seconds: float) -> datetime:
        """The time so many seconds after the start."""
        return self._start + timedelta(seconds=seconds)

    def at(self, seconds: float, act: Act) -> None:
        """Do something then; now, if that is past."""
        self._count += 1
        heapq.heappush(self._due, (max(seconds, self.seconds), self._count, act))

    def after(self, delay: float, act: Act) -> None:
        """Do something after so many seconds."""
        self.at(self.seconds + delay, act)

    def run_until(self, seconds: float) -> None:
        """Let everything happen that is due until then."""
        while self._due and self._due[0][0] <= seconds:
            self.seconds, _, act = heapq.heappop(self._due)
            act()
        self.seconds = max(self.seconds, seconds)

    def spawn(
        self, name: str, work: Act, then: Callable[[Ended], object], *, limit: float = FOREVER
    ) -> None:
        """Start a task, which dies after `limit` seconds; `then` is told how it ended."""

        def whole() -> None:
            try:
                ended = Ended(value=work())
            except Died:
                ended = Ended(died=True)
            except Exception as error:  # noqa: BLE001 -- whatever it is, `then` is told
                ended = Ended(error=error)
            self.after(0, lambda: then(ended))

        task = Task(name, whole, self.seconds + limit, self._greenlet)
        self.after(0, lambda: self._go_on(task))

    def sleep(self, seconds: float) -> None:
        """Let others go on; a task that outlives its limit dies while it waits."""
        task = self._current()
        wake = self.seconds + seconds
        if wake > task.deadline:
            task.dead = True
        self.at(min(wake, task.deadline), lambda: self._go_on(task))
        self._wait(task)

    def wait_for(self, begin: Callable[[Answered], None], *, limit: float = FOREVER) -> Any:
        """Begin something that answers later: its answer, or None after `limit` seconds."""
        task = self._current()
        answers: list[Any] = []

        def answered(answer: Any) -> None:
            if not answers:
                answers.append(answer)
                self.after(0, lambda: self._go_on(task))

        begin(answered)
        if limit < FOREVER:
            self.after(limit, lambda: answered(None))
        self._wait(task)
        return answers[0]

    def die(self) -> None:
        """End the task that runs, here and now."""
        self._current().dead = True
        raise Died

    @property
    def who(self) -> str:
        """The name of the task that runs."""
        return self._current().name

    @property
    def running(self) -> str:
        """The same; empty where none runs, whether or not it is about to die."""
        return self._running.name if self._running else ""

    def seconds_left(self) -> float:
        """Of the running task."""
        return self._current().deadline - self.seconds

    def _current(self) -> Task:
        if self._running is None:
            raise RuntimeError("only a task can wait")
        if self._running.dead:
            raise Died
        return self._running

    def _go_on(self, task: Task) -> None:
        before, self._running = self._running, task
        task.greenlet.switch()
        self._running = before

    def _wait(self, task: Task) -> None:
        self._greenlet.switch()
        if task.dead:
            raise Died
