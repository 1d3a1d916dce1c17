"""What goes wrong, drawn from the seed: how often, for how long, and what happens to each call."""

import random
from collections import Counter
from dataclasses import dataclass, field
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
    GIVEN_UP = "given up"
    """Lambda drops the record: too old, or tried too often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """A service that answers nobody for a while (seconds of virtual time)."""

    service: str
    begins: float
    ends: float
    fault: Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """How bad a run is: chances from 0 to 1, seconds."""

    faults: float
    mishaps: float
    slow: float
    calm_at: float
    outages: tuple[Outage, ...] = field(default=())


_SERVICES: Final = ("dynamodb", "dynamodb", "sqs", "sns", "secretsmanager", "twilio")
_HOUR: Final = 3600.0


def draw_weather(draws: random.Random) -> Weather:
    """Mostly bad, now and then fine, with an outage or two."""
    calm_at = draws.uniform(0.3, 2.5) * _HOUR
    outages = []
    for _ in range(draws.choice((0, 0, 1, 1, 2))):
        begins = draws.uniform(0, calm_at)
        ends = min(calm_at, begins + draws.choice((5, 60, 600, _HOUR)))
        fault = draws.choice((Fault.REFUSED, Fault.REFUSED, Fault.ANSWER_LOST))
        outages.append(
            Outage(service=draws.choice(_SERVICES), begins=begins, ends=ends, fault=fault)
        )
    return Weather(
        faults=draws.choice((0.0, 0.01, 0.04, 0.1, 0.25)),
        mishaps=draws.choice((0.0, 0.02, 0.1, 0.3)),
        slow=draws.choice((0.0, 0.05, 0.3)),
        calm_at=calm_at,
        outages=tuple(outages),
    )


class Faults:
    """Draws what goes wrong, and counts it by kind; after `calm_at` nothing does any more."""

    def __init__(self, weather: Weather, draws: random.Random) -> None:
        self.weather = weather
        self.counts: Counter[str] = Counter()
        self._draws = draws

    def of_call(self, service: str, at: float) -> Fault | None:
        """What happens to a call of a function."""
        if at >= self.weather.calm_at:
            return None
        for outage in self.weather.outages:
            if outage.service == service and outage.begins <= at < outage.ends:
                return self._counted(service, outage.fault)
        if self._draws.random() >= self.weather.faults:
            return None
        return self._counted(service, self._draws.choice(tuple(Fault)))

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
