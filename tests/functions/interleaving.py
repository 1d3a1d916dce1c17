"""Runs concurrent writers through every order of their DynamoDB calls.

Each writer runs in a thread of its own, but only one at a time: a writer stops before each of its
calls and waits until the schedule lets it go on. The schedules are found by running: whenever
several writers wait, one run for each of them follows.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from random import Random
from typing import Any

type Writer = Callable[[Any], object]
"""Gets a client, and does its work with it."""

_STUCK_AFTER_SECONDS = 60
_MAX_CALLS = 1000


def every_interleaving(
    client: object, writers_of_run: Callable[[int], Sequence[Writer]], *, at_most: int | None = None
) -> Iterator[int]:
    """Run the writers in every interleaving; yields the number of each run when it is over.

    `writers_of_run(number)` makes the writers of one run, so that runs do not meet. Where there are
    more than `at_most`, it is so many of them, from all over, and the same every time.
    """
    choice = Random(1)  # noqa: S311 -- the same every time, on purpose
    pending: list[list[int]] = [[]]
    number = 0
    while pending and number != at_most:
        prefix = pending.pop(choice.randrange(len(pending)) if at_most else -1)
        for depth, others in _run(client, writers_of_run(number), prefix):
            pending.extend([*prefix, *[0] * (depth - len(prefix)), other] for other in others)
        yield number
        number += 1


def _run(
    client: object, writers: Sequence[Writer], prefix: Sequence[int]
) -> list[tuple[int, range]]:
    """One run: follows the prefix, then always takes the first; returns the choices it passed."""
    arrived: SimpleQueue[int | None] = SimpleQueue()
    gates = [threading.Semaphore(0) for _ in writers]
    with ThreadPoolExecutor(len(writers)) as threads:
        futures: list[Future[object]] = []
        for index, writer in enumerate(writers):
            stopping = _Stopping(client, index, arrived, gates)
            futures.append(threads.submit(_work, writer, stopping))
            futures[-1].add_done_callback(lambda _: arrived.put(None))
        try:
            choices = _choose(arrived, gates, prefix)
        except BaseException:
            for gate in gates:  # or the writers would wait for ever, and this for them
                gate.release(_MAX_CALLS)
            raise
        for future in futures:
            future.result()
    return choices


def _choose(
    arrived: "SimpleQueue[int | None]", gates: Sequence[threading.Semaphore], prefix: Sequence[int]
) -> list[tuple[int, range]]:
    """Let one writer at a time make one call, until all have ended."""
    choices = []
    running, waiting, depth = len(gates), set[int](), 0
    while running or waiting:
        for _ in range(running):
            who = arrived.get(timeout=_STUCK_AFTER_SECONDS)
            running -= 1
            if who is not None:
                waiting.add(who)
        if not waiting:
            break
        order = sorted(waiting)
        choice = prefix[depth] if depth < len(prefix) else 0
        if depth >= len(prefix):
            choices.append((depth, range(1, len(order))))
        waiting.remove(order[choice])
        gates[order[choice]].release()
        running, depth = 1, depth + 1
    return choices


def _work(writer: Writer, client: "_Stopping") -> object:
    return writer(client)


class _Stopping:
    """A client that waits at the gate before each call."""

    def __init__(
        self,
        client: object,
        index: int,
        arrived: "SimpleQueue[int | None]",
        gates: Sequence[threading.Semaphore],
    ) -> None:
        self._client = client
        self._index = index
        self._arrived = arrived
        self._gates = gates

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._client, name)
        if name == "exceptions":
            return attribute

        def call(**arguments: Any) -> Any:
            self._arrived.put(self._index)
            self._gates[self._index].acquire()
            return attribute(**arguments)

        return call
