"""`python -m sandbox twilio`, started and stopped as by a user."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from queue import Queue
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from twilio.request_validator import RequestValidator, get_signature_algorithm

from sandbox.http_server import HttpServer, Request, Response
from tests.support.simulator_command import (
    PROJECT,
    TIMEOUT_SECONDS,
    RunningCommand,
    documented_program,
    running_command,
)

ACCOUNT_SID = "AC" + "7" * 32
AUTH_TOKEN = "the-token"
KEY_ID, KEY = "webhooks_sharedkey_1", "the-shared-key"


class Application(HttpServer):
    """Keeps the status callbacks that it receives."""

    def __init__(self) -> None:
        super().__init__(answer=self._answer)
        self.callbacks: Queue[Request] = Queue()

    def _answer(self, request: Request) -> Response:
        self.callbacks.put(request)
        return Response(status=204)


@pytest.fixture
def application() -> Iterator[Application]:
    with Application() as application:
        yield application


def send(command: RunningCommand, status_callback: str) -> str:
    """Run the program of the documentation, and return what it prints."""
    endpoints = command.endpoints
    ran = subprocess.run(  # noqa: S603 -- the documentation's own program
        [sys.executable, "-c", documented_program("python")],
        env=os.environ
        | {
            "TWILIO_API_BASE_URL": endpoints["API"],
            "TWILIO_ACCOUNT_SID": endpoints["Account SID"],
            "TWILIO_AUTH_TOKEN": endpoints["Auth token"],
            "STATUS_CALLBACK_URL": status_callback,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_the_documented_python_program_sends_and_its_callbacks_are_signed_by_the_rule(
    application: Application,
) -> None:
    url = f"{application.url}/status"
    options = ("--account", ACCOUNT_SID, "--token", AUTH_TOKEN, "--speed", "50")
    rule = ("--webhook-rule", url, "--shared-key", f"{KEY_ID}:{KEY}", "--algorithm", "HMAC_SHA1")

    with running_command(*options, *rule) as command:
        sid = send(command, url)
        callbacks = [application.callbacks.get(timeout=TIMEOUT_SECONDS) for _ in range(2)]
        shown = requests.get(f"{command.endpoints['Messages']}messages/{sid}", timeout=10).json()
        code, rest = command.stop(signal.SIGINT)

    assert (shown["to"], len(shown["callbacks"])) == ("+15551234567", 2)
    for callback in callbacks:
        form = dict(parse_qsl(callback.body.decode()))
        settings = callback.header("X-Twilio-Webhooks-Signature-Settings")
        signature = callback.header("X-Twilio-Signature")
        assert (form["MessageSid"], settings) == (sid, f"key={KEY_ID},algorithm=HMAC_SHA1")
        algorithm = get_signature_algorithm(settings)
        assert RequestValidator(KEY).validate(url, form, signature, algorithm)
    assert (code, "Traceback" in rest) == (0, False)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_the_command_and_leaves_nothing_running(signum: signal.Signals) -> None:
    with running_command() as command:
        address = urlsplit(command.endpoints["API"])
        assert requests.get(command.endpoints["Messages"], timeout=10).status_code == 200
        code, rest = command.stop(signum)

    assert (code, "Traceback" in rest) == (0, False)
    with socket.socket() as probe:
        assert probe.connect_ex((address.hostname or "", address.port or 0)) != 0


def test_a_port_in_use_is_an_error_that_names_its_option() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ran = subprocess.run(  # noqa: S603 -- no shell, and no input from outside
            [sys.executable, "-m", "sandbox", "twilio", "--port", port],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_SECONDS,
        )

    assert ran.returncode == 1
    assert f"Port {port}" in ran.stdout
    assert "--port" in ran.stdout
    assert "Traceback" not in ran.stdout + ran.stderr


def test_the_command_imports_nothing_of_aws() -> None:
    script = (
        "import sys; sys.path.insert(0, 'layers/delivery'); import sandbox.cli; "
        "print([name for name in sys.modules if name.partition('.')[0] in "
        "{'boto3', 'botocore', 'ministack', 'requests', 'samcli', 'twilio'}])"
    )
    ran = subprocess.run(  # noqa: S603 -- a fixed script
        [sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=True
    )

    assert ran.stdout.strip() == "[]"
