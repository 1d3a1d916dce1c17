"""The pool of threads that an interrupt ends."""

import threading
from typing import TYPE_CHECKING

import pytest

from sandbox.polling import TimedOut, wait_for
from sandbox.pool import InterruptiblePool

if TYPE_CHECKING:
    from concurrent.futures import Future

PATIENCE = 10.0


def test_leaving_the_pool_waits_for_its_tasks() -> None:
    with InterruptiblePool(2) as pool:
        done = [pool.submit(lambda: 1) for _ in range(5)]

    assert [it.result() for it in done] == [1] * 5


def test_an_interrupt_cancels_the_tasks_of_the_pool() -> None:
    waiting: list[Future[bool]] = []
    started = threading.Event()

    def wait_and_be_interrupted() -> None:
        with InterruptiblePool(1) as pool:

            def wait() -> bool:
                started.set()
                return wait_for(lambda: None, timeout=600, what="It", cancelled=pool.cancelled)

            waiting.extend(pool.submit(wait) for _ in range(2))
            started.wait(PATIENCE)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wait_and_be_interrupted()

    running, not_started = waiting
    assert isinstance(running.exception(PATIENCE), TimedOut)
    assert not_started.cancelled()
