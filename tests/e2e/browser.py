"""A headless browser, controlled over WebDriver: https://www.w3.org/TR/webdriver2/."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Self

import requests

from sandbox.polling import wait_for

BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_TIMEOUT_SECONDS: Final = 20
_ELEMENT: Final = "element-6066-11e4-a52e-4f735466cecf"  # the key of element ids in WebDriver
_ENTER: Final = "\ue007"
_STARTED: Final = re.compile(r"started successfully on port (\d+)")


def missing() -> str:
    """Say which client is not installed; empty if none is missing."""
    if not any(map(shutil.which, BROWSERS)):
        return "no Chromium is installed (Debian's package is chromium)"
    if not shutil.which("chromedriver"):
        return "no chromedriver is installed (Debian's package is chromium-driver)"
    return ""


@contextmanager
def running_browser() -> Iterator["Browser"]:
    """Run a browser that can reach only this machine."""
    with subprocess.Popen(
        ["chromedriver", "--port=0"],  # noqa: S607 -- its folder differs between systems
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as driver:
        try:
            assert driver.stdout
            port = next(found[1] for line in driver.stdout if (found := _STARTED.search(line)))
            with Browser(f"http://127.0.0.1:{port}") as browser:
                yield browser
        finally:
            driver.terminate()


class Browser:
    """A browser window.

    Args:
        driver_url: the URL of chromedriver.
    """

    def __init__(self, driver_url: str) -> None:
        arguments = [
            "--headless=new",
            "--hide-scrollbars",
            "--disable-dev-shm-usage",
            "--force-device-scale-factor=1",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            *(["--no-sandbox"] if os.geteuid() == 0 else []),
        ]
        binary = next(filter(None, map(shutil.which, BROWSERS)))
        options = {"args": arguments, "binary": binary}
        wanted = {
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        self._url = f"{driver_url}/session"
        session = self._command("POST", "", {"capabilities": {"alwaysMatch": wanted}})
        self._url += f"/{session['sessionId']}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._command("DELETE", "")

    def resize(self, width: int, height: int) -> None:
        self._command("POST", "/window/rect", {"width": width, "height": height})

    def open(self, url: str) -> None:
        self._command("POST", "/url", {"url": url})

    def script(self, script: str, *arguments: Any) -> Any:
        """Run JavaScript in the page, and return its result."""
        return self._command("POST", "/execute/sync", {"script": script, "args": arguments})

    def text_of(self, selector: str) -> str:
        """Return the visible text of an element; empty if it does not exist."""
        text: str = self.script(
            "return document.querySelector(arguments[0])?.innerText ?? ''", selector
        )
        return text

    def count(self, selector: str) -> int:
        count: int = self.script("return document.querySelectorAll(arguments[0]).length", selector)
        return count

    def wait_for_text(self, selector: str, text: str) -> str:
        """Wait until the text of an element contains this text, and return it."""

        def poll() -> str | None:
            seen = self.text_of(selector)
            return seen if text in seen else None

        return wait_for(poll, timeout=_TIMEOUT_SECONDS, what=f"{text!r} in {selector}")

    def type_into(self, selector: str, text: str, *, enter: bool = False) -> None:
        """Clear a field, and type a text."""
        element = self._element(selector)
        self._command("POST", f"/element/{element}/clear", {})
        keys = text + (_ENTER if enter else "")
        self._command("POST", f"/element/{element}/value", {"text": keys})

    def click(self, selector: str, text: str = "") -> None:
        """Click on an element; with a text, on the first that contains it."""
        self._command("POST", f"/element/{self._element(selector, text)}/click", {})

    def console_messages(self) -> list[str]:
        """Return the console messages since the last call."""
        entries = self._command("POST", "/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries]

    def _element(self, selector: str, text: str = "") -> str:
        def poll() -> str | None:
            found = self.script(
                "return [...document.querySelectorAll(arguments[0])]"
                ".find(it => it.innerText.includes(arguments[1]) || !arguments[1]) ?? null",
                selector,
                text,
            )
            return found[_ELEMENT] if found else None

        return wait_for(poll, timeout=_TIMEOUT_SECONDS, what=f"{selector} {text}")

    def _command(self, method: str, path: str, content: Mapping[str, Any] | None = None) -> Any:
        response = requests.request(method, f"{self._url}{path}", json=content, timeout=60)
        value = response.json()["value"]
        assert response.ok, value["message"]
        return value
