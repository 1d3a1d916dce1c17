"""Twilio's secret: what it holds, and reading it from AWS Secrets Manager.

Errors:

    SecretError
    ├── SecretUnavailable   Secrets Manager did not answer: try again later
    ├── SecretInvalid       it is missing or cannot be used: an operator must put it right
    └── UnknownAccount      it has no such account

No token is ever in a message of these errors or in a repr.
"""

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

_FRESH_FOR_SECONDS: Final = 5 * 60
# After a failed reading an older secret serves on, and this long nobody waits for another try.
_STALE_FOR_SECONDS: Final = 30

_ACCOUNT_SID: Final = re.compile(r"AC[0-9a-fA-F]{32}")
_API_KEY_SID: Final = re.compile(r"SK[0-9a-fA-F]{32}")


class SecretError(Exception):
    """Twilio's secret does not give what was asked of it."""


class SecretUnavailable(SecretError):
    """Secrets Manager did not answer, and nothing older is known."""


class SecretInvalid(SecretError):
    """The secret is missing, or a field of it cannot be used; the message names it and the fix."""


class UnknownAccount(SecretError):
    """The secret has no such account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiCredentials:
    """What a request to Twilio's API is made with: the account, and HTTP Basic authentication."""

    account_sid: str
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One account of the secret.

    With an API key it is the key that calls Twilio; callbacks are signed with the auth token
    whatever is used to call. Source: https://www.twilio.com/docs/usage/security
    """

    account_sid: str
    auth_token: str = field(repr=False)
    api_key_sid: str | None = None
    api_key_secret: str | None = field(default=None, repr=False)
    accepted_auth_tokens: tuple[str, ...] = field(default=(), repr=False)

    @property
    def api_credentials(self) -> ApiCredentials:
        """The API key where there is one, else the auth token."""
        return ApiCredentials(
            account_sid=self.account_sid,
            username=self.api_key_sid or self.account_sid,
            password=self.api_key_secret or self.auth_token,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TwilioSecret:
    """The secret's content: the main account and its subaccounts, by account SID."""

    main: Account
    subaccounts: Mapping[str, Account] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "TwilioSecret":
        """Read the JSON that the operator stored; fields that it does not know are ignored.

        Raises:
            SecretInvalid: it is no JSON object, or a field is missing or malformed.
        """
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):  # its message would quote the secret
            raise SecretInvalid("the secret is not JSON; it must be a JSON object") from None
        content = _object(content, "the secret")
        main = _account(content, path="")
        subaccounts = {}
        for sid, entry in _object(content.get("subaccounts", {}), "subaccounts").items():
            named = _account_sid(sid, "each name in subaccounts")
            fields = _object(entry, f"subaccounts.{named}")
            subaccounts[named] = _account(fields, path=f"subaccounts.{named}.", account_sid=named)
        return cls(main=main, subaccounts=subaccounts)

    @property
    def account_sids(self) -> tuple[str, ...]:
        """Every account that it has, the main one first."""
        return (self.main.account_sid, *self.subaccounts)

    def signing_tokens(self, account_sid: str | None) -> tuple[str, ...]:
        """The tokens that may sign a callback of the account (None: of the main account).

        Empty for an account that the secret does not have.
        """
        account = self._account(account_sid)
        return (account.auth_token, *account.accepted_auth_tokens) if account else ()

    def for_account(self, account_sid: str | None) -> ApiCredentials:
        """What to call Twilio with for the account (None: for the main account).

        Raises:
            UnknownAccount: the secret does not have it.
        """
        account = self._account(account_sid)
        if account is None:
            raise UnknownAccount("the account is not in Twilio's secret; add it to `subaccounts`")
        return account.api_credentials

    def _account(self, account_sid: str | None) -> Account | None:
        if account_sid in {None, self.main.account_sid}:
            return self.main
        return self.subaccounts.get(account_sid or "")


class TwilioSecrets:
    """The secret by its name, read again when it is five minutes old.

    A secret that cannot be read, or no longer be used, does not replace one that could: rotation
    must not lose a callback over a typing error or a bad minute of Secrets Manager's.

    Args:
        client: a Secrets Manager client, its time-outs and retries set.
        name: the secret's name.
        clock: seconds of the wall clock. A monotonic one can stand still while Lambda keeps the
            environment frozen, so that five minutes of it last for hours.
    """

    def __init__(
        self,
        client: "SecretsManagerClient",
        name: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._name = name
        self._clock = clock
        self._secret: TwilioSecret | None = None
        self._read_at = 0.0
        self._good_for = 0.0

    def current(self) -> TwilioSecret:
        """The secret, at most five minutes old unless it cannot be read.

        Raises:
            SecretUnavailable: it was never read, and Secrets Manager does not answer.
            SecretInvalid: it was never usable.
        """
        age = self._clock() - self._read_at
        if self._secret is not None and 0 <= age < self._good_for:  # a clock can be put back
            return self._secret
        return self.read_again()

    def read_again(self) -> TwilioSecret:
        """The secret as it is this moment, for the sender whose credentials were refused.

        Raises:
            SecretUnavailable, SecretInvalid: as `current`.
        """
        try:
            self._secret = self._read()
        except (SecretUnavailable, SecretInvalid):
            if self._secret is None:
                raise
            self._good_for = _STALE_FOR_SECONDS
        else:
            self._good_for = _FRESH_FOR_SECONDS
        self._read_at = self._clock()
        return self._secret

    def _read(self) -> TwilioSecret:
        try:
            answer = self._client.get_secret_value(SecretId=self._name)
        except self._client.exceptions.ResourceNotFoundException:
            raise SecretInvalid(f"there is no secret named {self._name}; create it") from None
        except ClientError as error:
            code = error.response["Error"]["Code"]
            raise SecretUnavailable(f"the secret {self._name} was not given: {code}") from error
        except BotoCoreError as error:
            raise SecretUnavailable("Secrets Manager did not answer") from error
        if "SecretString" not in answer:
            raise SecretInvalid(f"the secret {self._name} is binary; store its JSON as text")
        return TwilioSecret.parse(answer["SecretString"])


def _account(fields: Mapping[str, Any], *, path: str, account_sid: str | None = None) -> Account:
    """One account's fields; a subaccount has its SID as its name, the main one as a field."""
    key_sid, key_secret = fields.get("api_key_sid"), fields.get("api_key_secret")
    if (key_sid is None) is not (key_secret is None):
        raise SecretInvalid(f"{path}api_key_sid and {path}api_key_secret belong together")
    if key_sid is not None:
        key_secret = _token(key_secret, f"{path}api_key_secret")
        if not isinstance(key_sid, str) or not _API_KEY_SID.fullmatch(key_sid):
            raise SecretInvalid(f"{path}api_key_sid must be an API key's SID: SK and 32 hex digits")
    accepted = fields.get("accepted_auth_tokens", [])
    if not isinstance(accepted, list):
        raise SecretInvalid(f"{path}accepted_auth_tokens must be a list of auth tokens")
    return Account(
        account_sid=account_sid or _account_sid(fields.get("account_sid"), "account_sid"),
        auth_token=_token(fields.get("auth_token"), f"{path}auth_token"),
        api_key_sid=key_sid,
        api_key_secret=key_secret,
        accepted_auth_tokens=tuple(
            _token(token, f"{path}accepted_auth_tokens[{index}]")
            for index, token in enumerate(accepted)
        ),
    )


def _object(value: object, path: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise SecretInvalid(f"{path} must be a JSON object")
    return value


def _account_sid(value: object, path: str) -> str:
    if not isinstance(value, str) or not _ACCOUNT_SID.fullmatch(value):
        raise SecretInvalid(f"{path} must be an account's SID: AC and 32 hex digits")
    return value


def _token(value: object, path: str) -> str:
    """A token as it is; white space around it is a slip of whoever pasted it."""
    if not isinstance(value, str) or not value.strip():
        raise SecretInvalid(f"{path} is missing or blank; copy it from Twilio's Console")
    if value != value.strip() or not value.isascii():
        raise SecretInvalid(f"{path} has white space around it, or is not ASCII; copy it again")
    return value
