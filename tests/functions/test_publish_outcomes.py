"""PublishOutcomesFunction: every change of an outcome is an event, at least once and in order."""

import io
import json
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError
from mypy_boto3_events import EventBridgeClient

from delivery.domain.messages import Message
from tests.builders import ACCOUNT_SID, MESSAGE_SID, a_message, an_update
from tests.embedded_metrics import data_points, total
from tests.made_once import shared_client
from tests.stream import LIVES, Image, image, records

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_events.type_defs import PutEventsRequestEntryTypeDef

CONTEXT = cast("LambdaContext", None)


class Bus:
    """EventBridge; a test can have it refuse entries, by their place over all calls."""

    def __init__(self, client: EventBridgeClient) -> None:
        self.calls: list[int] = []
        self.taken: list[PutEventsRequestEntryTypeDef] = []
        self.refused: set[int] = set()
        self.error: Exception | None = None
        self._client = client
        self._place = 0

    @property
    def details(self) -> list[Any]:
        """What it took, in that order."""
        return [json.loads(entry["Detail"]) for entry in self.taken]

    def put_events(self, *, Entries: Sequence[Any]) -> Any:  # noqa: N803 -- boto3's name
        self.calls.append(len(Entries))
        if self.error:
            raise self.error
        answers: list[Any] = []
        for entry in Entries:
            if self._place in self.refused:
                answers.append({"ErrorCode": "ThrottlingException", "ErrorMessage": "slower"})
            else:
                answers += self._client.put_events(Entries=[entry])["Entries"]
                self.taken.append(entry)
            self._place += 1
        return {"Entries": answers, "FailedEntryCount": len(self.refused)}


@pytest.fixture
def bus(aws: None, monkeypatch: pytest.MonkeyPatch) -> Bus:  # noqa: ARG001 -- moto must answer
    from functions.publish_outcomes import app  # noqa: PLC0415 -- its client needs moto first

    bus = Bus(shared_client("events"))
    monkeypatch.setattr(app, "bus", bus)
    return bus


@pytest.fixture
def app(bus: Bus) -> ModuleType:  # noqa: ARG001 -- it publishes there
    from functions.publish_outcomes import app  # noqa: PLC0415 -- the same

    return app


def handled(app: ModuleType, *of_the_stream: dict[str, Any]) -> list[str]:
    """Where the stream has to be repeated from."""
    answer = app.lambda_handler({"Records": list(of_the_stream)}, CONTEXT)
    return [it["itemIdentifier"] for it in answer["batchItemFailures"]]


def delivered(number: int) -> Message:
    """A message of its own for each number."""
    return a_message(an_update("delivered", message_sid=f"SM{number:032x}"))


def batch(messages: int) -> list[dict[str, Any]]:
    """Records of as many messages that were delivered; the number is in the last one's place."""
    found = []
    for number in range(messages):
        (record,) = records(image(delivered(number)))
        record["dynamodb"]["SequenceNumber"] = str(number)
        found.append(record)
    return found


# --- what programs are told ----------------------------------------------------------------------


@pytest.mark.parametrize(("writes", "changes"), LIVES.values(), ids=LIVES)
def test_every_change_of_an_outcome_is_told_in_order_and_nothing_else(
    app: ModuleType,
    bus: Bus,
    writes: list[Image],
    changes: list[tuple[str, str]],
) -> None:
    assert handled(app, *records(*writes)) == []

    assert [(it["previous_outcome"], it["outcome"]) for it in bus.details] == changes


def test_an_event_says_what_became_of_the_message_and_why(app: ModuleType, bus: Bus) -> None:
    sent = an_update(
        "sent",
        reference="order-4711",
        context={"shop": "köln"},
        request_id="rq_" + "0" * 32,
        body="secret words",
    )
    failed = a_message(sent, an_update("undelivered", after=2, error_code=30003))

    handled(app, *records(image(a_message(sent)), image(failed)))

    (entry,), (detail,) = bus.taken, bus.details
    assert (entry["Source"], entry["DetailType"]) == ("delivery", "Message Outcome Changed")
    assert entry["Time"] == failed.final_at
    assert detail.pop("event_id")
    assert detail == {
        "message_sid": MESSAGE_SID,
        "outcome": "failed",
        "previous_outcome": "pending",
        "changed_at": "2026-11-23T12:00:02.000Z",
        "created_at": "2026-11-23T12:00:00.000Z",
        "status": "undelivered",
        "error_code": 30003,
        "category": "recipient_unreachable",
        "retryable": True,
        "account_sid": ACCOUNT_SID,
        "request_id": "rq_" + "0" * 32,
        "reference": "order-4711",
        "context": {"shop": "köln"},
        "to": "…5310",
        "from": "…0006",
    }


def test_an_event_that_comes_twice_has_the_same_id_and_no_two_changes_share_one(
    app: ModuleType, bus: Bus
) -> None:
    writes, _ = LIVES["failed, and delivered after all"]
    other = image(delivered(1))

    for _ in range(2):
        handled(app, *records(*writes), *records(other))

    ids = [detail["event_id"] for detail in bus.details]
    assert ids[:3] == ids[3:]
    assert len(set(ids)) == 3


# --- what the bus does not take ------------------------------------------------------------------


def test_ten_events_at_a_time_go_out(app: ModuleType, bus: Bus) -> None:
    assert handled(app, *batch(25)) == []

    assert bus.calls == [10, 10, 5]
    assert len(bus.taken) == 25


@pytest.mark.parametrize(
    ("refused", "calls"), [(0, [10]), (9, [10]), (10, [10, 10]), (24, [10] * 2 + [5])]
)
def test_the_stream_is_repeated_from_the_first_event_that_was_not_taken(
    app: ModuleType,
    bus: Bus,
    refused: int,
    calls: list[int],
) -> None:
    bus.refused = {refused, refused + 1}
    stream = batch(25)

    (again,) = handled(app, *stream)

    assert again == str(refused)
    assert bus.calls == calls
    bus.refused = set()
    assert handled(app, *stream[refused:]) == []
    told = {detail["message_sid"] for detail in bus.details}
    assert told == {delivered(number).message_sid for number in range(25)}


def test_one_messages_events_stay_in_order_when_one_is_not_taken(app: ModuleType, bus: Bus) -> None:
    writes, changes = LIVES["failed, and delivered after all"]
    stream = records(*writes)
    bus.refused = {0}

    (again,) = handled(app, *stream)
    place = next(
        place
        for place, record in enumerate(stream)
        if record["dynamodb"]["SequenceNumber"] == again
    )
    assert handled(app, *stream[place:]) == []

    told = [(it["previous_outcome"], it["outcome"]) for it in bus.details]
    assert told[-2:] == changes


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "PutEvents"),
        ConnectTimeoutError(endpoint_url="https://events.us-east-1.amazonaws.com"),
    ],
)
def test_a_bus_that_cannot_be_reached_repeats_the_stream_from_there(
    app: ModuleType, bus: Bus, log_output: io.StringIO, error: Exception
) -> None:
    bus.error = error

    assert handled(app, *batch(3)) == ["0"]

    assert "Outcome not published" in log_output.getvalue()


def test_a_bus_that_does_not_exist_loses_nothing(
    app: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "OUTCOME_EVENT_BUS_NAME", "no-such-bus")

    assert handled(app, *batch(1)) == ["0"]


@pytest.mark.parametrize(
    "garbage",
    [
        {"message_sid": {"S": "x"}, "outcome": {"S": "delivered"}},
        {"message_sid": {"S": "x"}, "outcome": {"S": "no such outcome"}},
        {"message_sid": {"S": "x"}, "outcome": {"N": "1"}},
    ],
)
def test_a_record_of_something_else_is_given_up_alone(
    app: ModuleType,
    bus: Bus,
    log_output: io.StringIO,
    garbage: dict[str, Any],
) -> None:
    first, last = batch(2)
    (middle,) = records(garbage)

    assert handled(app, first, middle, last) == ["100"]

    assert [it["message_sid"] for it in bus.details] == [delivered(0).message_sid]
    assert "Not a message" in log_output.getvalue()


# --- what it writes to the log -------------------------------------------------------------------


def test_what_was_published_and_what_was_not_is_counted_without_numbers(
    app: ModuleType, bus: Bus, capsys: pytest.CaptureFixture[str], log_output: io.StringIO
) -> None:
    bus.refused = {11}

    handled(app, *batch(20))

    output = capsys.readouterr().out
    points = data_points(output)
    assert total(points, "OutcomePublished", service="tested") == 10
    assert total(points, "OutcomePublishFailed", service="tested") == 1
    assert not any(it in output + log_output.getvalue() for it in ("8675310", "5550006"))


def test_a_batch_in_which_nothing_changed_publishes_nothing(
    app: ModuleType, bus: Bus, capsys: pytest.CaptureFixture[str]
) -> None:
    _, *same = records(image(delivered(0)), image(delivered(0)))

    assert handled(app, *same) == []

    assert bus.calls == []
    assert total(data_points(capsys.readouterr().out), "OutcomePublished", service="tested") == 0
