"""Makes the clients of AWS services, with botocore alone.

boto3 adds resources and file transfers, which no function uses, and its import would slow every
cold start: docs/performance.md has the numbers.
"""

import logging
from typing import TYPE_CHECKING, Any, Final, Literal, overload

from botocore.config import Config
from botocore.session import Session

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_firehose import FirehoseClient
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient

# botocore logs at INFO where it found its credentials, at every cold start.
logging.getLogger("botocore").setLevel(logging.WARNING)

# All clients share one session, which reads AWS's endpoint data once.
_session: Final = Session()

# Typed code builds the requests, and AWS rejects invalid ones. Validating each of them here as well
# would add a tenth to its time.
_UNCHECKED: Final = Config(parameter_validation=False)


@overload
def client(service: Literal["dynamodb"], *, config: Config) -> "DynamoDBClient": ...
@overload
def client(service: Literal["events"], *, config: Config) -> "EventBridgeClient": ...
@overload
def client(service: Literal["firehose"], *, config: Config) -> "FirehoseClient": ...
@overload
def client(service: Literal["secretsmanager"], *, config: Config) -> "SecretsManagerClient": ...
@overload
def client(service: Literal["sns"], *, config: Config) -> "SNSClient": ...
@overload
def client(service: Literal["sqs"], *, config: Config) -> "SQSClient": ...
def client(service: str, *, config: Config) -> Any:
    """Return a client with the timeouts and retries of `config`, in the function's region."""
    return _session.create_client(service, config=config.merge(_UNCHECKED))
