"""Clients of AWS's services, made with botocore alone.

What boto3 adds to botocore (resources, transfers of files) nobody here uses, and every start would
pay for its import: docs/performance.md has the numbers.
"""

import logging
from typing import TYPE_CHECKING, Any, Final, Literal, overload

from botocore.config import Config
from botocore.session import Session

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient

# At every start botocore would say where it found its credentials.
logging.getLogger("botocore").setLevel(logging.WARNING)

# One for all clients: what AWS says about its regions is read once.
_session: Final = Session()

# What is asked for is made by our own typed code, and AWS refuses what is wrong: to check each
# request here, too, takes a tenth of its time.
_UNCHECKED: Final = Config(parameter_validation=False)


@overload
def client(service: Literal["dynamodb"], *, config: Config) -> "DynamoDBClient": ...
@overload
def client(service: Literal["events"], *, config: Config) -> "EventBridgeClient": ...
@overload
def client(service: Literal["secretsmanager"], *, config: Config) -> "SecretsManagerClient": ...
@overload
def client(service: Literal["sns"], *, config: Config) -> "SNSClient": ...
@overload
def client(service: Literal["sqs"], *, config: Config) -> "SQSClient": ...
def client(service: str, *, config: Config) -> Any:
    """A client with the time-outs and retries of `config`, in the function's own region."""
    return _session.create_client(service, config=config.merge(_UNCHECKED))
