"""The rig of the tests of NotifyFailureFunction: its clock, its subscribers, its environments."""

import json
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from delivery.domain.messages import Message
from delivery.domain.notices import INCIDENT_ID_PREFIX, NoticeState
from delivery.storage.messages import MessageStore
from functions.notify_failure.incident import Incident, IncidentKey
from functions.notify_failure.incident_store import IncidentStore
from functions.notify_failure.notifier import Limits
from tests.support.api_description import assert_described_notice
from tests.support.builders import ACCOUNT_SID, NOON, an_update
from tests.support.clock import Clock
from tests.support.granted import permissions_of
from tests.support.shared_clients import shared_client

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from functions.notify_failure.app import NotifyFailure

SWEEP = {"sweep_notices_older_than_seconds": 300}
_FIRST_SEQUENCE_NUMBER = 1000


def a_stream_record(number: int, **change: Any) -> dict[str, Any]:
    """A record of the stream at this place in its batch."""
    sequence_number = str(_FIRST_SEQUENCE_NUMBER + number)
    return {
        "eventID": str(number),
        "eventName": "MODIFY",
        "eventSource": "aws:dynamodb",
        "dynamodb": {"SequenceNumber": sequence_number, **change},
    }


def a_stream_event(*message_sids: str) -> dict[str, Any]:
    """A batch of the stream. Only the keys matter, because everything else may be old."""
    return {
        "Records": [
            a_stream_record(
                number,
                Keys={"message_sid": {"S": message_sid}},
                NewImage={"notice": {"S": "due"}},
            )
            for number, message_sid in enumerate(message_sids)
        ]
    }


class Inbox:
    """A queue that is subscribed to the topic; each notice must match the published schema."""

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

    def receive(self) -> list[dict[str, Any]]:
        """The notices that arrived since the last call, each with its message attributes."""
        notices: list[dict[str, Any]] = []
        while messages := self._receive_batch():
            for message in messages:
                attributes = message.get("MessageAttributes", {})
                notice = json.loads(message["Body"])
                assert_described_notice(notice)
                notice["attributes"] = {
                    name: (value["DataType"], value["StringValue"])
                    for name, value in attributes.items()
                }
                notices.append(notice)
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
        return notices

    def _receive_batch(self) -> list[Any]:
        answer = self._sqs.receive_message(
            QueueUrl=self._url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        )
        return cast("list[Any]", answer.get("Messages", []))


class NotifierRig:
    """The function in an environment, what invokes it, and what subscribers have received."""

    def __init__(self, dynamodb: "DynamoDBClient", environ: dict[str, str]) -> None:
        from functions.notify_failure import app  # noqa: PLC0415 -- its clients need moto first

        self.module = app
        self.dynamodb = dynamodb
        self.clock = Clock(NOON + timedelta(seconds=10))
        self.inbox = Inbox()
        self.store = MessageStore(dynamodb, "MessagesTable")
        self.incidents = IncidentStore(dynamodb, "IncidentsTable", "MessagesTable")
        self._environ = environ | {"FAILURE_TOPIC_ARN": self.inbox.topic_arn}
        self._received: list[dict[str, Any]] = []
        self.function = self.build()

    def build(
        self, *, dynamodb: Any = None, reader: Any = None, sns: Any = None, **environ: str
    ) -> "NotifyFailure":
        """The function in an environment of its own, with these clients and variables.

        `dynamodb` also reads where there is no `reader`.
        """
        dynamodb = dynamodb or self.dynamodb
        clients = self.module.Clients(
            dynamodb=dynamodb, dynamodb_reader=reader or dynamodb, sns=sns or shared_client("sns")
        )
        return self.module.build(self._environ | environ, clients, now=self.clock)

    def restart(self, **changes: Any) -> None:
        """Go on in a new environment, which knows nothing of the claims of the one before."""
        self.function = self.build(**changes)

    def limits(self) -> Limits:
        """The limits of an invocation that begins now."""
        return Limits(abandoned_before=self.clock() - timedelta(minutes=5), time_left=lambda: 60.0)

    # --- what happens to messages ---

    def fail(self, *numbers: int, code: int | None = 30003, **facts: Any) -> list[str]:
        """Let messages fail; returns their SIDs."""
        sids = [f"SM{number:032x}" for number in numbers]
        for sid in sids:
            facts = {"error_code": code, **facts, "message_sid": sid, "after": self._seconds()}
            self.store.record(an_update("undelivered", **facts))
        return sids

    def deliver(self, *message_sids: str) -> None:
        """Let messages be delivered."""
        for sid in message_sids:
            self.store.record(an_update("delivered", after=self._seconds(), message_sid=sid))

    def claim(self, message_sid: str) -> None:
        """Take the next step of a message's notice, as a notifier that dies right after it."""
        assert self.store.advance_notice(self.message(message_sid), self.clock()) is not None

    # --- what invokes the function ---

    def handle(self, event: dict[str, Any], *, seconds_left: Any = lambda: 60) -> Any:
        """Invoke the handler, metrics included; `seconds_left` of the invocation."""
        context = SimpleNamespace(
            function_name="NotifyFailureFunction",
            aws_request_id="1",
            get_remaining_time_in_millis=lambda: int(seconds_left() * 1000),
        )
        with permissions_of("NotifyFailureFunction", self.dynamodb):
            return self.module.metrics.log_metrics(self.function.handle)(event, context)

    def stream(self, *message_sids: str) -> list[str]:
        """Hand over a batch of the stream; returns the SIDs that are to come again."""
        numbers = self.stream_again(a_stream_event(*message_sids))
        return [message_sids[number] for number in numbers]

    def stream_again(self, event: dict[str, Any]) -> list[int]:
        """The same for a whole event; returns the places of the records that are to come again."""
        answer = self.handle(event)
        failures = [int(it["itemIdentifier"]) for it in answer["batchItemFailures"]]
        return sorted(number - _FIRST_SEQUENCE_NUMBER for number in failures)

    def sweep(self) -> None:
        """Do what the schedule does each minute."""
        assert self.handle(SWEEP) is None

    def finish(self, *, minutes: float = 16) -> None:
        """Let time pass in a new environment until every incident is closed."""
        self.restart()
        for _ in range(4):
            self.clock.advance(minutes=minutes)
            self.sweep()

    # --- what is stored ---

    def message(self, message_sid: str) -> Message:
        """The message as it is stored."""
        message = self.store.get(message_sid)
        assert message is not None
        return message

    def notice_of(self, message_sid: str) -> NoticeState | None:
        """The state of the message's notice."""
        return self.message(message_sid).notice

    def incident(self, cause: str = "30003") -> Incident:
        """The latest incident of a cause."""
        incident = self.incidents.get(IncidentKey(account_sid=ACCOUNT_SID, cause=cause))
        assert incident is not None
        return incident

    # --- what subscribers have received ---

    def new_notices(self) -> list[dict[str, Any]]:
        """The notices that arrived since the last look."""
        notices = self.inbox.receive()
        self._received += notices
        return notices

    def new_events(self) -> list[tuple[str, str]]:
        """The same in short: (notice id, failure or recovery)."""
        return [(it["id"], it["metadata"]["eventType"]) for it in self.new_notices()]

    def facts(self) -> list[dict[str, str]]:
        """The facts of every notice until now, in the order of arrival."""
        self.new_notices()
        return [it["metadata"]["additionalContext"] for it in self._received]

    def published(self) -> list[tuple[str, str]]:
        """Every notice in short: its kind, and the range of failures that it covers."""
        return [(it.get("kind", it["event"]), _range_of(it)) for it in self.facts()]

    def covered_numbers(self) -> dict[str, list[int]]:
        """By incident, every number that its notices cover; repetitions must cover the same."""
        ranges: dict[str, tuple[str, str]] = {}
        for facts in self.facts():
            covered = facts["incident_id"], _range_of(facts)
            assert ranges.setdefault(facts["notice_id"], covered) == covered
        numbers: dict[str, list[int]] = {}
        for incident_id, covered_range in filter(lambda it: it[1], ranges.values()):
            first, last = map(int, covered_range.split("-"))
            numbers.setdefault(incident_id, []).extend(range(first, last + 1))
        return {incident_id: sorted(each) for incident_id, each in numbers.items()}

    def count_by_incident(self, message_sids: Iterable[str]) -> Counter[str]:
        """How many of these messages each incident has, the one that opened it included."""
        openings = {
            it["message_sid"]: it["incident_id"]
            for it in self.facts()
            if "kind" in it and "message_sid" in it
        }
        return Counter(self._incident_of(sid, openings) for sid in message_sids)

    def assert_adds_up(self, message_sids: Iterable[str]) -> None:
        """Each of these failures is in one incident, and its notices cover each number once."""
        sids = list(message_sids)
        counted = self.count_by_incident(sids)
        assert counted.total() == len(sids)
        assert self.covered_numbers() == {it: list(range(1, n + 1)) for it, n in counted.items()}

    def _incident_of(self, message_sid: str, openings: dict[str, str]) -> str:
        notice_id = str(self.message(message_sid).notice_id)
        if notice_id.startswith(INCIDENT_ID_PREFIX):
            return notice_id
        return openings.get(message_sid, "none")

    def _seconds(self) -> float:
        return (self.clock() - NOON).total_seconds()


def _range_of(facts: dict[str, str]) -> str:
    return f"{facts['range_from']}-{facts['range_to']}" if "range_from" in facts else ""
