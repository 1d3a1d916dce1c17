"""The accounts of the simulated Twilio: credentials, tokens and rules that sign."""

import base64
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from sandbox.twilio.errors import ApiError
from sandbox.twilio.webhook_rules import WebhookRules

DEFAULT_ACCOUNT_SID = "AC" + "0" * 32
DEFAULT_AUTH_TOKEN = "sandbox-auth-token"  # noqa: S105 -- valid for the simulator only


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A Twilio account or subaccount.

    Every well-formed sender belongs to it.
    """

    sid: str
    auth_token: str = field(repr=False)
    api_keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    parent_sid: str | None = None


class Accounts:
    """The accounts of this Twilio; their tokens can be replaced while it runs."""

    def __init__(self, accounts: Iterable[Account]) -> None:
        self._accounts = {account.sid: account for account in accounts}
        self._webhook_rules = {sid: WebhookRules() for sid in self._accounts}

    def webhook_rules(self, account_sid: str) -> WebhookRules:
        """Return the account's webhook rules, with their settings and shared keys."""
        return self._webhook_rules[account_sid]

    def auth_token(self, account_sid: str) -> str:
        """Return the token that signs callbacks to which no webhook rule applies.

        API keys sign nothing.
        """
        return self._accounts[account_sid].auth_token

    def rotate(self, account_sid: str, auth_token: str) -> None:
        """Replace an account's auth token; the old one is invalid from now on.

        Raises:
            ValueError: the account is unknown, or the token is empty.
        """
        if account_sid not in self._accounts:
            raise ValueError(f"unknown account_sid {account_sid!r}")
        if not auth_token:
            raise ValueError("an auth token cannot be empty")
        self._accounts[account_sid] = replace(self._accounts[account_sid], auth_token=auth_token)

    def authenticate(self, account_sid: str, authorization: str | None) -> Account:
        """Return the account that the path names, if the Basic credentials are valid for it.

        Valid are its own token, its API keys, and the credentials of its parent account.

        Raises:
            ApiError: 20003, with Twilio's words for each case.
        """
        user, password = _basic(authorization)
        account = self._accounts.get(account_sid)
        keyring = self._keyring(account) if account else {}
        if user not in keyring:
            raise ApiError(20003, "Authentication Error - invalid username")
        if account is None or not hmac.compare_digest(keyring[user].encode(), password.encode()):
            raise ApiError(
                20003, "Authenticate", detail="Your AccountSid or AuthToken was incorrect."
            )
        return account

    def authenticate_any(self, authorization: str | None) -> Account:
        """Return the account whose own credentials these are.

        Raises:
            ApiError: 20003, as `authenticate`.
        """
        user, _ = _basic(authorization)
        owners = (a.sid for a in self._accounts.values() if user == a.sid or user in a.api_keys)
        return self.authenticate(next(owners, ""), authorization)

    def _keyring(self, account: Account) -> dict[str, str]:
        holders = [account]
        if account.parent_sid:
            holders.append(self._accounts[account.parent_sid])
        keyring: dict[str, str] = {}
        for holder in holders:
            keyring |= {holder.sid: holder.auth_token, **holder.api_keys}
        return keyring


def _basic(authorization: str | None) -> tuple[str, str]:
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() != "basic" or not encoded.strip():
        raise ApiError(20003, "Authentication Error - No credentials provided")
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError as error:
        raise ApiError(20003, "Authentication Error - invalid username") from error
    return user, password
