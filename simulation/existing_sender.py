"""An existing sender: a program that sends without the stack, and sets its StatusCallback only."""

import random
from collections.abc import Sequence
from functools import partial
from typing import Final

from simulation.callers import SENDER, CallerRequest, request_id_for
from simulation.deployment import functions
from simulation.engine import Engine
from simulation.twilio import SUBACCOUNT_SID, Twilio

_BURST_RATE: Final = 0.08
_MORE_THAN_ONE_TRANSACTION: Final = 110
_SLOW_BURST: Final = (
    *(240.0 * number for number in range(15)),
    *(3600.0 + 1200.0 * number + later for number in range(6) for later in (0, 60)),
)
"""The times of failures that keep one incident open for an hour, and then open a series of them."""
_FAILING: Final = ("+15555530003", "+15555530007", "+15555521610", "+15555550110")
_FAILING_SLOWLY: Final = "+15555530007"
_REJECTED: Final = ("+15005550001", "+15005550004")
_ODD: Final = ("+15555550105", "+15555550113")
"""Recipients whose messages never get a final status."""
_IN_DOUBT: Final = ("+15555550107", "+15555550108")
"""Recipients whose messages Twilio accepts without a response that says so."""
_HISTORIES: Final = (8, 40)
"""How many messages another sender has for the recipient of a request."""
_HISTORY_SECONDS: Final = 600.0
_OTHER_SENDER: Final = "+15557654399"
IMPOSTOR_BODY: Final = "From an impostor"
_IMPOSTOR_RATE: Final = 0.3


class ExistingSender:
    """Sends a message now and then; in some runs many messages that fail with the same code."""

    def __init__(self, draws: random.Random, *, twilio: Twilio, engine: Engine) -> None:
        self._draws = draws
        self._twilio = twilio
        self._loop = engine.loop
        self._url = functions()["send_message"].environment["STATUS_CALLBACK_URL"]

    def start(self, *, within: float, slow_burst: bool) -> None:
        """Schedule the messages, beginning within so many seconds.

        `slow_burst`: failures of one cause go on for hours.
        """
        for number in range(self._draws.choice((0, 0, 1))):
            to = self._draws.choice((f"+1555999{number:04d}", "+15555530003"))
            self._send_at(self._draws.uniform(0, within), number, to)
        if self._draws.random() < _BURST_RATE:
            self._start_burst(within)
        if slow_burst:
            for number, at in enumerate(_SLOW_BURST):
                self._send_at(at, number, _FAILING_SLOWLY)

    def start_untracked(self, rates: random.Random, *, within: float) -> None:
        """Schedule a few messages without a StatusCallback, some of which Twilio rejects.

        Their sender is another one, so that they match no request of the stack.
        """
        for number in range(rates.choice((0, 0, 1, 2, 4))):
            form = {
                "To": rates.choice((f"+1555777{number:04d}", *_FAILING, *_REJECTED, *_ODD)),
                "From": _OTHER_SENDER,
                "Body": f"From an untracked program {number}",
            }
            self._loop.at(rates.uniform(0, within), partial(self._twilio.create_message, form))

    def start_history(self, rates: random.Random, requests: Sequence[CallerRequest]) -> None:
        """Schedule messages of another sender to the recipient of a request, soon after it.

        Some lists become longer than a search can read.
        """
        in_doubt = [it for it in requests if it.document["to"] in _IN_DOUBT]
        request = rates.choice(in_doubt or requests)
        for number in range(rates.choice(_HISTORIES)):
            form = {
                "To": request.document["to"],
                "From": _OTHER_SENDER,
                "Body": f"One of many messages to the same recipient: {number}",
            }
            at = request.begins + rates.uniform(0, _HISTORY_SECONDS)
            self._loop.at(at, partial(self._twilio.create_message, form))

    def start_impostor(
        self, rates: random.Random, requests: Sequence[CallerRequest], *, within: float
    ) -> None:
        """Schedule messages of the subaccount whose callbacks carry ids of the account's requests.

        They prove nothing about these requests.
        """
        for request in requests:
            if request.key and request.account_sid is None and rates.random() < _IMPOSTOR_RATE:
                form = {
                    "To": request.document["to"],
                    "From": _OTHER_SENDER,
                    "Body": IMPOSTOR_BODY,
                    "StatusCallback": f"{self._url}?request_id={request_id_for(request.key)}",
                }
                send = partial(self._twilio.create_message, form, SUBACCOUNT_SID)
                self._loop.at(request.begins + rates.uniform(0, within), send)

    def _start_burst(self, within: float) -> None:
        size = self._draws.choice((8, 12, 20, 40, _MORE_THAN_ONE_TRANSACTION))
        to = self._draws.choice(_FAILING)
        begins = self._draws.uniform(0, within)
        duration = self._draws.choice((1.0, 60.0, 600.0, 3600.0))
        for number in range(size):
            self._send_at(begins + self._draws.uniform(0, duration), number, to)

    def _send_at(self, seconds: float, number: int, to: str) -> None:
        form = {
            "To": to,
            "From": SENDER,
            "Body": f"From another program {number}",
            "StatusCallback": f"{self._url}?order={number}#rc=5&rp=all&rt=5000",
        }
        self._loop.at(seconds, partial(self._twilio.create_message, form))
