"""Runs MiniStack for as long as the process that started it runs.

`python -m sandbox.aws.supervised FOLDER` needs a pipe as standard input to which the parent never
writes. The pipe closes when the parent ends, even by SIGKILL. This process then removes the folder
and ends itself and its Lambda workers, which share its process group.
"""

import os
import runpy
import signal
import sys
import threading
from importlib import import_module
from time import sleep
from typing import Final

from sandbox.aws import async_invocations
from sandbox.temporary_folder import remove

_GRACE_SECONDS: Final = 3


def _end_with_parent(folder: str) -> None:
    sys.stdin.buffer.read()
    remove([folder])
    os.killpg(0, signal.SIGTERM)
    sleep(_GRACE_SECONDS)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    folder = sys.argv.pop()  # MiniStack reads sys.argv, too
    threading.Thread(target=_end_with_parent, args=(folder,), daemon=True).start()
    async_invocations.correct(import_module("ministack.services.lambda_svc"))
    runpy.run_module("ministack", run_name="__main__", alter_sys=True)
