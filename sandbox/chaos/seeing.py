"""What everybody knows in the end: Twilio, the tables, and the people who are told."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, urlsplit

from sandbox.aws_account import Record
from sandbox.chaos.asking import Answer
from sandbox.running import Sandbox
from sandbox.twilio.callbacks import Callback, CallbackState
from sandbox.twilio.resource import Message
from sandbox.twilio.simulator import TwilioSimulator

UNSETTLED_STATES: Final = frozenset({"in_progress", "in_doubt"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AtTwilio:
    """A message as Twilio knows it, and what came of telling us."""

    sid: str
    body: str
    status: str
    error_codes: Mapping[str, int]
    """By the status that they came with."""
    request_id: str
    statuses: frozenset[str]
    """Every one that it had."""
    confirmed: frozenset[str]
    """Those of which Twilio was told that we know (2xx)."""
    callbacks: int
    attempts: int
    given_up: int
    """Callbacks of which Twilio never got a 2xx, lost ones included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """The part of an episode's count that a notice covers; none where `last` is less."""

    episode_id: str
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Everything at one moment; `notices` counts what people were told, by its id.

    `ranges` are what each of these notices covers, all its repetitions.
    """

    answers: Sequence[Answer]
    at_twilio: Sequence[AtTwilio]
    messages: Sequence[Record]
    requests: Sequence[Record]
    notices: Mapping[str, int]
    ranges: Mapping[str, frozenset[Range]]


class Observer:
    """Looks at a sandbox; the notices that it takes are gone for others."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._notices: Counter[str] = Counter()
        self._ranges: defaultdict[str, set[Range]] = defaultdict(set)

    def unrest(self) -> str:
        """What is still going on, in words; empty if nothing is."""
        return next(self._unrest(), "")

    def _unrest(self) -> Iterator[str]:
        sandbox = self._sandbox
        resources = sandbox.stack.resources
        for queue in ("SendQueue", "CallbackQueue"):
            if count := sandbox.account.waiting_in(resources[queue]):
                yield f"{queue} has {count} messages"
        if playing := sandbox.twilio.apply(_playing):
            yield f"Twilio is not done with {playing} messages"
        requests = sandbox.account.items(resources["SendRequestsTable"])
        if open_requests := sum(it.get("state") in UNSETTLED_STATES for it in requests):
            yield f"{open_requests} requests are not settled"
        messages = sandbox.account.items(resources["MessagesTable"])
        if pending := sum("watch" in it and it["outcome"] == "pending" for it in messages):
            yield f"{pending} messages have not ended"
        if owed := sum("notice_due" in it for it in messages):
            yield f"{owed} notices are owed"
        if untold := sum("open" in it for it in sandbox.account.items(resources["EpisodesTable"])):
            yield f"{untold} episodes are not over"

    def _take_notices(self) -> None:
        """Read all notices until now."""
        account, url = self._sandbox.account, self._sandbox.endpoints.notices_queue_url
        while notices := account.take(url):
            for notice in notices:
                facts = json.loads(notice)["metadata"]["additionalContext"]
                self._notices[facts["notice_id"]] += 1
                if "range_from" in facts:
                    self._ranges[facts["notice_id"]].add(
                        Range(
                            episode_id=facts["episode_id"],
                            first=int(facts["range_from"]),
                            last=int(facts["range_to"]),
                        )
                    )

    def see(self, answers: Sequence[Answer]) -> Seen:
        """Look at everything."""
        account, resources = self._sandbox.account, self._sandbox.stack.resources
        self._take_notices()
        return Seen(
            answers=answers,
            at_twilio=self._sandbox.twilio.apply(_at_twilio),
            messages=account.items(resources["MessagesTable"]),
            requests=[
                item
                for item in account.items(resources["SendRequestsTable"])
                if "state" in item  # the table remembers other things, too
            ],
            notices=dict(self._notices),
            ranges={notice_id: frozenset(it) for notice_id, it in self._ranges.items()},
        )


def _playing(twilio: TwilioSimulator) -> int:
    """How many messages Twilio has something left to tell of."""
    untold = sum(
        any(not callback.state.is_settled for callback in twilio.callbacks(message.sid))
        for message in twilio.messages()
    )
    return untold or int(twilio.next_due() is not None)


def _at_twilio(twilio: TwilioSimulator) -> list[AtTwilio]:
    return [_known_of(message, twilio.callbacks(message.sid)) for message in twilio.messages()]


def _known_of(message: Message, callbacks: Sequence[Callback]) -> AtTwilio:
    first = "accepted" if message.messaging_service_sid else "queued"
    query = parse_qs(urlsplit(message.status_callback or "").query)
    return AtTwilio(
        sid=message.sid,
        body=message.body,
        status=message.status,
        error_codes={
            _status(callback): int(code)
            for callback in callbacks
            if (code := dict(callback.parameters).get("ErrorCode"))
        },
        request_id=query["request_id"][0],
        statuses=frozenset({first, message.status, *map(_status, callbacks)}),
        confirmed=frozenset(
            _status(callback)
            for callback in callbacks
            for attempt in callback.attempts
            if attempt.result.succeeded
        ),
        callbacks=len(callbacks),
        attempts=sum(len(callback.attempts) for callback in callbacks),
        given_up=sum(callback.state is not CallbackState.ANSWERED for callback in callbacks),
    )


def _status(callback: Callback) -> str:
    return dict(callback.parameters)["MessageStatus"]
