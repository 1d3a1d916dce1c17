"""Reads Twilio's credentials from the secret in AWS Secrets Manager, and caches them.

Errors:

    SecretError
    ├── SecretUnavailable   Secrets Manager did not answer: retry later
    ├── SecretInvalid       the secret is missing or malformed: an operator must fix it
    └── UnknownAccount      the secret does not have the account

No token is ever in the text of these errors or in a repr.
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

_CACHE_SECONDS: Final = 5 * 60
# After a failed refresh the cached secret stays in use, for this long without another attempt.
_RETRY_AFTER_SECONDS: Final = 30
# A missing or malformed secret is not read again for this long: forged callbacks cause reads.
_INVALID_FOR_SECONDS: Final = 60

_ACCOUNT_SID: Final = re.compile(r"AC[0-9a-fA-F]{32}")
_API_KEY_SID: Final = re.compile(r"SK[0-9a-fA-F]{32}")


class SecretError(Exception):
    """The secret, or the account in it, cannot be used."""


class SecretUnavailable(SecretError):
    """Secrets Manager did not answer, and no secret is cached."""


class SecretInvalid(SecretError):
    """The secret is missing or a field is malformed; the text names the field and the fix."""


class UnknownAccount(SecretError):
    """The secret does not have the account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiCredentials:
    """The account of a request to Twilio's API, and its HTTP Basic authentication."""

    account_sid: str
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One account of the secret.

    With an API key, the key authenticates calls to Twilio. Callbacks are signed with the auth token
    in either case. Source: https://www.twilio.com/docs/usage/security
    """

    account_sid: str
    auth_token: str = field(repr=False)
    api_key_sid: str | None = None
    api_key_secret: str | None = field(default=None, repr=False)
    accepted_auth_tokens: tuple[str, ...] = field(default=(), repr=False)
    shared_keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Keys of Twilio's webhook rules by id: they sign instead of the auth token."""

    @property
    def api_credentials(self) -> ApiCredentials:
        """The API key if the account has one, else the auth token."""
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
        """Parse the JSON that the operator stored; unknown fields are ignored.

        Raises:
            SecretInvalid: it is not a JSON object, or a field is missing or malformed.
        """
        try:
            content = json.loads(text.removeprefix("\ufeff"))  # a BOM, as Windows writes it
        except (ValueError, RecursionError):  # the original error quotes the secret
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
        """Every account of the secret, the main one first."""
        return (self.main.account_sid, *self.subaccounts)

    def has_account(self, account_sid: str | None) -> bool:
        """Return whether the secret has the account (None: the main account)."""
        return self._account(account_sid) is not None

    def shared_key(self, account_sid: str | None, key_id: str) -> str | None:
        """Return the shared key of this id in the account's entry; None if it has none."""
        account = self._account(account_sid)
        return account.shared_keys.get(key_id) if account else None

    def signing_tokens(self, account_sid: str | None) -> tuple[str, ...]:
        """Return the tokens that may sign a callback of the account (None: the main account).

        Empty for an account that the secret does not have.
        """
        account = self._account(account_sid)
        return (account.auth_token, *account.accepted_auth_tokens) if account else ()

    def for_account(self, account_sid: str | None) -> ApiCredentials:
        """Return the credentials for calls in the account (None: the main account).

        Raises:
            UnknownAccount: the secret does not have the account.
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
    """A cache of one secret, refreshed when it is five minutes old.

    A cached secret stays in use while a newer one is malformed or Secrets Manager does not answer:
    a rotation must not lose a callback over a typing error or a short outage.

    Args:
        client: a Secrets Manager client with timeouts and retries set.
        name: the secret's name.
        clock: returns seconds of wall-clock time. A monotonic clock can stand still while Lambda
            keeps the environment frozen, and five minutes of it would last for hours.
        on_invalid: is called when a refresh finds the secret invalid and the cached one stays in
            use.
    """

    def __init__(
        self,
        client: "SecretsManagerClient",
        name: str,
        clock: Callable[[], float] = time.time,
        on_invalid: Callable[[SecretInvalid], object] = lambda _: None,
    ) -> None:
        self._client = client
        self._name = name
        self._clock = clock
        self._on_invalid = on_invalid
        self._secret: TwilioSecret | None = None
        self._invalid = ""
        self._read_at = 0.0
        self._refresh_after = 0.0

    def current(self) -> TwilioSecret:
        """Return the secret, at most five minutes old unless it cannot be refreshed.

        Raises:
            SecretUnavailable: none is cached, and Secrets Manager did not answer.
            SecretInvalid: none is cached, and the one that was read is malformed.
        """
        age = self._clock() - self._read_at
        if 0 <= age < self._refresh_after:  # a clock can go back
            if self._secret is not None:
                return self._secret
            raise SecretInvalid(self._invalid)
        return self.refresh()

    def refresh(self) -> TwilioSecret:
        """Return the secret as it is now, whatever is cached; the cached one if that fails.

        Raises:
            SecretUnavailable, SecretInvalid: as `current`.
        """
        try:
            self._secret = self._read()
        except SecretInvalid as error:
            if self._secret is None:
                self._invalid = str(error)
                self._schedule_refresh(_INVALID_FOR_SECONDS)
                raise
            self._schedule_refresh(_RETRY_AFTER_SECONDS)
            self._on_invalid(error)
        except SecretUnavailable:
            if self._secret is None:
                raise
            self._schedule_refresh(_RETRY_AFTER_SECONDS)
        else:
            self._schedule_refresh(_CACHE_SECONDS)
        return self._secret

    def _schedule_refresh(self, seconds: float) -> None:
        self._read_at, self._refresh_after = self._clock(), seconds

    def _read(self) -> TwilioSecret:
        try:
            answer = self._client.get_secret_value(SecretId=self._name)
        except self._client.exceptions.ResourceNotFoundException:
            raise SecretInvalid(f"there is no secret named {self._name}; create it") from None
        except ClientError as error:
            code = error.response["Error"]["Code"]
            raise SecretUnavailable(f"cannot read the secret {self._name}: {code}") from error
        except BotoCoreError as error:
            raise SecretUnavailable("Secrets Manager did not answer") from error
        if "SecretString" not in answer:
            raise SecretInvalid(f"the secret {self._name} is binary; store its JSON as text")
        return TwilioSecret.parse(answer["SecretString"])


def _account(fields: Mapping[str, Any], *, path: str, account_sid: str | None = None) -> Account:
    """Parse one account; a subaccount's SID is its name, the main account's is a field."""
    key_sid, key_secret = fields.get("api_key_sid"), fields.get("api_key_secret")
    if (key_sid is None) is not (key_secret is None):
        raise SecretInvalid(f"set both {path}api_key_sid and {path}api_key_secret, or neither")
    if key_sid is not None:
        key_secret = _token(key_secret, f"{path}api_key_secret")
        if not isinstance(key_sid, str) or not _API_KEY_SID.fullmatch(key_sid):
            raise SecretInvalid(f"{path}api_key_sid must be an API key SID: SK and 32 hex digits")
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
        shared_keys=_shared_keys(fields.get("shared_keys", {}), f"{path}shared_keys"),
    )


def _shared_keys(value: object, path: str) -> Mapping[str, str]:
    """Parse shared keys; an error names a key by its position, because its id may be a secret."""
    keys = _object(value, path)
    if not all(key_id.strip() for key_id in keys):
        raise SecretInvalid(f"{path} must have the id of a shared key as each name")
    return {
        key_id: _token(key, f"{path}[{index}]") for index, (key_id, key) in enumerate(keys.items())
    }


def _object(value: object, path: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise SecretInvalid(f"{path} must be a JSON object")
    return value


def _account_sid(value: object, path: str) -> str:
    if not isinstance(value, str) or not _ACCOUNT_SID.fullmatch(value):
        raise SecretInvalid(f"{path} must be an account SID: AC and 32 hex digits")
    return value


def _token(value: object, path: str) -> str:
    """Return the token unchanged; one with surrounding whitespace was pasted wrongly."""
    if not isinstance(value, str) or not value.strip():
        raise SecretInvalid(f"{path} is missing or blank; copy it from the Twilio Console")
    if value != value.strip() or not value.isascii():
        raise SecretInvalid(f"{path} has surrounding whitespace or is not ASCII; copy it again")
    return value
