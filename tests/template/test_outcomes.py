"""Outcome events and the archive: their resources are optional, and no change is missed."""

import json
import re
from typing import Any

import pytest

from delivery.domain.statuses import Outcome
from delivery.text.archive_rows import archive_row
from tests.support.builders import a_message, an_update
from tests.support.cloudformation import Template
from tests.support.stream import HISTORIES, Image, records
from tests.template.deployment import PROJECT, function_of, of_type
from tests.template.resolving import resolved

BUS = {"OutcomeEventBusName": "default"}
ARCHIVE = {"ArchiveOutcomes": "true"}
OF_BOTH = {
    "PublishOutcomesFunction",
    "PublishOutcomesFunctionAliaslive",
    "PublishOutcomesFunctionRole",
    "PublishOutcomesFunctionOutcomeChanged",
    "PublishOutcomesFunctionVersion",
    "PublishOutcomesLogs",
    "PublishOutcomesDeadLetterQueue",
    "PublishOutcomesDeadLetterAlarm",
    "OutcomeStreamAgeAlarm",
}
OF_THE_ARCHIVE = {
    "ArchiveBucket",
    "ArchiveBucketPolicy",
    "ArchiveStream",
    "ArchiveStreamRole",
    "ArchiveStreamLogs",
    "ArchiveStreamLogStream",
    "ArchiveTable",
    "ReportsDatabase",
    "ReportsWorkGroup",
    "RateByCountryQuery",
    "SlowestCountriesQuery",
    "FailuresByCampaignQuery",
    "SpendBySenderQuery",
    "FailuresByDayQuery",
    "ArchiveRowsRejectedAlarm",
    "ArchiveAgeAlarm",
}


def created(stack: Template, given: dict[str, str]) -> set[str]:
    """Return the resources of a stack with these parameters; a version without its hash."""
    return {
        name.partition("FunctionVersion")[0]
        + ("FunctionVersion" if "FunctionVersion" in name else "")
        for name, it in stack["Resources"].items()
        if "Condition" not in it
        or resolved({"Fn::If": [it["Condition"], True, False]}, stack, given)
    }


@pytest.mark.parametrize(
    ("given", "more"),
    [
        (BUS, OF_BOTH),
        (ARCHIVE, OF_BOTH | OF_THE_ARCHIVE),
        (BUS | ARCHIVE, OF_BOTH | OF_THE_ARCHIVE),
    ],
)
def test_the_resources_exist_only_with_an_event_bus_or_an_archive(
    given: dict[str, str], more: set[str], stack: Template
) -> None:
    without = created(stack, {})

    assert created(stack, given) - without == more
    assert without - created(stack, given) == set()


# --- the filter of the stream --------------------------------------------------------------------


def patterns_of(stack: Template, given: dict[str, str]) -> list[Any]:
    """Return the patterns of which a record has to match one."""
    (reader,) = (
        it
        for it in of_type(stack, "AWS::Lambda::EventSourceMapping").values()
        if function_of(it["FunctionName"]) == "PublishOutcomesFunction"
    )
    filters = resolved(reader["FilterCriteria"]["Filters"], stack, given)
    return [json.loads(it["Pattern"]) for it in filters]


@pytest.mark.parametrize(("writes", "changes"), HISTORIES.values(), ids=HISTORIES)
def test_the_stream_filter_passes_every_outcome_change_and_no_deletion(
    writes: list[Image], changes: list[tuple[str, str]], stack: Template
) -> None:
    patterns = patterns_of(stack, BUS)

    passed = [
        (outcome_of(record, "OldImage"), outcome_of(record, "NewImage"))
        for record in records(*writes)
        if any(matches(pattern, record) for pattern in patterns)
    ]

    assert [pair for pair in passed if pair[0] != pair[1]] == changes
    assert all(new is not None for _, new in passed)


@pytest.mark.parametrize(("writes", "_changes"), HISTORIES.values(), ids=HISTORIES)
def test_with_the_archive_the_filter_passes_every_change_of_a_message_and_no_deletion(
    writes: list[Image], _changes: list[tuple[str, str]], stack: Template
) -> None:
    patterns = patterns_of(stack, ARCHIVE)

    for record in records(*writes):
        passes = any(matches(pattern, record) for pattern in patterns)
        assert passes is (outcome_of(record, "NewImage") is not None)


def test_with_the_archive_the_filter_knows_every_outcome(stack: Template) -> None:
    patterns = patterns_of(stack, ARCHIVE)

    for outcome in Outcome:
        record = {"dynamodb": {"NewImage": {"outcome": {"S": str(outcome)}}}}
        assert any(matches(pattern, record) for pattern in patterns), outcome


def matches(pattern: Any, content: Any) -> bool:
    """Return whether a record matches an event filter pattern; ours test equality only."""
    if isinstance(pattern, list):
        assert all(isinstance(it, str) for it in pattern)
        return content in pattern
    return all(matches(inner, (content or {}).get(name)) for name, inner in pattern.items())


def outcome_of(record: dict[str, Any], which: str) -> str | None:
    """Return the outcome in an image of a record; a message without an old image was pending."""
    before = {"outcome": {"S": "pending"}} if which == "OldImage" else {}
    found: str | None = record["dynamodb"].get(which, before).get("outcome", {}).get("S")
    return found


# --- the archive ---------------------------------------------------------------------------------


def test_the_bucket_is_retained_encrypted_and_not_public(stack: Template) -> None:
    bucket = stack["Resources"]["ArchiveBucket"]
    properties = bucket["Properties"]
    (encryption,) = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]

    # The rollback of a first deploy deletes the empty bucket.
    assert bucket["DeletionPolicy"] == "RetainExceptOnCreate"
    assert bucket["UpdateReplacePolicy"] == "Retain"
    assert encryption["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(properties["PublicAccessBlockConfiguration"]) == 4


def test_the_bucket_accepts_no_request_without_tls(stack: Template) -> None:
    policy = of_type(stack, "AWS::S3::BucketPolicy")["ArchiveBucketPolicy"]
    (statement,) = policy["PolicyDocument"]["Statement"]

    assert (statement["Effect"], statement["Principal"], statement["Action"]) == (
        "Deny",
        "*",
        "s3:*",
    )
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert len(statement["Resource"]) == 2


@pytest.mark.parametrize(("days", "expires"), [("0", None), ("30", "30"), ("3653", "3653")])
def test_the_archive_is_kept_for_its_retention(
    days: str, expires: str | None, stack: Template
) -> None:
    bucket = of_type(stack, "AWS::S3::Bucket")["ArchiveBucket"]
    rules = bucket["LifecycleConfiguration"]["Rules"]
    (rule,) = (it for it in rules if it["Prefix"] == "outcomes/")

    found = resolved(rule, stack, ARCHIVE | {"ArchiveRetentionDays": days})

    assert found.get("ExpirationInDays") == expires
    # S3 rejects a rule that expires objects before it moves them.
    assert [it["TransitionInDays"] for it in found["Transitions"]] == [0]


def columns_of(stack: Template) -> dict[str, str]:
    table = of_type(stack, "AWS::Glue::Table")["ArchiveTable"]["TableInput"]
    return {it["Name"]: it["Type"] for it in table["StorageDescriptor"]["Columns"]}


def test_the_table_has_a_column_for_each_fact_of_a_row(stack: Template) -> None:
    types = {str: "string", int: "int", float: "double", dict: "map<string,string>"}
    sent = an_update(
        "sent",
        context={"campaign": "spring"},
        messaging_service_sid="MG" + "0" * 32,
        num_segments="1",
        price="-0.0075",
        price_unit="USD",
    )
    message = a_message(sent, an_update("undelivered", after=2, error_code=30003))

    row = archive_row(message, dimensions=["campaign"])

    assert {name: types[type(fact)] for name, fact in row.items()} == columns_of(stack)


def test_the_stream_partitions_by_the_day_that_athena_computes(stack: Template) -> None:
    (stream,) = of_type(stack, "AWS::KinesisFirehose::DeliveryStream").values()
    destination = stream["ExtendedS3DestinationConfiguration"]
    table = of_type(stack, "AWS::Glue::Table")["ArchiveTable"]["TableInput"]

    assert destination["Prefix"] == "outcomes/day=!{timestamp:yyyy-MM-dd}/"
    location = table["Parameters"]["storage.location.template"]["Fn::Sub"]
    assert location == "s3://${ArchiveBucket}/outcomes/day=${!day}/"
    assert table["PartitionKeys"] == [{"Name": "day", "Type": "string"}]
    assert table["Parameters"]["projection.day.format"] == "yyyy-MM-dd"


def test_firehose_keeps_the_names_of_dimensions_as_they_are(stack: Template) -> None:
    (stream,) = of_type(stack, "AWS::KinesisFirehose::DeliveryStream").values()
    conversion = stream["ExtendedS3DestinationConfiguration"]["DataFormatConversionConfiguration"]

    reader = conversion["InputFormatConfiguration"]["Deserializer"]["OpenXJsonSerDe"]

    assert reader == {"CaseInsensitive": False}


def test_the_workgroup_limits_what_a_query_reads_and_does_not_stop_a_deletion(
    stack: Template,
) -> None:
    (group,) = of_type(stack, "AWS::Athena::WorkGroup").values()
    settings = group["WorkGroupConfiguration"]

    assert group["RecursiveDeleteOption"] is True
    assert settings["EnforceWorkGroupConfiguration"] is True
    assert 0 < settings["BytesScannedCutoffPerQuery"] <= 10**12
    assert settings["ResultConfiguration"]["OutputLocation"] == {
        "Fn::Sub": "s3://${ArchiveBucket}/query-results/"
    }


def test_the_workgroup_has_the_queries_of_the_page_on_reports(stack: Template) -> None:
    # tests/unit/test_reports_page.py runs them.
    page = (PROJECT / "docs" / "reports.md").read_text("utf-8")
    shown = dict(
        re.findall(r"^### ([^\n]+)\n[^#]*?```sql\n(.*?)```", page, re.MULTILINE | re.DOTALL)
    )
    saved = of_type(stack, "AWS::Athena::NamedQuery").values()

    assert {it["Name"]: it["QueryString"] for it in saved} == shown
    assert len(shown) == 5
    for query in saved:
        assert query["Database"] == {"Ref": "ReportsDatabase"}
        assert query["WorkGroup"] == {"Ref": "ReportsWorkGroup"}
