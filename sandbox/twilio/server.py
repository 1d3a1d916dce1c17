"""The simulator on a port of this machine, in real time.

    with SimulatorServer([Account(sid=..., auth_token=...)]) as server:
        ...  # the REST API is at server.base_url, the simulator's own pages at /_simulator/

Beside the REST API it answers, without credentials, the pages that `own_pages.py` lists: messages
with their callbacks and results, the debugger, settings (pace, list lag, 429 on demand, ...) and a
change of credentials.
"""

import contextlib
import random
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self, override

from sandbox.twilio.accounts import Account
from sandbox.twilio.callbacks import CallbackAttempt
from sandbox.twilio.caller import CallbackCaller
from sandbox.twilio.exchange import Answer, Dropped, Request, Response
from sandbox.twilio.settings import Settings
from sandbox.twilio.simulator import TwilioSimulator

_CALLERS = 16
_LONGEST_CALLBACK_SECONDS = 20.0


class SimulatorServer:
    """A TwilioSimulator behind HTTP/1.1 on 127.0.0.1; port 0 takes a free one.

    `wait_until` and `apply` are the safe ways to the simulator while the server runs.
    """

    def __init__(
        self,
        accounts: Iterable[Account],
        *,
        port: int = 0,
        settings: Settings | None = None,
        ids: random.Random | None = None,
    ) -> None:
        self._simulator = TwilioSimulator(
            accounts, ids=ids or random.SystemRandom(), settings=settings
        )
        self._changed = threading.Condition()
        self._stopping = False
        self._caller = CallbackCaller()
        self._pool = ThreadPoolExecutor(_CALLERS, thread_name_prefix="status-callback")
        self._http = _HttpServer(port, self._answer)
        self._threads = [
            threading.Thread(target=self._http.serve_forever, args=(0.05,), name="simulator-http"),
            threading.Thread(target=self._run_due, name="simulator-clock"),
        ]

    @property
    def base_url(self) -> str:
        """What stands where https://api.twilio.com stands otherwise."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def start(self) -> Self:
        """Serve until `stop`."""
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        """Break off what is under way, and return when every thread has ended."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._http.shutdown()
        self._caller.close()
        self._http.close_connections()
        self._http.server_close()
        for thread in self._threads:
            thread.join()
        self._pool.shutdown(cancel_futures=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def wait_until(self, predicate: Callable[[TwilioSimulator], bool], timeout: float) -> bool:
        """Wait until the predicate is true of the simulator; False when the seconds ran out."""
        with self._changed:
            return self._changed.wait_for(lambda: predicate(self._simulator), timeout)

    def apply[T](self, act: Callable[[TwilioSimulator], T]) -> T:
        """Look at the simulator, or change it, while nothing else happens in it."""
        with self._changed:
            result = act(self._simulator)
            self._changed.notify_all()
            return result

    def _answer(self, request: Request) -> Answer:
        with self._changed:
            answer = self._simulator.handle(request, datetime.now(UTC))
            self._changed.notify_all()
            if isinstance(answer, Response) and (callback_id := answer.after_callback):
                self._changed.wait_for(
                    lambda: self._stopping or self._simulator.is_settled(callback_id),
                    _LONGEST_CALLBACK_SECONDS,
                )
        return answer

    def _run_due(self) -> None:
        with self._changed:
            while not self._stopping:
                for attempt in self._simulator.run_due(datetime.now(UTC)):
                    self._pool.submit(self._call_back, attempt)
                self._changed.notify_all()
                due = self._simulator.next_due()
                pause = None if due is None else (due - datetime.now(UTC)).total_seconds()
                if pause is None or pause > 0:
                    self._changed.wait(pause)

    def _call_back(self, attempt: CallbackAttempt) -> None:
        result = self._caller.perform(attempt)
        with self._changed:
            self._simulator.callback_answered(attempt, result, datetime.now(UTC))
            self._changed.notify_all()


class _HttpServer(ThreadingHTTPServer):
    """Remembers its connections, so that idle ones can be closed at the end."""

    daemon_threads = False
    request_queue_size = 128

    def __init__(self, port: int, answer: Callable[[Request], Answer]) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.answer = answer
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._under_way = 0

    def counted_answer(self, request: Callable[[int], Request]) -> Answer:
        """Answer a request that is told how many are under way, itself included."""
        with self._lock:
            self._under_way += 1
            concurrent = self._under_way
        try:
            return self.answer(request(concurrent))
        finally:
            with self._lock:
                self._under_way -= 1

    @override
    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    @override
    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a caller may go away
            super().handle_error(request, client_address)

    def close_connections(self) -> None:
        """End the keep-alive connections whose clients are still there."""
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _HttpServer

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def do_DELETE(self) -> None:
        self._handle()

    def do_PUT(self) -> None:
        self._handle()

    def do_PATCH(self) -> None:
        self._handle()

    def _handle(self) -> None:
        path, _, query = self.path.partition("?")
        length = self.headers.get("Content-Length", "0")
        body = self.rfile.read(int(length)) if length.isdecimal() else b""
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.server.counted_answer(
            lambda concurrent: Request(
                method=self.command,
                path=path,
                query=query,
                headers=headers,
                body=body,
                concurrent=concurrent,
            )
        )
        if isinstance(answer, Dropped):
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status != 204:  # noqa: PLR2004 -- No Content has no length either
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the simulator's own pages tell what happened."""
