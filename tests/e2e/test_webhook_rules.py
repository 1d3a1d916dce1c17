"""Webhook rules: Twilio signs callbacks with a shared key instead of the auth token."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox.lifecycle import Sandbox
from sandbox.polling import wait_for
from tests.e2e.external_client import TIMEOUT_SECONDS, ExternalClient, Json
from tests.support.command_line import run

RECIPIENT = "+15551234567"
SECRET_NAME = "delivery/twilio"


class WebhooksApi:
    """Twilio's webhooks configuration API, as an operator uses it."""

    def __init__(self, endpoints: Json) -> None:
        self._url = f"{endpoints['twilio_api_base_url']}/v1/Webhooks"
        self._auth = (endpoints["twilio_account_sid"], endpoints["twilio_auth_token"])

    def call(self, method: str, path: str, content: Json = None) -> Json:
        response = requests.request(
            method, f"{self._url}/{path}", json=content, auth=self._auth, timeout=10
        )
        assert response.status_code < 300, response.text
        return response.json() if response.content else None

    def create_key(self) -> Json:
        return self.call("POST", "SharedKeys", {})

    def share(self, key: Json, algorithm: str) -> list[Json]:
        """The settings of a rule that signs everything with this key."""
        signature = {"type": "SHARED_KEY", "sharedKeyId": key["id"], "algorithm": algorithm}
        setting = self.call("POST", "Settings", {"signature": signature})
        return [{"settingId": setting["id"], "percentage": 100}]


@pytest.fixture
def webhooks(client: ExternalClient) -> Iterator[WebhooksApi]:
    """The API; the rules of a test end with it."""
    api = WebhooksApi(client.endpoints)
    yield api
    for rule in api.call("GET", "Rules")["rules"]:
        api.call("DELETE", f"Rules/{rule['id']}")


@pytest.fixture
def secret(client: ExternalClient) -> Iterator[Any]:
    """Adds shared keys to the secret; the secret is restored after the test."""
    secrets = client.aws("secretsmanager")
    before = secrets.get_secret_value(SecretId=SECRET_NAME)["SecretString"]

    def add(*keys: Json) -> None:
        content = json.loads(before) | {"shared_keys": {key["id"]: key["secret"] for key in keys}}
        secrets.put_secret_value(SecretId=SECRET_NAME, SecretString=json.dumps(content))

    yield add
    secrets.put_secret_value(SecretId=SECRET_NAME, SecretString=before)


def attempts_of(message: Json) -> list[tuple[str | None, int]]:
    """The key that signed each attempt of the message's callbacks, and its answer."""
    return [
        ((callback["signing"] or {}).get("key_id"), attempt["result"]["status"])
        for callback in message["callbacks"]
        for attempt in callback["attempts"]
    ]


def send_and_wait(client: ExternalClient) -> list[tuple[str | None, int]]:
    message_sid = client.send_accepted(RECIPIENT)
    client.wait_for_message(message_sid, lambda it: it["outcome"] == "delivered", "delivered")
    client.wait_for_callbacks(message_sid)
    return attempts_of(client.simulator_message(message_sid))


def logged_causes(client: ExternalClient, sandbox: Sandbox, since: datetime) -> set[str]:
    """The causes of refused callbacks in the function's log."""
    group = sandbox.stack.resources["StatusCallbackLogs"]
    events = client.aws("logs").filter_log_events(
        logGroupName=group, startTime=int(since.timestamp() * 1000)
    )["events"]
    lines = [json.loads(it["message"]) for it in events if it["message"].startswith("{")]
    return {line["cause"] for line in lines if "cause" in line}


def test_callbacks_are_accepted_with_a_known_shared_key_and_refused_with_an_unknown_one(
    client: ExternalClient,
    sandbox: Sandbox,
    webhooks: WebhooksApi,
    secret: Any,
    endpoints_path: Path,
) -> None:
    since = datetime.now(UTC)
    first, second, unknown = (webhooks.create_key() for _ in range(3))
    secret(first, second)

    rule = webhooks.call(
        "POST",
        "Rules",
        {"matchType": "DEFAULT", "settings": webhooks.share(first, "HMAC_SHA256")},
    )["rule"]
    signed_by_first = send_and_wait(client)
    rotated = {"settings": webhooks.share(second, "HMAC_SHA1")}
    webhooks.call("PATCH", f"Rules/{rule['id']}", rotated)
    signed_by_second = send_and_wait(client)
    webhooks.call(
        "PATCH", f"Rules/{rule['id']}", {"settings": webhooks.share(unknown, "HMAC_SHA256")}
    )
    refused = send_and_wait(client)  # reconciliation learns that it was delivered
    doctor = run("doctor", "--json", environment={"DELIVERY_SANDBOX": str(endpoints_path)}).json
    webhooks.call("DELETE", f"Rules/{rule['id']}")
    signed_by_token = send_and_wait(client)

    assert signed_by_first == [(first["id"], 204)] * 2
    assert signed_by_second == [(second["id"], 204)] * 2
    assert refused == [(unknown["id"], 403)] * 12
    assert signed_by_token == [(None, 204)] * 2
    (finding,) = [it for it in doctor["findings"] if it["check"] == "webhooks"]
    assert finding["state"] == "wrong"
    assert unknown["id"] in finding["what"]
    wait_for(
        lambda: "unknown_key" in logged_causes(client, sandbox, since),
        timeout=TIMEOUT_SECONDS,
        what="The logged cause",
    )
