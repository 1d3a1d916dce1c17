"""The tables have these keys and indexes, survive the stack, and equal the tables of the tests."""

import pytest

from tests.support.cloudformation import Template, load_template
from tests.template.deployment import of_type
from tests.template.resolving import resolved

TABLES = [
    name
    for name, resource in load_template()["Resources"].items()
    if resource["Type"] == "AWS::DynamoDB::Table"
]


def test_the_stack_has_exactly_these_tables() -> None:
    assert sorted(TABLES) == [
        "ControlTable",
        "IncidentsTable",
        "MessagesTable",
        "SendRequestsTable",
    ]


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_retained_and_on_demand_with_point_in_time_recovery_and_an_aws_owned_key(
    name: str, stack: Template
) -> None:
    table = stack["Resources"][name]

    # The rollback of a first deploy deletes the empty table.
    assert table["DeletionPolicy"] == "RetainExceptOnCreate"
    assert table["UpdateReplacePolicy"] == "Retain"
    properties = table["Properties"]
    assert properties["BillingMode"] == "PAY_PER_REQUEST"
    assert properties["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert "SSESpecification" not in properties


@pytest.mark.parametrize("name", TABLES)
def test_deletion_protection_is_off_by_default(name: str, template: Template) -> None:
    # DynamoDB would refuse to delete a protected table, and so the rollback of a first deploy that
    # failed. No emulator shows this.
    protection = template["Resources"][name]["Properties"]["DeletionProtectionEnabled"]

    assert resolved(protection, template) is False
    assert resolved(protection, template, {"TableDeletionProtection": "true"}) is True


def test_the_messages_table_has_the_sid_as_key_a_stream_and_a_time_to_live(stack: Template) -> None:
    table = of_type(stack, "AWS::DynamoDB::Table")["MessagesTable"]

    assert table["KeySchema"] == [{"AttributeName": "message_sid", "KeyType": "HASH"}]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert table["StreamSpecification"] == {"StreamViewType": "NEW_AND_OLD_IMAGES"}


def test_the_messages_table_has_these_indexes_of_keys_only(stack: Template) -> None:
    table = of_type(stack, "AWS::DynamoDB::Table")["MessagesTable"]

    indexes = {
        index["IndexName"]: [(key["AttributeName"], key["KeyType"]) for key in index["KeySchema"]]
        for index in table["GlobalSecondaryIndexes"]
    }

    assert indexes == {
        "by_list": [("list_key", "HASH"), ("list_at", "RANGE")],
        "by_to": [("to", "HASH"), ("created_at", "RANGE")],
        "by_reference": [("reference", "HASH"), ("created_at", "RANGE")],
        "by_request": [("callback_request_id", "HASH"), ("created_at", "RANGE")],
        "by_notice_due": [("notice_due", "HASH"), ("notice_at", "RANGE")],
    }
    assert [index["Projection"] for index in table["GlobalSecondaryIndexes"]] == [
        {"ProjectionType": "KEYS_ONLY"}
    ] * len(indexes)
    assert "LocalSecondaryIndexes" not in table


def test_the_send_requests_table_has_an_index_of_unresolved_requests(stack: Template) -> None:
    table = of_type(stack, "AWS::DynamoDB::Table")["SendRequestsTable"]

    assert table["KeySchema"] == [{"AttributeName": "request_id", "KeyType": "HASH"}]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    (index,) = table["GlobalSecondaryIndexes"]
    keys = [(key["AttributeName"], key["KeyType"]) for key in index["KeySchema"]]
    assert (index["IndexName"], keys) == (
        "by_unresolved",
        [("unresolved", "HASH"), ("claimed_at", "RANGE")],
    )
    assert index["Projection"] == {"ProjectionType": "KEYS_ONLY"}


def test_the_incidents_table_has_an_index_of_open_incidents_by_due_time(stack: Template) -> None:
    table = of_type(stack, "AWS::DynamoDB::Table")["IncidentsTable"]

    assert [(key["AttributeName"], key["KeyType"]) for key in table["KeySchema"]] == [
        ("account_sid", "HASH"),
        ("cause", "RANGE"),
    ]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    (index,) = table["GlobalSecondaryIndexes"]
    keys = [(key["AttributeName"], key["KeyType"]) for key in index["KeySchema"]]
    assert (index["IndexName"], keys) == ("by_next_at", [("open", "HASH"), ("next_at", "RANGE")])
    assert index["Projection"] == {"ProjectionType": "KEYS_ONLY"}


def test_the_control_table_has_a_name_as_key_and_no_index(stack: Template) -> None:
    table = of_type(stack, "AWS::DynamoDB::Table")["ControlTable"]

    assert table["KeySchema"] == [{"AttributeName": "name", "KeyType": "HASH"}]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert table.keys().isdisjoint({"GlobalSecondaryIndexes", "StreamSpecification"})


@pytest.mark.parametrize("name", TABLES)
def test_every_key_attribute_is_a_string(name: str, stack: Template) -> None:
    table = of_type(stack, "AWS::DynamoDB::Table")[name]

    schemas = [
        table["KeySchema"],
        *(it["KeySchema"] for it in table.get("GlobalSecondaryIndexes", [])),
    ]
    types = {it["AttributeName"]: it["AttributeType"] for it in table["AttributeDefinitions"]}

    keys = {key["AttributeName"] for schema in schemas for key in schema}
    assert types == dict.fromkeys(keys, "S")
