"""`delivery erase` as it is typed; what it does is tested in tests/functions/test_erasing.py."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from moto import mock_aws
from mypy_boto3_dynamodb import DynamoDBClient

from delivery.storage.messages import MessageStore
from tests.builders import an_update
from tests.cloudformation import create_table
from tests.made_once import shared_client
from tests.support.command_line import AStack, Ran, run, signed_in

NUMBER = "+15558675310"


@dataclass
class AnOperator:
    """With a stack whose tables are moto's, and one message in them."""

    tables: DynamoDBClient
    environment: dict[str, str]

    def erase(self, *arguments: str, **options: Any) -> Ran:
        return run("erase", *arguments, environment=self.environment, **options)

    @property
    def is_erased(self) -> bool:
        return NUMBER not in str(self.tables.scan(TableName="messages")["Items"])


@pytest.fixture
def operator() -> Iterator[AnOperator]:
    with mock_aws():
        tables = shared_client("dynamodb")
        create_table(tables, "MessagesTable", "messages")
        create_table(tables, "SendRequestsTable", "requests")
        MessageStore(tables, "messages").record(an_update("delivered", to=NUMBER))
        stack = AStack(
            outputs={
                "MessagesApiUrl": "https://api.example.com",
                "MessagesTableName": "messages",
            },
            resources={"SendRequestsTable": ("AWS::DynamoDB::Table", "requests")},
        )
        with signed_in(stack) as environment:
            yield AnOperator(tables, environment)


def test_a_person_is_asked_before_anything_is_erased(operator: AnOperator) -> None:
    ran = operator.erase(NUMBER, "--tables-only", terminal=True, stdin="n\n")

    assert ran.code == 1
    assert "1 message and 0 requests" in ran.out
    assert NUMBER in ran.out
    assert not operator.is_erased


def test_whoever_says_yes_is_told_what_was_erased_and_where_else_to_look(
    operator: AnOperator,
) -> None:
    ran = operator.erase(NUMBER, "--tables-only", terminal=True, stdin="y\n")

    assert ran.code == 0
    assert operator.is_erased
    assert "docs/privacy.md" in " ".join(ran.out.split())


def test_a_program_has_to_confirm_it_on_the_command_line(operator: AnOperator) -> None:
    refused = operator.erase(NUMBER, "--tables-only", "--json")
    assert not operator.is_erased
    done = operator.erase(NUMBER, "--tables-only", "--json", "--yes")

    assert refused.code == 1
    assert "--yes" in refused.err
    assert done.json["erased"] == 1
    assert done.json["left"] == []
    assert operator.is_erased


def test_what_there_is_can_be_counted_first(operator: AnOperator) -> None:
    ran = operator.erase("001 (555) 867-5310", "--tables-only", "--dry-run", "--json")

    assert ran.json["found"] == {"messages": 1, "requests": 0, "at_twilio": 0}
    assert NUMBER in ran.json["addresses"]
    assert not operator.is_erased


def test_nothing_is_erased_here_while_twilios_secret_cannot_be_read(operator: AnOperator) -> None:
    ran = operator.erase(NUMBER, "--yes")

    assert ran.code == 1
    assert "--tables-only" in ran.err
    assert not operator.is_erased


def test_what_is_no_number_is_refused_with_the_fix(operator: AnOperator) -> None:
    ran = operator.erase("5558675310", "--yes")

    assert ran.code == 1
    assert "country's code" in ran.err


def test_an_erasure_that_could_not_be_done_may_be_repeated(operator: AnOperator) -> None:
    operator.tables.delete_table(TableName="requests")

    ran = operator.erase(NUMBER, "--tables-only", "--yes")

    assert ran.code == 1
    assert "Run the command again" in ran.err
