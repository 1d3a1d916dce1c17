"""Clients that tests share: to make one takes longer than most tests."""

from functools import cache
from typing import Any

import boto3


@cache
def shared_client(service: Any) -> Any:
    """The client of an AWS service; moto answers it in each test anew."""
    return boto3.client(service)
