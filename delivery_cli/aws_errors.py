"""Errors of AWS in words: what each means for the operator, and what to do about it."""

from typing import Final

from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError

from delivery_cli.errors import CommandError

_SIGN_IN: Final = (
    "Sign in as usual (`aws sso login`, `aws configure`), or name a profile with --profile. "
    "For the sandbox add --sandbox."
)


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
