"""`python -m sandbox twilio` as a process, and the programs of its documentation."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Timer

PROJECT = Path(__file__).parents[2]
TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class RunningCommand:
    """The process and what it has printed; `endpoints` are its values by their names."""

    process: subprocess.Popen[str]
    printed: str

    @property
    def endpoints(self) -> dict[str, str]:
        return dict(re.findall(r"^  ([A-Z][^:\n]+): +(.+)$", self.printed, re.MULTILINE))

    def stop(self, signum: int) -> tuple[int, str]:
        """Send a signal, and return the exit code and the rest of the output."""
        self.process.send_signal(signum)
        rest, _ = self.process.communicate(timeout=TIMEOUT_SECONDS)
        return self.process.returncode, rest


@contextmanager
def running_command(*options: str) -> Iterator[RunningCommand]:
    """Run the command on a free port, and wait until it is up."""
    command = [sys.executable, "-m", "sandbox", "twilio", "--port", "0", *options]
    with subprocess.Popen(  # noqa: S603 -- no shell, and no input from outside
        command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        watchdog = Timer(TIMEOUT_SECONDS, process.kill)
        watchdog.start()
        try:
            assert process.stdout
            printed = ""
            while "Press Ctrl-C" not in printed:
                line = process.stdout.readline()
                assert line, f"the command ended: {printed}"
                printed += line
            yield RunningCommand(process, printed)
        finally:
            watchdog.cancel()
            process.kill()


def documented_program(language: str) -> str:
    """Return the first program in a language of docs/simulator.md."""
    text = (PROJECT / "docs/simulator.md").read_text("utf-8")
    found = re.search(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert found
    return found[1]
