"""The simulator on a port of this machine, in real time.

with SimulatorServer([Account(sid=..., auth_token=...)]) as server:
...  # server.url stands in for https://api.twilio.com; the admin API is at /_simulator/
"""

import random
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Self, override

from sandbox.http_server import HttpServer, Request, Response
from sandbox.twilio.accounts import Account
from sandbox.twilio.callback_client import CallbackClient
from sandbox.twilio.callbacks import CallbackAttempt
from sandbox.twilio.rest import HeldResponse
from sandbox.twilio.settings import Settings
from sandbox.twilio.simulator import TwilioSimulator

_CALLBACK_THREADS = 16
_MAX_CALLBACK_SECONDS = 20.0


class SimulatorServer(HttpServer):
    """Serves a TwilioSimulator over HTTP for as long as the context lasts.

    Use `apply` to reach the simulator while the server runs.
    """

    def __init__(
        self, accounts: Iterable[Account], *, port: int = 0, settings: Settings | None = None
    ) -> None:
        super().__init__(port=port, answer=self._answer)
        self._simulator = TwilioSimulator(accounts, ids=random.SystemRandom(), settings=settings)
        self._changed = threading.Condition()
        self._stopping = False
        self._callback_client = CallbackClient()
        self._pool = ThreadPoolExecutor(_CALLBACK_THREADS, thread_name_prefix="status-callback")
        self._clock = threading.Thread(target=self._run_due, name="simulator-clock")

    @override
    def __enter__(self) -> Self:
        self._clock.start()
        return super().__enter__()

    @override
    def __exit__(self, *error: object) -> None:
        """Stop; callbacks under way are broken off."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        super().__exit__(*error)
        self._callback_client.close()
        self._clock.join()
        self._pool.shutdown(cancel_futures=True)

    def apply[T](self, act: Callable[[TwilioSimulator], T]) -> T:
        """Read or change the simulator while no other thread does."""
        with self._changed:
            result = act(self._simulator)
            self._changed.notify_all()
            return result

    def _answer(self, request: Request) -> Response | None:
        with self._changed:
            answer = self._simulator.handle(request, datetime.now(UTC))
            self._changed.notify_all()
            if isinstance(answer, HeldResponse):
                callback_id = answer.after_callback
                self._changed.wait_for(
                    lambda: self._stopping or self._simulator.is_finished(callback_id),
                    _MAX_CALLBACK_SECONDS,
                )
        return answer

    def _run_due(self) -> None:
        with self._changed:
            while not self._stopping:
                for attempt in self._simulator.run_due(datetime.now(UTC)):
                    self._pool.submit(self._send_callback, attempt)
                self._changed.notify_all()
                due = self._simulator.next_due()
                pause = None if due is None else (due - datetime.now(UTC)).total_seconds()
                if pause is None or pause > 0:
                    self._changed.wait(pause)

    def _send_callback(self, attempt: CallbackAttempt) -> None:
        result = self._callback_client.send(attempt)
        with self._changed:
            self._simulator.record_attempt(attempt, result, datetime.now(UTC))
            self._changed.notify_all()
