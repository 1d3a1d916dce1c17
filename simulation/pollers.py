"""What invokes a function by itself: Lambda's pollers of queues and streams, and schedules."""

import json
import random
import re
from collections.abc import Mapping
from typing import Any, Final
from zlib import crc32

from simulation.account import Account
from simulation.deployment import FunctionResource, Trigger, functions, queue_url
from simulation.fakes.dynamodb import Change, Table
from simulation.fakes.queues import Queue, QueuedMessage
from simulation.faults import Faults, Mishap
from simulation.lambda_service import Lambda
from simulation.virtual_time import Ended, Loop

_MAX_RETRY_DELAY: Final = 60.0
_RARELY: Final = 3600.0
_SECONDS: Final = {"minute": 60, "hour": 3600, "day": 86400}


def connected_schedules(
    aws: Account, draws: random.Random, *, service: Lambda, loop: Loop, faults: Faults
) -> list["Schedule"]:
    """Let queues and streams invoke their functions; the schedules wait until they are started."""
    schedules = []
    for function in functions().values():
        for trigger in function.triggers:
            match trigger.kind:
                case "SQS":
                    queue = aws.queues[queue_url(trigger.source)]
                    QueuePoller(function, trigger, queue, service=service, loop=loop, faults=faults)
                case "DynamoDB":
                    StreamPoller(
                        function,
                        trigger,
                        aws.tables[trigger.source],
                        aws.given_up[function.name],
                        shards=draws.choice((1, 2, 4)),
                        service=service,
                        loop=loop,
                        faults=faults,
                    )
                case "ScheduleV2":
                    schedules.append(
                        Schedule(function, trigger, service=service, loop=loop, faults=faults)
                    )
    return schedules


class QueuePoller:
    """Hands a queue's messages to its function; what is not reported as failed is deleted."""

    def __init__(
        self,
        function: FunctionResource,
        trigger: Trigger,
        queue: Queue,
        *,
        service: Lambda,
        loop: Loop,
        faults: Faults,
    ) -> None:
        self._function = function
        self._batch_size = trigger.properties.get("BatchSize", 10)
        self._reports = "ReportBatchItemFailures" in trigger.properties.get(
            "FunctionResponseTypes", []
        )
        self._queue = queue
        self._lambda = service
        self._loop = loop
        self._faults = faults
        queue.told = lambda visible_at: loop.at(visible_at + faults.uniform(0, 1), self._poll)

    def _poll(self) -> None:
        batch = self._queue.receive(self._batch_size)
        if batch:
            self._invoke(batch)
        if batch and self._faults.happens(Mishap.REPEATED, self._queue_name, self._loop.seconds):
            # A standard queue delivers at least once: somebody else gets the same messages.
            self._loop.after(self._faults.uniform(0, 5), lambda: self._invoke(batch))

    def _invoke(self, batch: list[QueuedMessage]) -> None:
        event = {"Records": [self._record(message) for message in batch]}

        def ended(result: Ended) -> None:
            failed = {message.message_id for message in batch}
            if result.error is None and not result.died:
                reported = (
                    (result.value or {}).get("batchItemFailures", []) if self._reports else []
                )
                failed = {failure["itemIdentifier"] for failure in reported}
            for message in batch:
                if message.message_id not in failed and not self._faults.happens(
                    Mishap.ANSWER_LOST, self._queue_name, self._loop.seconds, share=0.3
                ):
                    self._queue.delete(message.message_id)

        self._lambda.invoke(self._function, event, ended)

    @property
    def _queue_name(self) -> str:
        return self._queue.url.rpartition("/")[2]

    def _record(self, message: QueuedMessage) -> dict[str, Any]:
        return {
            "messageId": message.message_id,
            "receiptHandle": f"{message.message_id}:{message.receive_count}",
            "body": message.body,
            "attributes": {
                "ApproximateReceiveCount": str(message.receive_count),
                "SentTimestamp": str(int(message.sent_at * 1000)),
                "SenderId": "AIDA",
                "ApproximateFirstReceiveTimestamp": str(int(message.sent_at * 1000)),
            },
            "messageAttributes": {},
            "md5OfBody": "",
            "eventSource": "aws:sqs",
            "eventSourceARN": f"arn:aws:sqs:us-east-1:123456789012:{self._queue_name}",
            "awsRegion": "us-east-1",
        }


class StreamPoller:
    """Hands a table's changes to its function; each shard those of its items, in order."""

    def __init__(
        self,
        function: FunctionResource,
        trigger: Trigger,
        table: Table,
        given_up: list[Change],
        *,
        shards: int,
        service: Lambda,
        loop: Loop,
        faults: Faults,
    ) -> None:
        self._patterns = [
            json.loads(each["Pattern"]) for each in trigger.properties["FilterCriteria"]["Filters"]
        ]
        self._shards = [
            _Shard(function, trigger, given_up, service=service, loop=loop, faults=faults)
            for _ in range(shards)
        ]
        table.told.append(self._arrived)

    def _arrived(self, change: Change) -> None:
        record = _stream_record(change)
        if any(_matches(pattern, record) for pattern in self._patterns):
            shard = crc32(json.dumps(change.key).encode()) % len(self._shards)
            self._shards[shard].take(change)


class _Shard:
    """Hands over one batch after the other; bisects and gives up as it is told."""

    def __init__(
        self,
        function: FunctionResource,
        trigger: Trigger,
        given_up: list[Change],
        *,
        service: Lambda,
        loop: Loop,
        faults: Faults,
    ) -> None:
        settings = trigger.properties
        self._given_up = given_up
        self._function = function
        self._batch_size = settings["BatchSize"]
        self._most_retries = settings["MaximumRetryAttempts"]
        self._longest_age = settings["MaximumRecordAgeInSeconds"]
        self._bisects = settings.get("BisectBatchOnFunctionError", False)
        self._reports = "ReportBatchItemFailures" in settings.get("FunctionResponseTypes", [])
        self._lambda = service
        self._loop = loop
        self._faults = faults
        self._waiting: list[Change] = []
        self._busy = False

    def take(self, change: Change) -> None:
        """A change is in the shard: somebody will look there soon."""
        self._waiting.append(change)
        delay = self._faults.uniform(0.1, 1.5)
        if self._faults.happens(Mishap.DELAYED, "stream", self._loop.seconds, share=0.3):
            delay = self._faults.uniform(1, 900)
        self._loop.after(delay, self._poll)

    def _poll(self) -> None:
        if self._busy or not self._waiting:
            return
        self._busy = True
        batch, self._waiting = (
            self._waiting[: self._batch_size],
            self._waiting[self._batch_size :],
        )
        self._hand_over([batch], attempt=0)

    def _hand_over(self, batches: list[list[Change]], *, attempt: int) -> None:
        """Work off batches one after the other; each may become several."""
        loop, faults = self._loop, self._faults
        batches = [batch for batch in batches if batch]
        if not batches:
            self._busy = False
            loop.after(0, self._poll)
            return
        batch, rest = batches[0], batches[1:]
        if (
            attempt > self._most_retries
            or loop.seconds - batch[0].at > self._longest_age
            or faults.happens(Mishap.GIVEN_UP, "stream", loop.seconds, share=0.3)
        ):
            self._given_up += batch
            self._hand_over(rest, attempt=0)
            return

        def ended(result: Ended) -> None:
            failed = self._failed(batch, result)
            if not failed and faults.happens(Mishap.REPEATED, "stream", loop.seconds, share=0.3):
                failed = batch
            if not failed:
                self._hand_over(rest, attempt=0)
                return
            delay = min(_MAX_RETRY_DELAY, 0.5 * 2**attempt)
            half = len(failed) // 2
            parts = [failed[:half], failed[half:]] if self._bisects else [failed]
            loop.after(delay, lambda: self._hand_over([*parts, *rest], attempt=attempt + 1))

        event = {"Records": [_stream_record(change) for change in batch]}
        self._lambda.invoke(self._function, event, ended)
        if faults.happens(Mishap.REPEATED, "stream", loop.seconds, share=2):
            # A shard may change its poller, and the old one be still at work.
            again = faults.uniform(0, 0.2)
            loop.after(again, lambda: self._lambda.invoke(self._function, event, lambda _: None))

    def _failed(self, batch: list[Change], result: Ended) -> list[Change]:
        """From the first that is reported as failed, everything comes again."""
        if result.error is not None or result.died:
            return batch
        reported = (result.value or {}).get("batchItemFailures", []) if self._reports else []
        numbers = {failure["itemIdentifier"] for failure in reported}
        for place, change in enumerate(batch):
            if str(change.sequence) in numbers:
                return batch[place:]
        return []


class Schedule:
    """Invokes a function again and again: late, twice or not at all while things go wrong."""

    def __init__(
        self,
        function: FunctionResource,
        trigger: Trigger,
        *,
        service: Lambda,
        loop: Loop,
        faults: Faults,
    ) -> None:
        self._function = function
        self._input = json.loads(trigger.properties.get("Input", "{}"))
        self._every = _seconds(trigger.properties["ScheduleExpression"])
        self._lambda = service
        self._loop = loop
        self._faults = faults

    def start(self, *, until: float) -> None:
        """Invoke until then, mostly not as often as the template says: rarely is harder.

        While things go wrong it may also be more often: people invoke it, too.
        """
        loop, faults = self._loop, self._faults
        if loop.seconds > until:
            return
        if not faults.happens(Mishap.REQUEST_LOST, "schedule", loop.seconds):
            self._lambda.invoke(self._function, self._input, lambda _: None)
        if faults.happens(Mishap.REPEATED, "schedule", loop.seconds):
            self._lambda.invoke(self._function, self._input, lambda _: None)
        weather = faults.weather
        every = weather.invoked_every
        if loop.seconds >= weather.calm_at:
            every = max(self._every, _RARELY)
        pause = faults.uniform(0.5, 1.5) * every
        loop.after(pause, lambda: self.start(until=until))


def _seconds(expression: str) -> float:
    match = re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", expression)
    if match is None:
        raise NotImplementedError(f"{expression} must be taught first")
    return float(int(match[1]) * _SECONDS[match[2]])


def _stream_record(change: Change) -> dict[str, Any]:
    images = {"OldImage": change.before, "NewImage": change.after}
    kind = "REMOVE" if change.after is None else "INSERT" if change.before is None else "MODIFY"
    return {
        "eventID": str(change.sequence),
        "eventName": kind,
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "us-east-1",
        "dynamodb": {
            "Keys": change.key,
            "SequenceNumber": str(change.sequence),
            "StreamViewType": "NEW_AND_OLD_IMAGES",
            "ApproximateCreationDateTime": int(change.at),
            **{name: image for name, image in images.items() if image is not None},
        },
    }


def _matches(pattern: Any, value: Any) -> bool:
    """Whether the value fits a filter: each leaf of the pattern lists what is wanted."""
    if isinstance(pattern, Mapping):
        return isinstance(value, Mapping) and all(
            name in value and _matches(inner, value[name]) for name, inner in pattern.items()
        )
    return value in pattern
