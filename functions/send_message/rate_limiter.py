"""Letting the messages of SendQueue go at the rate that Twilio gives their sender.

Whoever has to wait for seconds only is waited for; who has to wait longer goes back to the queue
and stays out of sight until its turn may have come. That wastes neither the function's time nor the
times that the queue hands a message out before it takes it for dead: see `_away_for`.
"""

import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from delivery.runtime.deadline import TimeLeft
from delivery.twilio.client import NEEDED_SECONDS
from delivery.twilio.credentials import TwilioSecrets

from .rate_limit import Reservation, length
from .rate_limit_store import RateLimitStore
from .request import InvalidRequest, MessageRequest, parse, read_json
from .segments import segments_of
from .send_queue import SendQueue

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

_LONGEST_WAIT_SECONDS: Final = 2.0
_MARGIN_SECONDS: Final = 1.0
_LONGEST_AWAY_SECONDS: Final = 11 * 60 * 60  # SQS hides a message for twelve hours at the most
_AFTER_THROTTLING_SECONDS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Paced:
    """A message that takes its turn with the others of its sender."""

    record: "SQSRecord"
    sender: str
    length: int


class SenderRateLimiter:
    """Gives turns to the messages of one batch after the other.

    Args:
        store: the paces that all invocations share.
        queue: where messages wait.
        secrets: names the account of those that name none.
        per_second: the segments (or messages that have none) that a sender may send each second.
        now, sleep: the time, and `time.sleep`.
        chance: `random.random`.
    """

    def __init__(  # noqa: PLR0913 -- what it works with, named at its one call
        self,
        *,
        store: RateLimitStore,
        queue: SendQueue,
        secrets: TwilioSecrets,
        per_second: float,
        now: Callable[[], datetime],
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._queue = queue
        self._secrets = secrets
        self._per_second = per_second
        self._now = now
        self._sleep = sleep
        self._chance = chance

    def turns(self, records: Iterable["SQSRecord"], *, time_left: TimeLeft) -> "Reservations":
        """Reserve for a batch; who cannot go soon is hidden in the queue.

        Raises:
            StoreUnavailable, SecretError: nobody knows whose turn it is: nothing may be sent.
        """
        groups: defaultdict[str, list[_Paced]] = defaultdict(list)
        for paced in filter(None, map(self._paced, records)):
            groups[paced.sender].append(paced)
        turns: dict[str, tuple[_Paced, Reservation]] = {}
        for sender, members in groups.items():
            now = self.milliseconds()
            wait = min(_LONGEST_WAIT_SECONDS, time_left() - NEEDED_SECONDS - _MARGIN_SECONDS)
            reserved = self._store.reserve(
                sender,
                [paced.length for paced in members],
                now=now,
                until=now + int(wait * 1000),
                chance=self._chance,
            )
            for paced, turn in zip(members, reserved, strict=True):
                turns[paced.record.message_id] = paced, turn
        self.hide([(paced, turn.at) for paced, turn in turns.values() if not turn.goes])
        return Reservations(self, turns)

    def wait_until(self, moment: int) -> None:
        """Return then."""
        self._sleep(max(0, moment - self.milliseconds()) / 1000)

    def pause(self, paced: _Paced, seconds: int) -> int:
        """Hold its sender back for so long: until when."""
        now = self.milliseconds()
        until = now + seconds * 1000
        self._store.pause(paced.sender, now=now, until=until)
        return until

    def hide(self, moments: Iterable[tuple[_Paced, int]]) -> None:
        """Let the queue hand each message out again at its moment."""
        now = self.milliseconds()
        self._queue.hide(
            {
                paced.record.receipt_handle: _away_for(paced.record, (moment - now) // 1000)
                for paced, moment in moments
            }
        )

    def milliseconds(self) -> int:
        """Since 1970."""
        return int(self._now().timestamp() * 1000)

    def _paced(self, record: "SQSRecord") -> _Paced | None:
        """None for what cannot be sent, and is not kept waiting for being told so."""
        try:
            wanted = parse(read_json(record.body), now=self._now())
        except InvalidRequest:
            return None
        account_sid = wanted.account_sid or self._secrets.current().main.account_sid
        return _Paced(
            record=record,
            sender=f"{account_sid}#{wanted.messaging_service_sid or wanted.from_}",
            length=length(_units(wanted), self._per_second),
        )


class Reservations:
    """The turns of one batch, by the messages' ids."""

    def __init__(
        self, pacer: SenderRateLimiter, turns: dict[str, tuple[_Paced, Reservation]]
    ) -> None:
        self._pacer = pacer
        self._turns = turns
        self._held_back: dict[str, int] = {}

    def in_order(self, records: Sequence[dict[str, object]]) -> list[dict[str, object]]:
        """The records of an event, those first whose turn comes first."""

        def at(record: dict[str, object]) -> int:
            found = self._turns.get(str(record["messageId"]))
            return found[1].at if found else 0

        return sorted(records, key=at)

    def wait_for(self, message_id: str) -> bool:
        """Return when it is the message's turn; False where it has to come back for that."""
        if message_id not in self._turns:
            return True
        paced, turn = self._turns[message_id]
        if not turn.goes:
            return False
        if paced.sender in self._held_back:
            self._pacer.hide([(paced, self._held_back[paced.sender])])
            return False
        self._pacer.wait_until(turn.at)
        return True

    def throttled(self, message_id: str, retry_after: int) -> None:
        """Twilio refuses to be asked so often: hold the message and its sender back.

        Raises:
            StoreUnavailable: others may not know of it.
        """
        if message_id not in self._turns:
            return
        paced, _ = self._turns[message_id]
        until = self._pacer.pause(paced, max(retry_after, _AFTER_THROTTLING_SECONDS))
        self._held_back[paced.sender] = until
        self._pacer.hide([(paced, until)])


def _units(wanted: MessageRequest) -> int:
    """Segments of an SMS; anything else is one message at Twilio, however long it is."""
    parameters = dict(wanted.parameters)
    if ":" in wanted.to or "MediaUrl" in parameters or wanted.body is None:
        return 1
    return segments_of(wanted.body)


def _away_for(record: "SQSRecord", seconds: int) -> int:
    """For how long the queue hides it: one second at least for each time that it was handed out.

    That alone makes it last 480 * 481 / 2 seconds, 32 hours, until the queue takes it for dead.
    """
    received = int(record.attributes.approximate_receive_count)
    return min(max(seconds, received, 1), _LONGEST_AWAY_SECONDS)
