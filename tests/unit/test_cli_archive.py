"""The command `delivery archive --backfill`, and what its rows replace."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError
from moto import mock_aws
from mypy_boto3_dynamodb import DynamoDBClient

from delivery.domain.messages import Source
from delivery.storage.archive import Archive
from delivery.storage.messages import MessageStore
from delivery.text.archive_rows import archive_row
from delivery_cli.commands.archive.backfill import ArchiveUnavailable, Backfill
from tests.functions.outcomes import Firehose
from tests.support.builders import NOON, an_update
from tests.support.cloudformation import create_table
from tests.support.command_line import CommandResult, StackDescription, run, signed_in
from tests.support.shared_clients import shared_client

ROLE = "arn:aws:iam::123456789012:role/archive"


@dataclass
class ArchiveRig:
    """A stack whose table, delivery stream and bucket are moto's."""

    messages: MessageStore
    tables: DynamoDBClient
    environment: dict[str, str]

    def backfill(self, *arguments: str) -> CommandResult:
        return run("archive", "--backfill", *arguments, environment=self.environment)

    @property
    def rows(self) -> list[Any]:
        """The rows in the bucket."""
        s3 = shared_client("s3")
        keys = [it["Key"] for it in s3.list_objects_v2(Bucket="archive").get("Contents", [])]
        bodies = [s3.get_object(Bucket="archive", Key=key)["Body"].read() for key in keys]
        return [json.loads(line) for body in bodies for line in body.splitlines()]


def stack_with(**parameters: str) -> StackDescription:
    return StackDescription(
        outputs={"MessagesApiUrl": "https://api.example.com", "MessagesTableName": "messages"},
        parameters=parameters,
        resources={"ArchiveStream": ("AWS::KinesisFirehose::DeliveryStream", "archive")},
    )


@pytest.fixture
def rig() -> Iterator[ArchiveRig]:
    with mock_aws():
        tables = shared_client("dynamodb")
        create_table(tables, "MessagesTable", "messages")
        shared_client("s3").create_bucket(Bucket="archive")
        shared_client("firehose").create_delivery_stream(
            DeliveryStreamName="archive",
            S3DestinationConfiguration={"RoleARN": ROLE, "BucketARN": "arn:aws:s3:::archive"},
        )
        stack = stack_with(ArchiveOutcomes="true", ReportDimensions="campaign")
        with signed_in(stack) as environment:
            yield ArchiveRig(MessageStore(tables, "messages"), tables, environment)


def sid(number: int) -> str:
    return f"SM{number:032x}"


def test_every_message_of_the_table_gets_a_row_with_its_dimensions(rig: ArchiveRig) -> None:
    for number in range(3):
        update = an_update("delivered", message_sid=sid(number), context={"campaign": "spring"})
        rig.messages.record(update)

    ran = rig.backfill("--json")

    assert (ran.code, ran.json) == (0, {"rows": 3, "left_out": 0, "unreadable": []})
    assert {row["message_sid"] for row in rig.rows} == {sid(number) for number in range(3)}
    assert {row["dimensions"]["campaign"] for row in rig.rows} == {"spring"}


def test_a_tombstone_is_no_row_and_an_unreadable_item_is_reported(rig: ArchiveRig) -> None:
    rig.messages.erase(sid(1), at=NOON, expires_at=2_000_000_000)
    unreadable = {"message_sid": {"S": sid(2)}, "outcome": {"S": "unheard of"}}
    rig.tables.put_item(TableName="messages", Item=unreadable)

    ran = rig.backfill("--json")

    assert (ran.code, ran.json["rows"], ran.json["unreadable"]) == (1, 0, [sid(2)])
    assert rig.rows == []


def test_from_leaves_out_messages_that_have_not_changed_since(rig: ArchiveRig) -> None:
    rig.messages.record(an_update("delivered", message_sid=sid(1)))
    rig.messages.record(an_update("sent", message_sid=sid(2)))
    rig.messages.record(an_update("delivered", message_sid=sid(2), after=86_400))
    tomorrow = (NOON + timedelta(days=1)).date().isoformat()

    ran = rig.backfill("--from", tomorrow, "--json")

    assert ran.json["rows"] == 1
    assert [row["message_sid"] for row in rig.rows] == [sid(2)]


def test_a_dimension_that_may_be_personal_is_left_out_and_counted(rig: ArchiveRig) -> None:
    rig.messages.record(an_update("sent", context={"campaign": "ada@example.com"}))

    ran = rig.backfill()

    assert "1 dimension left out" in ran.out
    assert "dimensions" not in rig.rows[0]


def test_a_stack_without_an_archive_is_an_error_with_the_fix() -> None:
    with mock_aws(), signed_in(stack_with(ArchiveOutcomes="false")) as environment:
        ran = run("archive", "--backfill", environment=environment)

    assert ran.code == 1
    assert "ArchiveOutcomes=true" in ran.err


# --- Firehose ------------------------------------------------------------------------------------


def backfill_into(firehose: Firehose, rig: ArchiveRig, waits: list[float]) -> Backfill:
    archive: Any = Archive(firehose, "archive")  # type: ignore[arg-type]  # a stand-in
    return Backfill(messages=rig.messages, archive=archive, dimensions=(), wait=waits.append)


def test_rows_that_firehose_rejects_are_written_again_after_a_growing_wait(rig: ArchiveRig) -> None:
    rig.messages.record(an_update("delivered"))
    firehose, waits = Firehose(), list[float]()
    firehose.rejects = {0, 1}

    result = backfill_into(firehose, rig, waits).run()

    assert (result.rows, len(firehose.rows)) == (1, 1)
    assert waits == [1, 2]


def test_a_firehose_that_never_answers_ends_the_backfill(rig: ArchiveRig) -> None:
    rig.messages.record(an_update("delivered"))
    firehose, waits = Firehose(), list[float]()
    firehose.error = ConnectTimeoutError(endpoint_url="https://firehose")

    with pytest.raises(ArchiveUnavailable, match="ConnectTimeoutError"):
        backfill_into(firehose, rig, waits).run()

    assert sum(waits) > 60


# --- I12: a row of the table and the rows of the stream ------------------------------------------


def order(row: dict[str, Any]) -> tuple[str, str]:
    """Return what decides which row of a message is its latest."""
    return row["recorded_at"], row["sequence"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (an_update("failed"), an_update("delivered", after=5)),
        # Recorded later, but learned earlier: it waited in a queue, or another clock is ahead.
        (an_update("undelivered", error_code=30003, after=5), an_update("delivered")),
        (an_update("delivered", after=5), an_update("sent", price="-0.01", price_unit="USD")),
        (
            an_update("delivered", after=5),
            an_update("delivered", source=Source.AUDIT, price="-0.01", price_unit="USD"),
        ),
    ],
)
def test_a_row_that_was_read_before_a_change_never_replaces_the_row_of_the_change(
    rig: ArchiveRig, first: Any, second: Any
) -> None:
    before = rig.messages.record(first).message
    after = rig.messages.record(second).message

    in_stream = [
        archive_row(message, sequence_number=f"{number}00")
        for number, message in enumerate((before, after), 1)
    ]
    read_before, read_after = archive_row(before), archive_row(after)

    assert max([*in_stream, read_before, read_after], key=order) == in_stream[1]
    assert max([in_stream[0], read_before, read_after], key=order) == read_after
