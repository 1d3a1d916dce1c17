"""AWS clients of the sandbox itself, with permission for everything in the emulated account."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from boto3 import Session
from boto3.dynamodb.types import TypeDeserializer
from botocore.config import Config

from sandbox.aws.emulator import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY
from sandbox.http_server import LOOPBACK

if TYPE_CHECKING:
    from mypy_boto3_apigatewayv2 import ApiGatewayV2Client
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_scheduler import EventBridgeSchedulerClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType

type Record = Mapping[str, Any]
"""An item of a table as plain data."""

STACK_NAME: Final = "delivery"

_DIRECT: Final = Config(proxies={}, retries={"total_max_attempts": 3}, read_timeout=60)
"""Without the user's proxy: the emulator is on this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A deployed stack: outputs by name, and physical ids of resources by logical id."""

    outputs: Mapping[str, str]
    resources: Mapping[str, str]

    def ids_of_type(self, type_: str, template: Mapping[str, Any]) -> list[str]:
        """Return the physical ids of all resources of a type, e.g. `AWS::IAM::Role`."""
        return [
            self.resources[logical_id]
            for logical_id, resource in template["Resources"].items()
            if resource["Type"] == type_ and logical_id in self.resources
        ]

    def alias_arn(self, function: str) -> str:
        """Return the ARN of the alias `live` of a function, by the function's logical id."""
        return self.resources[f"{function}Aliaslive"]

    def host(self, api: str) -> str:
        """Return the Host header that leads to an HTTP API of the emulator, by its logical id."""
        return f"{self.resources[api]}.execute-api.{LOOPBACK}"


class AwsAccount:
    """The emulated AWS account.

    Args:
        url: the URL of the emulator.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = Session(
            aws_access_key_id=ACCESS_KEY_ID,
            aws_secret_access_key=SECRET_ACCESS_KEY,
            region_name=REGION,
        )

    @property
    def apis(self) -> "ApiGatewayV2Client":
        """The client of API Gateway's HTTP APIs."""
        return self._session.client("apigatewayv2", endpoint_url=self.url, config=_DIRECT)

    @property
    def functions(self) -> "LambdaClient":
        """The client of Lambda."""
        return self._session.client("lambda", endpoint_url=self.url, config=_DIRECT)

    @property
    def roles(self) -> "IAMClient":
        """The client of IAM."""
        return self._session.client("iam", endpoint_url=self.url, config=_DIRECT)

    @property
    def schedules(self) -> "EventBridgeSchedulerClient":
        """The client of EventBridge Scheduler."""
        return self._session.client("scheduler", endpoint_url=self.url, config=_DIRECT)

    @property
    def topics(self) -> "SNSClient":
        """The client of SNS."""
        return self._session.client("sns", endpoint_url=self.url, config=_DIRECT)

    @property
    def queues(self) -> "SQSClient":
        """The client of SQS."""
        return self._session.client("sqs", endpoint_url=self.url, config=_DIRECT)

    def create_bucket(self, name: str) -> None:
        """Create a bucket, for the uploads of SAM."""
        client = self._session.client("s3", endpoint_url=self.url, config=_DIRECT)
        client.create_bucket(Bucket=name)

    def create_secret(self, name: str, content: Mapping[str, Any]) -> None:
        """Create a secret, as users do before the deploy."""
        client = self._session.client("secretsmanager", endpoint_url=self.url, config=_DIRECT)
        client.create_secret(Name=name, SecretString=json.dumps(content))

    def describe_stack(self) -> Stack:
        """Describe the stack that `sam deploy` deployed."""
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

    def processed_template(self) -> Mapping[str, Any]:
        """Return the deployed template as SAM transformed it."""
        client = self._session.client("cloudformation", endpoint_url=self.url, config=_DIRECT)
        response: Any = client.get_template(StackName=STACK_NAME, TemplateStage="Processed")
        body = response["TemplateBody"]
        template: Mapping[str, Any] = json.loads(body) if isinstance(body, str) else body
        return template

    def subscribe_queue(self, topic_arn: str, name: str) -> str:
        """Subscribe a new queue to a topic, with raw delivery, and return the queue's URL."""
        queues = self.queues
        url = queues.create_queue(QueueName=name)["QueueUrl"]
        arn = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"][
            "QueueArn"
        ]
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": topic_arn}},
        }
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        queues.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
        self.topics.subscribe(
            TopicArn=topic_arn,
            Protocol="sqs",
            Endpoint=arn,
            Attributes={"RawMessageDelivery": "true"},
        )
        return url

    def scan(self, table_name: str) -> list[dict[str, Any]]:
        """Return all items of a table."""
        client = self._session.client("dynamodb", endpoint_url=self.url, config=_DIRECT)
        pages = client.get_paginator("scan").paginate(TableName=table_name, ConsistentRead=True)
        deserialize = TypeDeserializer().deserialize
        return [
            {name: deserialize(value) for name, value in item.items()}
            for page in pages
            for item in page["Items"]
        ]

    def count_messages(self, queue_url: str) -> int:
        """Return the number of messages in a queue, including messages in flight."""
        counts: tuple[QueueAttributeNameType, ...] = (
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
        )
        attributes = self.queues.get_queue_attributes(QueueUrl=queue_url, AttributeNames=counts)
        return sum(int(attributes["Attributes"][name]) for name in counts)

    def set_visibility_timeout(self, queue_url: str, seconds: int) -> None:
        """Set after how many seconds a queue delivers an undeleted message again."""
        self.queues.set_queue_attributes(
            QueueUrl=queue_url, Attributes={"VisibilityTimeout": str(seconds)}
        )

    def receive_messages(self, queue_url: str) -> list[str]:
        """Receive and delete up to ten messages of a queue, and return their bodies."""
        queues = self.queues
        received = queues.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10)
        messages = received.get("Messages", [])
        for message in messages:
            queues.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
        return [message["Body"] for message in messages]
