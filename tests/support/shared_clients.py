"""AWS clients that tests share: creating one takes longer than most tests."""

from functools import cache
from typing import Any

import boto3
from botocore.config import Config


@cache
def shared_client(service: Any) -> Any:
    """Returns the client of an AWS service; moto answers it, with empty state in each test."""
    return boto3.client(
        service,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        config=Config(
            account_id_endpoint_mode="disabled",  # moto does not know such endpoints
            user_agent="tests",  # otherwise each call puts the text together again
        ),
    )
