"""Checks from outside: the stack itself, Twilio, and the stack's two APIs."""

from collections.abc import Iterator
from contextlib import closing
from http import HTTPStatus
from typing import Final

import requests

from delivery.twilio.client import CredentialsRefused, TwilioClient, TwilioError
from delivery.twilio.credentials import Account as TwilioAccount
from delivery.twilio.credentials import (
    ApiCredentials,
    SecretError,
    SecretInvalid,
    SecretUnavailable,
)
from delivery_cli.commands.doctor.finding import Finding, ok, unknown, wrong
from delivery_cli.errors import StackTooOld
from delivery_cli.http_session import describe_failure, is_local, open_session
from delivery_cli.target import Target

_REQUIRED_OUTPUTS: Final = (
    "StatusCallbackUrl",
    "MessagesApiUrl",
    "MessagesTableName",
    "SendQueueUrl",
    "SendMessageFunctionArn",
    "FailureTopicArn",
    "AlarmTopicArn",
    "DashboardUrl",
)
_UNUSED_REQUEST_ID: Final = "rq_" + "0" * 32
_PROBLEM_JSON: Final = "application/problem+json"
_TIMEOUT_SECONDS: Final = (5, 15)


def check_stack(target: Target) -> Iterator[Finding]:
    """Check that the stack is deployed and has every output.

    Raises:
        StackNotFound: the stack does not exist.
        StackTooOld: an output is missing.
    """
    stack = target.stack
    status = f"The stack {stack.name} in {target.account.region} is {stack.status}."
    if not stack.status.endswith("_COMPLETE") or "ROLLBACK" in stack.status:
        yield wrong(
            status,
            "If a deployment is running, wait for it. Otherwise find the cause in the events (aws "
            f"cloudformation describe-stack-events --stack-name {stack.name}), and deploy again.",
        )
    else:
        yield ok(status)
    if missing := [name for name in _REQUIRED_OUTPUTS if name not in stack.outputs]:
        raise StackTooOld(f"The stack has no output {', '.join(missing)}")


def check_secret(target: Target) -> Iterator[Finding]:
    """Check that the Twilio secret can be read and is valid."""
    try:
        secret = target.twilio_secret
    except SecretUnavailable as error:
        yield unknown(
            f"Not checked: {error}.",
            "You need secretsmanager:GetSecretValue for it; the functions have their own "
            "permission.",
        )
    except SecretInvalid as error:
        yield wrong(
            f"The Twilio secret is invalid: {error}.",
            "Fix it with `aws secretsmanager put-secret-value` (or create-secret); README.md shows "
            "its JSON. Functions read it within five minutes, without a deployment.",
        )
    else:
        name, accounts = target.stack.twilio_secret_name, len(secret.account_sids)
        yield ok(f"The secret {name} is valid; accounts in it: {accounts}.")


def check_credentials(target: Target) -> Iterator[Finding]:
    """Check each credential in the secret by requesting a list of one message from Twilio."""
    try:
        secret = target.twilio_secret
    except SecretError:
        return  # reported by check_secret
    for account in (secret.main, *secret.subaccounts.values()):
        yield from _check_account(target.twilio, account)


def check_api(target: Target) -> Iterator[Finding]:
    """Check that MessagesApi answers the operator.

    Raises:
        CommandError: it does not.
    """
    target.api.request(_UNUSED_REQUEST_ID)
    yield ok(f"MessagesApi answers at {target.api.base_url}.")


def check_callback_url(target: Target) -> Iterator[Finding]:
    """Check that the callback URL is reachable and rejects a form without a signature."""
    url = target.stack.outputs["StatusCallbackUrl"]
    with open_session(url) as session:
        try:
            response = session.post(
                url,
                data={"MessageSid": "", "MessageStatus": ""},
                timeout=_TIMEOUT_SECONDS,
                allow_redirects=False,
                stream=True,
            )
        except requests.RequestException as error:
            problem = f"{url} is not reachable: {describe_failure(error)}."
            yield wrong(problem, _FIX_REACHABILITY)
            return
        with closing(response):
            yield _check_rejection(url, response)


def _check_rejection(url: str, response: requests.Response) -> Finding:
    """Check the response to the request without a signature."""
    status = response.status_code
    if status != HTTPStatus.FORBIDDEN:
        return wrong(
            f"{url} answered a request without signature with {status}: expected 403.",
            _FIX_BY_STATUS_CLASS.get(status // 100, _FIX_REACHABILITY),
        )
    if not response.headers.get("content-type", "").startswith(_PROBLEM_JSON):
        return wrong(
            f"{url} answered 403, but not from this stack: a proxy or firewall blocks requests, "
            "perhaps also Twilio's.",
            _FIX_REACHABILITY,
        )
    if not url.startswith("https:") and not is_local(url):
        return wrong(
            f"{url} is not https: callbacks cross the network unencrypted.",
            "Set PublicBaseUrl to an https URL with a certificate that Twilio accepts.",
        )
    return ok(f"The callback URL {url} answers, and rejects unsigned requests.")


_FIX_REACHABILITY: Final = (
    "Twilio must reach the URL from the internet: check PublicBaseUrl, its DNS name and "
    "certificate, and any proxy or firewall before CallbackApi."
)
_FIX_BY_STATUS_CLASS: Final = {
    2: "Another server answers, or a proxy accepts unsigned requests: check PublicBaseUrl and any "
    "proxy before CallbackApi.",
    3: "Twilio follows a redirect with GET and loses the status: PublicBaseUrl must be the final "
    "URL, with https and the right path.",
    4: "404: the path of PublicBaseUrl does not lead to /twilio/status of CallbackApi. 429: "
    "CallbackRateLimit is exceeded.",
    5: "Check the log of StatusCallbackFunction; an unreadable secret is a common cause.",
}


def _check_account(client: TwilioClient, account: TwilioAccount) -> Iterator[Finding]:
    """Check the auth token, which signs callbacks, and the API key, which sends."""
    token = ApiCredentials(
        account_sid=account.account_sid,
        username=account.account_sid,
        password=account.auth_token,
    )
    yield _check_credential(
        client,
        token,
        f"the auth token of {account.account_sid}",
        "Copy it again from the Twilio Console into the secret. Until then every status callback "
        "is rejected with 403.",
    )
    if account.api_key_sid is not None:
        yield _check_credential(
            client,
            account.api_credentials,
            f"the API key {account.api_key_sid}",
            "Create a key in the Twilio Console and store it in the secret, or remove api_key_sid "
            "and api_key_secret. Until then nothing is sent.",
        )


def _check_credential(
    client: TwilioClient, credentials: ApiCredentials, name: str, fix: str
) -> Finding:
    pages = client.list_messages(credentials, page_size=1, time_left=lambda: float("inf"))
    try:
        next(pages)
    except CredentialsRefused:
        return wrong(f"Twilio rejected {name}.", fix)
    except TwilioError as error:
        return unknown(
            f"Could not check {name} with Twilio: {error}.",
            "Check the network connection. TwilioApiBaseUrl must be the API of your account's "
            "region.",
        )
    return ok(f"Twilio accepts {name}.")
