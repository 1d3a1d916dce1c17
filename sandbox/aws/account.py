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
    """The emulated AWS account behind the URL of the emulator, with a client of each service."""

    def __init__(self, url: str) -> None:
        self.url = url
        session = Session(
            aws_access_key_id=ACCESS_KEY_ID,
            aws_secret_access_key=SECRET_ACCESS_KEY,
            region_name=REGION,
        )
        options: Any = {"endpoint_url": url, "config": _DIRECT}
        self.apis = session.client("apigatewayv2", **options)
        self.functions = session.client("lambda", **options)
        self.roles = session.client("iam", **options)
        self.schedules = session.client("scheduler", **options)
        self.topics = session.client("sns", **options)
        self._queues = session.client("sqs", **options)
        self._buckets = session.client("s3", **options)
        self._secrets = session.client("secretsmanager", **options)
        self._stacks = session.client("cloudformation", **options)
        self._tables = session.client("dynamodb", **options)

    def create_bucket(self, name: str) -> None:
        """Create a bucket, for the uploads of SAM."""
        self._buckets.create_bucket(Bucket=name)

    def create_secret(self, name: str, content: Mapping[str, Any]) -> None:
        """Create a secret, as users do before the deploy."""
        self._secrets.create_secret(Name=name, SecretString=json.dumps(content))

    def describe_stack(self) -> Stack:
        """Describe the stack that `sam deploy` deployed."""
        outputs = self._stacks.describe_stacks(StackName=STACK_NAME)["Stacks"][0]["Outputs"]
        resources = self._stacks.describe_stack_resources(StackName=STACK_NAME)["StackResources"]
        return Stack(
            outputs={output["OutputKey"]: output["OutputValue"] for output in outputs},
            resources={
                resource["LogicalResourceId"]: resource["PhysicalResourceId"]
                for resource in resources
            },
        )

    def processed_template(self) -> Mapping[str, Any]:
        """Return the deployed template as SAM transformed it."""
        response: Any = self._stacks.get_template(StackName=STACK_NAME, TemplateStage="Processed")
        body = response["TemplateBody"]
        template: Mapping[str, Any] = json.loads(body) if isinstance(body, str) else body
        return template

    def subscribe_queue(self, topic_arn: str, name: str) -> str:
        """Subscribe a new queue to a topic, with raw delivery, and return the queue's URL."""
        queues = self._queues
        url = queues.create_queue(QueueName=name)["QueueUrl"]
        attributes = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        arn = attributes["Attributes"]["QueueArn"]
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
        scan = self._tables.get_paginator("scan")
        pages = scan.paginate(TableName=table_name, ConsistentRead=True)
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
        attributes = self._queues.get_queue_attributes(QueueUrl=queue_url, AttributeNames=counts)
        return sum(int(attributes["Attributes"][name]) for name in counts)

    def set_visibility_timeout(self, queue_url: str, seconds: int) -> None:
        """Set after how many seconds a queue delivers an undeleted message again."""
        self._queues.set_queue_attributes(
            QueueUrl=queue_url, Attributes={"VisibilityTimeout": str(seconds)}
        )

    def receive_messages(self, queue_url: str) -> list[str]:
        """Receive and delete up to ten messages of a queue, and return their bodies."""
        queues = self._queues
        received = queues.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10)
        messages = received.get("Messages", [])
        for message in messages:
            queues.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
        return [message["Body"] for message in messages]
