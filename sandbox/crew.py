"""Threads that nobody waits for in vain: Ctrl-C ends the sandbox at once, whatever they do."""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import override


class Crew(ThreadPoolExecutor):
    """Works for as long as its context lasts; when that is left by an error, nobody waits for it.

    What has not begun never begins then, and `dismissed` tells the others to end by themselves.
    """

    def __init__(self, threads: int | None = None) -> None:
        super().__init__(threads)
        self.dismissed = threading.Event()

    @override
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            self.dismissed.set()
        self.shutdown(wait=error is None, cancel_futures=error is not None)
