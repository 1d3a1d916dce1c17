"""Another program of the team's, which sends by itself and only sets our StatusCallback."""

import random
from functools import partial
from typing import Final

from simulation.callers import SENDER
from simulation.deployment import functions
from simulation.twilio_side import Twilio
from simulation.virtual_time import Loop

_STORMS: Final = 0.08
_MORE_THAN_A_TRANSACTION_TAKES: Final = 110
_SLOW_STORM: Final = (
    *(240.0 * number for number in range(15)),
    *(3600.0 + 1200.0 * number + later for number in range(6) for later in (0, 60)),
)
"""When it fails: for an hour so that an episode goes on, then so that one follows the other."""
_FAIL_ALIKE: Final = ("+15555530003", "+15555530007", "+15555521610", "+15555550110")


class OtherSender:
    """Sends a message now and then; and in some lives very many that fail, all alike."""

    def __init__(self, draws: random.Random, *, twilio: Twilio, loop: Loop) -> None:
        self._draws = draws
        self._twilio = twilio
        self._loop = loop
        self._url = functions()["send_message"].environment["STATUS_CALLBACK_URL"]

    def start(self, *, within: float, slow_storm: bool) -> None:
        """Send whatever there is to be sent, beginning within so many seconds.

        In a slow storm failures join an episode for as long as anybody tells of it.
        """
        for number in range(self._draws.choice((0, 0, 1))):
            to = self._draws.choice((f"+1555999{number:04d}", "+15555530003"))
            self._loop.at(self._draws.uniform(0, within), partial(self._send, number, to))
        if self._draws.random() < _STORMS:
            self._storm(within)
        if slow_storm:
            for number, at in enumerate(_SLOW_STORM):
                self._loop.at(at, partial(self._send, number, "+15555530007"))

    def _storm(self, within: float) -> None:
        size = self._draws.choice((8, 12, 20, 40, _MORE_THAN_A_TRANSACTION_TAKES))
        to = self._draws.choice(_FAIL_ALIKE)
        begins = self._draws.uniform(0, within)
        lasts = self._draws.choice((1.0, 60.0, 600.0, 3600.0))
        for number in range(size):
            at = begins + self._draws.uniform(0, lasts)
            self._loop.at(at, partial(self._send, number, to))

    def _send(self, number: int, to: str) -> None:
        self._twilio.create_for_others(
            {
                "To": to,
                "From": SENDER,
                "Body": f"From another program {number}",
                "StatusCallback": f"{self._url}?order={number}#rc=5&rp=all&rt=5000",
            }
        )
