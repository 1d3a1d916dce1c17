"""What goes wrong, drawn from the seed: how often, for how long, and what happens to each call."""

import random
from collections import Counter
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final


class Fault(StrEnum):
    """What happens to one call from a function to AWS or to Twilio."""

    REFUSED = "refused"
    """It fails before it takes effect, and says so."""
    NEVER_ARRIVED = "never arrived"
    """It fails before it takes effect, and nobody says so."""
    ANSWER_LOST = "answer lost"
    """It takes effect, and the caller never learns."""
    LATE = "took effect late"
    """It takes effect after the caller has given up waiting."""
    DIED_BEFORE = "died before"
    """The function is gone before the call takes effect."""
    DIED_AFTER = "died after"
    """The function is gone after the call took effect."""


class Mishap(StrEnum):
    """What happens between the parts: on the way of a callback, in a queue, in the stream."""

    REQUEST_LOST = "request lost"
    ANSWER_LOST = "answer lost"
    DELAYED = "delayed"
    REPEATED = "repeated"
    GATEWAY_ERROR = "gateway error"
    THROTTLED = "throttled"
    NOT_STARTED = "not started"
    """The function's environment breaks before its first line."""
    WITHOUT_CODE = "without code"
    """A repetition lacks the error code."""
    IN_PART = "refused in part"
    """The bus takes a request, and not all of its entries."""
    GIVEN_UP = "given up"
    """Lambda drops the record: too old, or tried too often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """A service, a table or all of AWS that answers nobody for so many (virtual) seconds."""

    service: str
    begins: float
    ends: float
    fault: Fault

    def covers(self, service: str, at: float, part: str | None = None) -> bool:
        """Whether it hits a call of that service, or of this part of it, then."""
        everything = self.service == _EVERYTHING and service not in {"twilio", CALLBACKS}
        hit = everything or self.service in {service, part}
        return hit and self.begins <= at < self.ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """How bad a run is: chances from 0 to 1, seconds."""

    faults: float
    worst: str | None
    """A service that fails almost every other time."""
    mishaps: float
    slow: float
    invoked_every: float
    """What a schedule waits at least, until it is calm."""
    sending: float
    """The time within which messages are wanted."""
    calm_at: float
    outages: tuple[Outage, ...] = field(default=())


FINE: Final = Weather(
    faults=0, worst=None, mishaps=0, slow=0, invoked_every=1800, sending=60, calm_at=60
)
_WORST: Final = 0.4
_NOBODY_TAKES_IT: Final = 0.05
_EVERYTHING: Final = "AWS"
CALLBACKS: Final = "callbacks"
CALLED: Final = frozenset({"dynamodb", "sqs", "sns", "secretsmanager", "events", "twilio"})
"""What functions call."""
_SERVICES: Final = (
    *(_EVERYTHING, _EVERYTHING, "dynamodb", "dynamodb", "sqs", "sns", "secretsmanager"),
    *("twilio", CALLBACKS, CALLBACKS, "MessagesTable", "SendRequestsTable", "events"),
)
_HOUR: Final = 3600.0


def draw_weather(draws: random.Random) -> Weather:
    """Mostly bad, now and then fine, with an outage or two."""
    sending = draws.choice((2.0, 60.0, 600.0, 1800.0))
    calm_at = sending + draws.uniform(0.1, 2.0) * _HOUR
    outages = []
    for _ in range(draws.choice((0, 0, 1, 1, 2))):
        begins = draws.uniform(0, sending * 1.5)
        ends = min(calm_at, begins + draws.choice((5, 60, 600, _HOUR, 2 * _HOUR)))
        fault = draws.choice((Fault.REFUSED, Fault.REFUSED, Fault.ANSWER_LOST))
        outages.append(
            Outage(service=draws.choice(_SERVICES), begins=begins, ends=ends, fault=fault)
        )
    worst = draws.choice((*(None, None, None), *("twilio", "twilio", "dynamodb", "sqs", "sns")))
    nobody_takes_it = draws.random() < _NOBODY_TAKES_IT
    if nobody_takes_it:  # Twilio accepts, and neither the table nor the queue can be told
        outages += [
            Outage(service=service, begins=0, ends=sending, fault=Fault.REFUSED)
            for service in ("MessagesTable", "sqs")
        ]
    # Both at once is what makes requests stay in doubt.
    if draws.random() < (
        0.5 if worst == "twilio" or nobody_takes_it else 0.04
    ):  # a wrong name, a wrong certificate: nothing ever calls back
        outages.append(Outage(service=CALLBACKS, begins=0, ends=calm_at, fault=Fault.REFUSED))
    return Weather(
        faults=draws.choice((0.0, 0.01, 0.04, 0.1, 0.25)),
        worst=worst,
        mishaps=draws.choice((0.0, 0.02, 0.1, 0.3)),
        slow=draws.choice((0.0, 0.05, 0.3)),
        invoked_every=draws.choice((120.0, 600.0, 1800.0, 1800.0)),
        sending=sending,
        calm_at=calm_at,
        outages=tuple(outages),
    )


def while_nobody_hears_of_notices(weather: Weather) -> Weather:
    """The same, but that for two hours SNS takes every notice and nobody hears its answer."""
    unheard = Outage(service="sns", begins=600, ends=600 + 2 * _HOUR, fault=Fault.ANSWER_LOST)
    calm_at = max(weather.calm_at, unheard.ends)
    return replace(weather, calm_at=calm_at, outages=(unheard, *weather.outages))


class Faults:
    """Draws what goes wrong, and counts it by kind; after `calm_at` nothing does any more."""

    def __init__(self, weather: Weather, draws: random.Random) -> None:
        self.weather = weather
        self.counts: Counter[str] = Counter()
        self._draws = draws

    def of_call(self, service: str, at: float, part: str | None = None) -> Fault | None:
        """What happens to a call of a function; `part` is the table that it is about."""
        if at >= self.weather.calm_at:
            return None
        for outage in self.weather.outages:
            if outage.covers(service, at, part):
                return self._counted(service, outage.fault)
        chance = _WORST if service == self.weather.worst else self.weather.faults
        if self._draws.random() >= chance:
            return None
        return self._counted(service, self._draws.choice(tuple(Fault)))

    def is_out(self, service: str, at: float) -> bool:
        """Whether there is an outage, for what is no call of a function."""
        out = any(outage.covers(service, at) for outage in self.weather.outages)
        if out:
            self.counts[f"{service}: out"] += 1
        return out

    def again(self) -> bool:
        """Whether a client's next try meets the same fault."""
        return self._draws.random() < 0.6

    def happens(self, mishap: Mishap, where: str, at: float, *, share: float = 1.0) -> bool:
        """Whether a mishap happens here; `share` of the usual chance."""
        if at >= self.weather.calm_at or self._draws.random() >= self.weather.mishaps * share:
            return False
        self.counts[f"{where}: {mishap}"] += 1
        return True

    def latency(self, at: float) -> float:
        """The seconds of one way of a call."""
        if at < self.weather.calm_at and self._draws.random() < self.weather.slow:
            return self._draws.uniform(0.05, 0.45)
        return self._draws.uniform(0.001, 0.015)

    def uniform(self, least: float, most: float) -> float:
        """Seconds of anything else."""
        return self._draws.uniform(least, most)

    def _counted(self, service: str, fault: Fault) -> Fault:
        self.counts[f"{service}: {fault}"] += 1
        return fault
