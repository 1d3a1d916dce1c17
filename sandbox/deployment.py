"""The emulated account: what a deploy needs before it, and what the emulator needs after it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from boto3 import Session
from boto3.dynamodb.types import TypeDeserializer
from botocore.config import Config

from sandbox.emulator import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY
from sandbox.errors import SandboxError
from sandbox.loopback import LOOPBACK
from sandbox.routes import create_routes, routes_of

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType

STACK_NAME: Final = "delivery"

_DIRECT: Final = Config(proxies={}, retries={"total_max_attempts": 3}, read_timeout=60)
"""Never through the person's proxy: the emulator is on this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A deployed stack: its outputs by name, its resources' physical ids by logical id."""

    outputs: Mapping[str, str]
    resources: Mapping[str, str]

    def host(self, api: str) -> str:
        """The Host header by which the emulator knows an HTTP API."""
        return f"{self.resources[api]}.execute-api.{LOOPBACK}"


class Account:
    """The emulated AWS account, with credentials that may do everything.

    Args:
        url: the emulator's.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = Session(
            aws_access_key_id=ACCESS_KEY_ID,
            aws_secret_access_key=SECRET_ACCESS_KEY,
            region_name=REGION,
        )

    @property
    def functions(self) -> "LambdaClient":
        """Lambda."""
        return self._session.client("lambda", endpoint_url=self.url, config=_DIRECT)

    @property
    def queues(self) -> "SQSClient":
        """SQS."""
        return self._session.client("sqs", endpoint_url=self.url, config=_DIRECT)

    def create_bucket(self, name: str) -> None:
        """Create the bucket that SAM uploads to."""
        client = self._session.client("s3", endpoint_url=self.url, config=_DIRECT)
        client.create_bucket(Bucket=name)

    def create_secret(self, name: str, content: Mapping[str, Any]) -> None:
        """Create the secret that a person creates before the deploy."""
        client = self._session.client("secretsmanager", endpoint_url=self.url, config=_DIRECT)
        client.create_secret(Name=name, SecretString=json.dumps(content))

    def stack(self) -> Stack:
        """The stack that `sam deploy` left."""
        client = self._session.client("cloudformation", endpoint_url=self.url, config=_DIRECT)
        outputs = client.describe_stacks(StackName=STACK_NAME)["Stacks"][0]["Outputs"]
        resources = client.describe_stack_resources(StackName=STACK_NAME)["StackResources"]
        return Stack(
            outputs={output["OutputKey"]: output["OutputValue"] for output in outputs},
            resources={
                resource["LogicalResourceId"]: resource["PhysicalResourceId"]
                for resource in resources
            },
        )

    def template(self) -> Mapping[str, Any]:
        """What `sam deploy` deployed, as SAM transformed it."""
        client = self._session.client("cloudformation", endpoint_url=self.url, config=_DIRECT)
        answer: Any = client.get_template(StackName=STACK_NAME, TemplateStage="Processed")
        body = answer["TemplateBody"]
        template: Mapping[str, Any] = json.loads(body) if isinstance(body, str) else body
        return template

    def route(self, stack: Stack, template: Mapping[str, Any]) -> None:
        """Create the routes that the emulator did not find in the APIs' OpenAPI bodies."""
        routes = routes_of(template)
        if not routes:
            raise SandboxError("The deployed template has no routes.")
        create_routes(
            self._session.client("apigatewayv2", endpoint_url=self.url, config=_DIRECT),
            routes,
            api_ids=stack.resources,
            function_arns={
                name: self.function_arn(stack.resources[name])
                for name in {route.function for route in routes}
            },
        )

    def function_arn(self, name: str) -> str:
        """The ARN of a function, by its physical name."""
        return self.functions.get_function_configuration(FunctionName=name)["FunctionArn"]

    def close_topic(self, topic_arn: str) -> None:
        """Let only those publish whose role allows it, as with a new topic of AWS.

        MiniStack's CloudFormation leaves the condition out of a topic's default policy, so that
        everybody may publish:
        https://docs.aws.amazon.com/sns/latest/dg/sns-access-policy-use-cases.html
        """
        client = self._session.client("sns", endpoint_url=self.url, config=_DIRECT)
        attributes = client.get_topic_attributes(TopicArn=topic_arn)["Attributes"]
        policy = json.loads(attributes["Policy"])
        if policy.get("Id") != "__default_policy_ID":  # the template says something else
            return
        for statement in policy["Statement"]:
            statement["Condition"] = {"StringEquals": {"AWS:SourceOwner": attributes["Owner"]}}
        client.set_topic_attributes(
            TopicArn=topic_arn, AttributeName="Policy", AttributeValue=json.dumps(policy)
        )

    def allow_batches(self, stack: Stack, template: Mapping[str, Any]) -> None:
        """Let a role that may send one message send several at once, as IAM does.

        MiniStack asks for a permission `sqs:SendMessageBatch`, which AWS does not have:
        https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-api-permissions-reference.html
        """
        client = self._session.client("iam", endpoint_url=self.url, config=_DIRECT)
        for logical_id, resource in template["Resources"].items():
            if resource["Type"] != "AWS::IAM::Role" or logical_id not in stack.resources:
                continue
            role = stack.resources[logical_id]
            for name in client.list_role_policies(RoleName=role)["PolicyNames"]:
                policy = client.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
                document: Any = json.loads(policy) if isinstance(policy, str) else policy
                if _add_batches(document):
                    client.put_role_policy(
                        RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document)
                    )

    def subscribe_queue(self, topic_arn: str, name: str) -> str:
        """Let a new queue take the topic's messages just as they were published: its URL."""
        queues = self.queues
        url = queues.create_queue(QueueName=name)["QueueUrl"]
        arn = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"][
            "QueueArn"
        ]
        allowed = {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": topic_arn}},
        }
        policy = {"Version": "2012-10-17", "Statement": [allowed]}
        queues.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
        self._session.client("sns", endpoint_url=self.url, config=_DIRECT).subscribe(
            TopicArn=topic_arn,
            Protocol="sqs",
            Endpoint=arn,
            Attributes={"RawMessageDelivery": "true"},
        )
        return url

    def items(self, table_name: str) -> list[dict[str, Any]]:
        """Every item of a table, as plain data."""
        client = self._session.client("dynamodb", endpoint_url=self.url, config=_DIRECT)
        pages = client.get_paginator("scan").paginate(TableName=table_name, ConsistentRead=True)
        read = TypeDeserializer().deserialize
        return [
            {name: read(value) for name, value in item.items()}
            for page in pages
            for item in page["Items"]
        ]

    def waiting_in(self, queue_url: str) -> int:
        """How many messages a queue has, those that somebody works on included."""
        counts: tuple[QueueAttributeNameType, ...] = (
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
        )
        attributes = self.queues.get_queue_attributes(QueueUrl=queue_url, AttributeNames=counts)
        return sum(int(attributes["Attributes"][name]) for name in counts)

    def set_redelivery(self, queue_url: str, seconds: int) -> None:
        """Let a queue hand out again after so many seconds what nobody took off it."""
        self.queues.set_queue_attributes(
            QueueUrl=queue_url, Attributes={"VisibilityTimeout": str(seconds)}
        )

    def take(self, queue_url: str) -> list[str]:
        """The bodies of the messages that wait in a queue, ten at most, taken out of it."""
        queues = self.queues
        received = queues.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10)
        messages = received.get("Messages", [])
        for message in messages:
            queues.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
        return [message["Body"] for message in messages]


def _add_batches(document: Mapping[str, Any]) -> bool:
    """Whether a statement of the policy may send, and so may send several at once from now on."""
    changed = False
    for statement in document["Statement"]:
        actions = statement["Action"]
        actions = [actions] if isinstance(actions, str) else actions
        if "sqs:SendMessage" in actions:
            statement["Action"] = [*actions, "sqs:SendMessageBatch"]
            changed = True
    return changed
