"""The simulator's admin API, which needs no credentials."""

import json
from typing import Any

import pytest

from sandbox.http_server import Response
from tests.support.virtual_twilio import (
    ACCOUNT_SID,
    API_KEY_SECRET,
    API_KEY_SID,
    MESSAGES,
    VirtualTwilio,
    basic,
    error_of,
)


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


def test_the_newest_messages_are_shown_if_there_is_a_limit() -> None:
    twilio = VirtualTwilio()
    sids = [twilio.send()["sid"] for _ in range(3)]

    page = twilio.json("GET", "/_simulator/messages", query="limit=2")

    assert page["total"] == 3
    assert [message["sid"] for message in page["messages"]] == sids[1:]
    assert twilio.json("GET", "/_simulator/messages", query="limit=0")["messages"] == []
    for limit in ("-1", "many"):
        assert twilio.answer("GET", "/_simulator/messages", query=f"limit={limit}").status == 400


@pytest.mark.parametrize(
    ("path", "kind"), [("", "text/html"), ("page.js", "text/javascript"), ("page.css", "text/css")]
)
def test_the_page_is_served_and_loads_nothing_from_other_servers(path: str, kind: str) -> None:
    answer = VirtualTwilio().answer("GET", f"/_simulator/{path}", authorization=None)

    assert answer.status == 200
    assert str(answer.header("Content-Type")).startswith(kind)
    assert "default-src 'none'" in str(answer.header("Content-Security-Policy"))
    text = answer.body.decode()
    assert not [line for line in text.splitlines() if "//" in line and "// " not in line]
    assert "innerHTML" not in text


def test_the_root_leads_to_the_page() -> None:
    answer = VirtualTwilio().answer("GET", "/", authorization=None)

    assert (answer.status, answer.header("Location")) == (302, "/_simulator/")


def change(twilio: VirtualTwilio, page: str, document: Any) -> Response:
    return twilio.answer("POST", f"/_simulator/{page}", body=json.dumps(document).encode())


def test_settings_can_be_changed() -> None:
    twilio = VirtualTwilio()
    changes = {"step_seconds": 3, "list_lag_seconds": 1.5}

    changed = change(twilio, "settings", changes)

    assert changed.status == 200
    assert twilio.simulator.settings.step_seconds == 3
    assert twilio.json("GET", "/_simulator/settings")["list_lag_seconds"] == 1.5


def test_credentials_can_be_changed() -> None:
    twilio = VirtualTwilio()

    change(twilio, "credentials", {"account_sid": ACCOUNT_SID, "auth_token": "next"})

    assert error_of(twilio.request("GET", MESSAGES + ".json")) == (401, 20003)
    for user, password in ((ACCOUNT_SID, "next"), (API_KEY_SID, API_KEY_SECRET)):
        answer = twilio.answer("GET", MESSAGES + ".json", authorization=basic(user, password))
        assert answer.status == 200


@pytest.mark.parametrize(
    ("page", "document"),
    [
        ("settings", {"speed": 1}),
        ("settings", {"step_seconds": -1}),
        ("settings", {"step_seconds": True}),
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


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"step_seconds": "fast"}, "a number, 0 or more"),
        ({"throttle_next": 1.5}, "a whole number, 0 or more"),
        ({"trial": 1}, "true or false"),
    ],
)
def test_an_invalid_setting_is_reported_with_the_expected_values(
    changes: dict[str, Any], expected: str
) -> None:
    answer = change(VirtualTwilio(), "settings", changes)

    (name,) = changes
    assert json.loads(answer.body)["error"].endswith(f"for {name}: expected {expected}")


@pytest.mark.parametrize("page", ["forecast", f"messages/SM{'e' * 32}"])
def test_an_unknown_page_is_not_found(page: str) -> None:
    twilio = VirtualTwilio()

    assert twilio.answer("GET", f"/_simulator/{page}").status == 404
