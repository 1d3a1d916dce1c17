"""The emulated AWS: an unexpected end is reported as the cause of errors."""

from pathlib import Path

import pytest

from sandbox.aws.emulator import Emulator
from sandbox.errors import SandboxError
from sandbox.http_server import choose_ports


def fail_within(emulator: Emulator, *, after_its_end: bool) -> None:
    with emulator:
        if after_its_end:
            emulator.stop()
        raise KeyError("transitions")


@pytest.fixture
def emulator(tmp_path: Path) -> Emulator:
    (port,) = choose_ports({"--aws-port": None})
    return Emulator(port=port, folder=tmp_path, mailbox_url="http://127.0.0.1:1")


def test_an_error_after_an_unexpected_end_is_reported_as_that_end(emulator: Emulator) -> None:
    with pytest.raises(SandboxError, match=r"emulator\.log"):
        fail_within(emulator, after_its_end=True)


def test_a_check_after_an_unexpected_end_raises(emulator: Emulator) -> None:
    with emulator:
        emulator.raise_if_ended()
        emulator.stop()

        with pytest.raises(SandboxError, match=r"emulator\.log"):
            emulator.raise_if_ended()


def test_an_error_while_the_emulator_runs_is_raised_unchanged(emulator: Emulator) -> None:
    with pytest.raises(KeyError):
        fail_within(emulator, after_its_end=False)
