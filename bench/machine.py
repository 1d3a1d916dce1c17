"""Description of the machine that measured: what affects the numbers, not what identifies it."""

import os
import platform
import re
from importlib.metadata import version
from pathlib import Path

_KIB_PER_GIB = 1024 * 1024


def describe() -> str:
    """Return processor, cores, memory, system and versions; Linux knows them all."""
    processor = _found_in("/proc/cpuinfo", r"^model name\s*:\s*(.+)$") or platform.processor()
    memory = _found_in("/proc/meminfo", r"^MemTotal:\s*(\d+) kB$")
    gib = f"{int(memory) / _KIB_PER_GIB:.0f} GiB" if memory else "unknown memory"
    return (
        f"{processor or 'unknown processor'}, {os.cpu_count()} cores, {gib}, "
        f"{platform.system()}, {platform.machine()}, Python {platform.python_version()}, "
        f"boto3 {version('boto3')}, Powertools {version('aws-lambda-powertools')}"
    )


def _found_in(path: str, pattern: str) -> str | None:
    file = Path(path)
    found = re.search(pattern, file.read_text("utf-8"), re.MULTILINE) if file.exists() else None
    return found[1] if found else None
