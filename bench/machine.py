"""The machine that numbers were measured on: what matters for them, and nothing that names it."""

import os
import platform
import re
from importlib.metadata import version
from pathlib import Path

_KIB_PER_GIB = 1024 * 1024


def describe() -> dict[str, str]:
    """What to write beside the results."""
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": _memory(),
        "system": f"{platform.system()}, {platform.machine()}",
        "python": platform.python_version(),
        "boto3": version("boto3"),
        "powertools": version("aws-lambda-powertools"),
    }


def _processor() -> str:
    return (
        _said_in("/proc/cpuinfo", r"^model name\s*:\s*(.+)$") or platform.processor() or "unknown"
    )


def _memory() -> str:
    total = _said_in("/proc/meminfo", r"^MemTotal:\s*(\d+) kB$")
    return f"{int(total) / _KIB_PER_GIB:.0f} GiB" if total else "unknown"


def _said_in(path: str, pattern: str) -> str | None:
    """Only Linux has such files."""
    file = Path(path)
    found = re.search(pattern, file.read_text("utf-8"), re.MULTILINE) if file.exists() else None
    return found[1] if found else None
