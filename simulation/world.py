"""One life of the system: what a seed draws, put together, and lived until nothing moves any more.

For whoever is new here:

- A life is `World(seed).run()`. Everything in it is drawn from the seed and time is virtual
  (virtual_time.py), so that the same seed is the same life again.
- The functions in it are the project's own, loaded afresh (program.py) and run as Lambda runs them
  (lambda_service.py). They are invoked by those who want messages sent (callers.py), by Twilio's
  callbacks (twilio_side.py, gateway.py), and by queues, the stream and schedules (pollers.py).
  Other programs send, too (other_sender.py), and an operator may erase somebody (operator.py).
- They call an AWS account that is made of fakes (account.py, fakes/) and the sandbox's Twilio. Each
  call may fail (calls.py), as often as the life's weather says (faults.py), until it is calm.
- Once all is at rest, checks.py tells which of the promises in docs/reliability.md are broken, by
  what is stored and what Twilio knows; notices.py and outcomes.py, by who was told of what.
- `python -m simulation --seed 17` lives it once more and tells of it (report.py, trace.py).
- mutants.py shows that it would be noticed if the code were wrong. A new mutant is an entry there:
  its name, the promises that it breaks, a place in the code, and what stands there instead.
- contract.py compares the fakes with moto and MiniStack; edge_cases.py is what lives never ask.
"""

import random
from collections import Counter
from datetime import UTC, datetime
from typing import Final
from unittest.mock import patch

from sandbox.twilio.settings import Settings
from simulation.account import Account
from simulation.callers import Callers
from simulation.calls import Calls
from simulation.deployment import functions, parameter, queue_url
from simulation.faults import (
    Faults,
    Weather,
    draw_weather,
    while_nobody_hears_of_notices,
)
from simulation.gateway import Gateway
from simulation.lambda_service import Lambda
from simulation.operator import Operator
from simulation.other_sender import OtherSender
from simulation.pollers import connected_schedules
from simulation.program import Program, unchanged_program
from simulation.trace import Trace
from simulation.twilio_side import Twilio, TwilioSession
from simulation.virtual_time import Loop

START: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)
_SLOW: Final = 1000.0
_SHARE_OF_CAMPAIGNS: Final = 0.3
_ERASURES: Final = 0.1
_SLOW_STORMS: Final = 0.03
_HOUR: Final = 3600.0


class World:
    """The system, its surroundings, and what goes wrong with them.

    `at_once`: neither is an index behind its table, nor does a transaction take time.
    `campaign`: so many messages are wanted, all through the queue.
    """

    def __init__(
        self,
        seed: int,
        program: Program | None = None,
        *,
        weather: Weather | None = None,
        at_once: bool = False,
        campaign: int | None = None,
    ) -> None:
        draws = random.Random(seed)  # noqa: S311 -- repeatable, no secrets
        self._draws = draws
        # Of their own, so that what else a seed draws does not depend on them.
        paces = random.Random(f"pace of {seed}")  # noqa: S311 -- the same
        self.sends_per_second = paces.choice(("0", "0", "0.002", "0.02", "1"))
        in_campaign = paces.random() < _SHARE_OF_CAMPAIGNS and self.sends_per_second != "0"
        self._slow_storm = weather is None and paces.random() < _SLOW_STORMS
        self._campaign = campaign

        self.trace = Trace(START)
        loop = self.loop = Loop(START)
        self.weather = weather or draw_weather(draws)
        if self._slow_storm:
            self.weather = while_nobody_hears_of_notices(self.weather)
        faults = self.faults = Faults(self.weather, draws)
        self._calls = Calls(loop, faults, self.trace)
        self.aws = Account(
            draws, calls=self._calls, loop=loop, faults=faults, ids=self._id, at_once=at_once
        )
        self.lambda_service = Lambda(
            program or unchanged_program(),
            loop=loop,
            faults=faults,
            trace=self.trace,
            make_client=self.aws.client,
            make_session=self._session_with_twilio,
            ids=self._id,
            parameters={"SENDER_SEGMENTS_PER_SECOND": self.sends_per_second},
        )
        gateway = Gateway(functions(), service=self.lambda_service, loop=loop, faults=faults)
        self.twilio = Twilio(
            settings=_draw_settings(draws),
            gateway=gateway,
            calls=self._calls,
            loop=loop,
            faults=faults,
            trace=self.trace,
            draws=draws,
        )
        self._schedules = connected_schedules(
            self.aws, draws, service=self.lambda_service, loop=loop, faults=faults
        )

        self.callers = Callers(
            draws,
            function=functions()["send_message"],
            gateway=gateway,
            queue=self.aws.queues[queue_url("SendQueue")],
            campaign=bool(campaign) or in_campaign,
            service=self.lambda_service,
            loop=loop,
            faults=faults,
            trace=self.trace,
        )
        self.other_sender = OtherSender(draws, twilio=self.twilio, loop=loop)
        self.operator = Operator(
            service=self.lambda_service, loop=loop, faults=faults, trace=self.trace
        )

    def run(self) -> "World":
        """Let everything happen: first while things go wrong, then until nothing moves."""
        sending = self.weather.sending
        self.callers.start(self._campaign or self._draws.randint(2, 8), within=sending)
        self.other_sender.start(within=sending, slow_storm=self._slow_storm)
        if self._draws.random() < _ERASURES:
            self._erase_somebody()
        unconfirmed_after = float(parameter("UnconfirmedAfterHours")) * _HOUR
        rest = self.weather.calm_at + unconfirmed_after + 4 * _HOUR
        for schedule in self._schedules:
            schedule.start(until=rest)
        with patch("secrets.token_hex", lambda size=16: self._draws.randbytes(size).hex()):
            self.loop.run_until(rest + 2 * _HOUR)
        return self

    @property
    def disturbed(self) -> set[str]:
        """The invocations that met a fault or died."""
        return self._calls.disturbed | self.lambda_service.disturbed

    def summary(self) -> Counter[str]:
        """What the life consisted of."""
        return Counter(
            {
                "runs": 1,
                "messages": len(self.twilio.simulator.messages()),
                "requests": sum(wish.tries for wish in self.callers.wishes),
                "invocations": sum(self.lambda_service.invocations.values()),
                "callbacks": self.twilio.callbacks,
                "notices": len(self.aws.topic.published),
                "events": len(self.aws.bus.published),
            }
        )

    def _erase_somebody(self) -> None:
        address = self._draws.choice(self.callers.wishes).document["to"]
        if address.startswith("+"):
            self.operator.erase(address, at=self._draws.uniform(0, self.weather.calm_at))

    def _session_with_twilio(self) -> TwilioSession:
        return self.twilio.session()

    def _id(self) -> str:
        hexed = self._draws.randbytes(16).hex()
        return f"{hexed[:8]}-{hexed[8:12]}-{hexed[12:16]}-{hexed[16:20]}-{hexed[20:]}"


def _draw_settings(draws: random.Random) -> Settings:
    """How fast stories go, and how far Twilio's list is behind."""
    pace = draws.choice((0.05, 1.0, 1.0, 30.0, 200.0, 1500.0))
    # What calls back late and is not in the list either is given up, and turns up after all.
    lags = (600.0, 3000.0, 3000.0) if pace > _SLOW else (0.0, 60.0, 600.0, 600.0, 3000.0)
    return Settings(
        step_seconds=pace,
        list_lag_seconds=draws.choice(lags),
        report_sending=draws.random() < 0.2,
        trial=draws.random() < 0.1,
    )
