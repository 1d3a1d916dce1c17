"""What can go wrong when AWS is asked, whatever the service."""

from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

AWS_ERRORS: Final = (ClientError, BotoCoreError)
"""Whatever a client raises: AWS said no, or no answer came."""


def reason(error: ClientError | BotoCoreError) -> str:
    """What went wrong in one word: the rest of an error can quote what was sent."""
    if isinstance(error, ClientError):
        return error.response["Error"]["Code"]
    return type(error).__name__
