"""Lambda: environments of a function that start, are used again, and die."""

import json
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any, override
from unittest.mock import patch

from botocore.config import Config

from simulation.deployment import REGION, FunctionResource
from simulation.fakes.powertools import Logger, Metrics
from simulation.faults import Faults, Mishap
from simulation.program import Program
from simulation.trace import Trace
from simulation.virtual_time import Ended, Loop

type MakeClient = Callable[[str, Config | None], Any]
type MakeSession = Callable[[], Any]


class LambdaContext:
    """What a handler is given beside the event."""

    def __init__(self, function: FunctionResource, request_id: str, loop: Loop) -> None:
        self.invoked_function_arn = f"arn:aws:lambda:{REGION}:123456789012:function:{function.name}"
        self.aws_request_id = request_id
        self._loop = loop

    def get_remaining_time_in_millis(self) -> int:
        """Until the function is killed."""
        return int(self._loop.seconds_left() * 1000)


class OneAfterTheOther(Executor):
    """Threads that do their work one after the other, in the thread of whoever asks."""

    def __init__(self, _number: int) -> None:
        pass

    @override
    def map[T](  # type: ignore[override]  # as far as it is used
        self, fn: Callable[..., T], *iterables: Iterable[Any]
    ) -> Iterator[T]:
        return map(fn, *iterables)


class Lambda:
    """Invokes functions: each in an environment that nobody else uses meanwhile."""

    def __init__(
        self,
        program: Program,
        *,
        loop: Loop,
        faults: Faults,
        trace: Trace,
        make_client: MakeClient,
        make_session: MakeSession,
        ids: Callable[[], str],
        parameters: Mapping[str, str],
    ) -> None:
        self.metrics: Counter[str] = Counter()
        self.invocations: Counter[str] = Counter()
        self.errors: list[tuple[str, Exception]] = []
        """What handlers raised, with the name of the invocation."""
        self.disturbed: set[str] = set()
        """The invocations that died."""
        self._program = program
        self._loop = loop
        self._faults = faults
        self._trace = trace
        self._make_client = make_client
        self._make_session = make_session
        self._ids = ids
        self._parameters = parameters  # variables that are not as the template's defaults have them
        self._idle: defaultdict[str, list[ModuleType]] = defaultdict(list)
        self._clock = type(
            "datetime", (datetime,), {"now": classmethod(lambda _, tz: loop.now.astimezone(tz))}
        )

    def invoke(
        self,
        function: FunctionResource,
        event: Any,
        then: Callable[[Ended], object],
        *,
        request_id: str | None = None,
    ) -> None:
        """Run the handler; `then` gets what it returned, or how it failed."""
        loop, name = self._loop, function.name
        self.invocations[name] += 1
        number = f"{name}#{self.invocations[name]}"
        self._trace.add(loop.seconds, number, "invoked", event)
        if self._faults.happens(Mishap.NOT_STARTED, name, loop.seconds, share=0.2):
            loop.after(self._faults.uniform(0.1, 2.0), lambda: then(Ended(died=True)))
            return
        context = LambdaContext(function, request_id or self._ids(), loop)
        environment = self._idle[name].pop() if self._idle[name] else self._start(function)

        def work() -> Any:
            # What arrives has been through JSON, and so is nobody else's.
            answer = environment.lambda_handler(json.loads(json.dumps(event)), context)
            return json.loads(json.dumps(answer))

        def ended(result: Ended) -> None:
            self._trace.add(loop.seconds, number, "ended", result)
            if result.died:
                self.disturbed.add(number)
            else:
                self._idle[name].append(environment)
            if result.error is not None:
                self.errors.append((number, result.error))
            then(result)

        loop.spawn(number, work, ended, limit=function.timeout)

    def _start(self, function: FunctionResource) -> ModuleType:
        """A new environment: the function's app.py runs, with this world's clients and clock."""
        program, loop = self._program, self._loop
        with program.imported(), ExitStack() as stack:
            program.import_all_but_apps()
            twilio, credentials = map(
                import_module, ("delivery.twilio.client", "delivery.twilio.credentials")
            )
            pacing, queue = (
                import_module(f"functions.send_message.{it}")
                for it in ("rate_limiter", "send_queue")
            )
            fakes: list[tuple[Any, str, Any]] = [
                (twilio, "TwilioClient", self.in_virtual_time(twilio.TwilioClient)),
                (
                    credentials,
                    "TwilioSecrets",
                    partial(credentials.TwilioSecrets, clock=lambda: loop.seconds),
                ),
                (
                    pacing,
                    "SenderRateLimiter",
                    partial(pacing.SenderRateLimiter, sleep=loop.sleep, chance=self._chance),
                ),
                (queue, "SendQueue", partial(queue.SendQueue, threads=OneAfterTheOther)),
                (import_module("delivery.runtime.aws"), "client", self.client),
                (import_module("requests"), "Session", self._make_session),
                (import_module("datetime"), "datetime", self._clock),
                (import_module("aws_lambda_powertools"), "Logger", self._logger(function)),
                (import_module("aws_lambda_powertools"), "Metrics", partial(Metrics, self.metrics)),
            ]
            variables = {**_environment(function), **self._parameters}
            stack.enter_context(patch.dict(os.environ, variables))
            for module, name, fake in fakes:
                stack.enter_context(patch.object(module, name, fake))
            return program.start(function.source)

    def modules(self, *names: str) -> list[ModuleType]:
        """Modules of the project's, for those who use them outside a function."""
        with self._program.imported():
            self._program.import_all_but_apps()
            return [import_module(name) for name in names]

    def client(self, service: str, *, config: Config | None = None) -> Any:
        """A client of one of AWS's services."""
        return self._make_client(service, config)

    def session(self) -> Any:
        """Leads to Twilio."""
        return self._make_session()

    def in_virtual_time(self, twilio_client: Any) -> Any:
        """The class, whose clients wait without letting anybody wait."""
        loop = self._loop
        return partial(
            twilio_client,
            clock=lambda: loop.seconds,
            sleep=loop.sleep,
            jitter=self._faults.uniform,
        )

    def _chance(self) -> float:
        return self._faults.uniform(0, 1)

    def _logger(self, function: FunctionResource) -> Callable[[], Logger]:
        def tell(message: str, facts: Mapping[str, Any]) -> None:
            who = self._loop.running or function.name
            self._trace.add(self._loop.seconds, who, f"logs {message}", facts.get("extra", facts))

        return lambda: Logger(tell)


def _environment(function: FunctionResource) -> Mapping[str, str]:
    return {**function.environment, "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}
