"""The Node program of docs/simulator.md against `python -m sandbox twilio`."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import requests

from tests.support.simulator_command import TIMEOUT_SECONDS, documented_program, running_command

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
        printed = ""
        for program in (
            ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund"],
            ["node", "send.mjs"],
        ):
            ran = subprocess.run(  # noqa: S603 -- the documentation's own program
                program,
                cwd=tmp_path,
                env=variables,
                capture_output=True,
                text=True,
                check=False,
                timeout=TIMEOUT_SECONDS,
            )
            assert ran.returncode == 0, ran.stderr
            printed = ran.stdout.strip()
        shown = requests.get(f"{endpoints['Messages']}messages/{printed}", timeout=10).json()

    assert shown["to"] == "+15551234567"
