"""The simulator's webhook rules: the API that configures them, and what they sign."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, override

import pytest
from twilio.http.http_client import TwilioHttpClient
from twilio.http.response import Response as SdkResponse
from twilio.request_validator import RequestValidator, get_signature_algorithm
from twilio.rest import Client
from twilio.rest.webhooks.v1 import V1
from twilio.rest.webhooks.v1.rule import RuleInstance, RuleList
from twilio.rest.webhooks.v1.setting import SettingList
from twilio.rest.webhooks.v1.shared_key import SharedKeyList

from sandbox.http_server import Response
from sandbox.twilio.callbacks import CallbackAttempt, CallbackResult
from tests.support.virtual_twilio import (
    ACCOUNT_SID,
    API_KEY_SECRET,
    API_KEY_SID,
    AUTH_TOKEN,
    CALLBACK_URL,
    SUBACCOUNT_SID,
    VirtualTwilio,
    always,
    basic,
    parameters_of,
)

HEADER = "X-Twilio-Webhooks-Signature-Settings"
PREFIX = "https://example.com/twilio/"
SHA1, SHA256 = "HMAC_SHA1", "HMAC_SHA256"


class VirtualHttpClient(TwilioHttpClient):  # type: ignore[misc]  # the SDK brings no types
    """The SDK's HTTP client, connected to the simulator without a network."""

    def __init__(self, virtual: VirtualTwilio) -> None:
        super().__init__()
        self._virtual = virtual

    @override
    def request(self, method: str, url: str, *_args: Any, **parts: Any) -> SdkResponse:
        path = url.removeprefix("https://webhooks.twilio.com")
        query = {k: v for k, v in (parts.get("params") or {}).items() if v is not None}
        data = parts.get("data")
        response = self._virtual.answer(
            method,
            path,
            query=query,
            authorization=basic(*parts["auth"]),
            body=b"" if data is None else json.dumps(data).encode(),
        )
        return SdkResponse(response.status, response.body.decode(), dict(response.headers))


@pytest.fixture
def twilio() -> VirtualTwilio:
    return VirtualTwilio()


@pytest.fixture
def sdk(twilio: VirtualTwilio) -> V1:
    client = Client(API_KEY_SID, API_KEY_SECRET, ACCOUNT_SID, http_client=VirtualHttpClient(twilio))
    return client.webhooks.v1


def a_key(sdk: V1) -> Any:
    return sdk.shared_keys.create(SharedKeyList.PostSharedKey({}))


def a_setting(sdk: V1, key_id: str | None = None, algorithm: str = SHA256, **fields: Any) -> Any:
    signature: dict[str, Any] = {"type": "SHARED_KEY" if key_id else "ACCOUNT_AUTH_TOKEN"}
    signature |= {"sharedKeyId": key_id, "algorithm": algorithm if key_id else SHA1}
    return sdk.settings.create(SettingList.PostSetting({"signature": signature, **fields}))


def a_rule(sdk: V1, *setting_ids: str, url: str = "") -> RuleInstance:
    """A DEFAULT rule without a URL, a prefix rule if it ends in a slash, else an exact one."""
    match: dict[str, str] = {"matchType": "DEFAULT"}
    if url:
        field = "prefix" if url.endswith("/") else "value"
        match = {"matchType": "PREFIX_MATCH" if field == "prefix" else "EXACT_MATCH", field: url}
    share = 100 // len(setting_ids)
    settings = [{"settingId": it, "percentage": share} for it in setting_ids]
    return sdk.rules.create(RuleList.PostRule({**match, "settings": settings}))


def settings_of(attempt: CallbackAttempt) -> str | None:
    return attempt.headers.get(HEADER)


# --- signing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", [SHA1, SHA256])
@pytest.mark.parametrize("url", ["", PREFIX, CALLBACK_URL])
def test_a_rule_signs_with_its_shared_key_and_algorithm(
    twilio: VirtualTwilio, sdk: V1, url: str, algorithm: str
) -> None:
    key = a_key(sdk)
    a_rule(sdk, a_setting(sdk, key.id, algorithm).id, url=url)
    twilio.send(StatusCallback=CALLBACK_URL + "#rc=5")

    twilio.run()

    assert len(twilio.received) == 2
    for attempt in twilio.received:
        header, signature = settings_of(attempt), attempt.headers["X-Twilio-Signature"]
        assert header == f"key={key.id},algorithm={algorithm}"
        signed = (attempt.url, parameters_of(attempt), signature, get_signature_algorithm(header))
        assert RequestValidator(key.secret).validate(*signed)
        assert not RequestValidator(AUTH_TOKEN).validate(*signed)


def test_without_a_matching_rule_that_names_a_key_the_auth_token_signs(
    twilio: VirtualTwilio, sdk: V1
) -> None:
    setting = a_setting(sdk, a_key(sdk).id)
    a_rule(sdk, setting.id, url="https://example.com/other/")
    a_rule(sdk, setting.id, url=CALLBACK_URL.partition("?")[0])  # without the query
    a_rule(sdk, a_setting(sdk).id)  # matches, and names no key
    twilio.send()

    twilio.run()

    for attempt in twilio.received:
        assert settings_of(attempt) is None
        signature = attempt.headers["X-Twilio-Signature"]
        assert RequestValidator(AUTH_TOKEN).validate(attempt.url, parameters_of(attempt), signature)


def test_the_exact_rule_comes_before_the_longest_prefix_and_the_default_last(
    twilio: VirtualTwilio, sdk: V1
) -> None:
    urls = ["", "https://example.com/", PREFIX, CALLBACK_URL]
    keys = [a_key(sdk).id for _ in urls]
    rules = [
        a_rule(sdk, a_setting(sdk, key).id, url=url) for key, url in zip(keys, urls, strict=True)
    ]
    signed_by = []

    for rule in reversed(rules):
        twilio.send()
        twilio.run()
        signed_by.append(settings_of(twilio.received[-1]))
        sdk.rules(rule.rule["id"]).delete()

    assert signed_by == [f"key={key},algorithm={SHA256}" for key in reversed(keys)]


def test_a_rule_of_one_account_does_not_sign_for_another(twilio: VirtualTwilio, sdk: V1) -> None:
    a_rule(sdk, a_setting(sdk, a_key(sdk).id).id)
    path = f"/2010-04-01/Accounts/{SUBACCOUNT_SID}/Messages.json"
    form = {"To": "+15558675310", "From": "+15557654321", "Body": "x", "StatusCallback": PREFIX}
    twilio.request(
        "POST", path, form=form, authorization=basic(SUBACCOUNT_SID, "the-subaccount-token")
    )

    twilio.run()

    assert [settings_of(attempt) for attempt in twilio.received] == [None, None]


def test_two_settings_split_the_callbacks_so_that_a_key_can_be_rotated(
    twilio: VirtualTwilio, sdk: V1
) -> None:
    old, new = a_key(sdk), a_key(sdk)
    a_rule(sdk, a_setting(sdk, old.id).id, a_setting(sdk, new.id).id)
    for _ in range(20):
        twilio.send()

    twilio.run()

    counts = Counter(map(settings_of, twilio.received))
    assert counts.keys() == {f"key={key.id},algorithm={SHA256}" for key in (old, new)}
    assert min(counts.values()) > 5


def test_a_retry_is_signed_by_the_same_key_and_by_the_token_once_the_key_is_deleted(
    twilio: VirtualTwilio, sdk: V1
) -> None:
    key = a_key(sdk)
    setting = a_setting(sdk, key.id)
    rule = a_rule(sdk, setting.id)
    twilio.send(To="+15555550105", StatusCallback=CALLBACK_URL + "#rc=3&rp=all")
    failures = iter([503, 503, 204])

    def receiver(_: CallbackAttempt) -> CallbackResult:
        status = next(failures)
        if len(twilio.received) == 2:
            sdk.rules(rule.rule["id"]).delete()
            sdk.settings(setting.id).delete()
            sdk.shared_keys(key.id).delete()
        return CallbackResult(status=status)

    twilio.run(receiver)

    by_key = f"key={key.id},algorithm={SHA256}"
    assert [settings_of(attempt) for attempt in twilio.received] == [by_key, by_key, None]


def test_the_connection_of_a_setting_overrides_that_of_the_url(
    twilio: VirtualTwilio, sdk: V1
) -> None:
    retries = {"retryCount": 2, "retryOn": ["HTTP_5XX"]}
    connection = {"connectTimeoutMs": 1000, "totalTimeoutMs": 60_000, "retryPolicy": retries}
    setting = a_setting(sdk, a_key(sdk).id, connection=connection)
    a_rule(sdk, setting.id)
    twilio.send(To="+15555550105", StatusCallback=CALLBACK_URL + "#rc=5&rp=all")

    twilio.run(always(CallbackResult(status=503)))

    assert len(twilio.received) == 3
    attempt = twilio.received[0]
    assert (attempt.connect_timeout, attempt.read_timeout, attempt.total_timeout) == (1, 15, 60)
    assert sdk.settings(setting.id).fetch().connection == {
        **connection,
        "readTimeoutMs": 15_000,
    }


# --- the configuration API -----------------------------------------------------------------------


def test_a_shared_key_shows_its_secret_once(sdk: V1) -> None:
    key = a_key(sdk)

    assert len(key.id) == len("webhooks_sharedkey_") + 26
    assert len(key.secret) >= 32
    assert [(it.id, it.secret) for it in sdk.shared_keys.list()] == [(key.id, None)]
    assert sdk.shared_keys(key.id).fetch().secret is None


def test_a_rule_is_created_changed_and_deleted(sdk: V1) -> None:
    first, second = (a_setting(sdk, a_key(sdk).id).id for _ in range(2))

    created = a_rule(sdk, first, url=PREFIX)
    rule_id: str = created.rule["id"]
    operation = sdk.operations(created.operation["id"]).fetch()
    change = RuleList.PatchRule({"settings": [{"settingId": second, "percentage": 100}]})
    sdk.rules(rule_id).patch(change)
    (rule,) = sdk.rules.list()
    deleted = sdk.rules(rule_id).delete()

    assert (operation.status, operation.resource_id) == ("COMPLETED", rule_id)
    assert (rule.match_type, rule.prefix, rule.value) == ("PREFIX_MATCH", PREFIX, None)
    assert rule.settings == [{"settingId": second, "percentage": 100}]
    assert deleted
    assert sdk.rules.list() == []


@pytest.mark.parametrize("auth", [{}, {"source": "INLINE", "value": {"scheme": "NONE"}}])
def test_a_setting_may_have_the_required_auth_if_it_names_no_credentials(
    sdk: V1, auth: dict[str, Any]
) -> None:
    assert a_setting(sdk, a_key(sdk).id, auth=auth).id.startswith("webhooks_setting_")


def test_a_list_is_read_page_by_page(sdk: V1) -> None:
    ids = [a_key(sdk).id for _ in range(5)]

    assert [key.id for key in sdk.shared_keys.list(page_size=2)] == ids


def test_rules_are_listed_by_their_setting(sdk: V1) -> None:
    first, second = (a_setting(sdk).id for _ in range(2))
    a_rule(sdk, first, url=PREFIX)
    a_rule(sdk, second)

    assert [rule.match_type for rule in sdk.rules.list(setting_id=second)] == ["DEFAULT"]


def errors(sdk: V1, twilio: VirtualTwilio) -> Iterator[tuple[Response, int, int]]:
    """Invalid requests with the status and code of their errors."""
    key = a_key(sdk)
    setting = a_setting(sdk, key.id)
    rule_id: str = a_rule(sdk, setting.id).rule["id"]
    share = {"settingId": setting.id, "percentage": 100}
    exact = {"matchType": "EXACT_MATCH", "settings": [share]}

    def request(method: str, path: str, content: Any = None) -> Response:
        body = json.dumps(content).encode() if content is not None else b""
        return twilio.answer(method, f"/v1/Webhooks/{path}", body=body)

    yield request("GET", "AuthProfiles"), 404, 20404
    yield request("GET", "Rules/webhooks_rule_0"), 404, 20404
    yield request("PUT", "Rules"), 405, 20004
    yield request("POST", "Rules"), 400, 20422
    yield request("DELETE", f"SharedKeys/{key.id}"), 409, 20409
    yield request("DELETE", f"Settings/{setting.id}"), 409, 20409
    yield request("POST", "Rules", {"matchType": "DEFAULT", "settings": [share]}), 409, 59103
    yield request("PATCH", f"Settings/{setting.id}", {"signature": {}}), 405, 20004
    yield request("PATCH", f"Rules/{rule_id}", {"matchType": "EXACT_MATCH"}), 400, 20422
    yield request("PATCH", f"Rules/{rule_id}", {"prefix": PREFIX}), 400, 20422
    invalid_rules: tuple[Any, ...] = (
        [],
        {},
        {"matchType": "default", "settings": [share]},
        {"matchType": "DEFAULT", "settings": []},
        {"matchType": "DEFAULT", "settings": [share] * 3},
        {"matchType": "DEFAULT", "settings": [share | {"percentage": 50}]},
        {"matchType": "DEFAULT", "settings": [share | {"percentage": "100"}]},
        {"matchType": "DEFAULT", "settings": [{"settingId": "webhooks_setting_0"}]},
        {"matchType": "DEFAULT", "settings": ["webhooks_setting_0"]},
        exact,
        exact | {"value": PREFIX},
        exact | {"value": "example.com/hooks"},
        exact | {"value": "https://[/hooks"},
        exact | {"value": "https://example.com/" + "x" * 2048},
        exact | {"prefix": PREFIX},
        {"matchType": "PREFIX_MATCH", "settings": [share], "prefix": PREFIX[:-1]},
    )
    for rule in invalid_rules:
        yield request("POST", "Rules", rule), 400, 20422
    invalid_settings: tuple[Any, ...] = (
        {"signature": {"sharedKeyId": key.id}},
        {"signature": {"sharedKeyId": key.id, "algorithm": "MD5"}},
        {"signature": {"sharedKeyId": "webhooks_sharedkey_0", "algorithm": SHA256}},
        {"signature": {"type": "ACCOUNT_AUTH_TOKEN", "algorithm": SHA256}},
        {"connection": 1},
        {"connection": {"connectTimeoutMs": 1}},
        {"connection": {"retryPolicy": {"retryCount": 6}}},
        {"connection": {"retryPolicy": {"retryOn": ["SOMETIMES"]}}},
        {"connection": {"retryPolicy": 1}},
        {"auth": 1},
        {"auth": {"source": "REFERENCE", "authProfileId": "webhooks_authprofile_0"}},
        {"auth": {"source": "INLINE", "value": {"scheme": "BASIC", "username": "u"}}},
    )
    for setting_fields in invalid_settings:
        yield request("POST", "Settings", setting_fields), 400, 20422
    yield twilio.answer("GET", "/v1/Webhooks/Rules", query="pageSize=0"), 400, 20422
    yield twilio.answer("GET", "/v1/Webhooks/Rules", query="pageToken=x"), 400, 20422
    yield twilio.answer("GET", "/v1/Webhooks/Rules", authorization=None), 401, 20003
    wrong = basic(API_KEY_SID, "wrong")
    yield twilio.answer("GET", "/v1/Webhooks/Rules", authorization=wrong), 401, 20003


def test_an_invalid_request_is_a_problem_with_twilios_code(twilio: VirtualTwilio, sdk: V1) -> None:
    for response, status, code in errors(sdk, twilio):
        problem = json.loads(response.body)
        assert (response.status, problem["code"]) == (status, code), problem
        assert problem["status"] == status
        assert problem["detail"]
        assert response.header("Content-Type") == "application/problem+json"
    assert len(sdk.rules.list()) == 1
    assert len(sdk.settings.list()) == 1
