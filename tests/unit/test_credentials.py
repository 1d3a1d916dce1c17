"""The secret, and the cache of it."""

import json
import time
from collections.abc import Iterator
from inspect import signature
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from moto import mock_aws

from delivery.twilio.credentials import (
    SecretInvalid,
    SecretUnavailable,
    TwilioSecret,
    TwilioSecrets,
    UnknownAccount,
)
from tests.support.builders import ACCOUNT_SID, AUTH_TOKEN
from tests.support.clock import Clock
from tests.support.shared_clients import shared_client

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

NAME = "delivery/twilio"
SUBACCOUNT_SID = "AC" + "b" * 32
KEY_SID = "SK" + "c" * 32


def a_secret(**changes: Any) -> str:
    """The secret's JSON; a change to None removes the field."""
    fields = {"account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN} | changes
    return json.dumps({name: value for name, value in fields.items() if value is not None})


def test_the_auth_token_authenticates_calls_and_signs_callbacks() -> None:
    secret = TwilioSecret.parse(a_secret())

    credentials = secret.for_account(None)
    assert credentials.account_sid == ACCOUNT_SID
    assert (credentials.username, credentials.password) == (ACCOUNT_SID, AUTH_TOKEN)
    assert secret.signing_tokens(ACCOUNT_SID) == (AUTH_TOKEN,)


def test_an_api_key_authenticates_calls_while_the_auth_token_signs() -> None:
    secret = TwilioSecret.parse(a_secret(api_key_sid=KEY_SID, api_key_secret="key-secret"))

    credentials = secret.for_account(ACCOUNT_SID)
    assert credentials.account_sid == ACCOUNT_SID
    assert (credentials.username, credentials.password) == (KEY_SID, "key-secret")
    assert secret.signing_tokens(None) == (AUTH_TOKEN,)


def test_a_deeply_nested_secret_is_invalid() -> None:
    with pytest.raises(SecretInvalid, match="not JSON"):
        TwilioSecret.parse("[" * 100_000)


def test_a_subaccount_has_its_own_tokens() -> None:
    own = {
        "auth_token": "sub-token",
        "accepted_auth_tokens": ["sub-coming"],
        "api_key_sid": KEY_SID,
        "api_key_secret": "sub-key-secret",
    }
    secret = TwilioSecret.parse(a_secret(subaccounts={SUBACCOUNT_SID: own}))

    credentials = secret.for_account(SUBACCOUNT_SID)
    assert secret.signing_tokens(SUBACCOUNT_SID) == ("sub-token", "sub-coming")
    assert credentials.account_sid == SUBACCOUNT_SID
    assert (credentials.username, credentials.password) == (KEY_SID, "sub-key-secret")
    assert secret.signing_tokens(ACCOUNT_SID) == (AUTH_TOKEN,)


@pytest.mark.parametrize("unknown", ["AC" + "d" * 32, ""])
def test_an_unknown_account_has_neither_tokens_nor_credentials(unknown: str) -> None:
    secret = TwilioSecret.parse(a_secret())

    assert secret.signing_tokens(unknown) == ()
    with pytest.raises(UnknownAccount):
        secret.for_account(unknown)


def test_a_shared_key_belongs_to_the_entry_of_its_account() -> None:
    own = {"auth_token": "sub-token", "shared_keys": {"k2": "sub-key"}}
    secret = TwilioSecret.parse(
        a_secret(shared_keys={"k1": "main-key"}, subaccounts={SUBACCOUNT_SID: own})
    )

    assert secret.shared_key(ACCOUNT_SID, "k1") == secret.shared_key(None, "k1") == "main-key"
    assert secret.shared_key(SUBACCOUNT_SID, "k2") == "sub-key"
    assert secret.shared_key(ACCOUNT_SID, "k2") is None
    assert secret.shared_key("AC" + "d" * 32, "k1") is None


def test_a_byte_order_mark_is_ignored() -> None:
    assert TwilioSecret.parse("\ufeff" + a_secret()).main.auth_token == AUTH_TOKEN


def test_unknown_fields_are_ignored() -> None:
    secret = TwilioSecret.parse(a_secret(note="rotated in May"))

    assert secret.main.auth_token == AUTH_TOKEN


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (AUTH_TOKEN, "not JSON"),
        (f'{{"auth_token": {AUTH_TOKEN}}}', "not JSON"),
        (f'["{AUTH_TOKEN}"]', "JSON object"),
        (a_secret(account_sid=None), "account_sid"),
        (a_secret(account_sid=KEY_SID), "account_sid"),
        (a_secret(account_sid=ACCOUNT_SID + "\n"), "account_sid"),
        (a_secret(auth_token=None), "auth_token"),
        (a_secret(auth_token="  "), "auth_token"),
        (a_secret(auth_token=f" {AUTH_TOKEN}"), "auth_token"),
        (a_secret(auth_token=f"{AUTH_TOKEN}\u2013"), "auth_token"),
        (a_secret(auth_token=[AUTH_TOKEN]), "auth_token"),
        (a_secret(api_key_sid=KEY_SID), "api_key_secret"),
        (a_secret(api_key_secret=AUTH_TOKEN), "api_key_sid"),
        (a_secret(api_key_sid=AUTH_TOKEN, api_key_secret="x"), "api_key_sid"),
        (a_secret(accepted_auth_tokens=AUTH_TOKEN), "accepted_auth_tokens"),
        (a_secret(accepted_auth_tokens=["ok", ""]), "accepted_auth_tokens[1]"),
        (a_secret(shared_keys=[AUTH_TOKEN]), "shared_keys"),
        (a_secret(shared_keys={"": "x"}), "shared_keys"),
        (a_secret(shared_keys={"k1": "x", AUTH_TOKEN: ""}), "shared_keys[1]"),
        (a_secret(subaccounts=[AUTH_TOKEN]), "subaccounts"),
        (a_secret(subaccounts={AUTH_TOKEN: {}}), "subaccounts"),
        (a_secret(subaccounts={SUBACCOUNT_SID: AUTH_TOKEN}), f"subaccounts.{SUBACCOUNT_SID}"),
        (a_secret(subaccounts={SUBACCOUNT_SID: {}}), f"subaccounts.{SUBACCOUNT_SID}.auth_token"),
    ],
)
def test_the_error_of_an_invalid_secret_names_the_field_and_never_a_value(
    text: str, named: str
) -> None:
    with pytest.raises(SecretInvalid) as raised:
        TwilioSecret.parse(text)

    assert named in str(raised.value)
    assert AUTH_TOKEN not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


def test_no_repr_holds_a_token() -> None:
    tokens = ["token-1", "token-2", "token-3", "token-4"]
    own = {"auth_token": tokens[3]}
    secret = TwilioSecret.parse(
        a_secret(
            auth_token=tokens[0],
            shared_keys={"k1": "token-5"},
            accepted_auth_tokens=[tokens[1]],
            api_key_sid=KEY_SID,
            api_key_secret=tokens[2],
            subaccounts={SUBACCOUNT_SID: own},
        )
    )

    printed = f"{secret} {secret!r} {secret.for_account(None)} {secret.for_account(SUBACCOUNT_SID)}"

    assert ACCOUNT_SID in printed
    assert "token-" not in printed


class SecretsManager:
    """Secrets Manager by moto with injected errors; counts the reads."""

    def __init__(self, client: "SecretsManagerClient") -> None:
        self.client = client
        self.exceptions = client.exceptions
        self.fails: Exception | None = None
        self.calls = 0

    def get_secret_value(self, **arguments: Any) -> Any:
        self.calls += 1
        if self.fails:
            raise self.fails
        return self.client.get_secret_value(**arguments)

    def holds(self, text: str) -> None:
        self.client.put_secret_value(SecretId=NAME, SecretString=text)


@pytest.fixture
def manager() -> Iterator[SecretsManager]:
    with mock_aws():
        client = shared_client("secretsmanager")
        client.create_secret(Name=NAME, SecretString=a_secret())
        yield SecretsManager(client)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def secrets(manager: Any, clock: Clock) -> TwilioSecrets:
    return TwilioSecrets(manager, NAME, clock.seconds)


DENIED = ClientError({"Error": {"Code": "AccessDeniedException"}}, "GetSecretValue")
SILENT = EndpointConnectionError(endpoint_url="https://secretsmanager")


def test_the_secret_is_cached_for_five_minutes(
    secrets: TwilioSecrets, manager: SecretsManager, clock: Clock
) -> None:
    secrets.current()
    manager.holds(a_secret(auth_token="promoted"))

    clock.advance(seconds=299)
    before = secrets.current()
    clock.advance(seconds=1)
    after = secrets.current()

    assert (before.main.auth_token, after.main.auth_token) == (AUTH_TOKEN, "promoted")
    assert manager.calls == 2


def test_a_clock_that_goes_back_does_not_extend_the_cache(
    secrets: TwilioSecrets, manager: SecretsManager, clock: Clock
) -> None:
    secrets.current()
    manager.holds(a_secret(auth_token="promoted"))

    clock.advance(seconds=-1_000)

    assert secrets.current().main.auth_token == "promoted"


def test_the_cache_uses_the_wall_clock_which_goes_on_in_a_frozen_environment() -> None:
    assert signature(TwilioSecrets).parameters["clock"].default is time.time


@pytest.mark.parametrize("error", [DENIED, SILENT])
def test_the_cached_secret_stays_in_use_while_secrets_manager_fails(
    secrets: TwilioSecrets, manager: SecretsManager, clock: Clock, error: Exception
) -> None:
    known = secrets.current()
    clock.advance(hours=3)
    manager.fails = error

    assert secrets.current() is known
    assert secrets.refresh() is known


def test_a_failed_refresh_is_retried_after_thirty_seconds(
    secrets: TwilioSecrets, manager: SecretsManager, clock: Clock
) -> None:
    secrets.current()
    clock.advance(hours=3)
    manager.fails = SILENT
    secrets.current()
    secrets.current()
    assert manager.calls == 2

    manager.fails = None
    manager.holds(a_secret(auth_token="promoted"))
    clock.advance(seconds=30)

    assert secrets.current().main.auth_token == "promoted"


@pytest.mark.parametrize("error", [DENIED, SILENT])
def test_without_a_cached_secret_a_failed_read_is_an_error(
    secrets: TwilioSecrets, manager: SecretsManager, error: Exception
) -> None:
    manager.fails = error

    with pytest.raises(SecretUnavailable):
        secrets.current()

    manager.fails = None
    assert secrets.current().main.account_sid == ACCOUNT_SID


def test_a_binary_secret_is_invalid(manager: Any) -> None:
    manager.client.create_secret(Name="binary", SecretBinary=b"{}")

    with pytest.raises(SecretInvalid, match="binary"):
        TwilioSecrets(manager, "binary").current()


@pytest.mark.parametrize("text", [None, '{"account_sid": '], ids=["missing", "malformed"])
def test_without_a_cached_secret_an_invalid_one_is_read_once_a_minute(
    manager: SecretsManager, clock: Clock, text: str | None
) -> None:
    if text is not None:
        manager.holds(text)
    secrets = TwilioSecrets(manager, NAME if text else "other", clock.seconds)  # type: ignore[arg-type]  # as far as used

    for _ in range(3):
        with pytest.raises(SecretInvalid):
            secrets.current()
    reads_in_the_first_minute = manager.calls
    clock.advance(minutes=1)
    with pytest.raises(SecretInvalid):
        secrets.current()

    assert (reads_in_the_first_minute, manager.calls) == (1, 2)


def test_a_refresh_that_finds_the_secret_invalid_reports_it_if_a_cached_one_stays_in_use(
    manager: SecretsManager, clock: Clock
) -> None:
    reported: list[SecretInvalid] = []
    secrets = TwilioSecrets(manager, NAME, clock.seconds, on_invalid=reported.append)  # type: ignore[arg-type]  # as far as used
    known = secrets.current()
    manager.holds("not JSON")
    clock.advance(minutes=5)

    assert [secrets.current() for _ in range(3)] == [known] * 3
    assert len(reported) == 1
