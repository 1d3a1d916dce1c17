"""`python -m sandbox`, started and stopped as by a user."""

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from sandbox.endpoints import PROJECT, Endpoints
from sandbox.lifecycle import FAILURE_EMAIL
from sandbox.polling import wait_for

START_TIMEOUT_SECONDS = 120
STOP_TIMEOUT_SECONDS = 30


@contextmanager
def the_command(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(  # noqa: S603 -- no shell, and no input from outside
        [sys.executable, "-m", "sandbox", *map(str, arguments)],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def wait_until_closed(url: str) -> None:
    parts = urlsplit(url)

    def is_closed() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((parts.hostname or "", parts.port or 0)) != 0

    wait_for(is_closed, timeout=STOP_TIMEOUT_SECONDS, what=f"The end of what listens at {url}")


# All other signals end it like SIGINT: tests/unit/test_simulator_command.py.
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL])
def test_up_writes_its_endpoints_and_leaves_nothing_running_after_any_signal(
    tmp_path: Path, signum: signal.Signals
) -> None:
    path = tmp_path / "endpoints.json"

    with the_command("up", "--endpoints-file", path) as process:
        wait_for(
            lambda: path.exists() or process.poll() is not None,
            timeout=START_TIMEOUT_SECONDS,
            what="The endpoints file",
        )
        endpoints = json.loads(path.read_text())
        process.send_signal(signum)
        output, _ = process.communicate(timeout=STOP_TIMEOUT_SECONDS)

    assert endpoints.keys() == Endpoints.__dataclass_fields__.keys()
    for name in ("aws_endpoint_url", "status_callback_url", "twilio_api_base_url"):
        wait_until_closed(endpoints[name])
    if signum != signal.SIGKILL:
        assert process.returncode == 0, output
        assert not path.exists()


def test_every_message_of_the_demo_ends_as_expected(tmp_path: Path) -> None:
    path = tmp_path / "endpoints.json"

    with the_command("demo", "--endpoints-file", path) as process:
        output, _ = process.communicate(timeout=START_TIMEOUT_SECONDS)

    assert process.returncode == 0, output
    assert "Outcome: delivered" in output
    assert "Outcome: failed" in output
    assert f"To:      {FAILURE_EMAIL}" in output
    assert re.search(r"^total +6 +4 +80\.0%", output, re.MULTILINE), output
    assert not path.exists()


def test_a_port_in_use_is_an_error_that_names_its_option(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        path = tmp_path / "endpoints.json"
        with the_command("up", "--twilio-port", str(port), "--endpoints-file", path) as process:
            output, _ = process.communicate(timeout=STOP_TIMEOUT_SECONDS)

    assert process.returncode == 1
    assert f"Port {port}" in output
    assert "--twilio-port" in output
    assert "Traceback" not in output
