"""The tables have these keys and indexes, and survive the stack."""

import pytest

from tests.support.cloudformation import Template
from tests.template.deployment import of_type
from tests.template.resolving import resolved

KEYS = {
    "ControlTable": ("name",),
    "IncidentsTable": ("account_sid", "cause"),
    "MessagesTable": ("message_sid",),
    "SendRequestsTable": ("request_id",),
}
INDEXES = {
    "ControlTable": {},
    "IncidentsTable": {"by_next_at": ("open", "next_at")},
    "MessagesTable": {
        "by_list": ("list_key", "list_at"),
        "by_to": ("to", "created_at"),
        "by_reference": ("reference", "created_at"),
        "by_request": ("callback_request_id", "created_at"),
        "by_notice_due": ("notice_due", "notice_at"),
    },
    "SendRequestsTable": {"by_unresolved": ("unresolved", "claimed_at")},
}
TABLES = sorted(KEYS)


def test_the_stack_has_exactly_these_tables(stack: Template) -> None:
    assert sorted(of_type(stack, "AWS::DynamoDB::Table")) == TABLES


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


@pytest.mark.parametrize("name", TABLES)
def test_a_table_has_these_keys_and_sparse_indexes_of_keys_only(name: str, stack: Template) -> None:
    table = of_type(stack, "AWS::DynamoDB::Table")[name]
    indexes = table.get("GlobalSecondaryIndexes", [])

    assert names_of(table["KeySchema"]) == KEYS[name]
    assert {it["IndexName"]: names_of(it["KeySchema"]) for it in indexes} == INDEXES[name]
    assert all(it["Projection"] == {"ProjectionType": "KEYS_ONLY"} for it in indexes)
    assert "LocalSecondaryIndexes" not in table
    assert {it["AttributeType"] for it in table["AttributeDefinitions"]} == {"S"}
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    views = {"MessagesTable": {"StreamViewType": "NEW_AND_OLD_IMAGES"}}
    assert table.get("StreamSpecification") == views.get(name)


def names_of(schema: list[dict[str, str]]) -> tuple[str, ...]:
    """Return the attributes of a key; its types must be those of a partition and a sort key."""
    assert [it["KeyType"] for it in schema] == ["HASH", "RANGE"][: len(schema)]
    return tuple(it["AttributeName"] for it in schema)
