"""An AWS account as the operator reaches it."""

from functools import cached_property
from typing import TYPE_CHECKING, Final

from boto3 import Session
from botocore import exceptions
from botocore.config import Config

if TYPE_CHECKING:
    from botocore.credentials import Credentials
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_scheduler import EventBridgeSchedulerClient
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient

_PATIENT: Final = Config(connect_timeout=5, read_timeout=25, retries={"total_max_attempts": 3})


class Account:
    """Clients of one account and region.

    Args:
        session: with the operator's credentials.
        endpoint_url: of an emulator; None is AWS itself.
    """

    def __init__(self, session: Session, *, endpoint_url: str | None = None) -> None:
        self._session = session
        self._endpoint_url = endpoint_url
        # Never through a proxy to an emulator, which is on this machine.
        self._config = _PATIENT.merge(Config(proxies={})) if endpoint_url else _PATIENT

    @property
    def region(self) -> str:
        """Its region's name.

        Raises:
            NoRegionError: none is set anywhere.
        """
        if self._session.region_name is None:
            raise exceptions.NoRegionError
        return self._session.region_name

    @property
    def credentials(self) -> "Credentials":
        """What requests are signed with.

        Raises:
            NoCredentialsError: there are none.
        """
        found = self._session.get_credentials()
        if found is None:
            raise exceptions.NoCredentialsError
        return found

    @cached_property
    def stacks(self) -> "CloudFormationClient":
        """CloudFormation."""
        return self._session.client(
            "cloudformation", endpoint_url=self._endpoint_url, config=self._config
        )

    @cached_property
    def alarms(self) -> "CloudWatchClient":
        """CloudWatch."""
        return self._session.client(
            "cloudwatch", endpoint_url=self._endpoint_url, config=self._config
        )

    @cached_property
    def functions(self) -> "LambdaClient":
        """Lambda."""
        return self._session.client("lambda", endpoint_url=self._endpoint_url, config=self._config)

    @cached_property
    def logs(self) -> "CloudWatchLogsClient":
        """CloudWatch Logs."""
        return self._session.client("logs", endpoint_url=self._endpoint_url, config=self._config)

    @cached_property
    def queues(self) -> "SQSClient":
        """SQS."""
        return self._session.client("sqs", endpoint_url=self._endpoint_url, config=self._config)

    @cached_property
    def schedules(self) -> "EventBridgeSchedulerClient":
        """EventBridge Scheduler."""
        return self._session.client(
            "scheduler", endpoint_url=self._endpoint_url, config=self._config
        )

    @cached_property
    def secrets(self) -> "SecretsManagerClient":
        """Secrets Manager."""
        return self._session.client(
            "secretsmanager", endpoint_url=self._endpoint_url, config=self._config
        )

    @cached_property
    def tables(self) -> "DynamoDBClient":
        """DynamoDB."""
        return self._session.client(
            "dynamodb", endpoint_url=self._endpoint_url, config=self._config
        )

    @cached_property
    def topics(self) -> "SNSClient":
        """SNS."""
        return self._session.client("sns", endpoint_url=self._endpoint_url, config=self._config)
