"""The page of the simulated Twilio in a real browser."""

from collections.abc import Iterator

import pytest
import requests

from tests.e2e.browser import Browser, missing, running_browser
from tests.support.simulator_command import RunningCommand, running_command

HTML_INJECTION = "<img src=x onerror=\"document.title='taken'\"><script>taken()</script>"
NOT_SERVED = "http://127.0.0.1:9/status"


@pytest.fixture(scope="module")
def command() -> Iterator[RunningCommand]:
    with running_command("--speed", "50", "--webhook-rule", "DEFAULT") as command:
        yield command


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if reason := missing():
        pytest.skip(f"This test needs a browser: {reason}")
    with running_browser() as browser:
        yield browser


def send(command: RunningCommand, to: str, body: str) -> str:
    endpoints = command.endpoints
    sid = endpoints["Account SID"]
    response = requests.post(
        f"{endpoints['API']}/2010-04-01/Accounts/{sid}/Messages.json",
        data={"To": to, "From": "+15005550006", "Body": body, "StatusCallback": NOT_SERVED},
        auth=(sid, endpoints["Auth token"]),
        timeout=10,
    )
    message_sid: str = response.json()["sid"]
    return message_sid


@pytest.mark.parametrize("width", [1200, 390])
def test_messages_appear_with_their_callbacks_and_answers(
    command: RunningCommand, browser: Browser, width: int
) -> None:
    browser.resize(width, 900)
    browser.open(command.endpoints["API"])
    browser.wait_for_text("header", "Simulated Twilio")

    sid = send(command, "+15555530003", f"Width {width} {HTML_INJECTION}")

    first = "#messages li:first-child"
    browser.wait_for_text(first, sid)
    seen = browser.wait_for_text(first, "undelivered\n30003")
    browser.wait_for_text(f"{first} .callbacks li:last-child", "no connection \u00d72")
    assert HTML_INJECTION in seen
    assert "webhooks_sharedkey_" in browser.text_of(f"{first} .callbacks")
    assert browser.count("#messages img, #messages script") == 0
    assert browser.script("return document.title") == "Simulated Twilio"
    wide = "return document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not browser.script(wide)
    assert browser.console_messages() == []
