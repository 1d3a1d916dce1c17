"""A campaign through SendQueue at a sender's rate, from the first message to the last, in its time.

The project's own pacing decides who goes, waits or is hidden; around it is a model of the queue and
of Lambda's pollers, and time is counted, not passed. In the middle everything that runs is killed,
again and again for ten minutes, as a bad deployment does.
"""

import heapq
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from bench.benchmark import Benchmark, Known, Results, Run, Table
from delivery.twilio.credentials import TwilioSecret
from functions.send_message.rate_limit_store import RateLimitStore
from functions.send_message.rate_limiter import SenderRateLimiter
from functions.send_message.send_queue import SendQueue
from simulation.deployment import resources
from simulation.fakes.dynamodb import DynamoDb
from simulation.fakes.dynamodb import Table as FakeTable
from simulation.fakes.errors import EXCEPTIONS

_MESSAGES: Final = 100_000
_QUICK_MESSAGES: Final = 2_000
_RATES: Final = (1.0, 10.0, 40.0)

_START: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)
_ACCOUNT_SID: Final = "AC" + "0" * 32
_SENDER: Final = "+15005550006"
_KILLED_FOR: Final = 600.0
"""Seconds in the middle, during which nothing lives longer than a few."""
_LONGEST_LIFE: Final = 3.0
_SENDING_TAKES: Final = (0.1, 0.3)
_STARTING_TAKES: Final = (0.01, 0.4)
"""Seconds from a message's being visible to its function's running."""


@dataclass(slots=True)
class _Message:
    number: int
    body: str
    received: int = 0


@dataclass(slots=True)
class Campaign:
    """One campaign: `run` lets it happen, the rest tells what it took."""

    messages: int
    per_second: float
    seconds: float = 0.0
    """Until the last message went."""
    sent: Counter[int] = field(default_factory=Counter)
    """How often each message went."""
    received: list[int] = field(default_factory=list)
    """How often each was handed out until it was deleted."""
    dead_letters: int = 0
    most_a_second: int = 0
    invocations: int = 0
    killed: int = 0
    lambda_seconds: float = 0.0
    requests: Counter[str] = field(default_factory=Counter)
    """To DynamoDB and SQS, by operation."""

    def run(self) -> "Campaign":
        """Let it happen."""
        _Model(self).run()
        return self


class _Client:
    """DynamoDB with the pace of the sender, and the queue as far as messages are hidden."""

    exceptions = EXCEPTIONS

    def __init__(self, model: "_Model") -> None:
        self._model = model
        properties = resources("AWS::DynamoDB::Table")["SendRequestsTable"]
        table = FakeTable("SendRequestsTable", properties, clock=lambda: model.now, lag=lambda: 0.0)
        self._dynamodb = DynamoDb(
            {table.name: table}, page_size=100, clock=lambda: model.now, work=lambda: 0.0
        )

    def update_item(self, **arguments: Any) -> dict[str, Any]:
        self._model.campaign.requests["UpdateItem"] += 1
        return self._dynamodb.perform("update_item", arguments)

    def change_message_visibility_batch(self, **arguments: Any) -> dict[str, Any]:
        self._model.campaign.requests["ChangeMessageVisibilityBatch"] += 1
        for entry in arguments["Entries"]:
            self._model.hide(int(entry["ReceiptHandle"]), entry["VisibilityTimeout"])
        return {}


class _Secrets:
    def current(self) -> TwilioSecret:
        return TwilioSecret.parse(json.dumps({"account_sid": _ACCOUNT_SID, "auth_token": "token"}))


class _Model:
    def __init__(self, campaign: Campaign) -> None:
        queue = resources("AWS::SQS::Queue")["SendQueue"]
        function = resources("AWS::Serverless::Function")["SendMessageFunction"]
        source = function["Events"]["SendFromQueue"]["Properties"]
        self.campaign = campaign
        self.now = 0.0
        self._batch_size: int = source["BatchSize"]
        self._idle: int = source["ScalingConfig"]["MaximumConcurrency"]
        self._timeout = float(function["Timeout"])
        self._visibility = float(queue["VisibilityTimeout"])
        self._most_receives: int = queue["RedrivePolicy"]["maxReceiveCount"]
        self._draws = random.Random(1)  # noqa: S311 -- repeatable, no secrets
        self._messages = {
            number: _Message(number, _body(number)) for number in range(campaign.messages)
        }
        self._visible = list(self._messages)
        self._draws.shuffle(self._visible)  # a standard queue has no order
        self._visible_at: dict[int, float] = {}
        self._events: list[tuple[float, int]] = []
        """When a message becomes visible, or for -1, when an invocation ends."""
        self._went_at: list[float] = []
        self._kill_at = campaign.messages / campaign.per_second / 2
        client: Any = _Client(self)
        secrets: Any = _Secrets()
        self._pacer = SenderRateLimiter(
            store=RateLimitStore(client, "SendRequestsTable"),
            queue=SendQueue(client, "url"),
            secrets=secrets,
            per_second=campaign.per_second,
            now=lambda: _START + timedelta(seconds=self.now),
            sleep=self._sleep,
            chance=self._draws.random,
        )

    def run(self) -> None:
        while self._messages:
            while self._idle and self._visible:
                self._invoke()
            if not self._events:
                break
            self.now, number = heapq.heappop(self._events)
            if number < 0:
                self._idle += 1
            elif self._visible_at.get(number) == self.now:
                del self._visible_at[number]
                self._visible.append(number)
        self.campaign.seconds = max(self._went_at)
        seconds = Counter(int(it) for it in self._went_at)
        self.campaign.most_a_second = max(seconds.values())

    def hide(self, number: int, seconds: float) -> None:
        self._visible_at[number] = self.now + seconds
        heapq.heappush(self._events, (self.now + seconds, number))

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    def _invoke(self) -> None:
        """What the function does with a batch; its time is its own, others go on beside it."""
        begun = self.now
        batch = self._received()
        if not batch:
            return
        self.campaign.invocations += 1
        self._idle -= 1
        self.now += self._draws.uniform(*_STARTING_TAKES)
        started = self.now
        lives = self._timeout
        if self._kill_at <= started < self._kill_at + _KILLED_FOR:
            lives = self._draws.uniform(0, _LONGEST_LIFE)
            self.campaign.killed += 1
        done = self._work(batch, until=started + lives)
        self.now = min(self.now, started + lives)
        self.campaign.lambda_seconds += self.now - started
        for message in done:
            self.campaign.received.append(message.received)
            del self._messages[message.number]
            self._visible_at.pop(message.number, None)
        heapq.heappush(self._events, (self.now, -1))
        self.now = begun

    def _work(self, batch: Sequence[_Message], *, until: float) -> list[_Message]:
        """Those that are to be deleted; none of them if it is killed before it could say so."""
        records = [_record(message) for message in batch]
        turns = self._pacer.turns(
            (SQSRecord(record) for record in records), time_left=lambda: until - self.now
        )
        by_id = {str(message.number): message for message in batch}
        done = []
        for record in turns.in_order(records):
            message = by_id[str(record["messageId"])]
            if turns.wait_for(str(message.number)):
                self.now += self._draws.uniform(*_SENDING_TAKES)
                if self.now >= until:
                    return []
                if not self.campaign.sent[message.number]:  # else its key is known
                    self.campaign.sent[message.number] += 1
                    self._went_at.append(self.now)
                done.append(message)
        return done

    def _received(self) -> list[_Message]:
        batch: list[_Message] = []
        while self._visible and len(batch) < self._batch_size:
            place = self._draws.randrange(len(self._visible))
            self._visible[place], self._visible[-1] = self._visible[-1], self._visible[place]
            message = self._messages[self._visible.pop()]
            message.received += 1
            if message.received > self._most_receives:
                self.campaign.dead_letters += 1
                del self._messages[message.number]
                continue
            self.hide(message.number, self._visibility)
            batch.append(message)
        return batch


def _body(number: int) -> str:
    document = {
        "to": f"+1555{number:07d}",
        "from": _SENDER,
        "body": f"Hello, this is number {number}",
        "account_sid": _ACCOUNT_SID,
        "idempotency_key": f"campaign:{number}",
    }
    return json.dumps(document)


def _record(message: _Message) -> dict[str, object]:
    return {
        "messageId": str(message.number),
        "receiptHandle": str(message.number),
        "body": message.body,
        "attributes": {"ApproximateReceiveCount": str(message.received)},
        "eventSource": "aws:sqs",
    }


def measure(run: Run) -> Results:
    """What each campaign took."""
    number = _QUICK_MESSAGES if run.quick else _MESSAGES
    found = {}
    for rate in _RATES:
        run.tell(f"{number:,} messages at {rate:g} a second")
        campaign = Campaign(number, rate).run()
        found[f"{rate:g}"] = {
            "hours": round(campaign.seconds / 3600, 2),
            "of_rate": round(number / campaign.seconds / rate, 4),
            "sent": len(campaign.sent),
            "most_times_sent": max(campaign.sent.values()),
            "dead_letters": campaign.dead_letters,
            "most_a_second": campaign.most_a_second,
            "receives": round(sum(campaign.received) / number, 2),
            "most_receives": max(campaign.received),
            "invocations": campaign.invocations,
            "killed": campaign.killed,
            "lambda_seconds": round(campaign.lambda_seconds / number, 3),
            "pace_writes": round(campaign.requests["UpdateItem"] / number, 2),
            "hiding_requests": round(campaign.requests["ChangeMessageVisibilityBatch"] / number, 2),
        }
    return {"messages": number, "at": found}


def tables(known: Known) -> Sequence[Table]:
    """A campaign at each rate."""
    found = known[CAMPAIGN.name]
    rows = [
        ("hours until the last one went", "hours", "{:.1f}"),
        ("of the rate, on average", "of_rate", "{:.1%}"),
        ("most in any second", "most_a_second", "{}"),
        ("invocations killed in the middle", "killed", "{:,}"),
        ("messages that went", "sent", "{:,}"),
        ("most times that one went", "most_times_sent", "{}"),
        ("dead letters", "dead_letters", "{}"),
        ("times a message was handed out, on average", "receives", "{:.1f}"),
        ("the same, at the most (of 480)", "most_receives", "{}"),
        ("Lambda seconds for each message, waiting and sending", "lambda_seconds", "{:.2f}"),
        ("writes to the pace for each message", "pace_writes", "{:.2f}"),
        ("requests to hide messages, for each", "hiding_requests", "{:.2f}"),
    ]
    return [
        Table(
            header=(
                f"{found['messages']:,} messages of one sender",
                *(f"{rate} a second" for rate in found["at"]),
            ),
            rows=[
                (what, *(shape.format(at[name]) for at in found["at"].values()))
                for what, name, shape in rows
            ],
        )
    ]


CAMPAIGN: Final = Benchmark(
    name="campaign",
    title="A campaign",
    question="Does a campaign go at its rate, each message once, though all is killed in it?",
    measure=measure,
    tables=tables,
)
