"""A discrete-event engine: the messages, and a queue of what happens to them when."""

import heapq
import random
import uuid
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from sandbox.twilio.accounts import Accounts
from sandbox.twilio.callbacks import (
    Callback,
    CallbackAttempt,
    CallbackResult,
    CallbackState,
    DebuggerEntry,
    callback_parameters,
)
from sandbox.twilio.overrides import ConnectionOverrides, split_overrides
from sandbox.twilio.resource import Message
from sandbox.twilio.scenarios import Arrival, Reply, Scenario, Step
from sandbox.twilio.segments import segment_count
from sandbox.twilio.settings import Settings

_SEGMENT_PRICE = Decimal("0.00750")
_RCS_SENDER = "rcs:simulator_agent"
_POOL_SENDER = "+15005550006"
"""The sender that a Messaging Service picks."""


@dataclass(frozen=True, slots=True)
class _StepDue:
    message_sid: str


@dataclass(frozen=True, slots=True)
class _CallbackDue:
    callback_id: int


@dataclass(frozen=True, slots=True)
class _PriceDue:
    message_sid: str


type _Due = _StepDue | _CallbackDue | _PriceDue


@dataclass(frozen=True, slots=True)
class _Run:
    """A message's scenario, and the steps left of it."""

    scenario: Scenario
    steps: tuple[Step, ...]


class Engine:
    """Every message and callback of this Twilio; it has no clock: `now` comes with each call."""

    def __init__(self, accounts: Accounts, ids: random.Random, settings: Settings) -> None:
        self.settings = settings
        self.debugger: list[DebuggerEntry] = []
        self.callbacks: dict[int, Callback] = {}
        self._messages: dict[str, Message] = {}
        self._rejected: dict[str, Message] = {}
        self._deleted: set[str] = set()
        self._runs: dict[str, _Run] = {}
        self._held: dict[str, list[int]] = {}
        self._queue: list[tuple[datetime, int, _Due]] = []
        self._queued = 0
        self._accounts = accounts
        self._ids = ids

    def messages(self, account_sid: str | None = None) -> list[Message]:
        """Return the messages that are not deleted, of one account or all, oldest first."""
        return [
            message
            for message in self._messages.values()
            if message.sid not in self._deleted and account_sid in {None, message.account_sid}
        ]

    def listed(self, account_sid: str) -> list[Message]:
        """Return what Twilio lists of an account: its messages and its rejected creations."""
        rejected = [
            creation
            for creation in self._rejected.values()
            if creation.sid not in self._deleted and creation.account_sid == account_sid
        ]
        return sorted((*self.messages(account_sid), *rejected), key=lambda it: it.created)

    def listed_by_date(self, account_sid: str) -> list[Message]:
        """Return what Twilio lists of an account if the list is filtered by `DateSent`.

        It lacks messages that were not sent: Twilio does not document what its own list has.
        """
        listed = self.listed(account_sid)
        return [it for it in listed if it.sent is not None or it.sid in self._rejected]

    def add_rejected(self, creation: Message) -> None:
        """Keep a rejected creation, which Twilio shows as a failed message."""
        self._rejected[creation.sid] = creation

    def message(self, sid: str) -> Message | None:
        """Return the current state of a message; None if it is unknown or deleted."""
        return None if sid in self._deleted else self._messages.get(sid) or self._rejected.get(sid)

    def update(self, message: Message) -> None:
        """Replace a message by a new version."""
        kept = self._rejected if message.sid in self._rejected else self._messages
        kept[message.sid] = message

    def delete(self, sid: str) -> None:
        """Hide a message from the REST API; its scenario continues."""
        self._deleted.add(sid)

    def start(self, message: Message, scenario: Scenario) -> int | None:
        """Start the scenario of a new message.

        Returns:
            The id of the callback that must be finished before the create request is answered;
            None if there is no such callback.
        """
        steps = self._steps(message, scenario)
        self._messages[message.sid] = message
        self._runs[message.sid] = _Run(scenario, steps)
        if message.send_at is not None:
            self._schedule(message.send_at, _StepDue(message.sid))
            return None
        if scenario.reply is Reply.AFTER_CALLBACK:
            callback_ids = self._take_step(message.sid, message.created)
            return callback_ids[0] if callback_ids else None
        self._schedule_step(message.sid, message.created)
        return None

    def cancel(self, message: Message, now: datetime) -> Message:
        """Cancel a scheduled message, and report it with a callback."""
        run = self._runs[message.sid]
        self._runs[message.sid] = replace(run, steps=(Step(status="canceled"),))
        self._take_step(message.sid, now)
        return self._messages[message.sid]

    def next_due(self) -> datetime | None:
        """Return the time of the next event; None if the queue is empty."""
        return self._queue[0][0] if self._queue else None

    def run_due(self, now: datetime) -> list[CallbackAttempt]:
        """Process every event that is due, and return the callbacks to send."""
        attempts = []
        while self._queue and self._queue[0][0] <= now:
            due, _, event = heapq.heappop(self._queue)
            match event:
                case _StepDue(message_sid):
                    self._take_step(message_sid, due)
                case _PriceDue(message_sid):
                    message = self._messages[message_sid]
                    self._messages[message_sid] = replace(message, price=_price_of(message))
                case _CallbackDue(callback_id):
                    attempts.append(self._next_attempt(callback_id, now))
        return attempts

    def record_attempt(
        self, attempt: CallbackAttempt, result: CallbackResult, now: datetime
    ) -> None:
        """Record the result of an attempt; the callback is finished, or its retry is due."""
        callback = self.callbacks[attempt.callback_id].with_result(result, now)
        self.callbacks[callback.callback_id] = callback
        if callback.state is CallbackState.DUE:
            self._schedule(now, _CallbackDue(callback.callback_id))
            return
        if callback.state is CallbackState.FAILED:
            self.debugger.append(callback.debugger_entry(now))
        self._release_held(callback, now)

    def _next_attempt(self, callback_id: int, now: datetime) -> CallbackAttempt:
        callback = self.callbacks[callback_id].in_flight(now)
        keys = self._accounts.webhook_rules(callback.account_sid).shared_keys
        shared_key = keys.get(callback.signing.key_id) if callback.signing else None
        if shared_key is None:  # also if it was deleted since the first attempt
            callback = replace(callback, signing=None)
        self.callbacks[callback_id] = callback
        auth_token = self._accounts.auth_token(callback.account_sid)
        return callback.attempt(shared_key.secret if shared_key else auth_token, now)

    def _steps(self, message: Message, scenario: Scenario) -> tuple[Step, ...]:
        steps: tuple[Step, ...] = scenario.steps
        if message.messaging_service_sid:
            steps = (Step(status="queued"), *steps)
        if self.settings.report_sending:
            before_sent = next((i for i, step in enumerate(steps) if step.status == "sent"), 0)
            steps = (*steps[:before_sent], Step(status="sending"), *steps[before_sent:])
        return steps

    def _take_step(self, message_sid: str, at: datetime) -> list[int]:
        """Move a message to its next status, and return the ids of the callbacks for it."""
        run = self._runs[message_sid]
        if not run.steps:
            return []
        step, rest = run.steps[0], run.steps[1:]
        self._runs[message_sid] = replace(run, steps=rest)
        message = self._with_step(self._messages[message_sid], step, at, run)
        self._messages[message_sid] = message
        self._schedule_step(message_sid, at)
        if not rest and message.sent is not None:
            price_delay = timedelta(seconds=self.settings.price_delay_seconds)
            self._schedule(at + price_delay, _PriceDue(message_sid))
        return self._add_callbacks(message, step, at, run.scenario)

    def _with_step(self, message: Message, step: Step, at: datetime, run: _Run) -> Message:
        message = replace(message, status=step.status, updated=at, error_code=step.error_code)
        if message.sender is None and step.status != "canceled":
            sender = f"{message.channel}:{_POOL_SENDER}" if message.channel else _POOL_SENDER
            message = replace(message, sender=sender, num_segments=segment_count(message.body))
        if step.status == "sent":
            message = replace(message, sent=at)
            if run.scenario.rich_channel and message.messaging_service_sid and not message.channel:
                message = replace(message, sender=_RCS_SENDER)
        return message

    def _add_callbacks(
        self, message: Message, step: Step, at: datetime, scenario: Scenario
    ) -> list[int]:
        if message.status_callback is None:
            return []
        arrival = step.arrival or scenario.arrival
        parameters = callback_parameters(message, step, at, rich_channel=scenario.rich_channel)
        copies = 2 if arrival is Arrival.TWICE else 1
        return [self._add_callback(message, parameters, arrival, at) for _ in range(copies)]

    def _add_callback(
        self,
        message: Message,
        parameters: tuple[tuple[str, str], ...],
        arrival: Arrival,
        at: datetime,
    ) -> int:
        url, overrides = split_overrides(message.status_callback or "")
        rules = self._accounts.webhook_rules(message.account_sid)
        setting = rules.choose_setting(url, self._ids)
        if setting and setting.connection:
            overrides = setting.connection
        states = {Arrival.LOST: CallbackState.LOST, Arrival.AFTER_NEXT: CallbackState.HELD}
        callback = Callback(
            callback_id=len(self.callbacks) + 1,
            message_sid=message.sid,
            account_sid=message.account_sid,
            url=url,
            overrides=overrides,
            parameters=parameters,
            token=str(uuid.UUID(int=self._ids.getrandbits(128), version=4)),
            state=states.get(arrival, CallbackState.DUE),
            signing=setting.signing if setting else None,
        )
        self.callbacks[callback.callback_id] = callback
        if callback.state is CallbackState.DUE:
            self._schedule(at, _CallbackDue(callback.callback_id))
        if callback.state is CallbackState.HELD:
            self._held.setdefault(message.sid, []).append(callback.callback_id)
        self._log_problems(message, overrides, at)
        return callback.callback_id

    def _log_problems(self, message: Message, overrides: ConnectionOverrides, at: datetime) -> None:
        self.debugger += [
            DebuggerEntry(
                at=at,
                error_code=problem,
                account_sid=message.account_sid,
                message_sid=message.sid,
                url=message.status_callback or "",
            )
            for problem in overrides.problems
        ]

    def _release_held(self, finished: Callback, now: datetime) -> None:
        """Let the callbacks leave that were held until this later one was finished."""
        held = self._held.get(finished.message_sid, [])
        for callback_id in [i for i in held if i < finished.callback_id]:
            held.remove(callback_id)
            callback = self.callbacks[callback_id]
            self.callbacks[callback_id] = replace(callback, state=CallbackState.DUE)
            self._schedule(now, _CallbackDue(callback_id))

    def _schedule_step(self, message_sid: str, after: datetime) -> None:
        steps = self._runs[message_sid].steps
        if steps:
            pause = timedelta(seconds=self.settings.step_seconds * steps[0].delay)
            self._schedule(after + pause, _StepDue(message_sid))

    def _schedule(self, due: datetime, event: _Due) -> None:
        self._queued += 1  # keeps events of the same time in order
        heapq.heappush(self._queue, (due, self._queued, event))


def _price_of(message: Message) -> str:
    return f"-{_SEGMENT_PRICE * max(1, message.num_segments)}"
