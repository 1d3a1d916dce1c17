"""An AWS account as the operator reaches it, and its errors in words."""

from functools import cached_property
from typing import TYPE_CHECKING, Final

from boto3 import Session
from botocore import exceptions
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from delivery_cli.errors import CommandError

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
_SIGN_IN: Final = (
    "Sign in as usual (`aws sso login`, `aws configure`), or name a profile with --profile. "
    "For the sandbox add --sandbox."
)


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


def in_words(error: BotoCoreError | ClientError) -> CommandError:
    """What an error of AWS means for the operator, and what to do about it."""
    return _refused(error) if isinstance(error, ClientError) else _not_asked(error)


def _not_asked(error: BotoCoreError) -> CommandError:
    """What kept the request from leaving, or from being answered."""
    match error:
        case exceptions.NoCredentialsError():
            return CommandError("No AWS credentials were found.", _SIGN_IN)
        case exceptions.NoRegionError():
            return CommandError(
                "No AWS region is set.", "Name it with --region, in AWS_REGION or in the profile."
            )
        case exceptions.ProfileNotFound():
            return CommandError(f"{error}.", "`aws configure list-profiles` lists them.")
        case (
            exceptions.SSOError()
            | exceptions.TokenRetrievalError()
            | exceptions.PartialCredentialsError()
            | exceptions.CredentialRetrievalError()
            | exceptions.RefreshWithMFAUnsupportedError()
        ):
            return CommandError(f"The AWS credentials cannot be used: {error}", _SIGN_IN)
        case (
            exceptions.InvalidRegionError()
            | exceptions.ConnectionError()
            | exceptions.HTTPClientError()
        ):
            return CommandError(
                str(error),
                "Is the region right (--region), and is this machine online? A sandbox may have "
                "ended: `make sandbox` starts it.",
            )
        case _:
            return CommandError(f"AWS could not be asked: {error}")


def _refused(error: ClientError) -> CommandError:
    said = error.response["Error"]
    code, text = said.get("Code", ""), said.get("Message", "")
    match code.removesuffix("Exception"):
        case "ExpiredToken" | "RequestExpired":
            return CommandError("The AWS credentials have expired.", _SIGN_IN)
        case (
            "AuthFailure"
            | "InvalidAccessKeyId"
            | "InvalidClientTokenId"
            | "InvalidToken"
            | "SignatureDoesNotMatch"
            | "UnrecognizedClient"
        ):
            return CommandError(f"AWS does not know these credentials ({code}).", _SIGN_IN)
        case "AccessDenied" | "UnauthorizedOperation" | "AuthorizationError" | "NotAuthorized":
            return CommandError(
                f"AWS does not allow it: {text}",
                f"Ask for the permission to do {error.operation_name}, or name another profile "
                "with --profile. docs/command-line.md lists what each command needs.",
            )
        case "Throttling" | "TooManyRequests" | "RequestLimitExceeded" | "ThrottledException":
            return CommandError(f"AWS throttles {error.operation_name}.", "Try again in a minute.")
        case _:
            return CommandError(f"AWS refused {error.operation_name}: {code}, {text}")
