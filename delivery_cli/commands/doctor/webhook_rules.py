"""Checks which key signs status callbacks: an auth token, or the shared key of a webhook rule.

Reads Twilio's webhooks configuration API, which is in public beta:
https://www.twilio.com/docs/usage/webhooks/webhook-rules
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote, urlsplit

import requests

from delivery.twilio.credentials import Account, SecretError
from delivery.twilio.signature import Algorithm
from delivery_cli.commands.doctor.finding import Finding, advice, ok, unknown, wrong
from delivery_cli.http_session import describe_failure, open_session
from delivery_cli.target import Target

_TIMEOUT_SECONDS: Final = (5, 15)
_PAGE_SIZE: Final = 100
_MAX_PAGES: Final = 20
_ALL_FAILURES: Final = frozenset({"HTTP_4XX", "HTTP_5XX", "CONNECTION_TIMEOUT", "READ_TIMEOUT"})
_DOCS: Final = "docs/operations.md, Webhook rules with shared keys"

type _Document = Mapping[str, Any]


class _NotAvailable(Exception):
    """The API did not answer as documented; the text is the reason, as a phrase."""


class _CredentialsRefused(Exception):
    """Twilio does not accept the credentials, which another check reports."""


def check_webhook_rules(target: Target) -> Iterator[Finding]:
    """Check for each account that the secret has the keys that sign its callbacks."""
    try:
        secret = target.twilio_secret
    except SecretError:
        return  # reported by check_secret
    url = target.stack.outputs["StatusCallbackUrl"]
    base_url = _webhooks_base_url(target.stack.twilio_api_base_url)
    with open_session(base_url) as session:
        for account in (secret.main, *secret.subaccounts.values()):
            api = _WebhooksApi(session, base_url, account)
            try:
                yield from _check_account(api, account, url)
            except _CredentialsRefused:
                continue
            except _NotAvailable as error:
                yield unknown(
                    f"Webhook rules of {account.account_sid} (beta): not checked, {error}.",
                    "Twilio may not offer this API to the account or its API key. Without a rule, "
                    f"the auth token signs callbacks. With one, see {_DOCS}.",
                )


@dataclass(frozen=True, slots=True)
class _WebhooksApi:
    session: requests.Session
    base_url: str
    account: Account

    def rules(self) -> list[_Document]:
        """Return every rule of the account."""
        rules: list[_Document] = []
        token: str | None = None
        for _ in range(_MAX_PAGES):
            page = self._get("Rules", pageSize=str(_PAGE_SIZE), pageToken=token)
            meta = page.get("meta")
            # Twilio's SDKs find the list by the key that the page names.
            rows = page.get(meta.get("key", "rules") if isinstance(meta, dict) else "rules")
            if not isinstance(rows, list):
                raise _NotAvailable("its answer has an unknown shape")
            rules += [row for row in rows if isinstance(row, dict)]
            token = meta.get("nextToken") if isinstance(meta, dict) else None
            if not token:
                return rules
        raise _NotAvailable(f"it has more than {_PAGE_SIZE * _MAX_PAGES} rules")

    def setting(self, setting_id: str) -> _Document:
        """Return one setting."""
        return self._get(f"Settings/{quote(setting_id, safe='')}")

    def _get(self, path: str, **query: str | None) -> _Document:
        credentials = self.account.api_credentials
        try:
            response = self.session.get(
                f"{self.base_url}/v1/Webhooks/{path}",
                params=query,  # without those that are None
                auth=(credentials.username, credentials.password),
                timeout=_TIMEOUT_SECONDS,
                allow_redirects=False,
            )
            document = response.json() if response.ok else None
        except requests.JSONDecodeError:
            raise _NotAvailable("its answer is not JSON") from None
        except requests.RequestException as error:
            raise _NotAvailable(describe_failure(error)) from None
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            raise _CredentialsRefused
        if document is None:
            raise _NotAvailable(f"Twilio answered {response.status_code}")
        if not isinstance(document, dict):
            raise _NotAvailable("its answer has an unknown shape")
        return document


def _webhooks_base_url(api_base_url: str) -> str:
    """Return the base URL of the webhooks API in the same region; a simulator has one for all."""
    scheme, _, host = api_base_url.partition("://")
    is_twilio = (urlsplit(api_base_url).hostname or "").endswith(".twilio.com")
    return f"{scheme}://webhooks.{host.removeprefix('api.')}" if is_twilio else api_base_url


def _check_account(api: _WebhooksApi, account: Account, url: str) -> Iterator[Finding]:
    rules = _applicable_rules(api.rules(), url)
    if not rules:
        yield ok(
            f"No webhook rule of {account.account_sid} (beta) matches the callback URL: its auth "
            "token signs callbacks."
        )
    for rule in rules:
        for share in rule.get("settings") or []:
            setting = api.setting(str(share.get("settingId")))
            yield _check_signature(rule, setting, account)
            yield from _check_connection(rule, setting)


def _applicable_rules(rules: list[_Document], url: str) -> list[_Document]:
    """Return the rules that apply to callbacks: an exact one, then a prefix or the default.

    Both, because callback URLs have a query, and Twilio does not document whether an exact rule
    without it matches them.
    """
    exact = [it for it in rules if it.get("matchType") == "EXACT_MATCH" and it.get("value") == url]
    prefixes = [
        it
        for it in rules
        if it.get("matchType") == "PREFIX_MATCH" and url.startswith(str(it.get("prefix")))
    ]
    longest_first = sorted(prefixes, key=lambda it: len(str(it["prefix"])), reverse=True)
    default = [it for it in rules if it.get("matchType") == "DEFAULT"]
    return exact[:1] + (longest_first + default)[:1]


def _check_signature(rule: _Document, setting: _Document, account: Account) -> Finding:
    signature = setting.get("signature") or {}
    key_id, algorithm = signature.get("sharedKeyId"), signature.get("algorithm")
    name = f"The webhook rule {rule.get('id')} ({rule.get('matchType')}) of {account.account_sid}"
    if key_id is None:
        return ok(f"{name} (beta) lets the auth token sign callbacks.")
    signs = f"{name} (beta) signs callbacks with the shared key {key_id}, {algorithm}"
    if key_id not in account.shared_keys:
        return wrong(
            f"{signs}: the secret lacks this key, so they are rejected with 403.",
            f"Add it to shared_keys of {account.account_sid} in the secret. Twilio shows a key "
            f"only once. If it is lost, create another one and change the rule ({_DOCS}).",
        )
    if algorithm not in list(Algorithm):
        return wrong(
            f"{signs}: this version does not know the algorithm, so they are rejected with 403.",
            f"Let the rule use a setting with {Algorithm.HMAC_SHA256}.",
        )
    return ok(
        f"{signs}, and the secret has this key. The auth token is still accepted where no rule "
        "applies: replace a leaked one."
    )


def _check_connection(rule: _Document, setting: _Document) -> Iterator[Finding]:
    """Check that a connection, which replaces the fragment of the URL, retries failed callbacks."""
    connection = setting.get("connection")
    if not connection:
        return
    policy = connection.get("retryPolicy") or {}
    retried = set(policy.get("retryOn") or [])
    if policy.get("retryCount") and ("ALL" in retried or retried >= _ALL_FAILURES):
        return
    yield advice(
        f"The webhook rule {rule.get('id')} (beta) replaces the retries in the callback URL with "
        f"{policy.get('retryCount') or 0} retries on {', '.join(sorted(retried)) or 'nothing'}.",
        "Let it use a setting without connection, or with retryCount 5 and retryOn ALL. Otherwise "
        "callbacks are lost during an outage, and reconciliation asks Twilio instead.",
    )
