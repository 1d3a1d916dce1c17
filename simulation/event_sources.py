"""What invokes functions without a client: queue pollers, stream pollers and schedules."""

import json
import random
import re
from collections.abc import Mapping
from math import ceil
from typing import Any, Final
from zlib import crc32

from simulation.account import Account
from simulation.deployment import FunctionResource, Trigger, functions, queue_url, resolved
from simulation.engine import Engine
from simulation.fakes.dynamodb import Change, Table
from simulation.fakes.queues import Queue, QueuedMessage
from simulation.faults import TransportFault
from simulation.lambda_service import LambdaService
from simulation.virtual_time import EventLoop, TaskResult

_MAX_RETRY_DELAY: Final = 60.0
_LEAST_INTERVALS: Final = {"audit_messages": 3600.0}
_QUIET_INTERVALS: Final = {"reconcile_messages": 5400.0}
_QUIET_INTERVAL: Final = 3600.0
"""The interval of schedules once no fault occurs: long intervals find more defects.

A run of the reconciler reads fifty shards, most of them empty: half of a run's calls.
"""
_SECONDS: Final = {"minute": 60, "hour": 3600, "day": 86400}


def connect_event_sources(
    aws: Account,
    draws: random.Random,
    *,
    service: LambdaService,
    engine: Engine,
    poll_interval: float,
) -> list["Schedule"]:
    """Connect queues and streams to their functions; return the schedules, to be started.

    `poll_interval`: all shards are polled at multiples of it, so that functions run concurrently;
    0 polls each change at a time of its own.
    """
    schedules = []
    for function in functions().values():
        for trigger in function.triggers:
            target = Target(function, trigger, service=service, engine=engine)
            match trigger.kind:
                case "SQS":
                    QueuePoller(target, aws.queues[queue_url(trigger.source)])
                case "DynamoDB":
                    dropped = aws.dropped[function.name]
                    shards = draws.choice((1, 2, 4))
                    table = aws.tables[trigger.source]
                    StreamPoller(target, table, dropped, shards=shards, poll_interval=poll_interval)
                case "ScheduleV2":
                    schedules.append(Schedule(function, target))
    return schedules


class Target:
    """The function that an event source invokes, with the settings of its trigger."""

    def __init__(
        self,
        function: FunctionResource,
        trigger: Trigger,
        *,
        service: LambdaService,
        engine: Engine,
    ) -> None:
        self.settings = trigger.properties
        self.engine = engine
        self._function = function
        self._service = service
        response_types = trigger.properties.get("FunctionResponseTypes", [])
        self._reports_failures = "ReportBatchItemFailures" in response_types

    def invoke(self, event: Any, then: Any = lambda _: None) -> None:
        """Invoke the function; `then` gets its result."""
        self._service.invoke(self._function, event, then)

    def failed_ids(self, result: TaskResult) -> set[str] | None:
        """Return the ids that the function reported as failed; None where all records failed."""
        if result.error is not None or result.killed:
            return None
        reported = (result.value or {}).get("batchItemFailures", [])
        return {it["itemIdentifier"] for it in reported} if self._reports_failures else set()


class QueuePoller:
    """Passes a queue's messages to its function, and deletes those that did not fail."""

    def __init__(self, target: Target, queue: Queue) -> None:
        self._target = target
        self._batch_size = target.settings.get("BatchSize", 10)
        self._queue = queue
        self._name = queue.url.rpartition("/")[2]
        self._faults = target.engine.faults
        loop, faults = target.engine.loop, target.engine.faults
        queue.on_visible = lambda at: loop.at(at + faults.uniform(0, 1), self._poll)

    def _poll(self) -> None:
        batch = self._queue.receive(self._batch_size)
        if not batch:
            return
        self._invoke(batch)
        if self._faults.occurs(TransportFault.REPEATED, self._name):
            # A standard queue delivers at least once, also while the first delivery is processed.
            delay = self._faults.uniform(0, 5)
            self._target.engine.loop.after(delay, lambda: self._invoke(batch))

    def _invoke(self, batch: list[QueuedMessage]) -> None:
        def ended(result: TaskResult) -> None:
            failed = self._target.failed_ids(result)
            if failed is None:
                return
            for message in batch:
                if message.message_id not in failed and not self._faults.occurs(
                    TransportFault.RESPONSE_LOST, self._name, share=0.3
                ):
                    self._queue.delete(message.message_id)

        self._target.invoke({"Records": [self._record(message) for message in batch]}, ended)

    def _record(self, message: QueuedMessage) -> dict[str, Any]:
        sent_at = str(int(self._target.engine.loop.time_at(message.sent_at).timestamp() * 1000))
        return {
            "messageId": message.message_id,
            "receiptHandle": f"{message.message_id}:{message.receive_count}",
            "body": message.body,
            "attributes": {
                "ApproximateReceiveCount": str(message.receive_count),
                "SentTimestamp": sent_at,
                "SenderId": "AIDA",
                "ApproximateFirstReceiveTimestamp": sent_at,
            },
            "messageAttributes": {},
            "md5OfBody": "",
            "eventSource": "aws:sqs",
            "eventSourceARN": f"arn:aws:sqs:us-east-1:123456789012:{self._name}",
            "awsRegion": "us-east-1",
        }


class StreamPoller:
    """Passes a table's changes to its function; each shard has the changes of some items."""

    def __init__(
        self,
        target: Target,
        table: Table,
        dropped: list[Change],
        *,
        shards: int,
        poll_interval: float,
    ) -> None:
        filters = target.settings["FilterCriteria"]["Filters"]
        self._loop = target.engine.loop
        self._patterns = [json.loads(resolved(each["Pattern"])) for each in filters]
        self._shards = [_Shard(target, dropped, poll_interval) for _ in range(shards)]
        table.listeners.append(self._add)

    def _add(self, change: Change) -> None:
        record = _stream_record(change, self._loop)
        if any(_matches(pattern, record) for pattern in self._patterns):
            shard = crc32(json.dumps(change.key).encode()) % len(self._shards)
            self._shards[shard].add(change)


class _Shard:
    """Passes batches to the function in order; retries, bisects and drops them by the settings."""

    def __init__(self, target: Target, dropped: list[Change], poll_interval: float) -> None:
        self._target = target
        self._dropped = dropped
        self._poll_interval = poll_interval
        self._batch_size = target.settings["BatchSize"]
        self._max_retries = target.settings["MaximumRetryAttempts"]
        self._max_age = target.settings["MaximumRecordAgeInSeconds"]
        self._bisects = target.settings.get("BisectBatchOnFunctionError", False)
        self._loop = target.engine.loop
        self._faults = target.engine.faults
        self._waiting: list[Change] = []
        self._is_busy = False

    def add(self, change: Change) -> None:
        """Add a change, which is polled soon."""
        self._waiting.append(change)
        delay = self._faults.uniform(0.1, 1.5)
        if self._faults.occurs(TransportFault.DELAYED, "stream", share=0.3):
            delay = self._faults.uniform(1, 900)
        polled_at = self._loop.seconds + delay
        if self._poll_interval:
            polled_at = ceil(polled_at / self._poll_interval) * self._poll_interval
        self._loop.at(polled_at, self._poll)

    def _poll(self) -> None:
        if self._is_busy or not self._waiting:
            return
        self._is_busy = True
        batch = self._waiting[: self._batch_size]
        self._waiting = self._waiting[self._batch_size :]
        self._process([batch], attempt=0)

    def _process(self, batches: list[list[Change]], *, attempt: int) -> None:
        """Process batches one after the other; a failed batch may be replaced by its halves."""
        loop, faults = self._loop, self._faults
        batches = [batch for batch in batches if batch]
        if not batches:
            self._is_busy = False
            loop.after(0, self._poll)
            return
        batch, rest = batches[0], batches[1:]
        if (
            attempt > self._max_retries
            or loop.seconds - batch[0].at > self._max_age
            or faults.occurs(TransportFault.DROPPED, "stream", share=0.3)
        ):
            self._dropped += batch
            self._process(rest, attempt=0)
            return

        def ended(result: TaskResult) -> None:
            failed = self._failed(batch, result)
            if not failed and faults.occurs(TransportFault.REPEATED, "stream", share=0.3):
                failed = batch
            if not failed:
                self._process(rest, attempt=0)
                return
            delay = min(_MAX_RETRY_DELAY, 0.5 * 2**attempt)
            half = len(failed) // 2
            parts = [failed[:half], failed[half:]] if self._bisects else [failed]
            loop.after(delay, lambda: self._process([*parts, *rest], attempt=attempt + 1))

        event = {"Records": [_stream_record(change, self._loop) for change in batch]}
        self._target.invoke(event, ended)
        if faults.occurs(TransportFault.REPEATED, "stream", share=2):
            # A shard may get a new poller while the old one is still waiting for the function.
            loop.after(faults.uniform(0, 0.2), lambda: self._target.invoke(event))

    def _failed(self, batch: list[Change], result: TaskResult) -> list[Change]:
        """Return the changes to retry: all from the first that is reported as failed."""
        failed = self._target.failed_ids(result)
        if failed is None:
            return batch
        places = (place for place, it in enumerate(batch) if str(it.sequence) in failed)
        return batch[next(places, len(batch)) :]


class Schedule:
    """Invokes a function at intervals: late, twice or not at all while faults occur."""

    def __init__(self, function: FunctionResource, target: Target) -> None:
        self.function = function
        self._target = target
        self._input = json.loads(target.settings.get("Input", "{}"))
        self._interval = _seconds(target.settings["ScheduleExpression"])

    def start(self, *, until: float, least_interval: float = 0.0) -> None:
        """Invoke the function now, and again at intervals until then.

        The intervals are mostly longer than the template's, which is harder for the functions.
        While faults occur they may also be shorter: operators invoke functions, too.
        """
        loop, faults = self._target.engine.loop, self._target.engine.faults
        if loop.seconds > until:
            return
        if not faults.occurs(TransportFault.REQUEST_LOST, "schedule"):
            self._target.invoke(self._input)
        if faults.occurs(TransportFault.REPEATED, "schedule"):
            self._target.invoke(self._input)
        name = self.function.name
        least = least_interval or _LEAST_INTERVALS.get(name, 0.0)
        interval = max(faults.profile.schedule_interval, least)
        if faults.is_over:
            interval = max(self._interval, _QUIET_INTERVALS.get(name, _QUIET_INTERVAL))
        loop.after(
            faults.uniform(0.5, 1.5) * interval,
            lambda: self.start(until=until, least_interval=least_interval),
        )


def _seconds(expression: str) -> float:
    match = re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", expression)
    if match is None:
        raise NotImplementedError(f"schedules do not support {expression!r}")
    return float(int(match[1]) * _SECONDS[match[2]])


def _epoch_seconds(loop: EventLoop, seconds: float) -> int:
    return int(loop.time_at(seconds).timestamp())


def _stream_record(change: Change, loop: EventLoop) -> dict[str, Any]:
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
            "ApproximateCreationDateTime": _epoch_seconds(loop, change.at),
            **{name: image for name, image in images.items() if image is not None},
        },
    }


def _matches(pattern: Any, value: Any) -> bool:
    """Return whether a value matches a filter pattern, whose leaves list accepted values."""
    if isinstance(pattern, Mapping):
        return isinstance(value, Mapping) and all(
            name in value and _matches(inner, value[name]) for name, inner in pattern.items()
        )
    return value in pattern
