"""The emulated AWS: whose fault an error is."""

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


def test_what_goes_wrong_after_the_emulator_ended_is_told_as_its_end(emulator: Emulator) -> None:
    with pytest.raises(SandboxError, match=r"ended by itself .* see .*emulator\.log"):
        fail_within(emulator, after_its_end=True)


def test_whoever_waits_for_it_hears_of_its_end(emulator: Emulator) -> None:
    with emulator:
        emulator.check()
        emulator.stop()

        with pytest.raises(SandboxError, match="ended by itself"):
            emulator.check()


def test_what_goes_wrong_while_it_runs_is_told_as_it_is(emulator: Emulator) -> None:
    with pytest.raises(KeyError):
        fail_within(emulator, after_its_end=False)
