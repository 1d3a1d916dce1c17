"""Runs MiniStack for as long as the process that started it lives.

`python -m sandbox.attached`, with a pipe as standard input that the parent never writes to. The
pipe closes however the parent ends, kill -9 included, and then this process and every Lambda worker
it started (they share its process group) end too.
"""

import os
import runpy
import signal
import sys
import threading
from time import sleep
from typing import Final

_GRACE_SECONDS: Final = 3


def _end_with_the_parent() -> None:
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGTERM)
    sleep(_GRACE_SECONDS)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    runpy.run_module("ministack", run_name="__main__", alter_sys=True)
