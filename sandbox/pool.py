"""A thread pool that Ctrl-C ends at once, whatever its threads are waiting for."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import override


class InterruptiblePool(ThreadPoolExecutor):
    """A pool whose context waits for its tasks, unless an error leaves it.

    An error cancels the tasks that have not started and sets `cancelled`, which the running tasks
    watch to stop early.
    """

    def __init__(self, threads: int | None = None) -> None:
        super().__init__(threads)
        self.cancelled = threading.Event()

    @override
    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if error is not None:
            self.cancelled.set()
        self.shutdown(wait=error is None, cancel_futures=error is not None)
