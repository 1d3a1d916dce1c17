"""The corrections of permissions after the deploy."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from sandbox.aws.permissions import allow_batch_sends, restrict_topic

type Json = Any

ROLE, POLICY, QUEUE = "sender", "theirs", "arn:aws:sqs:us-east-1:123456789012:queue"


@pytest.fixture(autouse=True)
def aws() -> Iterator[None]:
    with mock_aws():
        yield


def a_policy(actions: Json) -> Json:
    statement = {"Effect": "Allow", "Action": actions, "Resource": QUEUE}
    return {"Version": "2012-10-17", "Statement": [statement]}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("sqs:SendMessage", ["sqs:SendMessage", "sqs:SendMessageBatch"]),
        (["sqs:SendMessage"], ["sqs:SendMessage", "sqs:SendMessageBatch"]),
        (["sqs:ReceiveMessage"], ["sqs:ReceiveMessage"]),
    ],
)
def test_a_role_that_may_send_messages_may_send_batches(given: Json, expected: Json) -> None:
    roles = boto3.client("iam", region_name="us-east-1")
    roles.create_role(RoleName=ROLE, AssumeRolePolicyDocument="{}")
    roles.put_role_policy(
        RoleName=ROLE, PolicyName=POLICY, PolicyDocument=json.dumps(a_policy(given))
    )

    allow_batch_sends(roles, [ROLE])

    policy = roles.get_role_policy(RoleName=ROLE, PolicyName=POLICY)
    assert policy["PolicyDocument"] == a_policy(expected)


def test_only_its_own_account_may_publish_to_a_topic_with_the_default_policy() -> None:
    topics = boto3.client("sns", region_name="us-east-1")
    topic_arn = topics.create_topic(Name="failures")["TopicArn"]
    open_to_all = json.loads(
        topics.get_topic_attributes(TopicArn=topic_arn)["Attributes"]["Policy"]
    )
    for statement in open_to_all["Statement"]:
        del statement["Condition"]
    topics.set_topic_attributes(
        TopicArn=topic_arn, AttributeName="Policy", AttributeValue=json.dumps(open_to_all)
    )

    restrict_topic(topics, topic_arn)

    attributes = topics.get_topic_attributes(TopicArn=topic_arn)["Attributes"]
    (statement,) = json.loads(attributes["Policy"])["Statement"]
    owner = attributes["Owner"]
    assert statement["Condition"] == {"StringEquals": {"AWS:SourceOwner": owner}}


def test_a_topic_policy_of_the_template_is_not_changed() -> None:
    topics = boto3.client("sns", region_name="us-east-1")
    topic_arn = topics.create_topic(Name="failures")["TopicArn"]
    theirs = {"Version": "2012-10-17", "Id": "theirs", "Statement": []}
    topics.set_topic_attributes(
        TopicArn=topic_arn, AttributeName="Policy", AttributeValue=json.dumps(theirs)
    )

    restrict_topic(topics, topic_arn)

    attributes = topics.get_topic_attributes(TopicArn=topic_arn)["Attributes"]
    assert json.loads(attributes["Policy"]) == theirs
