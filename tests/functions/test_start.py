"""What a function loads when it starts: nothing that a caller would wait for in vain.

docs/performance.md has what each of these costs.
"""

import json
import os
import subprocess
import sys

import pytest

from tests.simulation.deployment import PROJECT, functions

NEVER = {"boto3", "s3transfer"}
EVENTS = "aws_lambda_powertools.utilities.data_classes"
BATCHES = "aws_lambda_powertools.utilities.batch"
NOT_LOADED = {
    "status_callback": NEVER | {EVENTS, BATCHES, "asyncio", "requests"},
    "send_message": NEVER | {EVENTS, BATCHES, "asyncio"},
    "query_messages": NEVER | {BATCHES, "asyncio", "requests"},
    "notify_failure": NEVER | {"requests"},
    "reconcile_messages": NEVER | {EVENTS, BATCHES, "asyncio"},
}
SHOW_LOADED = "import sys, json, {module}; sys.stdout.write(json.dumps(sorted(sys.modules)))"


@pytest.mark.parametrize("function", sorted(NOT_LOADED))
def test_a_function_starts_without_what_it_seldom_needs(function: str) -> None:
    program = SHOW_LOADED.format(module=f"{function}.app")
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(
            str(PROJECT / folder) for folder in ("functions", "layers/delivery")
        ),
        "AWS_DEFAULT_REGION": "us-east-1",
        **functions()[function].environment,
    }

    started = subprocess.run(  # noqa: S603 -- its own words only
        [sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True
    )

    assert NOT_LOADED[function] & set(json.loads(started.stdout)) == set()
