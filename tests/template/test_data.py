"""The tables are what the design promises, and outlive the stack; moto's are the same."""

import boto3
import pytest
from moto import mock_aws

from tests.cloudformation import Template, create_table, load_template
from tests.template.deployment import of_type

TABLES = [
    name
    for name, resource in load_template()["Resources"].items()
    if resource["Type"] == "AWS::DynamoDB::Table"
]


def test_the_tables_are_the_designs() -> None:
    assert sorted(TABLES) == ["EpisodesTable", "MessagesTable", "SendRequestsTable"]


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_kept_when_the_stack_goes_or_its_key_changes(name: str, stack: Template) -> None:
    table = stack["Resources"][name]

    assert table["DeletionPolicy"] == "Retain"
    assert table["UpdateReplacePolicy"] == "Retain"


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_on_demand_and_recoverable_and_encrypted_with_awss_own_keys(
    name: str, stack: Template
) -> None:
    table = of_type(stack, "AWS::DynamoDB::Table")[name]

    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert "SSESpecification" not in table


def test_a_message_is_found_by_its_sid_and_expires(stack: Template) -> None:
    table = of_type(stack, "AWS::DynamoDB::Table")["MessagesTable"]

    assert table["KeySchema"] == [{"AttributeName": "message_sid", "KeyType": "HASH"}]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert table["StreamSpecification"] == {"StreamViewType": "NEW_AND_OLD_IMAGES"}


def test_the_indexes_are_the_designs_and_hold_keys_only(stack: Template) -> None:
    table = of_type(stack, "AWS::DynamoDB::Table")["MessagesTable"]

    indexes = {
        index["IndexName"]: [(key["AttributeName"], key["KeyType"]) for key in index["KeySchema"]]
        for index in table["GlobalSecondaryIndexes"]
    }

    assert indexes == {
        "by_watch": [("watch", "HASH"), ("watch_at", "RANGE")],
        "by_to": [("to", "HASH"), ("created_at", "RANGE")],
        "by_reference": [("reference", "HASH"), ("created_at", "RANGE")],
        "by_notice_due": [("notice_due", "HASH"), ("updated_at", "RANGE")],
    }
    assert [index["Projection"] for index in table["GlobalSecondaryIndexes"]] == [
        {"ProjectionType": "KEYS_ONLY"}
    ] * len(indexes)
    assert "LocalSecondaryIndexes" not in table


def test_a_request_is_found_by_its_id_while_unsettled_by_its_list_and_expires(
    stack: Template,
) -> None:
    table = of_type(stack, "AWS::DynamoDB::Table")["SendRequestsTable"]

    assert table["KeySchema"] == [{"AttributeName": "request_id", "KeyType": "HASH"}]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    (index,) = table["GlobalSecondaryIndexes"]
    keys = [(key["AttributeName"], key["KeyType"]) for key in index["KeySchema"]]
    assert (index["IndexName"], keys) == (
        "by_unsettled",
        [("unsettled", "HASH"), ("claimed_at", "RANGE")],
    )
    assert index["Projection"] == {"ProjectionType": "KEYS_ONLY"}


def test_an_episode_is_found_by_account_and_cause_and_when_it_is_time_and_expires(
    stack: Template,
) -> None:
    table = of_type(stack, "AWS::DynamoDB::Table")["EpisodesTable"]

    assert [(key["AttributeName"], key["KeyType"]) for key in table["KeySchema"]] == [
        ("account_sid", "HASH"),
        ("cause", "RANGE"),
    ]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    (index,) = table["GlobalSecondaryIndexes"]
    keys = [(key["AttributeName"], key["KeyType"]) for key in index["KeySchema"]]
    assert (index["IndexName"], keys) == ("by_next_at", [("open", "HASH"), ("next_at", "RANGE")])
    assert index["Projection"] == {"ProjectionType": "KEYS_ONLY"}


@pytest.mark.parametrize("name", TABLES)
def test_every_key_is_a_string(name: str, stack: Template) -> None:
    table = of_type(stack, "AWS::DynamoDB::Table")[name]

    schemas = [table["KeySchema"], *(it["KeySchema"] for it in table["GlobalSecondaryIndexes"])]
    types = {it["AttributeName"]: it["AttributeType"] for it in table["AttributeDefinitions"]}

    keys = {key["AttributeName"] for schema in schemas for key in schema}
    assert types == dict.fromkeys(keys, "S")


@pytest.mark.parametrize("name", TABLES)
def test_the_table_of_the_tests_is_the_templates(
    name: str, stack: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    described = of_type(stack, "AWS::DynamoDB::Table")[name]

    with mock_aws():
        client = boto3.client("dynamodb", "us-east-1")
        made_as = create_table(client, name, "a-table")
        made = client.describe_table(TableName="a-table")["Table"]
        time_to_live = client.describe_time_to_live(TableName="a-table")
        backups = client.describe_continuous_backups(TableName="a-table")

    assert made_as == "a-table"
    assert made["KeySchema"] == described["KeySchema"]
    assert [
        (index["IndexName"], index["KeySchema"], index["Projection"])
        for index in made["GlobalSecondaryIndexes"]
    ] == [
        (index["IndexName"], index["KeySchema"], index["Projection"])
        for index in described["GlobalSecondaryIndexes"]
    ]
    streams = "StreamSpecification" in described
    assert made.get("StreamSpecification", {}).get("StreamEnabled", False) is streams
    assert time_to_live["TimeToLiveDescription"] == {
        "TimeToLiveStatus": "ENABLED",
        "AttributeName": "expires_at",
    }
    recovery = backups["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
    assert recovery["PointInTimeRecoveryStatus"] == "ENABLED"
