"""One sandbox for the end-to-end tests of a process, and a client outside of it.

`make e2e` runs two processes, because the tests mostly wait. Each has a sandbox of its own, and
runs whole files of tests.
"""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.aws.gateway import Gateway
from sandbox.aws.mailbox import Email
from sandbox.console import new_console
from sandbox.endpoints import EndpointsFile
from sandbox.lifecycle import Sandbox, Settings, running_sandbox
from sandbox.polling import wait_for
from tests.e2e.external_client import TIMEOUT_SECONDS, Delivery, ExternalClient, Inbox, Json
from tests.support.command_line import CommandResult, run

HERE = Path(__file__).parent
PACE_SECONDS = 0.1
LONGEST = {"test_campaign.py", "test_sandbox_command.py"}
"""They start sandboxes of their own."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark these tests, and begin with the files that take longest."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.e2e)
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(scope="session")
def emails() -> list[Email]:
    return []


@pytest.fixture(scope="session")
def endpoints_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sandbox") / "endpoints.json"


@pytest.fixture(scope="session")
def sandbox(emails: list[Email], endpoints_path: Path) -> Iterator[Sandbox]:
    settings = Settings(
        endpoints_file=EndpointsFile(endpoints_path), parameters={"OutcomeEventBusName": "default"}
    )
    with running_sandbox(new_console(io.StringIO()), settings, on_email=emails.append) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def client(sandbox: Sandbox, endpoints_path: Path) -> ExternalClient:
    """Knows only what the endpoints file says."""
    client = ExternalClient(json.loads(endpoints_path.read_text()))
    client.configure_twilio(step_seconds=PACE_SECONDS)
    client.send_never_final()
    assert sandbox.endpoints.region == client.endpoints["region"]
    return client


@pytest.fixture
def delivery(client: ExternalClient, endpoints_path: Path) -> Delivery:
    """Run a command against the sandbox, which the environment selects."""
    assert client.endpoints

    def run_it(*arguments: str, **options: Any) -> CommandResult:
        return run(*arguments, environment={"DELIVERY_SANDBOX": str(endpoints_path)}, **options)

    return run_it


@pytest.fixture(scope="session")
def unconfirmed_messages(client: ExternalClient) -> dict[str, Json]:
    """The messages without a final status once they are unconfirmed, by recipient."""
    return {
        to: client.wait_for_message(
            message_sid, lambda it: it["outcome"] == "unconfirmed", "unconfirmed"
        )
        for to, message_sid in client.never_final.items()
    }


@pytest.fixture
def gateway(sandbox: Sandbox) -> Iterator[Gateway]:
    """The gateway; its faults are removed after the test."""
    yield sandbox.gateway
    sandbox.gateway.clear_faults()


@pytest.fixture
def no_open_incident(sandbox: Sandbox) -> Callable[[str], None]:
    """Wait until no incident of a cause is open, so that the next failure has its own notice."""

    def wait(cause: str) -> None:
        table = sandbox.stack.resources["IncidentsTable"]

        def is_closed() -> bool:
            incidents = sandbox.account.scan(table)
            return not any("open" in it for it in incidents if it["cause"] == cause)

        wait_for(is_closed, timeout=TIMEOUT_SECONDS, what=f"The end of the incident of {cause}")

    return wait


@pytest.fixture
def list_lag_of_a_minute(client: ExternalClient) -> Iterator[None]:
    """New messages appear in Twilio's list after a minute."""
    with client.list_lag(60):
        yield


@pytest.fixture(scope="session")
def inbox(client: ExternalClient) -> Inbox:
    return Inbox(client)
