"""What the tests of NotifyFailureFunction share: its clock, its subscribers, its environments."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from functools import partial
from threading import local
from types import ModuleType, SimpleNamespace
from typing import Any

from botocore.exceptions import EndpointConnectionError, ReadTimeoutError
from mypy_boto3_dynamodb import DynamoDBClient

from delivery.domain.messages import Message
from delivery.storage.messages import MessageStore
from delivery.text.formatting import mask_number
from functions.notify_failure import telling
from functions.notify_failure.episode import Episode, EpisodeKey
from functions.notify_failure.episode_store import EpisodeStore
from tests.builders import ACCOUNT_SID, NOON, an_update
from tests.made_once import shared_client

SWEEP = {"sweep_notices_older_than_seconds": 300}


def a_context(*, seconds_left: float = 60) -> SimpleNamespace:
    return SimpleNamespace(
        function_name="NotifyFailureFunction",
        aws_request_id="1",
        get_remaining_time_in_millis=lambda: int(seconds_left * 1000),
    )


def a_stream_event(*message_sids: str) -> dict[str, Any]:
    """A batch of the stream; only the keys matter, because everything else may be old."""
    return {
        "Records": [
            {
                "eventID": str(number),
                "eventName": "MODIFY",
                "eventSource": "aws:dynamodb",
                "dynamodb": {
                    "Keys": {"message_sid": {"S": message_sid}},
                    "NewImage": {"notice": {"S": "due"}},
                    "SequenceNumber": str(1000 + number),
                },
            }
            for number, message_sid in enumerate(message_sids)
        ]
    }


class Clock:
    """The function's time: shortly after the messages failed, until a test lets some pass."""

    def __init__(self) -> None:
        self.time = NOON + timedelta(seconds=10)

    def __call__(self) -> datetime:
        return self.time

    def pass_by(self, **time: float) -> None:
        self.time += timedelta(**time)


class Inbox:
    """A queue on the topic: what subscribers get."""

    def __init__(self) -> None:
        self._sqs = shared_client("sqs")
        sns = shared_client("sns")
        self.topic_arn = sns.create_topic(Name="failures")["TopicArn"]
        self._url = self._sqs.create_queue(QueueName="inbox")["QueueUrl"]
        arn = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])
        sns.subscribe(
            TopicArn=self.topic_arn,
            Protocol="sqs",
            Endpoint=arn["Attributes"]["QueueArn"],
            Attributes={"RawMessageDelivery": "true"},
        )

    def notices(self) -> list[dict[str, Any]]:
        """The notices that came, with their message attributes, taken off the queue."""
        messages = self._sqs.receive_message(
            QueueUrl=self._url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        ).get("Messages", [])
        for message in messages:
            self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
        return [
            json.loads(message["Body"])
            | {
                "attributes": {
                    name: (value["DataType"], value["StringValue"])
                    for name, value in message.get("MessageAttributes", {}).items()
                }
            }
            for message in messages
        ]

    def events(self) -> list[tuple[str, str]]:
        """What was told: (notice id, failure or recovery)."""
        return [(notice["id"], notice["metadata"]["eventType"]) for notice in self.notices()]


class Dying:
    """A client, one of whose calls breaks before or after it takes effect; the others work."""

    def __init__(self, client: DynamoDBClient, call: int, *, after: bool) -> None:
        self._client = client
        self._after = after
        self.left = call
        self.exceptions = client.exceptions

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(**arguments: Any) -> Any:
            self.left -= 1
            if self.left == 0 and not self._after:
                raise EndpointConnectionError(endpoint_url="dynamodb")
            answer = getattr(self._client, name)(**arguments)
            if self.left == 0:
                raise ReadTimeoutError(endpoint_url="dynamodb")
            return answer

        return call


class ClientOfThread:
    """Leads each thread's calls through that thread's own client."""

    def __init__(self) -> None:
        self.thread = local()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.thread.client, name)


def a_teller(app: ModuleType, client: Any = None, *, quiet_minutes: float = 15) -> Any:
    """The function's own in a new environment, whose calls go through `client`."""
    client = client or app.dynamodb
    return telling.Teller(
        messages=MessageStore(client, "MessagesTable"),
        episodes=EpisodeStore(client, "IncidentsTable", "MessagesTable"),
        publish_message=app.publish_message,
        publish_range=app.publish_range,
        shown=partial(mask_number, whole=False),
        quiet=timedelta(minutes=quiet_minutes),
        muted=app.MUTED,
        now=app.now,
    )


class Notifier:
    """The function, what invokes it, and what people have read until now."""

    def __init__(self, app: ModuleType, inbox: Inbox, clock: Clock) -> None:
        self.app = app
        self.clock = clock
        self.store = MessageStore(app.dynamodb, "MessagesTable")
        self.episodes = EpisodeStore(app.dynamodb, "IncidentsTable", "MessagesTable")
        self._inbox = inbox
        self._read: list[dict[str, Any]] = []

    def fail(self, *numbers: int, code: int | None = 30003, **facts: Any) -> list[str]:
        """Let messages fail: their SIDs."""
        sids = [f"SM{number:032x}" for number in numbers]
        seconds = (self.clock.time - NOON).total_seconds()
        for sid in sids:
            facts = {"message_sid": sid, "error_code": code, **facts, "after": seconds}
            self.store.record(an_update("undelivered", **facts | {"message_sid": sid}))
        return sids

    def deliver(self, *message_sids: str) -> None:
        """Let them be delivered after all."""
        seconds = (self.clock.time - NOON).total_seconds()
        for sid in message_sids:
            self.store.record(an_update("delivered", after=seconds, message_sid=sid))

    def stream(self, *message_sids: str) -> list[str]:
        """Hand over a batch: the SIDs of what is to come again."""
        event = a_stream_event(*message_sids)
        answer = self.app.lambda_handler(event, a_context())
        failed = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        return [sid for number, sid in enumerate(message_sids) if str(1000 + number) in failed]

    def schedule(self) -> None:
        """What the schedule does each minute."""
        assert self.app.lambda_handler(SWEEP, a_context()) is None

    def new_environment(self, client: Any = None, *, quiet_minutes: float = 15) -> None:
        """Go on as one that knows nothing of the claims of the one before."""
        vars(self.app)["teller"] = a_teller(self.app, client, quiet_minutes=quiet_minutes)

    def let_it_end(self, *, minutes: float = 16) -> None:
        """Until no episode has anything left to tell."""
        self.new_environment()
        for _ in range(4):
            self.clock.pass_by(minutes=minutes)
            self.schedule()

    def message(self, message_sid: str) -> Message:
        message = self.store.get(message_sid)
        assert message is not None
        return message

    def episode(self, cause: str = "30003") -> Episode:
        episode = self.episodes.get(EpisodeKey(account_sid=ACCOUNT_SID, cause=cause))
        assert episode is not None
        return episode

    def facts(self) -> list[dict[str, str]]:
        """The facts of every notice until now, in the order in which they came."""
        while notices := self._inbox.notices():
            self._read += notices
        return [it["metadata"]["additionalContext"] for it in self._read]

    def told(self) -> list[tuple[str, str]]:
        """What was told, in short: the kind, and the range that it covers."""
        return [(it.get("kind", it["event"]), _span(it)) for it in self.facts()]

    def numbers(self) -> dict[str, list[int]]:
        """Every number that a notice covers, by episode; repetitions must say the same."""
        once: dict[str, tuple[str, str]] = {}
        for facts in self.facts():
            said = facts.get("episode_id", ""), _span(facts)
            assert once.setdefault(facts["notice_id"], said) == said
        numbers: dict[str, list[int]] = {}
        for episode_id, span in filter(lambda it: it[1], once.values()):
            first, last = map(int, span.split("-"))
            numbers.setdefault(episode_id, []).extend(range(first, last + 1))
        return {episode_id: sorted(each) for episode_id, each in numbers.items()}

    def counted(self, message_sids: Iterable[str]) -> Counter[str]:
        """How many of these messages are in which episode: the first one of each is told alone."""
        return Counter(map(self._episode_of, message_sids))

    def _episode_of(self, message_sid: str) -> str:
        notice_id = str(self.message(message_sid).notice_id)
        if notice_id.startswith("inc_"):
            return notice_id
        opened: Iterator[str] = (
            it["episode_id"] for it in self.facts() if it.get("message_sid") == message_sid
        )
        return next(opened, "none")


def _span(facts: dict[str, str]) -> str:
    return f"{facts['range_from']}-{facts['range_to']}" if "range_from" in facts else ""
