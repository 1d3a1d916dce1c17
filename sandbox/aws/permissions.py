"""Corrects permissions that MiniStack grants or checks differently from AWS."""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_sns import SNSClient

_DEFAULT_POLICY: Final = "__default_policy_ID"


def restrict_topic(topics: "SNSClient", topic_arn: str) -> None:
    """Restrict publishing to the topic's own account, as the default policy in AWS does.

    MiniStack's CloudFormation omits the condition of that policy, so that every role may publish:
    https://docs.aws.amazon.com/sns/latest/dg/sns-access-policy-use-cases.html
    """
    attributes = topics.get_topic_attributes(TopicArn=topic_arn)["Attributes"]
    policy = json.loads(attributes["Policy"])
    if policy.get("Id") != _DEFAULT_POLICY:  # the template sets a policy
        return
    for statement in policy["Statement"]:
        statement["Condition"] = {"StringEquals": {"AWS:SourceOwner": attributes["Owner"]}}
    topics.set_topic_attributes(
        TopicArn=topic_arn, AttributeName="Policy", AttributeValue=json.dumps(policy)
    )


def allow_batch_sends(roles: "IAMClient", names: Iterable[str]) -> None:
    """Allow batches for each role that may send messages, as `sqs:SendMessage` does in AWS.

    MiniStack requires a permission `sqs:SendMessageBatch`, which AWS does not have:
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-api-permissions-reference.html
    """
    for role in names:
        for policy in roles.list_role_policies(RoleName=role)["PolicyNames"]:
            response: Any = roles.get_role_policy(RoleName=role, PolicyName=policy)
            document = response["PolicyDocument"]
            if isinstance(document, str):
                document = json.loads(document)
            if _add_batches(document):
                roles.put_role_policy(
                    RoleName=role, PolicyName=policy, PolicyDocument=json.dumps(document)
                )


def _add_batches(document: Any) -> bool:
    """Add the permission beside `sqs:SendMessage`, and return whether the policy changed."""
    changed = False
    for statement in document["Statement"]:
        actions = statement["Action"]
        actions = [actions] if isinstance(actions, str) else actions
        if "sqs:SendMessage" in actions:
            statement["Action"] = [*actions, "sqs:SendMessageBatch"]
            changed = True
    return changed
