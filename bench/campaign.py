"""A campaign through SendQueue at a sender's rate, from its first message to its last.

The rate limiter is the function's own. SQS, Lambda's pollers and time are a model, because a
campaign at one message per second takes 28 hours. Halfway through, every invocation of ten minutes
is killed within three seconds.
"""

import heapq
import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from multiprocessing import get_context
from typing import Any, Final

from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from bench import wiring
from bench.benchmark import Benchmark, Results, Run, Table, keep
from simulation.account import empty_tables
from simulation.deployment import resources
from simulation.fakes.dynamodb import DynamoDb
from simulation.fakes.errors import EXCEPTIONS

_MESSAGES: Final = 100_000
_QUICK_MESSAGES: Final = 2_000
_RATES: Final = (1.0, 10.0, 40.0)
_SEND_CONCURRENCY: Final = 10
"""Not the default of SendConcurrency, which sends fewer than 40 messages per second."""

_START: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)
# Seconds:
_OUTAGE: Final = 600.0
_MAX_LIFE_IN_OUTAGE: Final = 3.0
_SEND_TAKES: Final = (0.1, 0.3)
_INVOCATION_STARTS_IN: Final = (0.01, 0.4)

_INVOCATION_ENDED: Final = -1


class Campaign:
    """A model of one campaign; `run` plays it, then the attributes hold what it took."""

    def __init__(self, messages: int, per_second: float) -> None:
        queue = resources("AWS::SQS::Queue")["SendQueue"]
        function = resources("AWS::Serverless::Function")["SendMessageFunction"]
        source = function["Events"]["SendFromQueue"]["Properties"]
        self.sent_at: dict[int, float] = {}
        """When each message was sent, in seconds."""
        self.receives = Counter[int]()
        """How often each message was received from the queue."""
        self.dead_letters = 0
        self.killed = 0
        self.lambda_seconds = 0.0
        self.requests = Counter[str]()
        """To DynamoDB and SQS, by operation."""
        self.now = 0.0
        self._batch_size: int = source["BatchSize"]
        self._idle = _SEND_CONCURRENCY
        self._timeout = float(function["Timeout"])
        self._visibility_timeout = float(queue["VisibilityTimeout"])
        self._max_receives: int = queue["RedrivePolicy"]["maxReceiveCount"]
        self._draws = random.Random(1)  # noqa: S311 -- repeatable, no secrets
        self._undeleted = set(range(messages))
        self._visible = list(range(messages))
        self._visible_at: dict[int, float] = {}
        self._events: list[tuple[float, int]] = []
        """When which message becomes visible, or an invocation ends."""
        self._outage_from = messages / per_second / 2
        self._limiter = wiring.rate_limiter(
            _Client(self),
            per_second=per_second,
            now=lambda: _START + timedelta(seconds=self.now),
            sleep=self._sleep,
            jitter=self._draws.random,
        )

    def run(self) -> "Campaign":
        """Play the campaign until every message is deleted or a dead letter."""
        while self._undeleted:
            while self._idle and self._visible:
                self._invoke()
            if not self._events:
                break
            self.now, number = heapq.heappop(self._events)
            if number == _INVOCATION_ENDED:
                self._idle += 1
            elif self._visible_at.get(number) == self.now:
                del self._visible_at[number]
                self._visible.append(number)
        return self

    def hide(self, number: int, seconds: float) -> None:
        """Make a message visible again in so many seconds."""
        self._visible_at[number] = self.now + seconds
        heapq.heappush(self._events, (self.now + seconds, number))

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    def _invoke(self) -> None:
        """Play one invocation in its own time; others start at the same moment."""
        begun = self.now
        batch = self._received()
        if not batch:
            return
        self._idle -= 1
        self.now += self._draws.uniform(*_INVOCATION_STARTS_IN)
        started = self.now
        ends_by = started + self._timeout
        if self._outage_from <= started < self._outage_from + _OUTAGE:
            ends_by = started + self._draws.uniform(0, _MAX_LIFE_IN_OUTAGE)
            self.killed += 1
        for number in self._send(batch, ends_by):
            self._undeleted.remove(number)
            self._visible_at.pop(number, None)
        self.now = min(self.now, ends_by)
        self.lambda_seconds += self.now - started
        heapq.heappush(self._events, (self.now, _INVOCATION_ENDED))
        self.now = begun

    def _received(self) -> list[int]:
        """Take a batch in random order, as from a standard queue."""
        batch: list[int] = []
        while self._visible and len(batch) < self._batch_size:
            place = self._draws.randrange(len(self._visible))
            self._visible[place], self._visible[-1] = self._visible[-1], self._visible[place]
            number = self._visible.pop()
            self.receives[number] += 1
            if self.receives[number] > self._max_receives:
                self.dead_letters += 1
                self._undeleted.remove(number)
                continue
            self.hide(number, self._visibility_timeout)
            batch.append(number)
        return batch

    def _send(self, batch: Sequence[int], ends_by: float) -> list[int]:
        """Return the messages to delete: none if the invocation is killed before its answer."""
        records = [self._record(number) for number in batch]
        reservations = self._limiter.reserve(
            (SQSRecord(record) for record in records), time_left=lambda: ends_by - self.now
        )
        done = []
        for record in reservations.in_order(records):
            number = int(str(record["messageId"]))
            if reservations.wait_for_slot(str(number)):
                self.now += self._draws.uniform(*_SEND_TAKES)
                if self.now >= ends_by:
                    return []
                if number not in self.sent_at:  # else its idempotency key is known
                    self.sent_at[number] = self.now
                done.append(number)
        return done

    def _record(self, number: int) -> dict[str, object]:
        message = {
            "to": f"+1555{number:07d}",
            "from": "+15005550006",
            "body": f"Hello, this is number {number}",
            "idempotency_key": f"campaign:{number}",
        }
        return {
            "messageId": str(number),
            "receiptHandle": str(number),
            "body": json.dumps(message),
            "attributes": {"ApproximateReceiveCount": str(self.receives[number])},
            "eventSource": "aws:sqs",
        }


class _Client:
    """The clients of DynamoDB and SQS, as far as the rate limiter uses them."""

    exceptions = EXCEPTIONS

    def __init__(self, campaign: Campaign) -> None:
        self._campaign = campaign
        self._dynamodb = DynamoDb(empty_tables(), page_size=1)

    def update_item(self, **arguments: Any) -> dict[str, Any]:
        self._campaign.requests["update_item"] += 1
        return self._dynamodb.perform("update_item", arguments)

    def change_message_visibility_batch(self, **arguments: Any) -> dict[str, Any]:
        self._campaign.requests["change_message_visibility_batch"] += 1
        for entry in arguments["Entries"]:
            self._campaign.hide(int(entry["ReceiptHandle"]), entry["VisibilityTimeout"])
        return {}


def measure(run: Run) -> Results:
    """Return a table with a column for each rate.

    The campaigns run at the same time, since their own time is a model.
    """
    number = _QUICK_MESSAGES if run.quick else _MESSAGES
    run.log(f"{number:,} messages at {', '.join(f'{it:g}' for it in _RATES)} per second")
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as processes:
        columns = list(processes.map(partial(_column, number), _RATES))
    header = (f"{number:,} messages of one sender", *(f"{it:g} per second" for it in _RATES))
    rows = [(name, *(column[name] for column in columns)) for name in columns[0]]
    return keep(Table(header=header, rows=rows))


def _column(messages: int, rate: float) -> Mapping[str, str]:
    campaign = Campaign(messages, rate).run()
    seconds = max(campaign.sent_at.values())
    busiest = max(Counter(map(int, campaign.sent_at.values())).values())
    hidden = campaign.requests["change_message_visibility_batch"]
    writes = campaign.requests["update_item"]
    return {
        "hours until the last message is sent": f"{seconds / 3600:.1f}",
        "average rate, as a share of the limit": f"{messages / seconds / rate:.1%}",
        "most messages in one second": f"{busiest}",
        "receives of a message, average": f"{campaign.receives.total() / messages:.1f}",
        "receives of a message, maximum (of 480)": f"{max(campaign.receives.values())}",
        "Lambda seconds per message": f"{campaign.lambda_seconds / messages:.2f}",
        "rate limiter writes per message": f"{writes / messages:.2f}",
        "visibility requests per message": f"{hidden / messages:.2f}",
    }


CAMPAIGN: Final = Benchmark(
    name="campaign",
    question="Does a campaign keep its rate and lose no message when all its invocations die?",
    measure=measure,
)
