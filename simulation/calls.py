"""The calls from functions to AWS and Twilio, which wait, fail, and may crash the function."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final

from botocore.config import Config
from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError

from simulation.engine import Engine
from simulation.fakes.errors import EXCEPTIONS, client_error
from simulation.faults import CallFault
from simulation.trace_format import format_request

# What botocore does without a Config.
_DEFAULT_ATTEMPTS: Final = 5
_DEFAULT_TIMEOUT: Final = 60.0
_MAX_EFFECT_DELAY: Final = 20.0
_PAUSE_BETWEEN_ATTEMPTS: Final = 0.05
_ERROR_CODES: Final[Mapping[str, str]] = {
    "dynamodb": "ThrottlingException",
    "sqs": "ServiceUnavailable",
    "sns": "Throttling",
    "events": "InternalException",
    "firehose": "ServiceUnavailableException",
    "secretsmanager": "InternalServiceError",
}
"""The code of each service's error response that may pass."""

type Operate = Callable[[str, Mapping[str, Any], str], dict[str, Any]]
"""Performs an operation of a fake: takes its name, its arguments, and the caller's name."""

type Response = Mapping[str, Any] | Exception
type Watcher = Callable[[str, str, Mapping[str, Any], Response], None]
"""Gets the service, operation, arguments and response of each call that took effect."""


class CallRejected(Exception):
    """The call had no effect, and the caller got an error response."""


class CallTimedOut(Exception):
    """The caller got no response; the call may have taken effect, or may still do so."""

    def __init__(self, fault: CallFault) -> None:
        super().__init__(fault)
        self.fault = fault


class Calls:
    """Performs calls in virtual time, with their faults."""

    def __init__(self, engine: Engine) -> None:
        self.faulted: set[str] = set()
        """The names of the invocations of which a call had a fault."""
        self._engine = engine

    def perform[T](
        self,
        service: str,
        describe: Callable[[], str],
        effect: Callable[[], T],
        *,
        timeout: float,
        fault: CallFault | None,
    ) -> T:
        """Suspend the caller while the call takes effect, or does not because of its fault.

        Raises:
            CallRejected, CallTimedOut: what the caller learns about a call that failed.
        """
        loop, faults = self._engine.loop, self._engine.faults
        entry = self._engine.trace.add_call(loop.task_name, service, describe, fault=fault or "")
        if fault is not None:
            self.faulted.add(loop.task_name)
        loop.sleep(faults.latency(loop.task_name))
        match fault:
            case CallFault.ERROR:
                raise CallRejected
            case CallFault.CRASH_BEFORE:
                loop.kill()
            case CallFault.CRASH_AFTER:
                _without_response(effect)()
                loop.kill()
            case CallFault.LATE_EFFECT:
                delay = faults.uniform(0, _MAX_EFFECT_DELAY)
                loop.after(timeout + delay, _without_response(effect))
            case CallFault.RESPONSE_LOST:
                _without_response(effect)()
        if fault is not None:
            loop.sleep(timeout)
            raise CallTimedOut(fault)
        # The response takes no time of its own: others have their turn before the caller's next
        # effect, which is all that a second wait would change.
        try:
            return effect()
        except ClientError as error:
            entry.error = error.response["Error"]["Code"]
            raise


class Client:
    """A boto3 client with the attempts and timeouts of the Config that it is made with."""

    exceptions = EXCEPTIONS

    def __init__(
        self,
        service: str,
        operate: Operate,
        config: Config | None,
        *,
        calls: Calls,
        engine: Engine,
        watch: Watcher,
        token: Callable[[], str],
    ) -> None:
        self._service = service
        self._operate = operate
        options: Any = config
        retries = (options.retries if options else None) or {}
        self._attempts = retries.get("total_max_attempts", _DEFAULT_ATTEMPTS)
        self._timeout = float(options.read_timeout if options else _DEFAULT_TIMEOUT)
        self._calls = calls
        self._engine = engine
        self._watch = watch
        self._token = token

    def __getattr__(self, operation: str) -> Callable[..., dict[str, Any]]:
        if operation.startswith("_"):
            raise AttributeError(operation)
        return lambda **arguments: self._call(operation, arguments)

    def _call(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Call as boto3 does: repeat the whole request after a failure that may pass."""
        loop, faults = self._engine.loop, self._engine.faults
        caller = loop.task_name
        describe = partial(format_request, operation, arguments)
        table = _table_of(arguments)
        if operation == "transact_write_items":  # botocore uses one token for all attempts
            arguments = {"ClientRequestToken": self._token(), **arguments}

        def effect() -> dict[str, Any]:
            try:
                answer = self._operate(operation, arguments, caller)
            except Exception as error:
                self._watch(self._service, operation, arguments, error)
                raise
            self._watch(self._service, operation, arguments, answer)
            return answer

        fault = faults.call_fault(self._service, table)
        for attempts_left in reversed(range(self._attempts)):
            try:
                return self._calls.perform(
                    self._service, describe, effect, timeout=self._timeout, fault=fault
                )
            except CallRejected:
                if not attempts_left:
                    raise _error_response(self._service, operation, arguments) from None
            except CallTimedOut as timeout:
                if not attempts_left:
                    is_connect = timeout.fault is CallFault.REQUEST_LOST
                    kind = ConnectTimeoutError if is_connect else ReadTimeoutError
                    raise kind(endpoint_url=f"https://{self._service}") from None
            if not faults.persists():
                fault = faults.call_fault(self._service, table)
            loop.sleep(_PAUSE_BETWEEN_ATTEMPTS)
        raise AssertionError("the last attempt returns or raises")


def _table_of(arguments: Mapping[str, Any]) -> str | None:
    """Return the table that a DynamoDB request is about: of a transaction, the first one."""
    match arguments:
        case {"TableName": str(name)}:
            return name
        case {"RequestItems": dict(tables)}:
            return str(next(iter(tables)))
        case {"TransactItems": [first, *_]}:
            (part,) = first.values()
            return str(part["TableName"])
        case _:
            return None


def _error_response(service: str, operation: str, arguments: Mapping[str, Any]) -> ClientError:
    """Return the error that the caller gets after its last attempt."""
    if operation == "transact_write_items":
        reasons = [{"Code": "None"} for _ in arguments["TransactItems"]]
        reasons[-1] = {"Code": "ThrottlingError"}
        code = "TransactionCanceledException"
        return client_error(code, operation, CancellationReasons=reasons)
    return client_error(_ERROR_CODES[service], operation)


def _without_response(effect: Callable[[], object]) -> Callable[[], None]:
    """Return the effect of a call whose response or error is lost."""

    def run() -> None:
        with suppress(Exception):
            effect()

    return run
