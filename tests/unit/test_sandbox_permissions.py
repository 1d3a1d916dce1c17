"""What the sandbox changes about permissions after the deploy, and what it leaves as it is."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from sandbox.aws.permissions import allow_batches, close_topic

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
        (
            ["sqs:SendMessage", "sns:Publish"],
            ["sqs:SendMessage", "sns:Publish", "sqs:SendMessageBatch"],
        ),
        (["sqs:ReceiveMessage"], ["sqs:ReceiveMessage"]),
    ],
)
def test_who_may_send_one_message_may_send_several(given: Json, expected: Json) -> None:
    roles = boto3.client("iam", region_name="us-east-1")
    roles.create_role(RoleName=ROLE, AssumeRolePolicyDocument="{}")
    roles.put_role_policy(
        RoleName=ROLE, PolicyName=POLICY, PolicyDocument=json.dumps(a_policy(given))
    )

    allow_batches(roles, [ROLE])

    policy = roles.get_role_policy(RoleName=ROLE, PolicyName=POLICY)
    assert policy["PolicyDocument"] == a_policy(expected)


def test_a_new_topic_is_for_its_own_account_only() -> None:
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

    close_topic(topics, topic_arn)

    attributes = topics.get_topic_attributes(TopicArn=topic_arn)["Attributes"]
    (statement,) = json.loads(attributes["Policy"])["Statement"]
    owner = attributes["Owner"]
    assert statement["Condition"] == {"StringEquals": {"AWS:SourceOwner": owner}}


def test_a_policy_that_the_template_wrote_stays() -> None:
    topics = boto3.client("sns", region_name="us-east-1")
    topic_arn = topics.create_topic(Name="failures")["TopicArn"]
    theirs = {"Version": "2012-10-17", "Id": "theirs", "Statement": []}
    topics.set_topic_attributes(
        TopicArn=topic_arn, AttributeName="Policy", AttributeValue=json.dumps(theirs)
    )

    close_topic(topics, topic_arn)

    attributes = topics.get_topic_attributes(TopicArn=topic_arn)["Attributes"]
    assert json.loads(attributes["Policy"]) == theirs
