"""Sends the messages of SendQueue at the rate of their sender.

A short wait sleeps inside the invocation. A longer one returns the message to the queue with a
visibility timeout that ends near its slot. That wastes neither the function's time nor the receives
after which the queue moves a message to the dead-letter queue: see `_visibility_timeout`.
"""

import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from delivery.runtime.deadline import TimeLeft
from delivery.twilio.client import NEEDED_SECONDS
from delivery.twilio.credentials import TwilioSecrets

from .rate_limit import Reservation, cost_ms
from .rate_limit_store import RateLimitStore
from .request import InvalidRequest, MessageRequest, check_send_at, parse, read_json
from .segments import segments_of
from .send_queue import SendQueue

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

_MAX_WAIT_SECONDS: Final = 2.0
_MARGIN_SECONDS: Final = 1.0
_MAX_VISIBILITY_TIMEOUT_SECONDS: Final = 11 * 60 * 60  # SQS allows twelve hours
_MIN_PAUSE_SECONDS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class _QueuedMessage:
    """A message of the queue that counts towards its sender's rate."""

    record: "SQSRecord"
    sender: str
    cost_ms: int


class SenderRateLimiter:
    """Reserves slots for batches of queue messages.

    Args:
        store: the rate limits that all invocations share.
        queue: takes back the messages that are deferred.
        secrets: names the account of a message that names none.
        per_second: the segments of an SMS, or messages of other kinds, of a sender in a second.
        now: returns the time.
        sleep, jitter: `time.sleep` and `random.random`.
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
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._queue = queue
        self._secrets = secrets
        self._per_second = per_second
        self._now = now
        self._sleep = sleep
        self._jitter = jitter

    def reserve(self, records: Iterable["SQSRecord"], *, time_left: TimeLeft) -> "Reservations":
        """Reserve slots for a batch, and defer the messages that have none soon.

        Raises:
            StoreUnavailable, SecretError: no reservation is known; send nothing.
        """
        groups: defaultdict[str, list[_QueuedMessage]] = defaultdict(list)
        for message in filter(None, map(self._queued_message, records)):
            groups[message.sender].append(message)
        reserved: dict[str, tuple[_QueuedMessage, Reservation]] = {}
        for sender, messages in groups.items():
            now = self._milliseconds()
            wait = min(_MAX_WAIT_SECONDS, time_left() - NEEDED_SECONDS - _MARGIN_SECONDS)
            reservations = self._store.reserve(
                sender,
                [message.cost_ms for message in messages],
                now=now,
                until=now + int(wait * 1000),
                jitter=self._jitter,
            )
            for message, reservation in zip(messages, reservations, strict=True):
                reserved[message.record.message_id] = message, reservation
        self.defer([(message, it.at) for message, it in reserved.values() if not it.immediate])
        return Reservations(self, reserved)

    def wait_until(self, at: int) -> None:
        """Sleep until a slot."""
        self._sleep(max(0, at - self._milliseconds()) / 1000)

    def pause(self, message: _QueuedMessage, seconds: int) -> int:
        """Pause the message's sender for all invocations; return when the pause ends."""
        now = self._milliseconds()
        until = now + seconds * 1000
        self._store.pause(message.sender, now=now, until=until)
        return until

    def defer(self, messages: Iterable[tuple[_QueuedMessage, int]]) -> None:
        """Make the queue deliver each message again at its time."""
        now = self._milliseconds()
        self._queue.defer(
            {
                message.record.receipt_handle: _visibility_timeout(
                    message.record, (at - now) // 1000
                )
                for message, at in messages
            }
        )

    def _milliseconds(self) -> int:
        return int(self._now().timestamp() * 1000)

    def _queued_message(self, record: "SQSRecord") -> _QueuedMessage | None:
        """Return None for an invalid request: its rejection needs no slot."""
        try:
            request = parse(read_json(record.body), now=self._now())
            check_send_at(request, now=self._now())
        except InvalidRequest:
            return None
        account_sid = request.account_sid or self._secrets.current().main.account_sid
        return _QueuedMessage(
            record=record,
            sender=f"{account_sid}#{request.sender}",
            cost_ms=cost_ms(_segments(request), self._per_second),
        )


class Reservations:
    """The reservations of one batch, by the ids of the queue messages."""

    def __init__(
        self,
        limiter: SenderRateLimiter,
        reserved: Mapping[str, tuple[_QueuedMessage, Reservation]],
    ) -> None:
        self._limiter = limiter
        self._reserved = reserved
        self._paused_until: dict[str, int] = {}

    def in_order(self, records: Sequence[dict[str, object]]) -> list[dict[str, object]]:
        """Return the records of an event in the order of their slots."""
        slots = {message_id: it.at for message_id, (_, it) in self._reserved.items()}
        return sorted(records, key=lambda record: slots.get(str(record["messageId"]), 0))

    def wait_for_slot(self, message_id: str) -> bool:
        """Return True at the message's slot; False if it was deferred."""
        if message_id not in self._reserved:
            return True
        message, reservation = self._reserved[message_id]
        if not reservation.immediate:
            return False
        if message.sender in self._paused_until:
            self._limiter.defer([(message, self._paused_until[message.sender])])
            return False
        self._limiter.wait_until(reservation.at)
        return True

    def pause_sender_of(self, message_id: str, retry_after: int) -> None:
        """Pause the sender that Twilio throttles, and defer the message.

        Raises:
            StoreUnavailable: other invocations may not pause.
        """
        if message_id not in self._reserved:
            return
        message, _ = self._reserved[message_id]
        until = self._limiter.pause(message, max(retry_after, _MIN_PAUSE_SECONDS))
        self._paused_until[message.sender] = until
        self._limiter.defer([(message, until)])


def _segments(request: MessageRequest) -> int:
    """Return the segments of an SMS; 1 for other messages, whatever their length."""
    parameters = dict(request.parameters)
    if ":" in request.to or "MediaUrl" in parameters or request.body is None:
        return 1
    return segments_of(request.body)


def _visibility_timeout(record: "SQSRecord", seconds: int) -> int:
    """Return the seconds until the queue delivers the message again.

    They grow by at least one with each receive. So even without a slot it takes 480 * 481 / 2
    seconds, 32 hours, until the queue moves the message to the dead-letter queue.
    """
    receives = int(record.attributes.approximate_receive_count)
    return min(max(seconds, receives, 1), _MAX_VISIBILITY_TIMEOUT_SECONDS)
