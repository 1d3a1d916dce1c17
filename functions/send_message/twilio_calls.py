"""Calls Twilio's API with the credentials of the current secret."""

from collections.abc import Callable

from delivery.twilio.client import CredentialsRefused, MessageResource, Throttled, Unavailable
from delivery.twilio.credentials import (
    ApiCredentials,
    SecretError,
    TwilioSecret,
    TwilioSecrets,
    UnknownAccount,
)

from .request import InvalidRequest, MessageRequest
from .results import RETRY_AFTER_REPAIR_SECONDS, RETRY_AFTER_SECONDS, ServiceUnavailable


def credentials_for(request: MessageRequest, secret: TwilioSecret) -> ApiCredentials:
    """Return the credentials of the account that the request names, or of the main account.

    Raises:
        InvalidRequest: the secret has no such account.
    """
    try:
        return secret.for_account(request.account_sid)
    except UnknownAccount as unknown:
        raise InvalidRequest.of("account_sid", f"cannot be used: {unknown}") from unknown


def call_with_credentials(
    secrets: TwilioSecrets,
    credentials: ApiCredentials,
    call: Callable[[ApiCredentials], MessageResource],
) -> MessageResource:
    """Call Twilio; if it refuses the credentials, call it again once if the secret has newer ones.

    Raises:
        TwilioError: as the call raises it.
    """
    try:
        return call(credentials)
    except CredentialsRefused as refused:
        try:
            newer = secrets.refresh().for_account(credentials.account_sid)
        except SecretError:
            raise refused from None
        if newer == credentials:
            raise
    return call(newer)


def service_unavailable(error: CredentialsRefused | Unavailable) -> ServiceUnavailable:
    """Return the result of a call under which provably nothing was sent."""
    if isinstance(error, CredentialsRefused):
        return ServiceUnavailable(
            reason=str(error), retry_after=RETRY_AFTER_REPAIR_SECONDS, credentials_refused=True
        )
    return ServiceUnavailable(
        reason=str(error),
        retry_after=error.retry_after or RETRY_AFTER_SECONDS,
        throttled=isinstance(error, Throttled),
    )


def secret_unavailable(error: SecretError) -> ServiceUnavailable:
    """Return the result while an operator must repair the secret."""
    return ServiceUnavailable(reason=str(error), retry_after=RETRY_AFTER_REPAIR_SECONDS)
