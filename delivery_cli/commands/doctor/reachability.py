"""What can be seen without looking into the stack: itself, Twilio, and both of its APIs."""

from collections.abc import Iterator
from contextlib import closing
from http import HTTPStatus
from typing import Final

import requests

from delivery.twilio.client import CredentialsRefused, TwilioClient, TwilioError
from delivery.twilio.credentials import Account as TwilioAccount
from delivery.twilio.credentials import (
    ApiCredentials,
    SecretInvalid,
    SecretUnavailable,
)
from delivery_cli.commands.doctor.finding import Finding, ok, unknown, wrong
from delivery_cli.errors import StackTooOld
from delivery_cli.http_session import cause_of, is_this_machine, session_to
from delivery_cli.target import Place

_OUTPUTS: Final = (
    "StatusCallbackUrl",
    "MessagesApiUrl",
    "MessagesTableName",
    "SendQueueUrl",
    "FailureTopicArn",
    "DashboardUrl",
)
_NOBODYS_REQUEST: Final = "rq_" + "0" * 32
_OUR_ERRORS: Final = "application/problem+json"
_TIMEOUT_SECONDS: Final = (5, 15)


def stack(place: Place) -> Iterator[Finding]:
    """The stack is deployed to its end, and tells where everything is.

    Raises:
        StackNotFound: it is not there.
        StackTooOld: not everything is there.
    """
    found = place.stack
    status = f"The stack {found.name} in {place.account.region} is {found.status}"
    if not found.status.endswith("_COMPLETE") or "ROLLBACK" in found.status:
        yield wrong(
            "stack",
            f"{status}.",
            "Wait if it is being deployed; else see why in its events (aws cloudformation "
            f"describe-stack-events --stack-name {found.name}), and deploy again.",
        )
    else:
        yield ok("stack", f"{status}.")
    if missing := [name for name in _OUTPUTS if name not in found.outputs]:
        raise StackTooOld(f"It has no output {', '.join(missing)}")


def twilio(place: Place) -> Iterator[Finding]:
    """The secret can be read and used, and Twilio accepts what is in it; only a list is asked."""
    try:
        secret = place.twilio_secret
    except SecretUnavailable as error:
        yield unknown(
            "secret",
            f"Not checked: {error}.",
            "You need secretsmanager:GetSecretValue for it; its functions have their own.",
        )
        return
    except SecretInvalid as error:
        yield wrong(
            "secret",
            f"Twilio's secret cannot be used: {error}.",
            "Put it right with `aws secretsmanager put-secret-value` (or create-secret); README.md "
            "shows its JSON. No deploy is needed, functions see it within five minutes.",
        )
        return
    accounts = len(secret.account_sids)
    name = place.stack.twilio_secret_name
    yield ok("secret", f"The secret {name} can be read and used; accounts in it: {accounts}.")
    for account in (secret.main, *secret.subaccounts.values()):
        yield from _credentials(place.twilio, account)


def api(place: Place) -> Iterator[Finding]:
    """MessagesApi lets you in and answers.

    Raises:
        CommandError: it does not.
    """
    place.api.request(_NOBODYS_REQUEST)
    yield ok("api", f"MessagesApi answers you at {place.api.base_url}.")


def callback(place: Place) -> Iterator[Finding]:
    """Twilio can reach the callback URL, and nobody else gets in: a form without signature."""
    url = place.stack.outputs["StatusCallbackUrl"]
    with session_to(url) as session:
        try:
            answer = session.post(
                url,
                data={"MessageSid": "", "MessageStatus": ""},
                timeout=_TIMEOUT_SECONDS,
                allow_redirects=False,
                stream=True,
            )
        except requests.RequestException as error:
            yield wrong("callback", f"{url} cannot be reached: {cause_of(error)}.", _REACH)
            return
        with closing(answer):
            yield _finding_of(url, answer)


def _finding_of(url: str, answer: requests.Response) -> Finding:
    """What the answer to a request without signature says of the URL."""
    status = answer.status_code
    if status != HTTPStatus.FORBIDDEN:
        return wrong(
            "callback",
            f"{url} answered {status} to a request without signature, not 403.",
            _INSTEAD.get(status // 100, _REACH),
        )
    if not answer.headers.get("content-type", "").startswith(_OUR_ERRORS):
        return wrong(
            "callback",
            f"{url} answered 403, but not this stack: something else refuses what it does not "
            "know, and so perhaps Twilio.",
            _REACH,
        )
    if not url.startswith("https:") and not is_this_machine(url):
        return wrong(
            "callback",
            f"{url} is not https: callbacks cross the net in the clear.",
            "Set PublicBaseUrl to an https address with a certificate that Twilio accepts.",
        )
    return ok("callback", f"The callback URL {url} answers, and refuses what is not signed.")


_REACH: Final = (
    "Twilio must reach it from the internet: look at PublicBaseUrl, at its DNS name and "
    "certificate, and at what stands before CallbackApi."
)
_INSTEAD: Final = {
    2: "Something else answers there, or lets in what is not signed: look at PublicBaseUrl and at "
    "what stands before CallbackApi.",
    3: "Twilio follows a redirect with a GET and loses the status: PublicBaseUrl must be the "
    "address that answers itself, https, with the right path.",
    4: "If 404: PublicBaseUrl's path does not lead to CallbackApi's /twilio/status. If 429: "
    "CallbackRateLimit is reached.",
    5: "Look at the log of StatusCallbackFunction; a secret that cannot be read is a usual cause.",
}


def _credentials(client: TwilioClient, account: TwilioAccount) -> Iterator[Finding]:
    """The API key, which sends, and the auth token, with which Twilio signs."""
    token = ApiCredentials(
        account_sid=account.account_sid,
        username=account.account_sid,
        password=account.auth_token,
    )
    yield _accepted(
        client,
        token,
        f"the auth token of {account.account_sid}",
        "Copy it again from Twilio's Console into the secret: while it is wrong, every status "
        "callback is refused with 403.",
    )
    if account.api_key_sid is not None:
        yield _accepted(
            client,
            account.api_credentials,
            f"the API key {account.api_key_sid}",
            "Create a key in Twilio's Console and put it into the secret, or leave api_key_sid and "
            "api_key_secret out: while it is wrong, nothing is sent.",
        )


def _accepted(client: TwilioClient, credentials: ApiCredentials, whose: str, fix: str) -> Finding:
    pages = client.list_messages(credentials, page_size=1, time_left=lambda: float("inf"))
    try:
        next(pages)
    except CredentialsRefused:
        return wrong("credentials", f"Twilio refuses {whose}.", fix)
    except TwilioError as error:
        return unknown(
            "credentials",
            f"Twilio could not be asked about {whose}: {error}.",
            "Is this machine online? TwilioApiBaseUrl must be the API of your account's region.",
        )
    return ok("credentials", f"Twilio accepts {whose}.")
