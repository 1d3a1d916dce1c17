"""The dashboard's page in a real browser: looked at, typed into and clicked on."""

import json
from collections.abc import Iterator

import pytest
import requests

from sandbox.lifecycle import Sandbox
from tests.e2e.browser import Browser, missing, running_browser
from tests.e2e.outside import OutsideProgram
from tests.support.screen import Screen

UNREACHABLE = "+15555530003"
EXPLAINED = "Handset unreachable"
HOSTILE = "\"><img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if reason := missing():
        pytest.skip(f"This test needs a browser: {reason}")
    with running_browser() as browser:
        browser.resize(1200, 1400)
        yield browser


@pytest.fixture
def page(browser: Browser, program: OutsideProgram) -> Browser:
    """The page, just opened, with everything on it."""
    browser.open(program.endpoints["dashboard_url"])
    browser.wait_for_text("#graphs", "Failures by category")
    browser.wait_for_text("#widget", "Look up")
    return browser


@pytest.fixture(scope="module")
def failed(program: OutsideProgram) -> str:
    """The SID of a message that failed."""
    message_sid = program.sent(UNREACHABLE, reference="order-1", context={"lane": "3"})
    program.message_when(message_sid, lambda it: it["outcome"] == "failed", "failed")
    return message_sid


def test_the_page_lists_what_failed_and_what_to_do(failed: str, page: Browser) -> None:
    seen = page.wait_for_text("#widget", failed)

    assert EXPLAINED in seen
    assert "Sending it again later can help." in seen
    assert "…0003" in seen
    assert UNREACHABLE not in seen
    assert page.count("#graphs .bar") > 0
    assert page.complaints() == []


def test_a_click_opens_a_message_with_its_timeline(failed: str, page: Browser) -> None:
    page.click("#widget .dw-row:first-of-type .dw-button", "Details")

    seen = page.wait_for_text("dialog[open]", "undelivered")

    assert [word for word in ("queued", "sent", "error 30003", "status callback") if word in seen]
    assert page.count("dialog[open] .dw-track .dw-mark") >= 3
    page.click("#close")
    assert page.count("dialog[open]") == 0
    assert failed in page.text_of("#widget")


@pytest.mark.parametrize("spelling", ["{sid}", "+1 (555) 553-0003", "order-1"])
def test_a_message_is_looked_up_with_the_form(failed: str, page: Browser, spelling: str) -> None:
    typed = spelling.format(sid=failed)

    page.type_into("#widget [name=lookup]", typed)
    page.click("#widget .dw-button", "Look up")

    assert failed in page.wait_for_text("#widget", "Recent failures")
    assert page.script("return document.querySelector('[name=lookup]').value") == typed


def test_the_enter_key_looks_up_and_the_way_back_leads_to_the_failures(
    failed: str, page: Browser
) -> None:
    page.type_into("#widget [name=lookup]", failed, enter=True)
    seen = page.wait_for_text("#widget .dw-lines", "undelivered")
    page.click("#widget .dw-button", "Recent failures")

    assert "answer to the request" in seen
    assert EXPLAINED in page.wait_for_text("#widget", "Details")


def test_what_somebody_wrote_is_text_and_does_nothing(
    program: OutsideProgram, page: Browser
) -> None:
    message_sid = program.sent(UNREACHABLE, reference=HOSTILE, context={"<b>lane</b>": HOSTILE})
    program.message_when(message_sid, lambda it: it["outcome"] == "failed", "failed")

    page.type_into("#widget [name=lookup]", HOSTILE, enter=True)
    seen = page.wait_for_text("#widget .dw-facts", message_sid)

    assert HOSTILE in seen
    assert "<b>lane</b>" in page.text_of("#widget .dw-facts:last-of-type")
    assert page.count("#widget img, #widget script, #widget b") == 0
    assert page.script("return document.title") == "Sandbox dashboard"
    assert page.complaints() == []


def test_numbers_and_darkness_are_the_viewers_choice(failed: str, page: Browser) -> None:
    assert failed in page.wait_for_text("#widget", failed)

    page.click("#numbers")
    page.wait_for_text("#widget", UNREACHABLE)
    page.click("#dark")
    page.wait_for_text("#widget .dw-dark", UNREACHABLE)

    assert page.complaints() == []


def test_the_page_is_nobodys_elses(program: OutsideProgram) -> None:
    url = program.endpoints["dashboard_url"]

    rebound = requests.get(url, headers={"Host": "evil.example.com"}, timeout=10)
    foreign = requests.post(
        f"{url}widget",
        json={"endpoint": None, "event": {}},
        headers={"Origin": "http://evil.example.com"},
        timeout=10,
    )
    other_function = requests.post(
        f"{url}widget",
        json={"endpoint": "arn:aws:lambda:us-east-1:1:function:other", "event": {}},
        timeout=10,
    )

    assert (rebound.status_code, foreign.status_code, other_function.status_code) == (421, 403, 403)


def test_the_deployed_dashboard_shows_the_deployed_widget(
    program: OutsideProgram, sandbox: Sandbox
) -> None:
    dashboard = program.client("cloudwatch").get_dashboard(
        DashboardName=program.endpoints["stack_name"]
    )
    widgets = json.loads(dashboard["DashboardBody"])["widgets"]

    (widget,) = (it["properties"] for it in widgets if it["type"] == "custom")
    event = widget["params"] | {"widgetContext": {"params": widget["params"]}}
    answer = program.client("lambda").invoke(
        FunctionName=widget["endpoint"], Payload=json.dumps(event)
    )

    assert sandbox.stack.resources["DashboardWidgetFunction"] in widget["endpoint"]
    assert "Look up" in Screen(json.loads(answer["Payload"].read())).buttons
