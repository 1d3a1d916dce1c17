"""What a function loads when it starts: nothing that a request does not need.

docs/performance.md has what each of these costs.
"""

import json
import os
import subprocess
import sys

import pytest

from simulation.deployment import PROJECT, functions

COUNTRIES = "phonenumbers"
NEVER = {"boto3", "s3transfer", COUNTRIES}
EVENTS = "aws_lambda_powertools.utilities.data_classes"
BATCHES = "aws_lambda_powertools.utilities.batch"
SELDOM_NEEDED = {
    "delivery.domain.send_requests",
    "delivery.storage.message_lists",
}
NOT_LOADED = {
    "status_callback": NEVER | {EVENTS, BATCHES, "asyncio", "requests"} | SELDOM_NEEDED,
    "send_message": NEVER | {EVENTS, BATCHES, "asyncio"},
    "query_messages": NEVER | {EVENTS, BATCHES, "asyncio", "requests"},
    "notify_failure": NEVER | {EVENTS, BATCHES, "asyncio", "requests"},
    "reconcile_messages": NEVER | {EVENTS, BATCHES, "asyncio"},
    "audit_messages": NEVER | {EVENTS, BATCHES, "asyncio"},
    "dashboard_widget": NEVER | {EVENTS, BATCHES, "asyncio", "requests"},
    "publish_outcomes": (NEVER - {COUNTRIES}) | {EVENTS, BATCHES, "asyncio", "requests"},
}
SHOW_LOADED = "import sys, json, {module}; sys.stdout.write(json.dumps(sorted(sys.modules)))"
SHOW_COLLECTIONS = """
import gc, sys
import delivery.runtime
before = gc.get_stats()
import {module}
sys.stdout.write(str(gc.get_stats() == before))
"""
LOG_EVERYTHING = """
import logging, sys
logging.basicConfig(level=logging.INFO, stream=sys.stdout)
import {module}
"""


def printed_by(program: str, function: str) -> str:
    """What a program prints in an environment of the function."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(
            str(PROJECT / folder) for folder in ("functions", "layers/delivery")
        ),
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        **functions()[function].environment,
    }
    command = [sys.executable, "-c", program.format(module=f"{function}.app")]
    ended = subprocess.run(  # noqa: S603 -- its own words only
        command, env=environment, check=True, capture_output=True, text=True
    )
    return ended.stdout


@pytest.mark.thorough
@pytest.mark.parametrize("function", sorted(NOT_LOADED))
def test_a_function_starts_without_what_it_seldom_needs(function: str) -> None:
    loaded = set(json.loads(printed_by(SHOW_LOADED, function)))

    assert NOT_LOADED[function] & loaded == set()


def test_every_function_is_held_to_what_it_loads() -> None:
    assert NOT_LOADED.keys() == functions().keys()


def test_a_start_says_nothing_in_the_log() -> None:
    assert printed_by(LOG_EVERYTHING, "status_callback") == ""


def test_a_start_looks_for_no_garbage_among_what_it_keeps() -> None:
    assert printed_by(SHOW_COLLECTIONS, "status_callback") == "True"
