"""AWS clients with the operator's credentials."""

from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from boto3 import Session
from botocore import exceptions
from botocore.config import Config

if TYPE_CHECKING:
    from botocore.credentials import Credentials
    from mypy_boto3_athena import AthenaClient
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_firehose import FirehoseClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_scheduler import EventBridgeSchedulerClient
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient

_CONFIG: Final = Config(connect_timeout=5, read_timeout=25, retries={"total_max_attempts": 3})


class Account:
    """Creates the AWS clients for one account and region, each when it is first used.

    Args:
        session: with the operator's credentials.
        endpoint_url: URL of an emulator; None for AWS.
    """

    def __init__(self, session: Session, *, endpoint_url: str | None = None) -> None:
        self._session = session
        # The emulator runs on this machine: no proxy.
        config = _CONFIG.merge(Config(proxies={})) if endpoint_url else _CONFIG
        self._options: dict[str, Any] = {"endpoint_url": endpoint_url, "config": config}

    @property
    def region(self) -> str:
        """Name of the region.

        Raises:
            NoRegionError: no region is configured.
        """
        if self._session.region_name is None:
            raise exceptions.NoRegionError
        return self._session.region_name

    @property
    def credentials(self) -> "Credentials":
        """Credentials that sign requests.

        Raises:
            NoCredentialsError: no credentials are configured.
        """
        found = self._session.get_credentials()
        if found is None:
            raise exceptions.NoCredentialsError
        return found

    @cached_property
    def stacks(self) -> "CloudFormationClient":
        """CloudFormation."""
        return self._session.client("cloudformation", **self._options)

    @cached_property
    def alarms(self) -> "CloudWatchClient":
        """CloudWatch."""
        return self._session.client("cloudwatch", **self._options)

    @cached_property
    def delivery_streams(self) -> "FirehoseClient":
        """Firehose."""
        return self._session.client("firehose", **self._options)

    @cached_property
    def functions(self) -> "LambdaClient":
        """Lambda."""
        return self._session.client("lambda", **self._options)

    @cached_property
    def logs(self) -> "CloudWatchLogsClient":
        """CloudWatch Logs."""
        return self._session.client("logs", **self._options)

    @cached_property
    def queries(self) -> "AthenaClient":
        """Athena."""
        return self._session.client("athena", **self._options)

    @cached_property
    def queues(self) -> "SQSClient":
        """SQS."""
        return self._session.client("sqs", **self._options)

    @cached_property
    def schedules(self) -> "EventBridgeSchedulerClient":
        """EventBridge Scheduler."""
        return self._session.client("scheduler", **self._options)

    @cached_property
    def secrets(self) -> "SecretsManagerClient":
        """Secrets Manager."""
        return self._session.client("secretsmanager", **self._options)

    @cached_property
    def tables(self) -> "DynamoDBClient":
        """DynamoDB."""
        return self._session.client("dynamodb", **self._options)

    @cached_property
    def topics(self) -> "SNSClient":
        """SNS."""
        return self._session.client("sns", **self._options)
