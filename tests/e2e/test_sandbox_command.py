"""`python -m sandbox`, as a person starts and stops it."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from sandbox.endpoints import Endpoints
from sandbox.lifecycle import PROJECT
from sandbox.polling import wait_for

UP_WITHIN_SECONDS = 120
ENDS_WITHIN_SECONDS = 30


@contextmanager
def the_command(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(  # noqa: S603 -- no shell, and nobody else's words
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

    wait_for(is_closed, timeout=ENDS_WITHIN_SECONDS, what=f"The end of what listens at {url}")


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_up_tells_its_endpoints_and_leaves_nothing_running_however_it_ends(
    tmp_path: Path, signum: signal.Signals
) -> None:
    path = tmp_path / "endpoints.json"

    with the_command("up", "--endpoints-file", path) as process:
        wait_for(
            lambda: path.exists() or process.poll() is not None,
            timeout=UP_WITHIN_SECONDS,
            what="The endpoints file",
        )
        endpoints = json.loads(path.read_text())
        process.send_signal(signum)
        output, _ = process.communicate(timeout=ENDS_WITHIN_SECONDS)

    assert endpoints.keys() == Endpoints.__dataclass_fields__.keys()
    for name in ("aws_endpoint_url", "status_callback_url", "twilio_api_base_url"):
        wait_until_closed(endpoints[name])
    if signum != signal.SIGKILL:
        assert process.returncode == 0, output
        assert not path.exists()


def test_the_tour_ends_well(tmp_path: Path) -> None:
    path = tmp_path / "endpoints.json"

    with the_command("demo", "--endpoints-file", path) as process:
        output, _ = process.communicate(timeout=UP_WITHIN_SECONDS)

    assert process.returncode == 0, output
    assert "Every message ended as its story says." in output
    assert "was not delivered" in output
    assert not path.exists()


def test_a_port_in_use_is_named_with_its_option(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        path = tmp_path / "endpoints.json"
        with the_command("up", "--twilio-port", str(port), "--endpoints-file", path) as process:
            output, _ = process.communicate(timeout=ENDS_WITHIN_SECONDS)

    assert process.returncode == 1
    assert f"Port {port}" in output
    assert "--twilio-port" in output
    assert "Traceback" not in output
