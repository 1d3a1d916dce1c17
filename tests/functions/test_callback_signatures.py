"""StatusCallbackFunction: which keys and URLs may sign, and the causes of invalid signatures."""

import io
import json
from typing import Any
from unittest import mock

import pytest

from delivery.twilio.signature import Algorithm
from tests.functions.callbacks import (
    CALLBACK,
    DOMAIN,
    PATH,
    SECRET_NAME,
    URL,
    StatusCallbackRig,
    a_request,
)
from tests.support.builders import AUTH_TOKEN
from tests.support.embedded_metrics import data_points, total
from tests.support.shared_clients import shared_client

SUBACCOUNT = "AC" + "1" * 32
KEY_ID = "webhooks_sharedkey_0123456789abcdefghijklmnop"
KEY = "the-shared-key"
OTHER_KEY_ID = "webhooks_sharedkey_other"


def causes(log_output: io.StringIO) -> list[str]:
    """The causes that were logged."""
    lines = [json.loads(line) for line in log_output.getvalue().splitlines()]
    return [line["cause"] for line in lines if line["message"] == "SignatureInvalid"]


def signed_by_key(
    algorithm: str | None = "HMAC_SHA256",
    *,
    key_id: str = KEY_ID,
    key: str = KEY,
    parameters: dict[str, str] = CALLBACK,
    **options: Any,
) -> dict[str, Any]:
    """A request that a webhook rule made Twilio sign with a shared key."""
    settings = f"key={key_id}" + (f",algorithm={algorithm}" if algorithm else "")
    headers = {"x_twilio_webhooks_signature_settings": settings} | options
    signs_with = Algorithm(algorithm) if algorithm in set(Algorithm) else Algorithm.HMAC_SHA1
    return a_request(parameters, token=key, algorithm=signs_with, **headers)


# --- auth tokens ---------------------------------------------------------------------------------


def test_an_accepted_auth_token_signs_beside_the_present_one(callbacks: StatusCallbackRig) -> None:
    callbacks.put_secret(accepted_auth_tokens=["next-token"])

    assert callbacks.call(a_request(token="next-token")) == 204
    assert callbacks.call(a_request(token=AUTH_TOKEN)) == 204
    assert callbacks.call(a_request(token="third-token")) == 403


def test_a_subaccount_signs_with_its_own_token_only(callbacks: StatusCallbackRig) -> None:
    callbacks.put_secret(subaccounts={SUBACCOUNT: {"auth_token": "sub-token"}})
    callback = CALLBACK | {"AccountSid": SUBACCOUNT}

    assert callbacks.call(a_request(callback, token="sub-token")) == 204
    assert callbacks.call(a_request(callback, token=AUTH_TOKEN)) == 403
    assert callbacks.call(a_request(token="sub-token")) == 403


def test_an_api_key_secret_signs_nothing(callbacks: StatusCallbackRig) -> None:
    callbacks.put_secret(api_key_sid="SK" + "0" * 32, api_key_secret="key-secret")

    assert callbacks.call(a_request(token="key-secret")) == 403
    assert callbacks.call(a_request(token=AUTH_TOKEN)) == 204


# --- shared keys of webhook rules ----------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["HMAC_SHA256", "HMAC_SHA1", None])
def test_a_shared_key_signs_with_the_algorithm_of_its_rule(
    callbacks: StatusCallbackRig, algorithm: str | None
) -> None:
    callbacks.put_secret(shared_keys={KEY_ID: KEY})

    assert callbacks.call(signed_by_key(algorithm)) == 204
    assert callbacks.message().status == "sent"


@pytest.mark.parametrize(
    "event",
    [
        signed_by_key(key=AUTH_TOKEN),
        signed_by_key(key="next-token"),
        signed_by_key(key="the-other-key"),
        signed_by_key(key_id=OTHER_KEY_ID),
        signed_by_key(
            "HMAC_SHA1", x_twilio_webhooks_signature_settings=f"key={KEY_ID},algorithm=HMAC_SHA256"
        ),
        signed_by_key(x_twilio_webhooks_signature_settings=None),
        signed_by_key(parameters=CALLBACK | {"AccountSid": SUBACCOUNT}),
        a_request(token=KEY),
        a_request(algorithm=Algorithm.HMAC_SHA256),
        a_request(x_twilio_webhooks_signature_settings=f"key={KEY_ID}"),
    ],
)
def test_only_the_key_that_the_settings_name_signs_and_only_for_its_account(
    callbacks: StatusCallbackRig, event: dict[str, Any]
) -> None:
    callbacks.put_secret(
        accepted_auth_tokens=["next-token"],
        shared_keys={KEY_ID: KEY, OTHER_KEY_ID: "the-other-key"},
        subaccounts={SUBACCOUNT: {"auth_token": "sub-token"}},
    )

    assert callbacks.call(event) == 403
    assert callbacks.items() == []


def test_a_subaccounts_shared_key_signs_for_it_alone(callbacks: StatusCallbackRig) -> None:
    entry = {"auth_token": "sub-token", "shared_keys": {KEY_ID: KEY}}
    callbacks.put_secret(subaccounts={SUBACCOUNT: entry})
    of_subaccount = CALLBACK | {"AccountSid": SUBACCOUNT}

    assert callbacks.call(signed_by_key(parameters=of_subaccount)) == 204
    assert callbacks.call(signed_by_key()) == 403


def test_a_key_that_was_added_to_the_secret_is_found_at_once_and_unknown_keys_cost_a_read_a_minute(
    callbacks: StatusCallbackRig,
) -> None:
    secrets_manager = mock.Mock(wraps=shared_client("secretsmanager"))
    callbacks.restart(secrets_manager=secrets_manager)
    reads = secrets_manager.get_secret_value
    callbacks.call(a_request())
    callbacks.put_secret(shared_keys={KEY_ID: KEY})

    found = callbacks.call(signed_by_key())
    unknown = [callbacks.call(signed_by_key(key_id=OTHER_KEY_ID)) for _ in range(3)]
    within_a_minute = reads.call_count
    callbacks.clock.advance(minutes=1)
    callbacks.call(signed_by_key(key_id=OTHER_KEY_ID))

    assert (found, unknown) == (204, [403, 403, 403])
    assert (within_a_minute, reads.call_count) == (2, 3)


@pytest.mark.parametrize(
    ("key_id", "is_logged"),
    [(OTHER_KEY_ID, True), ("a" * 64, True), ("a" * 65, False), ("+15558675310", False)],
)
def test_the_id_of_an_unknown_key_is_logged_only_if_it_looks_like_one(
    callbacks: StatusCallbackRig, log_output: io.StringIO, key_id: str, *, is_logged: bool
) -> None:
    callbacks.call(signed_by_key(key_id=key_id))

    assert causes(log_output) == ["unknown_key"]
    assert (key_id in log_output.getvalue()) is is_logged


# --- the URL -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "signed_url", [URL, f"https://{DOMAIN}{PATH}", f"https://{DOMAIN}:443{PATH}"]
)
def test_twilio_may_call_the_public_url_or_the_apis_own(
    callbacks: StatusCallbackRig, signed_url: str
) -> None:
    assert callbacks.call(a_request(url=signed_url)) == 204


def test_a_public_base_url_may_have_a_path(callbacks: StatusCallbackRig) -> None:
    callbacks.restart(PUBLIC_BASE_URL="https://example.com/hooks/")

    assert callbacks.call(a_request(url=f"https://example.com/hooks{PATH}")) == 204


def test_a_custom_domain_with_a_base_path_needs_no_public_base_url(
    callbacks: StatusCallbackRig,
) -> None:
    callbacks.restart(PUBLIC_BASE_URL="")
    path = f"/messaging{PATH}"
    event = a_request(url=f"https://hooks.example.com{path}", path=path, domain="hooks.example.com")

    assert callbacks.call(event) == 204


# --- causes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "cause"),
    [
        (a_request(CALLBACK | {"AccountSid": SUBACCOUNT}), "unknown_account"),
        (a_request(token="another-token"), "token_or_url"),
        (a_request(url="https://elsewhere.example.com/twilio/status"), "token_or_url"),
        (a_request(url=URL + "/"), "url_differs"),
        (a_request(url=URL.replace("https", "http")), "url_differs"),
        (a_request(url=URL) | {"rawQueryString": "added=1"}, "url_differs"),
        (
            a_request(url="https://b.example" + PATH, host="b.example"),
            "url_differs",
        ),
        (
            a_request(url="http://a.example:8080" + PATH, x_forwarded_host="a.example:8080"),
            "url_differs",
        ),
        (a_request(url=URL + "/", token="another-token"), "token_or_url"),
        (signed_by_key(key_id=OTHER_KEY_ID), "unknown_key"),
        (a_request(x_twilio_webhooks_signature_settings="?"), "unknown_key"),
        (signed_by_key("HMAC_MD5"), "unknown_algorithm"),
        (signed_by_key(key="another-key"), "token_or_url"),
        (signed_by_key(url=URL + "/"), "url_differs"),
    ],
)
def test_the_log_names_the_cause_that_is_proven(
    callbacks: StatusCallbackRig, log_output: io.StringIO, event: dict[str, Any], cause: str
) -> None:
    callbacks.put_secret(shared_keys={KEY_ID: KEY})

    assert callbacks.call(event) == 403

    assert causes(log_output) == [cause]
    assert not any(it in log_output.getvalue() for it in (AUTH_TOKEN, KEY, "8675310", "example"))


def test_each_cause_is_logged_once_a_minute(
    callbacks: StatusCallbackRig, log_output: io.StringIO
) -> None:
    def one_of_each() -> None:
        callbacks.call(a_request(token="another-token"))
        callbacks.call(a_request(url=URL + "/"))
        callbacks.call(a_request(CALLBACK | {"AccountSid": SUBACCOUNT}))
        callbacks.call(a_request(x_twilio_signature=None))

    for _ in range(5):
        one_of_each()
    first_minute = causes(log_output)
    callbacks.clock.advance(minutes=1)
    one_of_each()

    assert sorted(first_minute) == ["token_or_url", "unknown_account", "url_differs"]
    assert sorted(causes(log_output)[3:]) == sorted(first_minute)


def test_the_cause_is_not_worked_out_if_no_line_may_be_logged(callbacks: StatusCallbackRig) -> None:
    digest = "delivery.twilio.signature.hmac.digest"
    for event in (a_request(token="another-token"), a_request(url=URL + "/")):
        callbacks.call(event)

    forged = a_request(x_twilio_signature="d3Jvbmc=")

    with mock.patch(digest, return_value=b"") as signing:
        callbacks.call(forged)

    assert signing.call_count <= 2 * 3  # two URLs, each as it is, without and with its port


def test_missing_and_invalid_signatures_and_unknown_keys_are_counted_separately(
    callbacks: StatusCallbackRig, capsys: pytest.CaptureFixture[str]
) -> None:
    callbacks.call(a_request(x_twilio_signature=None))
    callbacks.call(a_request(token="another-token"))
    callbacks.call(a_request(x_twilio_webhooks_signature_settings="?"))
    callbacks.call(signed_by_key(key_id=OTHER_KEY_ID))

    counted = data_points(capsys.readouterr().out)
    assert total(counted, "SignatureMissing", service="tested") == 1
    assert total(counted, "SignatureInvalid", service="tested") == 3
    assert total(counted, "SharedKeyUnknown", service="tested") == 1


# --- the secret ----------------------------------------------------------------------------------


def test_a_missing_secret_costs_one_read_and_one_log_line_a_minute(
    callbacks: StatusCallbackRig, log_output: io.StringIO
) -> None:
    shared_client("secretsmanager").delete_secret(
        SecretId=SECRET_NAME, ForceDeleteWithoutRecovery=True
    )
    secrets_manager = mock.Mock(wraps=shared_client("secretsmanager"))
    secrets_manager.exceptions = shared_client("secretsmanager").exceptions
    callbacks.restart(secrets_manager=secrets_manager)

    statuses = [callbacks.call(a_request()) for _ in range(5)]
    cost = secrets_manager.get_secret_value.call_count, len(log_output.getvalue().splitlines())
    callbacks.clock.advance(minutes=1)
    callbacks.call(a_request())

    assert statuses == [503] * 5
    assert cost == (1, 1)
    assert secrets_manager.get_secret_value.call_count == 2
    assert len(log_output.getvalue().splitlines()) == 2


def test_an_invalid_secret_that_a_cached_one_hides_is_counted_at_each_refresh(
    callbacks: StatusCallbackRig, capsys: pytest.CaptureFixture[str], log_output: io.StringIO
) -> None:
    callbacks.call(a_request())
    callbacks.put_secret(auth_token="")
    callbacks.clock.advance(minutes=5)

    statuses = [callbacks.call(a_request()) for _ in range(3)]

    assert statuses == [204] * 3
    assert total(data_points(capsys.readouterr().out), "SecretInvalid") == 1
    assert "auth_token" in log_output.getvalue()
