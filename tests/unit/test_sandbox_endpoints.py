"""The endpoints file, which exists while one sandbox is up, and the choice of ports."""

import json
import socket
from dataclasses import asdict, fields
from pathlib import Path

import pytest

from sandbox import http_server
from sandbox.endpoints import Endpoints, EndpointsFile, EndpointsFileInUse
from sandbox.errors import SandboxError
from sandbox.http_server import choose_ports

KEYS = {
    "aws_endpoint_url",
    "aws_access_key_id",
    "aws_secret_access_key",
    "region",
    "stack_name",
    "status_callback_url",
    "messages_api_url",
    "twilio_api_base_url",
    "twilio_account_sid",
    "twilio_auth_token",
    "messages_table",
    "send_queue_url",
    "failure_topic_arn",
    "notices_queue_url",
    "dashboard_url",
}


def some_endpoints() -> Endpoints:
    return Endpoints(**{field.name: f"the {field.name}" for field in fields(Endpoints)})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new folder" / "endpoints.json"


def test_the_file_holds_every_endpoint_and_is_removed_at_the_end(path: Path) -> None:
    file = EndpointsFile(path)
    path.parent.mkdir()
    path.write_text("{}")  # left by a sandbox that was killed

    with file.locked():
        before = path.exists()
        file.write(some_endpoints())
        written = json.loads(path.read_text())
        beside = {inner.name for inner in path.parent.iterdir()}

    assert not before
    assert written == asdict(some_endpoints())
    assert written.keys() == KEYS
    assert beside == {"endpoints.json", "endpoints.lock"}
    assert not path.exists()


def test_a_second_sandbox_cannot_use_the_same_file(path: Path) -> None:
    first = EndpointsFile(path)

    with first.locked():
        first.write(some_endpoints())
        with (
            pytest.raises(EndpointsFileInUse, match=r"endpoints\.json"),
            EndpointsFile(path).locked(),
        ):
            pass
        kept = path.exists()

    assert kept


def test_an_unwritable_file_is_an_error_that_names_the_option(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    for path in (tmp_path, tmp_path / "file" / "endpoints.json"):
        with pytest.raises(SandboxError, match="--endpoints-file"), EndpointsFile(path).locked():
            pass


def test_a_free_port_is_one_on_which_nothing_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    free, other = choose_ports({"--a": None, "--b": None})
    assert free != other
    assert max(free, other) < 32_768  # above are those of outgoing connections
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(http_server, "_FREE_PORTS", [port, free])
        chosen = {choose_ports({"--a": None})[0] for _ in range(8)}
        monkeypatch.setattr(http_server, "_FREE_PORTS", range(port, port + 1))

        with pytest.raises(SandboxError, match=f"{port}"):
            choose_ports({"--a": None})

    assert chosen == {free}


def test_a_port_in_use_is_an_error_that_names_its_option() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(SandboxError, match=rf"Port {port} .* --aws-port"):
            choose_ports({"--gateway-port": None, "--aws-port": port})


def test_two_options_with_the_same_port_are_an_error() -> None:
    (port,) = choose_ports({"--a": None})

    with pytest.raises(SandboxError, match=rf"Port {port} .* --twilio-port"):
        choose_ports({"--aws-port": port, "--twilio-port": port})
