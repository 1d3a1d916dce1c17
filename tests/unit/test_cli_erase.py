"""The command `delivery erase`; tests/functions/test_erasing.py tests the erasure itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from moto import mock_aws
from mypy_boto3_dynamodb import DynamoDBClient

from delivery.storage.messages import MessageStore
from tests.support.builders import an_update
from tests.support.cloudformation import create_table
from tests.support.command_line import CommandResult, StackDescription, run, signed_in
from tests.support.shared_clients import shared_client

NUMBER = "+15558675310"


@dataclass
class EraseRig:
    """A stack whose tables are moto's, with one message to NUMBER."""

    tables: DynamoDBClient
    environment: dict[str, str]

    def erase(self, *arguments: str, **options: Any) -> CommandResult:
        return run("erase", *arguments, environment=self.environment, **options)

    @property
    def is_erased(self) -> bool:
        return NUMBER not in str(self.tables.scan(TableName="messages")["Items"])


@pytest.fixture
def rig() -> Iterator[EraseRig]:
    with mock_aws():
        tables = shared_client("dynamodb")
        create_table(tables, "MessagesTable", "messages")
        create_table(tables, "SendRequestsTable", "requests")
        MessageStore(tables, "messages").record(an_update("delivered", to=NUMBER))
        stack = StackDescription(
            outputs={
                "MessagesApiUrl": "https://api.example.com",
                "MessagesTableName": "messages",
            },
            resources={"SendRequestsTable": ("AWS::DynamoDB::Table", "requests")},
        )
        with signed_in(stack) as environment:
            yield EraseRig(tables, environment)


def test_nothing_is_erased_if_the_operator_answers_no(rig: EraseRig) -> None:
    ran = rig.erase(NUMBER, "--tables-only", terminal=True, stdin="n\n")

    assert ran.code == 1
    assert "1 message and 0 requests" in ran.out
    assert NUMBER in ran.out
    assert not rig.is_erased


def test_the_data_is_erased_if_the_operator_answers_yes(rig: EraseRig) -> None:
    ran = rig.erase(NUMBER, "--tables-only", terminal=True, stdin="y\n")

    assert ran.code == 0
    assert rig.is_erased
    assert "docs/privacy.md" in " ".join(ran.out.split())


def test_a_program_must_give_a_valid_number_and_confirm_with_yes(rig: EraseRig) -> None:
    invalid = rig.erase("5558675310", "--yes")
    unconfirmed = rig.erase(NUMBER, "--tables-only", "--json")
    erased_without_yes = rig.is_erased
    confirmed = rig.erase(NUMBER, "--tables-only", "--json", "--yes")

    assert (invalid.code, unconfirmed.code) == (1, 1)
    assert "5558675310" in invalid.err
    assert "--yes" in unconfirmed.err
    assert not erased_without_yes
    assert (confirmed.json["erased"], confirmed.json["left"]) == (1, [])
    assert rig.is_erased


def test_a_dry_run_counts_the_data_and_erases_nothing(rig: EraseRig) -> None:
    ran = rig.erase("001 (555) 867-5310", "--tables-only", "--dry-run", "--json")

    assert ran.json["found"] == {"messages": 1, "requests": 0, "at_twilio": 0}
    assert {NUMBER, f"whatsapp:{NUMBER}", f"viber:{NUMBER}"} <= set(ran.json["addresses"])
    assert not rig.is_erased


def test_the_command_names_ids_that_it_cannot_connect_to_a_number(rig: EraseRig) -> None:
    counted = rig.erase(NUMBER, "--tables-only", "--dry-run")
    erased = rig.erase(f"viber:{NUMBER}", "--tables-only", "--yes")

    assert "whatsapp:US." in counted.out
    assert "whatsapp:US." in erased.out
    assert rig.is_erased


def test_nothing_is_erased_if_the_twilio_secret_cannot_be_read(rig: EraseRig) -> None:
    ran = rig.erase(NUMBER, "--yes")

    assert ran.code == 1
    assert "--tables-only" in ran.err
    assert not rig.is_erased


def test_a_table_that_cannot_be_read_is_an_error(rig: EraseRig) -> None:
    rig.tables.delete_table(TableName="requests")

    ran = rig.erase(NUMBER, "--tables-only", "--yes")

    assert ran.code == 1
    assert "Repeat the command" in ran.err


def test_unreadable_items_are_left_and_do_not_stop_the_erasure(rig: EraseRig) -> None:
    of_a_later_version = {"to": {"S": NUMBER}, "created_at": {"S": "2026-11-23T12:00:00.000Z"}}
    for table, key in (("messages", "message_sid"), ("requests", "request_id")):
        rig.tables.put_item(
            TableName=table, Item={key: {"S": f"unreadable {key}"}, **of_a_later_version}
        )

    ran = rig.erase(NUMBER, "--tables-only", "--json", "--yes")

    left = {step["id"] for step in ran.json["left"]}
    assert (ran.code, ran.json["erased"]) == (1, 1)
    assert left == {"unreadable message_sid", "unreadable request_id"}
