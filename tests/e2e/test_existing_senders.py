"""The examples for existing code that sends with Twilio's SDKs."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.e2e.external_client import SENDER, ExternalClient, Json

EXAMPLE = Path(__file__).parents[2] / "examples" / "existing_sender"
RECIPIENT = "+15558675310"


def environment(endpoints: Mapping[str, str]) -> dict[str, str]:
    """The environment of an example."""
    return os.environ | {
        "TWILIO_ACCOUNT_SID": endpoints["twilio_account_sid"],
        "TWILIO_AUTH_TOKEN": endpoints["twilio_auth_token"],
        "TWILIO_API_BASE_URL": endpoints["twilio_api_base_url"],
        "TWILIO_FROM": SENDER,
        "STATUS_CALLBACK_URL": endpoints["status_callback_url"],
    }


def delivered(message: Json) -> bool:
    return bool(message["outcome"] == "delivered")


def printed(command: Sequence[str], folder: Path, variables: Mapping[str, str]) -> str:
    ran = subprocess.run(  # noqa: S603 -- the example's own command
        command, cwd=folder, env=variables, capture_output=True, text=True, check=False, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_a_message_sent_with_the_python_sdk_is_tracked_with_its_context(
    client: ExternalClient,
) -> None:
    sid = printed(
        [sys.executable, "send.py", RECIPIENT, "On its way", "4711"],
        EXAMPLE,
        environment(client.endpoints),
    )

    message = client.wait_for_message(sid, delivered, "delivered")
    assert message["to"] == RECIPIENT
    assert message["context"] == {"order": "4711"}


@pytest.mark.skipif(
    not (shutil.which("node") and shutil.which("npm")), reason="node and npm are not installed here"
)
def test_a_message_sent_with_the_node_sdk_is_tracked_with_its_context(
    client: ExternalClient, tmp_path: Path
) -> None:
    variables = environment(client.endpoints)
    for name in ("send.mjs", "package.json"):
        shutil.copy(EXAMPLE / name, tmp_path)
    printed(["npm", "install", "--no-package-lock", "--no-audit", "--no-fund"], tmp_path, variables)

    sid = printed(["node", "send.mjs", RECIPIENT, "On its way", "4712"], tmp_path, variables)

    message = client.wait_for_message(sid, delivered, "delivered")
    assert message["to"] == RECIPIENT
    assert message["context"] == {"order": "4712"}
