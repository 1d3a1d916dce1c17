"""Threads that end with whoever waits for them."""

import threading
from typing import TYPE_CHECKING

import pytest

from sandbox.crew import Crew
from sandbox.waiting import WaitedInVain, wait_for

if TYPE_CHECKING:
    from concurrent.futures import Future

PATIENCE = 10.0


def test_a_crew_is_waited_for_until_its_work_is_done() -> None:
    with Crew(2) as crew:
        done = [crew.submit(lambda: 1) for _ in range(5)]

    assert [it.result() for it in done] == [1] * 5


def test_a_crew_is_dismissed_when_its_user_is_interrupted() -> None:
    waiting: list[Future[bool]] = []
    begun = threading.Event()

    def wait_and_be_interrupted() -> None:
        with Crew(1) as crew:

            def wait() -> bool:
                begun.set()
                return wait_for(lambda: None, within=600, what="It", unless=crew.dismissed)

            waiting.extend(crew.submit(wait) for _ in range(2))
            begun.wait(PATIENCE)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wait_and_be_interrupted()

    under_way, not_begun = waiting
    assert isinstance(under_way.exception(PATIENCE), WaitedInVain)
    assert not_begun.cancelled()
