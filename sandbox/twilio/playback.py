"""Messages playing their stories: a queue of what happens when, and what came of it."""

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
from sandbox.twilio.segments import segment_count
from sandbox.twilio.settings import Settings
from sandbox.twilio.stories import Arrival, Reply, Step, Story

_PRICE_OF_SEGMENT = Decimal("0.00750")
_RCS_SENDER = "rcs:simulator_agent"


@dataclass(frozen=True, slots=True)
class _StepDue:
    message_sid: str


@dataclass(frozen=True, slots=True)
class _CallbackDue:
    callback_id: int


@dataclass(frozen=True, slots=True)
class _Playing:
    """The rest of a message's story, and the sender that its Messaging Service will pick."""

    story: Story
    steps: tuple[Step, ...]
    pool_sender: str


class Playback:
    """Every message of this Twilio; knows no clock: `now` comes with each call."""

    def __init__(self, accounts: Accounts, ids: random.Random, settings: Settings) -> None:
        self.settings = settings
        self.debugger: list[DebuggerEntry] = []
        self.callbacks: dict[int, Callback] = {}
        self._messages: dict[str, Message] = {}
        self._deleted: set[str] = set()
        self._playing: dict[str, _Playing] = {}
        self._held: dict[str, list[int]] = {}
        self._queue: list[tuple[datetime, int, _StepDue | _CallbackDue]] = []
        self._queued = 0
        self._accounts = accounts
        self._ids = ids

    def messages(self, account_sid: str | None = None) -> list[Message]:
        """All that were not deleted, or those of one account, in the order of their creation."""
        return [
            message
            for message in self._messages.values()
            if message.sid not in self._deleted and account_sid in {None, message.account_sid}
        ]

    def message(self, sid: str) -> Message | None:
        """One message as it is now; None when there is none, or no more."""
        return None if sid in self._deleted else self._messages.get(sid)

    def update(self, message: Message) -> None:
        """Keep a new version of a message."""
        self._messages[message.sid] = message

    def delete(self, sid: str) -> None:
        """Forget a message for all REST requests; what is under way still happens."""
        self._deleted.add(sid)

    def play(self, message: Message, story: Story, *, pool_sender: str) -> int | None:
        """Start the story of a new message.

        Returns:
            The callback that must be settled before the answer may leave, if the story wants so.
        """
        steps = self._steps(message, story)
        self._messages[message.sid] = message
        self._playing[message.sid] = _Playing(story, steps, pool_sender)
        if message.send_at is not None:
            self._at(message.send_at, _StepDue(message.sid))
            return None
        if story.reply is Reply.AFTER_CALLBACK:
            first = self._take_step(message.sid, message.created)
            return first[0] if first else None
        self._schedule_step(message.sid, message.created)
        return None

    def cancel(self, message: Message, now: datetime) -> Message:
        """End a scheduled message's story, with a callback."""
        playing = self._playing[message.sid]
        self._playing[message.sid] = replace(playing, steps=(Step(status="canceled"),))
        self._take_step(message.sid, now)
        return self._messages[message.sid]

    def next_due(self) -> datetime | None:
        """When something happens next; None while nothing is due."""
        return self._queue[0][0] if self._queue else None

    def run_due(self, now: datetime) -> list[CallbackAttempt]:
        """Let everything happen that is due, and hand out the requests to make for it."""
        attempts = []
        while self._queue and self._queue[0][0] <= now:
            due, _, what = heapq.heappop(self._queue)
            match what:
                case _StepDue(message_sid):
                    self._take_step(message_sid, due)
                case _CallbackDue(callback_id):
                    callback = self.callbacks[callback_id].begun(now)
                    self.callbacks[callback_id] = callback
                    auth_token = self._accounts.auth_token(callback.account_sid)
                    attempts.append(callback.attempt(auth_token, now))
        return attempts

    def callback_answered(
        self, attempt: CallbackAttempt, result: CallbackResult, now: datetime
    ) -> None:
        """Take in what came of an attempt: settled, or tried again by its overrides."""
        callback = self.callbacks[attempt.callback_id].answered(result, now)
        self.callbacks[callback.callback_id] = callback
        if callback.state is CallbackState.DUE:
            self._at(now, _CallbackDue(callback.callback_id))
            return
        if callback.state is CallbackState.FAILED:
            self.debugger.append(callback.debugger_entry(now))
        self._release_held(callback, now)

    def _steps(self, message: Message, story: Story) -> tuple[Step, ...]:
        steps: tuple[Step, ...] = story.steps
        if message.messaging_service_sid:
            steps = (Step(status="queued"), *steps)
        if self.settings.sending:
            before_sent = next((i for i, step in enumerate(steps) if step.status == "sent"), 0)
            steps = (*steps[:before_sent], Step(status="sending"), *steps[before_sent:])
        return steps

    def _take_step(self, message_sid: str, at: datetime) -> list[int]:
        """Move a message to its next status; the ids of the callbacks that tell of it."""
        playing = self._playing[message_sid]
        if not playing.steps:
            return []
        step, rest = playing.steps[0], playing.steps[1:]
        self._playing[message_sid] = replace(playing, steps=rest)
        message = self._moved(self._messages[message_sid], step, at, playing)
        self._messages[message_sid] = message
        self._schedule_step(message_sid, at)
        return self._tell(message, step, at, playing.story)

    def _moved(self, message: Message, step: Step, at: datetime, playing: _Playing) -> Message:
        message = replace(message, status=step.status, updated=at, error_code=step.error_code)
        if message.sender is None and step.status != "canceled":
            message = replace(
                message, sender=playing.pool_sender, num_segments=segment_count(message.body)
            )
        if step.status == "sent":
            price = f"-{_PRICE_OF_SEGMENT * max(1, message.num_segments)}"
            message = replace(message, sent=at, price=price)
            if playing.story.rich_channel and message.messaging_service_sid and not message.channel:
                message = replace(message, sender=_RCS_SENDER)
        return message

    def _tell(self, message: Message, step: Step, at: datetime, story: Story) -> list[int]:
        if message.status_callback is None:
            return []
        arrival = step.arrival or story.arrival
        parameters = callback_parameters(message, step, at, rich_channel=story.rich_channel)
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
        )
        self.callbacks[callback.callback_id] = callback
        if callback.state is CallbackState.DUE:
            self._at(at, _CallbackDue(callback.callback_id))
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

    def _release_held(self, settled: Callback, now: datetime) -> None:
        held = self._held.get(settled.message_sid, [])
        for callback_id in [i for i in held if i < settled.callback_id]:
            held.remove(callback_id)
            callback = self.callbacks[callback_id]
            self.callbacks[callback_id] = replace(callback, state=CallbackState.DUE)
            self._at(now, _CallbackDue(callback_id))

    def _schedule_step(self, message_sid: str, after: datetime) -> None:
        steps = self._playing[message_sid].steps
        if steps:
            pause = timedelta(seconds=self.settings.pace * steps[0].paces)
            self._at(after + pause, _StepDue(message_sid))

    def _at(self, due: datetime, what: _StepDue | _CallbackDue) -> None:
        self._queued += 1
        heapq.heappush(self._queue, (due, self._queued, what))
