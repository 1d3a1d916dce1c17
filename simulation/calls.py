"""The calls from functions to AWS: where they wait, fail, and where the function may die."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final, Protocol

from botocore.config import Config
from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError

from simulation.fakes.errors import EXCEPTIONS, client_error
from simulation.faults import Fault, Faults
from simulation.trace import Trace
from simulation.virtual_time import Loop
from simulation.words import request_in_words

_DEFAULT_TRIES: Final = 5
_DEFAULT_TIMEOUT: Final = 60.0
_LATEST_EFFECT_SECONDS: Final = 20.0
_THROTTLED: Final[Mapping[str, str]] = {
    "dynamodb": "ThrottlingException",
    "sqs": "ServiceUnavailable",
    "sns": "Throttling",
    "events": "InternalException",
    "secretsmanager": "InternalServiceError",
}

type Operate = Callable[[str, Mapping[str, Any], str], dict[str, Any]]
"""Takes the operation, its arguments, and who asks."""


class NotRefused(Exception):
    """The call may have taken effect, or may still; the caller hears nothing."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault = fault


class WasRefused(Exception):
    """The call took no effect, and the caller knows."""


class Watcher(Protocol):
    """Is told of every call that took effect."""

    def __call__(
        self,
        service: str,
        operation: str,
        arguments: Mapping[str, Any],
        answer: Mapping[str, Any] | Exception,
    ) -> None:
        """Takes the request and its answer or error."""


class Calls:
    """Performs each call in virtual time, as the faults have it."""

    def __init__(self, loop: Loop, faults: Faults, trace: Trace) -> None:
        self.disturbed: set[str] = set()
        """The invocations of which a call met a fault."""
        self._loop = loop
        self._faults = faults
        self._trace = trace

    def perform[T](
        self,
        service: str,
        what: Callable[[], str],
        effect: Callable[[], T],
        *,
        timeout: float,
        fault: Fault | None,
    ) -> T:
        """Let a call take effect, or not; the caller waits meanwhile.

        Raises:
            WasRefused, NotRefused: what the caller may know of a call that failed.
        """
        loop, faults = self._loop, self._faults
        entry = self._trace.add_call(loop.seconds, loop.who, service, what, fault=fault or "")
        if fault is not None:
            self.disturbed.add(loop.who)
        loop.sleep(faults.latency(loop.seconds))
        match fault:
            case Fault.REFUSED:
                raise WasRefused
            case Fault.DIED_BEFORE:
                loop.die()
            case Fault.NEVER_ARRIVED:
                loop.sleep(timeout)
                raise NotRefused(fault)
            case Fault.LATE:
                loop.after(timeout + faults.uniform(0, _LATEST_EFFECT_SECONDS), _quietly(effect))
                loop.sleep(timeout)
                raise NotRefused(fault)
        if fault is Fault.ANSWER_LOST:
            _quietly(effect)()
            loop.sleep(timeout)
            raise NotRefused(fault)
        if fault is Fault.DIED_AFTER:
            _quietly(effect)()
            loop.die()
        try:
            return effect()
        except ClientError as refusal:
            entry.error = refusal.response["Error"]["Code"]
            raise
        finally:
            loop.sleep(faults.latency(loop.seconds))


class Client:
    """A boto3 client, whose tries and time-outs are those of the Config that made it."""

    exceptions = EXCEPTIONS

    def __init__(
        self,
        service: str,
        operate: Operate,
        config: Config | None,
        *,
        calls: Calls,
        loop: Loop,
        faults: Faults,
        watch: Watcher,
        token: Callable[[], str],
    ) -> None:
        self._service = service
        self._operate = operate
        options: Any = config
        retries = (options.retries if options else None) or {}
        self._tries = retries.get("total_max_attempts", _DEFAULT_TRIES)
        self._timeout = float(options.read_timeout if options else _DEFAULT_TIMEOUT)
        self._calls = calls
        self._loop = loop
        self._faults = faults
        self._watch = watch
        self._token = token

    def __getattr__(self, operation: str) -> Callable[..., dict[str, Any]]:
        if operation.startswith("_"):
            raise AttributeError(operation)
        return lambda **arguments: self._ask(operation, arguments)

    def get_paginator(self, operation: str) -> "Paginator":
        """The pages of an operation."""
        return Paginator(getattr(self, operation))

    def _ask(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """As boto3 does it: the whole request again after a failure that may pass."""
        who = self._loop.who

        def effect() -> dict[str, Any]:
            try:
                answer = self._operate(operation, arguments, who)
            except Exception as error:
                self._watch(self._service, operation, arguments, error)
                raise
            self._watch(self._service, operation, arguments, answer)
            return answer

        asked = partial(request_in_words, operation, arguments)
        table = _table_of(arguments)
        if operation == "transact_write_items":  # as botocore does: its own tries are one
            arguments = {"ClientRequestToken": self._token(), **arguments}
        fault = self._faults.of_call(self._service, self._loop.seconds, table)
        for tries_left in reversed(range(self._tries)):
            try:
                return self._calls.perform(
                    self._service, asked, effect, timeout=self._timeout, fault=fault
                )
            except WasRefused:
                if not tries_left:
                    raise _refusal(self._service, operation, arguments) from None
            except NotRefused as unknown:
                if not tries_left:
                    kind = (
                        ConnectTimeoutError
                        if unknown.fault is Fault.NEVER_ARRIVED
                        else ReadTimeoutError
                    )
                    raise kind(endpoint_url=f"https://{self._service}") from None
            if not self._faults.again():
                fault = self._faults.of_call(self._service, self._loop.seconds, table)
            self._loop.sleep(0.05)
        raise AssertionError("the last try returns or raises")


class Paginator:
    """As boto3's: one request for each page."""

    def __init__(self, ask: Callable[..., dict[str, Any]]) -> None:
        self._ask = ask

    def paginate(
        self,
        *,
        PaginationConfig: Mapping[str, int] | None = None,  # noqa: N803 -- boto3's name
        **arguments: Any,
    ) -> Iterator[dict[str, Any]]:
        """The answers, one after the other."""
        if PaginationConfig and "PageSize" in PaginationConfig:
            arguments["Limit"] = PaginationConfig["PageSize"]
        while True:
            page = self._ask(**arguments)
            yield page
            if "LastEvaluatedKey" not in page:
                return
            arguments["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def _table_of(arguments: Mapping[str, Any]) -> str | None:
    """The table that a request to DynamoDB is about: of a transaction, the first one."""
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


def _refusal(service: str, operation: str, arguments: Mapping[str, Any]) -> ClientError:
    """As it is told to those who have tried often enough."""
    if operation == "transact_write_items":
        reasons = [{"Code": "None"} for _ in arguments["TransactItems"]]
        reasons[-1] = {"Code": "ThrottlingError"}
        code = "TransactionCanceledException"
        return client_error(code, operation, CancellationReasons=reasons)
    return client_error(_THROTTLED[service], operation)


def _quietly(effect: Callable[[], object]) -> Callable[[], None]:
    """The effect, whose answer or error nobody hears."""

    def run() -> None:
        with suppress(Exception):  # a lost answer is lost whatever it was
            effect()

    return run
