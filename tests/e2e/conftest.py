"""One sandbox for all end-to-end tests, and the outside programs that use it."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.aws.gateway import Gateway
from sandbox.aws.mailbox import Email
from sandbox.console import new_console
from sandbox.endpoints import EndpointsFile
from sandbox.lifecycle import Sandbox, Settings, running_sandbox
from sandbox.polling import wait_for
from tests.e2e.outside import WITHIN_SECONDS, Inbox, Json, OutsideProgram

HERE = Path(__file__).parent
PACE_SECONDS = 0.1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.e2e)


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
def program(sandbox: Sandbox, endpoints_path: Path) -> OutsideProgram:
    """Knows what the endpoints file says, and nothing else."""
    program = OutsideProgram(json.loads(endpoints_path.read_text()))
    program.change_twilio(step_seconds=PACE_SECONDS)
    program.send_what_never_ends()
    assert sandbox.endpoints.region == program.endpoints["region"]
    return program


@pytest.fixture(scope="session")
def given_up(program: OutsideProgram) -> dict[str, Json]:
    """By recipient, the messages that never end at Twilio, when they were waited for in vain."""
    return {
        to: program.message_when(
            message_sid, lambda it: it["outcome"] == "unconfirmed", "unconfirmed"
        )
        for to, message_sid in program.never_ending.items()
    }


@pytest.fixture
def gateway(sandbox: Sandbox) -> Iterator[Gateway]:
    """Behaves again after the test."""
    yield sandbox.gateway
    sandbox.gateway.clear_faults()


@pytest.fixture
def first_of_its_kind(sandbox: Sandbox) -> Callable[[str], None]:
    """Wait until no incident of a cause is open: the next failure is published alone."""

    def wait(cause: str) -> None:
        table = sandbox.stack.resources["IncidentsTable"]

        def is_over() -> bool:
            incidents = sandbox.account.scan(table)
            return not any("open" in it for it in incidents if it["cause"] == cause)

        wait_for(is_over, timeout=WITHIN_SECONDS, what=f"The end of the incident of {cause}")

    return wait


@pytest.fixture
def lagging_list(program: OutsideProgram) -> Iterator[None]:
    """Twilio's list shows a message only a minute later."""
    with program.twilios_list_lagging(60):
        yield


@pytest.fixture(scope="session")
def inbox(program: OutsideProgram) -> Inbox:
    return Inbox(program)
