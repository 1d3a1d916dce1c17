"""PublishOutcomesFunction with stand-ins for its sinks, and batches of its stream."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from delivery.domain.messages import Message
from tests.support.api_description import assert_described_event
from tests.support.builders import a_message, an_update
from tests.support.shared_clients import shared_client
from tests.support.stream import image, records

if TYPE_CHECKING:
    from mypy_boto3_events.type_defs import PutEventsRequestEntryTypeDef

type Json = Any


class Events:
    """EventBridge, which checks each event against its schema.

    A test can have it reject entries, by their place over all calls.
    """

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.accepted: list[PutEventsRequestEntryTypeDef] = []
        self.rejects: set[int] = set()
        self.error: Exception | None = None
        self._place = 0

    @property
    def details(self) -> list[Any]:
        """The details of the events that it accepted, in that order."""
        return [json.loads(entry["Detail"]) for entry in self.accepted]

    def put_events(self, *, Entries: Sequence[Any]) -> Any:  # noqa: N803 -- boto3's name
        self.calls.append(len(Entries))
        if self.error:
            raise self.error
        answers: list[Any] = []
        for entry in Entries:
            assert_described_event(
                {
                    "source": entry["Source"],
                    "detail-type": entry["DetailType"],
                    "detail": json.loads(entry["Detail"]),
                }
            )
            if self._place in self.rejects:
                answers.append({"ErrorCode": "ThrottlingException", "ErrorMessage": "slower"})
            else:
                answers += shared_client("events").put_events(Entries=[entry])["Entries"]
                self.accepted.append(entry)
            self._place += 1
        return {"Entries": answers, "FailedEntryCount": len(self.rejects)}


class Firehose:
    """Firehose; a test can have it reject records, by their place over all calls."""

    def __init__(self) -> None:
        self.calls: list[list[bytes]] = []
        self.rows: list[Json] = []
        self.rejects: set[int] = set()
        self.error: Exception | None = None
        self._place = 0

    def put_record_batch(self, *, DeliveryStreamName: str, Records: Sequence[Any]) -> Any:  # noqa: N803 -- boto3's names
        assert DeliveryStreamName == "archive"
        self.calls.append([record["Data"] for record in Records])
        if self.error:
            raise self.error
        answers: list[Any] = []
        for record in Records:
            if self._place in self.rejects:
                answers.append({"ErrorCode": "ServiceUnavailableException", "ErrorMessage": "no"})
            else:
                answers.append({"RecordId": str(self._place)})
                self.rows += [json.loads(line) for line in record["Data"].splitlines()]
            self._place += 1
        return {"RequestResponses": answers, "FailedPutCount": len(self.rejects)}


class OutcomesRig:
    """The function, with stand-ins for EventBridge and Firehose."""

    def __init__(
        self, *, bus_name: str = "default", stream_name: str = "", dimensions: str = ""
    ) -> None:
        from functions.publish_outcomes import app  # noqa: PLC0415 -- its clients need moto first

        self.events = Events()
        self.firehose = Firehose()
        clients: Any = app.Clients(events=self.events, firehose=self.firehose)  # type: ignore[arg-type]  # stand-ins
        environment = {
            "OUTCOME_EVENT_BUS_NAME": bus_name,
            "ARCHIVE_STREAM_NAME": stream_name,
            "REPORT_DIMENSIONS": dimensions,
        }
        function = app.build(environment, clients)
        self._handle = app.metrics.log_metrics(lambda event, _: function.handle(event))

    @property
    def rows(self) -> list[Json]:
        """The rows that Firehose accepted, in that order."""
        return self.firehose.rows

    def handle(self, *stream: dict[str, Any]) -> list[str]:
        """Handle a batch; returns the sequence number that the stream continues from, if any."""
        answer = self._handle({"Records": list(stream)}, None)
        return [it["itemIdentifier"] for it in answer["batchItemFailures"]]


def delivered(number: int) -> Message:
    """A message of its own for each number."""
    return a_message(an_update("delivered", message_sid=f"SM{number:032x}"))


def batch(messages: int) -> list[dict[str, Any]]:
    """The records of as many delivered messages; their sequence numbers count from 0."""
    found = []
    for number in range(messages):
        (record,) = records(image(delivered(number)))
        record["dynamodb"]["SequenceNumber"] = str(number)
        found.append(record)
    return found
