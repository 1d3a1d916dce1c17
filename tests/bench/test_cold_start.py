"""What a start loads."""

import json
import os
import subprocess
import sys

from bench.cold_start import tables
from simulation.deployment import PROJECT, functions


def test_the_parts_of_a_start_end_with_the_function_itself() -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(
            str(PROJECT / folder) for folder in ("functions", "layers/delivery")
        ),
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        **functions()["status_callback"].environment,
    }
    command = [sys.executable, "-P", str(PROJECT / "bench/inside/parts.py")]

    ended = subprocess.run(  # noqa: S603 -- its own words only
        command, env=environment, check=True, capture_output=True, text=True
    )

    parts = json.loads(ended.stdout)
    assert list(parts)[-1] == "the function's own modules, wiring"
    assert all(milliseconds > 0 for milliseconds in parts.values())


def test_each_part_is_shown_as_a_share_of_the_floor() -> None:
    summary = {"median": 250.0, "min": 200.0}
    results = {
        "floor": summary,
        "floor_first_callback": summary,
        "first_callback": summary,
        "parts": {"one": {"median": 9.0, "min": 4.0}, "other": {"median": 9.0, "min": 206.0}},
    }

    *_, parts = tables(results)

    assert list(parts.rows) == [
        ("one", "4.0 ms", "2.0%"),
        ("other", "206.0 ms", "103.0%"),
        ("**together**", "210.0 ms", "105.0%"),
    ]
