"""`delivery doctor`: which key signs status callbacks, by Twilio's webhook rules."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast, override

import pytest
import requests

from delivery.twilio.credentials import TwilioSecret
from delivery_cli.commands.doctor import webhook_rules
from delivery_cli.commands.doctor.finding import Finding, State
from delivery_cli.commands.doctor.webhook_rules import check_webhook_rules
from sandbox.http_server import HttpServer, Request, Response
from sandbox.twilio.accounts import Account
from sandbox.twilio.simulator import TwilioSimulator
from tests.support.builders import ACCOUNT_SID, AUTH_TOKEN
from tests.support.virtual_twilio import SUBACCOUNT_SID, basic

if TYPE_CHECKING:
    from delivery_cli.target import Target

type Json = Any

URL = "https://example.com/hooks/twilio/status"
SECRET = {"account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN}
SHA256 = "HMAC_SHA256"


@dataclass
class Rig:
    """The doctor's check, and a simulated Twilio with two accounts."""

    url: str = ""
    secret: dict[str, Json] = field(default_factory=lambda: dict(SECRET))
    requests: list[Request] = field(default_factory=list)
    answer: Response | None = None
    """Replaces the simulator's answers."""
    simulator: TwilioSimulator = field(
        default_factory=lambda: TwilioSimulator(
            [
                Account(sid=ACCOUNT_SID, auth_token=AUTH_TOKEN),
                Account(sid=SUBACCOUNT_SID, auth_token="the-subaccount-token"),
            ],
            ids=random.SystemRandom(),
        )
    )

    def __call__(self, request: Request) -> Response | None:
        self.requests.append(request)
        return self.answer or self.simulator.handle(request, datetime.now(UTC))

    def create(self, collection: str, content: Json, user: str = ACCOUNT_SID) -> Json:
        password = AUTH_TOKEN if user == ACCOUNT_SID else "the-subaccount-token"
        request = Request(
            method="POST",
            target=f"/v1/Webhooks/{collection}",
            headers=[("Authorization", basic(user, password))],
            body=json.dumps(content).encode(),
        )
        response = self.simulator.handle(request, datetime.now(UTC))
        assert response is not None
        assert response.status < 300, response.body
        return json.loads(response.body)

    def sign(
        self, url: str = "", algorithm: str = SHA256, user: str = ACCOUNT_SID, **more: Json
    ) -> str:
        """Let a rule sign with a new shared key, and return the id of the key."""
        key_id: str = self.create("SharedKeys", {}, user)["id"]
        signature = {"type": "SHARED_KEY", "sharedKeyId": key_id, "algorithm": algorithm}
        self.rule({"signature": signature, **more}, url, user)
        return key_id

    def rule(self, setting: Json, url: str = "", user: str = ACCOUNT_SID) -> None:
        share = {"settingId": self.create("Settings", setting, user)["id"], "percentage": 100}
        match: Json = {"matchType": "DEFAULT"}
        if url:
            field_ = "prefix" if url.endswith("/") else "value"
            match = {"matchType": "PREFIX_MATCH" if field_ == "prefix" else "EXACT_MATCH"}
            match |= {field_: url}
        self.create("Rules", match | {"settings": [share]}, user)

    def check(self, *, base_url: str | None = None) -> list[Finding]:
        stack = SimpleNamespace(
            outputs={"StatusCallbackUrl": URL}, twilio_api_base_url=base_url or self.url
        )
        secret = TwilioSecret.parse(json.dumps(self.secret))
        target = SimpleNamespace(stack=stack, twilio_secret=secret)
        findings = list(check_webhook_rules(cast("Target", target)))
        assert {request.method for request in self.requests} <= {"GET"}
        assert not any(AUTH_TOKEN in it.what + it.fix for it in findings)
        return findings


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    with HttpServer(answer=rig) as server:
        rig.url = server.url
        yield rig


def test_without_a_rule_the_auth_token_signs(rig: Rig) -> None:
    rig.sign("https://example.com/other/")
    rig.sign(URL + "/more")

    (finding,) = rig.check()
    rig.answer = Response(status=200, body=b'{"meta": {"key": "items"}, "items": []}')
    (under_another_key,) = rig.check()

    assert under_another_key == finding
    assert finding.state is State.OK
    assert "auth token signs" in finding.what
    assert "beta" in finding.what


@pytest.mark.parametrize(
    ("url", "algorithm"), [("", SHA256), ("https://example.com/", SHA256), (URL, "HMAC_SHA1")]
)
def test_a_rule_whose_key_the_secret_has_is_ok_and_the_auth_token_is_not_forgotten(
    rig: Rig, url: str, algorithm: str
) -> None:
    key_id = rig.sign(url, algorithm)
    rig.secret["shared_keys"] = {key_id: "its-secret"}

    finding = rig.check()[0]

    assert finding.state is State.OK
    assert f"{key_id}, {algorithm}" in finding.what
    assert "auth token is still accepted" in finding.what
    assert "its-secret" not in finding.what


def test_beside_an_exact_rule_the_longest_prefix_is_checked_for_urls_with_a_query(rig: Rig) -> None:
    rules = (URL, "https://example.com/", "https://example.com/hooks/", "")
    keys = [rig.sign(it) for it in rules]

    found = "".join(it.what for it in rig.check())

    assert [key in found for key in keys] == [True, False, True, False]


def test_both_keys_of_a_rotation_are_checked(rig: Rig) -> None:
    old, new = (rig.create("SharedKeys", {})["id"] for _ in range(2))
    settings = [
        rig.create("Settings", {"signature": {"sharedKeyId": key, "algorithm": SHA256}})["id"]
        for key in (old, new)
    ]
    shares = [{"settingId": it, "percentage": 50} for it in settings]
    rig.create("Rules", {"matchType": "DEFAULT", "settings": shares})
    rig.secret["shared_keys"] = {old: "the-old-secret"}

    has, lacks = rig.check()

    assert (has.state, lacks.state) == (State.OK, State.WRONG)
    assert new in lacks.what
    assert "DEFAULT" in lacks.what
    assert f"shared_keys of {ACCOUNT_SID}" in lacks.fix


def test_a_key_in_the_entry_of_another_account_does_not_count(rig: Rig) -> None:
    key_id = rig.sign(user=SUBACCOUNT_SID)
    rig.secret["shared_keys"] = {key_id: "its-secret"}
    rig.secret["subaccounts"] = {SUBACCOUNT_SID: {"auth_token": "the-subaccount-token"}}

    main, subaccount = rig.check()

    assert (main.state, subaccount.state) == (State.OK, State.WRONG)
    assert f"shared_keys of {SUBACCOUNT_SID}" in subaccount.fix


def test_a_rule_without_a_key_lets_the_auth_token_sign(rig: Rig) -> None:
    rig.rule({})

    (finding,) = rig.check()

    assert finding.state is State.OK
    assert "auth token" in finding.what


@pytest.mark.parametrize(
    ("policy", "advised"),
    [
        ({"retryCount": 5, "retryOn": ["ALL"]}, False),
        ({"retryCount": 0, "retryOn": ["ALL"]}, True),
        ({"retryCount": 5, "retryOn": ["CONNECTION_TIMEOUT"]}, True),
        ({}, True),
    ],
)
def test_a_rule_that_takes_the_retries_away_is_worth_an_advice(
    rig: Rig, policy: Json, *, advised: bool
) -> None:
    key_id = rig.sign(connection={"retryPolicy": policy})
    rig.secret["shared_keys"] = {key_id: "its-secret"}

    states = [it.state for it in rig.check()]

    assert states == [State.OK, State.ADVICE] if advised else [State.OK]


def test_an_algorithm_of_the_future_is_wrong(rig: Rig) -> None:
    rules = {"rules": [{"id": "r", "matchType": "DEFAULT", "settings": [{"settingId": "s"}]}]}
    signature = {"sharedKeyId": "k", "algorithm": "HMAC_SHA512"}
    rig.answer = Response(status=200, body=json.dumps(rules | {"signature": signature}).encode())
    rig.secret["shared_keys"] = {"k": "its-secret"}

    (finding,) = rig.check()

    assert finding.state is State.WRONG
    assert "HMAC_SHA512" in finding.what


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, b"{}"),
        (302, b""),
        (200, b"<html>"),
        (200, b"[]"),
        (200, b'{"rules": 1}'),
        (200, b'{"meta": {"key": "rules", "nextToken": "again"}, "rules": []}'),
    ],
)
def test_an_api_that_is_not_there_is_unknown(rig: Rig, status: int, body: bytes) -> None:
    rig.answer = Response(status=status, body=body)

    (finding,) = rig.check()

    assert finding.state is State.UNKNOWN
    assert finding.fix


@pytest.mark.parametrize(
    ("api", "webhooks"),
    [
        ("https://api.twilio.com", "https://webhooks.twilio.com"),
        ("https://api.dublin.ie1.twilio.com", "https://webhooks.dublin.ie1.twilio.com"),
        ("https://twilio.example.com", "https://twilio.example.com"),
    ],
)
def test_the_api_of_the_account_s_region_is_requested(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, api: str, webhooks: str
) -> None:
    asked: list[str] = []

    class Offline(requests.Session):
        @override
        def get(self, url: str | bytes, **_options: Any) -> requests.Response:
            asked.append(str(url))
            raise requests.ConnectionError

    monkeypatch.setattr(webhook_rules, "open_session", lambda _: Offline())

    rig.check(base_url=api)

    assert asked == [f"{webhooks}/v1/Webhooks/Rules"]


def test_refused_credentials_are_left_to_the_check_of_credentials(rig: Rig) -> None:
    rig.secret["auth_token"] = "another"

    assert rig.check() == []


def test_rules_on_a_second_page_are_found(rig: Rig) -> None:
    setting = rig.create("Settings", {})["id"]
    share = {"settingId": setting, "percentage": 100}
    for number in range(120):
        value = f"https://example.com/{number}"
        rig.create("Rules", {"matchType": "EXACT_MATCH", "value": value, "settings": [share]})
    key_id = rig.sign()

    (finding,) = rig.check()

    assert key_id in finding.what
