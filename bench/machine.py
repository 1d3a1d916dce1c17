"""Description of the machine that measured: what affects the numbers, not what identifies it."""

import os
import platform
import re
from importlib.metadata import version
from pathlib import Path

_KIB_PER_GIB = 1024 * 1024


def describe() -> dict[str, str]:
    """Return processor, cores, memory, system and versions; Linux knows them all."""
    memory = _found_in("/proc/meminfo", r"^MemTotal:\s*(\d+) kB$")
    return {
        "processor": _found_in("/proc/cpuinfo", r"^model name\s*:\s*(.+)$")
        or platform.processor()
        or "unknown",
        "cores": str(os.cpu_count()),
        "memory": f"{int(memory) / _KIB_PER_GIB:.0f} GiB" if memory else "unknown",
        "system": f"{platform.system()}, {platform.machine()}",
        "python": platform.python_version(),
        "boto3": version("boto3"),
        "powertools": version("aws-lambda-powertools"),
    }


def _found_in(path: str, pattern: str) -> str | None:
    file = Path(path)
    found = re.search(pattern, file.read_text("utf-8"), re.MULTILINE) if file.exists() else None
    return found[1] if found else None
