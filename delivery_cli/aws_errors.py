"""Explanations of AWS errors for the operator."""

from typing import Final

from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError

from delivery_cli.errors import CommandError

_SIGN_IN: Final = (
    "Sign in (`aws sso login` or `aws configure`), or select a profile with --profile. For the "
    "sandbox add --sandbox."
)


def explain_aws_error(error: BotoCoreError | ClientError) -> CommandError:
    """Return what the error means for the operator, with the fix."""
    if isinstance(error, ClientError):
        return _explain_rejection(error)
    return _explain_local_error(error)


def _explain_local_error(error: BotoCoreError) -> CommandError:
    """Explain why the request was not sent, or not answered."""
    match error:
        case exceptions.NoCredentialsError():
            return CommandError("No AWS credentials found.", _SIGN_IN)
        case exceptions.NoRegionError():
            return CommandError(
                "No AWS region is configured.",
                "Set it with --region, with AWS_REGION or in the profile. For the sandbox add "
                "--sandbox.",
            )
        case exceptions.ProfileNotFound():
            return CommandError(f"{error}.", "`aws configure list-profiles` lists the profiles.")
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
                "Check the region (--region) and the network connection. If the sandbox has "
                "stopped, start it with `make sandbox`.",
            )
        case _:
            return CommandError(f"The request to AWS failed: {error}")


def _explain_rejection(error: ClientError) -> CommandError:
    details = error.response["Error"]
    code, text = details.get("Code", ""), details.get("Message", "")
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
            return CommandError(f"Invalid AWS credentials ({code}).", _SIGN_IN)
        case "AccessDenied" | "UnauthorizedOperation" | "AuthorizationError" | "NotAuthorized":
            return CommandError(
                f"Access denied by AWS: {text}",
                f"Request permission for {error.operation_name}, or use another profile "
                "(--profile). docs/command-line.md lists the permissions of each command.",
            )
        case "Throttling" | "TooManyRequests" | "RequestLimitExceeded" | "ThrottledException":
            return CommandError(f"AWS throttled {error.operation_name}.", "Retry in a minute.")
        case _:
            return CommandError(f"AWS rejected {error.operation_name}: {code}, {text}")
