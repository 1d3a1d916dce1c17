"""The end of the demo: a report of its own messages, by the operators' command line."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from rich.console import Console
from rich.text import Text

from sandbox.console import step
from sandbox.endpoints import PROJECT, Endpoints, EndpointsFile
from sandbox.polling import TimedOut, wait_for

_ARGUMENTS: Final = ("report", "--by", "campaign")
_TIMEOUT_SECONDS: Final = 60


def show_report(console: Console, endpoints: Endpoints, outcomes: Mapping[str, int]) -> list[str]:
    """Show the report once it counts the messages with these outcomes.

    Returns:
        What is wrong: the report of the archive never agreed with the table.
    """
    console.print()
    with TemporaryDirectory() as folder:
        path = Path(folder, "endpoints.json")
        EndpointsFile(path).write(endpoints)
        environment = os.environ | {"DELIVERY_SANDBOX": str(path)}
        try:
            with step(console, "Waiting until the archive has the messages"):
                wait_for(
                    lambda: _counts(environment, outcomes) == outcomes,
                    timeout=_TIMEOUT_SECONDS,
                    what=f"A report that counts {dict(outcomes)}",
                )
        except TimedOut as error:
            return [f"{error}. {_run(environment).stderr}".strip()]
        console.print()
        console.print(
            f"The report of these messages: delivery {' '.join(_ARGUMENTS)}", style="bold"
        )
        console.print()
        if console.is_terminal:
            environment |= {"FORCE_COLOR": "1", "COLUMNS": str(console.width)}
        console.print(Text.from_ansi(_run(environment).stdout.rstrip()))
    return []


def _counts(environment: Mapping[str, str], outcomes: Mapping[str, int]) -> dict[str, int]:
    """Return how many messages with each of these outcomes the report counts."""
    ran = _run(environment, "--json")
    total = json.loads(ran.stdout)["total"] if ran.returncode == 0 else {}
    return {outcome: total.get(outcome, 0) for outcome in outcomes}


def _run(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 -- no shell, and no input from outside
        [sys.executable, "-m", "delivery_cli", *_ARGUMENTS, *arguments],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
