"""Where MiniStack's permissions differ from AWS's, and are made the same after the deploy."""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_sns import SNSClient

_DEFAULT_POLICY: Final = "__default_policy_ID"


def close_topic(topics: "SNSClient", topic_arn: str) -> None:
    """Let only those publish whose role allows it, as with a new topic of AWS.

    MiniStack's CloudFormation leaves the condition out of a topic's default policy, so that
    everybody may publish:
    https://docs.aws.amazon.com/sns/latest/dg/sns-access-policy-use-cases.html
    """
    attributes = topics.get_topic_attributes(TopicArn=topic_arn)["Attributes"]
    policy = json.loads(attributes["Policy"])
    if policy.get("Id") != _DEFAULT_POLICY:  # the template says something else
        return
    for statement in policy["Statement"]:
        statement["Condition"] = {"StringEquals": {"AWS:SourceOwner": attributes["Owner"]}}
    topics.set_topic_attributes(
        TopicArn=topic_arn, AttributeName="Policy", AttributeValue=json.dumps(policy)
    )


def allow_batches(roles: "IAMClient", names: Iterable[str]) -> None:
    """Let a role that may send one message send several at once, as IAM does.

    MiniStack asks for a permission `sqs:SendMessageBatch`, which AWS does not have:
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-api-permissions-reference.html
    """
    for role in names:
        for policy in roles.list_role_policies(RoleName=role)["PolicyNames"]:
            given = roles.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
            document: Any = json.loads(given) if isinstance(given, str) else given
            if _add_batches(document):
                roles.put_role_policy(
                    RoleName=role, PolicyName=policy, PolicyDocument=json.dumps(document)
                )


def _add_batches(document: Any) -> bool:
    """Whether a statement of the policy may send, and so may send several at once from now on."""
    changed = False
    for statement in document["Statement"]:
        actions = statement["Action"]
        actions = [actions] if isinstance(actions, str) else actions
        if "sqs:SendMessage" in actions:
            statement["Action"] = [*actions, "sqs:SendMessageBatch"]
            changed = True
    return changed
