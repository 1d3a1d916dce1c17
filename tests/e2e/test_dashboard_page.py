"""The dashboard page in a real browser."""

import json
import re
from collections.abc import Iterator

import pytest

from sandbox.lifecycle import Sandbox
from tests.e2e.browser import Browser, missing, running_browser
from tests.e2e.external_client import ExternalClient
from tests.support.screen import Screen

UNREACHABLE = "+15555530003"
EXPLAINED = "Handset unreachable"
HTML_INJECTION = (
    "\"><img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if reason := missing():
        pytest.skip(f"This test needs a browser: {reason}")
    with running_browser() as browser:
        browser.resize(1200, 1400)
        yield browser


@pytest.fixture
def page(browser: Browser, client: ExternalClient) -> Browser:
    """The page, opened and loaded."""
    browser.open(client.endpoints["dashboard_url"])
    browser.wait_for_text("#graphs", "Failures by category")
    browser.wait_for_text("#widget", "Look up")
    return browser


@pytest.fixture(scope="module")
def failed(client: ExternalClient) -> str:
    """The SID of a message that failed."""
    message_sid = client.send_accepted(UNREACHABLE, reference="order-1", context={"lane": "3"})
    client.wait_for_message(message_sid, lambda it: it["outcome"] == "failed", "failed")
    return message_sid


def test_the_page_lists_failed_messages_with_advice(
    client: ExternalClient, failed: str, page: Browser
) -> None:
    seen = page.wait_for_text("#widget", failed)

    explanation = client.message(failed)["explanation"]
    assert explanation["title"] in seen
    assert explanation["action"] in seen
    assert "…0003" in seen
    assert UNREACHABLE not in seen
    assert page.count("#graphs .bar") > 0
    assert page.console_messages() == []


def test_a_click_opens_the_timeline_of_a_message(failed: str, page: Browser) -> None:
    page.click("#widget .dw-row:first-of-type .dw-button", "Details")

    seen = page.wait_for_text("dialog[open]", "undelivered")

    assert [word for word in ("queued", "sent", "error 30003", "status callback") if word in seen]
    assert page.count("dialog[open] .dw-track .dw-mark") >= 3
    page.click("#close")
    assert page.count("dialog[open]") == 0
    assert failed in page.text_of("#widget")


def test_the_form_finds_a_message_and_a_button_leads_back(failed: str, page: Browser) -> None:
    page.type_into("#widget [name=lookup]", "+1 (555) 553-0003")
    page.click("#widget .dw-button", "Look up")

    assert failed in page.wait_for_text("#widget", "Recent failures")
    page.click("#widget .dw-button", "Recent failures")
    assert EXPLAINED in page.wait_for_text("#widget", "Details")


def test_html_in_a_message_is_shown_as_text(client: ExternalClient, page: Browser) -> None:
    message_sid = client.send_accepted(
        UNREACHABLE, reference=HTML_INJECTION, context={"<b>lane</b>": HTML_INJECTION}
    )
    client.wait_for_message(message_sid, lambda it: it["outcome"] == "failed", "failed")

    page.type_into("#widget [name=lookup]", HTML_INJECTION, enter=True)
    seen = page.wait_for_text("#widget .dw-facts", message_sid)

    assert HTML_INJECTION in seen
    assert "<b>lane</b>" in page.text_of("#widget .dw-facts:last-of-type")
    assert page.count("#widget img, #widget script, #widget b") == 0
    assert page.script("return document.title") == "Sandbox dashboard"
    assert page.console_messages() == []


def test_full_numbers_and_dark_mode_can_be_switched_on(failed: str, page: Browser) -> None:
    assert failed in page.wait_for_text("#widget", failed)

    page.click("#numbers")
    page.wait_for_text("#widget", UNREACHABLE)
    page.click("#dark")
    page.wait_for_text("#widget .dw-dark", UNREACHABLE)

    assert page.console_messages() == []


def test_the_deployed_dashboard_contains_the_deployed_widget(
    client: ExternalClient, sandbox: Sandbox
) -> None:
    name = f"{client.endpoints['stack_name']}-{client.endpoints['region']}"
    dashboard = client.aws("cloudwatch").get_dashboard(DashboardName=name)
    widgets = json.loads(dashboard["DashboardBody"])["widgets"]

    (widget,) = (it["properties"] for it in widgets if it["type"] == "custom")
    event = widget["params"] | {"widgetContext": {"params": widget["params"]}}
    response = client.aws("lambda").invoke(
        FunctionName=widget["endpoint"], Payload=json.dumps(event)
    )

    html = json.loads(response["Payload"].read())
    assert widget["endpoint"] == sandbox.stack.alias_arn("DashboardWidgetFunction")
    assert "Look up" in Screen(html).buttons
    # The buttons invoke what invoked_function_arn says.
    assert set(re.findall(r'endpoint="([^"]+)"', html)) == {widget["endpoint"]}
