"""Lambda: starts environments of functions, reuses them, and loses them when they crash."""

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
from typing import Any, Final, override
from unittest.mock import patch

from botocore.config import Config

from simulation.deployment import REGION, FunctionResource
from simulation.engine import Engine
from simulation.fakes.powertools import Logger, Metrics
from simulation.faults import TransportFault
from simulation.program import Program
from simulation.virtual_time import TaskResult

type MakeClient = Callable[[str, Config | None], Any]
type MakeSession = Callable[[], Any]

TWILIO_CLIENT: Final = ("delivery.twilio.client", "TwilioClient")
TWILIO_SECRETS: Final = ("delivery.twilio.credentials", "TwilioSecrets")
_RATE_LIMITER: Final = ("functions.send_message.rate_limiter", "SenderRateLimiter")
_SEND_QUEUE: Final = ("functions.send_message.send_queue", "SendQueue")
_AUDITOR: Final = ("functions.audit_messages.auditor", "Auditor")
_MAKE_CLIENT: Final = ("delivery.runtime.aws", "client")


class LambdaContext:
    """The context object that a handler gets."""

    def __init__(self, function: FunctionResource, request_id: str, engine: Engine) -> None:
        self.invoked_function_arn = f"arn:aws:lambda:{REGION}:123456789012:function:{function.name}"
        self.aws_request_id = request_id
        self._loop = engine.loop

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until the function is killed."""
        return int(self._loop.seconds_left() * 1000)


class SequentialExecutor(Executor):
    """Runs what threads would do one after the other, in the caller's thread."""

    def __init__(self, _number: int) -> None:
        pass

    @override
    def map[T](  # type: ignore[override]  # only what the project uses
        self, fn: Callable[..., T], *iterables: Iterable[Any]
    ) -> Iterator[T]:
        return map(fn, *iterables)


class LambdaService:
    """Invokes functions, each invocation in an environment of its own.

    Args:
        make_client: makes a client of an AWS service.
        make_session: makes a substitute for a `requests.Session`.
        ids: makes request ids.
        variables: environment variables that override those of the template.
    """

    def __init__(
        self,
        program: Program,
        *,
        engine: Engine,
        make_client: MakeClient,
        make_session: MakeSession,
        ids: Callable[[], str],
        variables: Mapping[str, str],
    ) -> None:
        self.metrics: Counter[str] = Counter()
        self.logged: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
        """What functions logged, by message."""
        self.timeouts: dict[str, float] = {}
        """Timeouts in seconds that override those of the template."""
        self.invocations: Counter[str] = Counter()
        self.errors: list[tuple[str, Exception]] = []
        """What handlers raised, with the name of the invocation."""
        self.killed: set[str] = set()
        """The names of the invocations that crashed or timed out."""
        self.session = make_session
        self._program = program
        self._engine = engine
        self._make_client = make_client
        self._ids = ids
        self._variables = variables
        self._idle: defaultdict[str, list[ModuleType]] = defaultdict(list)
        loop, faults = engine.loop, engine.faults
        self._datetime = type(
            "datetime", (datetime,), {"now": classmethod(lambda _, tz: loop.now.astimezone(tz))}
        )
        self._injections: Mapping[tuple[str, str], Mapping[str, Any]] = {
            TWILIO_CLIENT: {"clock": loop.clock, "sleep": loop.sleep, "jitter": faults.uniform},
            TWILIO_SECRETS: {"clock": loop.clock},
            _RATE_LIMITER: {"sleep": loop.sleep, "jitter": lambda: faults.uniform(0, 1)},
            _SEND_QUEUE: {"threads": SequentialExecutor},
            _AUDITOR: {"executor": SequentialExecutor},
        }

    def invoke(
        self,
        function: FunctionResource,
        event: Any,
        then: Callable[[TaskResult], object],
        *,
        request_id: str | None = None,
    ) -> None:
        """Run the handler; `then` gets its result."""
        loop, faults, name = self._engine.loop, self._engine.faults, function.name
        self.invocations[name] += 1
        invocation = f"{name}#{self.invocations[name]}"
        self._engine.trace.add(invocation, "invoked", event)
        if faults.occurs(TransportFault.NOT_STARTED, name, share=0.2):
            loop.after(faults.uniform(0.1, 2.0), lambda: then(TaskResult(killed=True)))
            return
        context = LambdaContext(function, request_id or self._ids(), self._engine)
        environment = self._idle[name].pop() if self._idle[name] else self._start(function)

        def work() -> Any:
            # Through JSON, as on Lambda: no object is shared.
            result = environment.lambda_handler(json.loads(json.dumps(event)), context)
            return json.loads(json.dumps(result))

        def ended(result: TaskResult) -> None:
            self._engine.trace.add(invocation, "ended", result)
            if result.killed:
                self.killed.add(invocation)
            else:
                self._idle[name].append(environment)
            if isinstance(result.error, NotImplementedError):  # of a fake: the run means nothing
                raise result.error
            if result.error is not None:
                self.errors.append((invocation, result.error))
            then(result)

        limit = self.timeouts.get(name, function.timeout)
        loop.spawn(invocation, work, ended, limit=limit)

    def client(self, service: str, *, config: Config | None = None) -> Any:
        """Return a client of an AWS service."""
        return self._make_client(service, config)

    def modules(self, *names: str) -> list[ModuleType]:
        """Import modules of this run's program, for code outside of functions."""
        with self._program.imported():
            self._program.import_all_but_apps()
            return [import_module(name) for name in names]

    def in_virtual_time(self, module: ModuleType, name: str) -> Any:
        """Return a class of the module with its clock, waiting and randomness replaced."""
        return partial(getattr(module, name), **self._injections[module.__name__, name])

    def _start(self, function: FunctionResource) -> ModuleType:
        """Start an environment: run the function's app.py with this run's clients and clock."""
        with self._program.imported(), ExitStack() as stack:
            self._program.import_all_but_apps()
            replaced: dict[tuple[str, str], Any] = {
                (module, name): self.in_virtual_time(import_module(module), name)
                for module, name in self._injections
            } | {
                _MAKE_CLIENT: self.client,
                ("requests", "Session"): self.session,
                ("datetime", "datetime"): self._datetime,
                ("aws_lambda_powertools", "Logger"): lambda: Logger(partial(self._log, function)),
                ("aws_lambda_powertools", "Metrics"): partial(Metrics, self.metrics),
            }
            region = {"AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}
            variables = {**os.environ, **function.environment, **region, **self._variables}
            stack.enter_context(patch.object(os, "environ", variables))
            for (module, name), replacement in replaced.items():
                stack.enter_context(patch.object(import_module(module), name, replacement))
            return self._program.start(function.source)

    def _log(self, function: FunctionResource, message: str, keys: Mapping[str, Any]) -> None:
        self.logged[message].append(keys.get("extra", keys))
        actor = self._engine.loop.running_name or function.name
        self._engine.trace.add(actor, f"logs {message}", keys.get("extra", keys))
