"""The errors that botocore's clients raise, whatever the service."""

from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

type AwsError = ClientError | BotoCoreError

AWS_ERRORS: Final = (ClientError, BotoCoreError)
"""The service answered with an error, or did not answer."""


def error_name(error: AwsError) -> str:
    """Return the error's code or class: the rest of an error can quote what was sent."""
    if isinstance(error, ClientError):
        return error.response["Error"]["Code"]
    return type(error).__name__
