"""The simulator's admin API, which needs no credentials."""

import json
from typing import Any

import pytest

from sandbox.http_server import Response
from tests.support.virtual_twilio import ACCOUNT_SID, MESSAGES, VirtualTwilio, error_of


def test_messages_are_shown_with_their_callbacks_and_attempts() -> None:
    twilio = VirtualTwilio()
    sid = twilio.send()["sid"]
    twilio.run()

    (message,) = twilio.json("GET", "/_simulator/messages", authorization=None)["messages"]
    one = twilio.json("GET", f"/_simulator/messages/{sid}", authorization=None)

    assert message == one
    assert [callback["state"] for callback in message["callbacks"]] == ["answered", "answered"]
    assert message["callbacks"][0]["attempts"][0]["result"]["status"] == 204
    assert twilio.json("GET", "/_simulator/debugger") == {"entries": []}


def change(twilio: VirtualTwilio, page: str, document: Any) -> Response:
    return twilio.answer("POST", f"/_simulator/{page}", body=json.dumps(document).encode())


def test_settings_can_be_changed() -> None:
    twilio = VirtualTwilio()
    changes = {"step_seconds": 3, "list_lag_seconds": 1.5, "concurrency_limit": None}

    changed = change(twilio, "settings", changes)

    assert changed.status == 200
    assert twilio.simulator.settings.step_seconds == 3
    assert twilio.json("GET", "/_simulator/settings")["list_lag_seconds"] == 1.5


def test_credentials_can_be_changed() -> None:
    twilio = VirtualTwilio()

    change(twilio, "credentials", {"account_sid": ACCOUNT_SID, "auth_token": "next"})

    assert error_of(twilio.ask("GET", MESSAGES + ".json")) == (401, 20003)


@pytest.mark.parametrize(
    ("page", "document"),
    [
        ("settings", {"speed": 1}),
        ("settings", {"step_seconds": "fast"}),
        ("settings", {"step_seconds": -1}),
        ("settings", {"step_seconds": None}),
        ("settings", {"step_seconds": True}),
        ("settings", {"trial": 1}),
        ("settings", {"throttle_next": 1.5}),
        ("settings", []),
        ("credentials", {"account_sid": "AC1", "auth_token": "x"}),
        ("credentials", {"account_sid": ACCOUNT_SID, "auth_token": ""}),
        ("credentials", {}),
    ],
)
def test_an_invalid_change_is_rejected_and_changes_nothing(page: str, document: Any) -> None:
    twilio = VirtualTwilio()
    before = twilio.simulator.settings

    answer = change(twilio, page, document)

    assert answer.status == 400
    assert "error" in json.loads(answer.body)
    assert twilio.simulator.settings == before
    assert twilio.answer("GET", MESSAGES + ".json").status == 200


@pytest.mark.parametrize("page", ["weather", f"messages/SM{'e' * 32}"])
def test_an_unknown_page_is_not_found(page: str) -> None:
    twilio = VirtualTwilio()

    assert twilio.answer("GET", f"/_simulator/{page}").status == 404
