"""The Node program of docs/simulator.md against `python -m sandbox twilio`."""

import os
import shutil
from pathlib import Path

import pytest
import requests

from tests.e2e.test_existing_senders import printed
from tests.support.simulator_command import documented_program, running_command

PACKAGE = Path(__file__).parents[2] / "examples/existing_sender/package.json"


@pytest.mark.skipif(
    not (shutil.which("node") and shutil.which("npm")), reason="node and npm are not installed here"
)
def test_the_documented_node_program_sends_a_message(tmp_path: Path) -> None:
    shutil.copy(PACKAGE, tmp_path)
    (tmp_path / "send.mjs").write_text(documented_program("js"))

    with running_command() as command:
        endpoints = command.endpoints
        variables = os.environ | {
            "TWILIO_API_BASE_URL": endpoints["API"],
            "TWILIO_ACCOUNT_SID": endpoints["Account SID"],
            "TWILIO_AUTH_TOKEN": endpoints["Auth token"],
            "STATUS_CALLBACK_URL": "http://localhost:3000/status",
        }
        install = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund"]
        printed(install, tmp_path, variables)
        sid = printed(["node", "send.mjs"], tmp_path, variables)
        shown = requests.get(f"{endpoints['Messages']}messages/{sid}", timeout=10).json()

    assert shown["to"] == "+15551234567"
