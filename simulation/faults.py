"""The faults of a run, drawn from its seed: which, how often, and for how long."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final


class CallFault(StrEnum):
    """A fault of one call from a function to AWS or to Twilio."""

    ERROR = "error response"
    """The call has no effect, and the caller gets an error response."""
    REQUEST_LOST = "request lost"
    """The call has no effect, and the caller gets a timeout."""
    RESPONSE_LOST = "response lost"
    """The call takes effect, and the caller gets a timeout."""
    LATE_EFFECT = "late effect"
    """The caller gets a timeout, and the call takes effect after it."""
    CRASH_BEFORE = "crash before"
    """The function crashes before the call takes effect."""
    CRASH_AFTER = "crash after"
    """The function crashes after the call takes effect."""


class TransportFault(StrEnum):
    """A fault between the parts: of a callback, an HTTP API, a queue, a stream, a schedule."""

    REQUEST_LOST = "request lost"
    RESPONSE_LOST = "response lost"
    DELAYED = "delayed"
    REPEATED = "repeated"
    GATEWAY_ERROR = "gateway error"
    THROTTLED = "throttled"
    NOT_STARTED = "not started"
    """The function's environment crashes before the first line of the handler."""
    WITHOUT_CODE = "without error code"
    """A repeated callback lacks the error code."""
    PARTIAL = "partial failure"
    """The bus takes a request, but not all of its entries."""
    DROPPED = "dropped"
    """Lambda drops the stream record: too old, or tried too often."""
    EXPIRED = "expired"
    """Twilio does not know the token of a list's page any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """A period, in seconds of virtual time, in which each call has the same fault.

    `target` is a service, a table, `AWS` for all of AWS, or `callbacks`.
    """

    target: str
    begins: float
    ends: float
    fault: CallFault

    def covers(self, service: str, at: float, table: str | None = None) -> bool:
        """Return whether a call to the service, about this table, meets the outage."""
        all_of_aws = self.target == _AWS and service not in {"twilio", CALLBACKS}
        return (all_of_aws or self.target in {service, table}) and self.begins <= at < self.ends


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultProfile:
    """How often and how long things fail in a run: rates from 0 to 1, seconds of virtual time."""

    call_faults: float
    """Rate of call faults."""
    worst_service: str | None
    """A service of which almost every other call fails."""
    transport_faults: float
    """Rate of transport faults, which some places multiply by a share."""
    slow_calls: float
    """Rate of slow calls."""
    schedule_interval: float
    """Interval of schedules until `ends_at`."""
    sending_window: float
    """The callers begin to send within this time."""
    ends_at: float
    """No fault occurs from here on, until days are audited."""
    outages: tuple[Outage, ...] = ()


NO_FAULTS: Final = FaultProfile(
    call_faults=0,
    worst_service=None,
    transport_faults=0,
    slow_calls=0,
    schedule_interval=1800,
    sending_window=60,
    ends_at=60,
)
_WORST_RATE: Final = 0.4
_NOT_STORED_SHARE: Final = 0.05
_AWS: Final = "AWS"
CALLBACKS: Final = "callbacks"
SERVICES: Final = frozenset(
    {"dynamodb", "sqs", "sns", "secretsmanager", "events", "firehose", "twilio"}
)
"""The services that functions call."""
_OUTAGE_TARGETS: Final = (
    *(_AWS, _AWS, "dynamodb", "dynamodb", "sqs", "sns", "secretsmanager"),
    *("twilio", CALLBACKS, CALLBACKS, "events", "firehose"),
    *("MessagesTable", "SendRequestsTable", "ControlTable"),
)
_HOUR: Final = 3600.0


def draw_fault_profile(draws: random.Random) -> FaultProfile:
    """Draw a profile: most have many faults, some no call faults, and some several outages."""
    sending_window = draws.choice((2.0, 60.0, 600.0, 1800.0))
    ends_at = sending_window + draws.uniform(0.1, 2.0) * _HOUR
    outages = []
    for _ in range(draws.choice((0, 0, 1, 1, 2))):
        begins = draws.uniform(0, sending_window * 1.5)
        ends = min(ends_at, begins + draws.choice((5, 60, 600, _HOUR, 2 * _HOUR)))
        fault = draws.choice((CallFault.ERROR, CallFault.ERROR, CallFault.RESPONSE_LOST))
        target = draws.choice(_OUTAGE_TARGETS)
        outages.append(Outage(target=target, begins=begins, ends=ends, fault=fault))
    worst = draws.choice((*(None, None, None), *("twilio", "twilio", "dynamodb", "sqs", "sns")))
    not_stored = draws.random() < _NOT_STORED_SHARE
    if not_stored:  # Twilio accepts messages that neither the table nor the queue can take
        outages += [
            Outage(target=target, begins=0, ends=sending_window, fault=CallFault.ERROR)
            for target in ("MessagesTable", "sqs")
        ]
    # Requests stay in doubt if Twilio's responses and all callbacks are lost in the same run.
    silent_rate = 0.5 if worst == "twilio" or not_stored else 0.04
    if draws.random() < silent_rate:  # as with a wrong name or a wrong certificate
        outages.append(Outage(target=CALLBACKS, begins=0, ends=ends_at, fault=CallFault.ERROR))
    return FaultProfile(
        call_faults=draws.choice((0.0, 0.01, 0.04, 0.1, 0.25)),
        worst_service=worst,
        transport_faults=draws.choice((0.0, 0.02, 0.1, 0.3)),
        slow_calls=draws.choice((0.0, 0.05, 0.3)),
        schedule_interval=draws.choice((120.0, 600.0, 1800.0, 1800.0)),
        sending_window=sending_window,
        ends_at=ends_at,
        outages=tuple(outages),
    )


def with_lost_sns_responses(profile: FaultProfile) -> FaultProfile:
    """Return the profile with an outage: for two hours SNS publishes and its responses are lost."""
    outage = Outage(target="sns", begins=600, ends=600 + 2 * _HOUR, fault=CallFault.RESPONSE_LOST)
    ends_at = max(profile.ends_at, outage.ends)
    return replace(profile, ends_at=ends_at, outages=(outage, *profile.outages))


def without_callbacks(profile: FaultProfile) -> FaultProfile:
    """Return the profile with an outage: every callback is lost until it ends."""
    outage = Outage(target=CALLBACKS, begins=0, ends=profile.ends_at, fault=CallFault.ERROR)
    return replace(profile, outages=(*profile.outages, outage))


class FaultInjector:
    """Draws the faults of a run by its profile, and counts them by place and kind."""

    def __init__(
        self, profile: FaultProfile, draws: random.Random, clock: Callable[[], float]
    ) -> None:
        self.profile = profile
        self.counts: Counter[str] = Counter()
        self._draws = draws
        self._clock = clock
        self._ends_at = profile.ends_at
        self.slowness: dict[str, float] = {}
        """How many times longer the calls of a function take."""

    @property
    def is_over(self) -> bool:
        """Whether no fault occurs now."""
        return self._clock() >= self._ends_at

    def resume(self, *, until: float) -> None:
        """Let faults occur again, without outages."""
        self._ends_at = until

    def call_fault(self, service: str, table: str | None = None) -> CallFault | None:
        """Draw the fault of a function's call; `table` is the one that a DynamoDB call is about."""
        if self.is_over:
            return None
        for outage in self.profile.outages:
            if outage.covers(service, self._clock(), table):
                return self._counted(service, outage.fault)
        is_worst = service == self.profile.worst_service
        if self._draws.random() >= (_WORST_RATE if is_worst else self.profile.call_faults):
            return None
        return self._counted(service, self._draws.choice(tuple(CallFault)))

    def persists(self) -> bool:
        """Draw whether a client's next attempt meets the same fault."""
        return self._draws.random() < 0.6

    def is_out(self, target: str) -> bool:
        """Return whether there is an outage, for anything but a function's call."""
        out = any(outage.covers(target, self._clock()) for outage in self.profile.outages)
        if out:
            self.counts[f"{target}: out"] += 1
        return out

    def occurs(self, fault: TransportFault, where: str, *, share: float = 1.0) -> bool:
        """Draw whether a transport fault occurs, at `share` of the profile's rate."""
        rate = self.profile.transport_faults * share
        if self.is_over or self._draws.random() >= rate:
            return False
        self.counts[f"{where}: {fault}"] += 1
        return True

    def latency(self, invocation: str) -> float:
        """Draw the seconds that a call of an invocation takes."""
        return self._usual_latency() * self.slowness.get(invocation.partition("#")[0], 1.0)

    def _usual_latency(self) -> float:
        if not self.is_over and self._draws.random() < self.profile.slow_calls:
            return self._draws.uniform(0.1, 0.9)
        return self._draws.uniform(0.002, 0.03)

    def uniform(self, low: float, high: float) -> float:
        """Draw a number of seconds for any other purpose."""
        return self._draws.uniform(low, high)

    def _counted(self, service: str, fault: CallFault) -> CallFault:
        self.counts[f"{service}: {fault}"] += 1
        return fault
