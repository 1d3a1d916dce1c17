"""The environment of a function on Lambda: Python, boto3, the built layer and the built code.

A process in it sees neither the tools nor the sources of this project.
"""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Self

from bench.events import Event
from sandbox.aws.sam import Sam
from simulation.deployment import PROJECT, REGION, functions

_PROGRAMS: Final = Path(__file__).parent / "inside"
_TIMEOUT_SECONDS: Final = 1200


@dataclass(frozen=True, slots=True, kw_only=True)
class LambdaRuntime:
    """An interpreter with boto3, and the output of `sam build`."""

    python: Path
    built: Path

    @classmethod
    def prepare(cls, folder: Path) -> Self:
        """Create the environment in a folder, or update it."""
        python = folder / "runtime" / "bin" / "python"
        if not python.exists():
            _call([sys.executable, "-m", "venv", "--without-pip", str(folder / "runtime")])
        pinned = (PROJECT / "requirements-dev.txt").read_text("utf-8").splitlines()
        (boto3,) = (line for line in pinned if line.startswith("boto3=="))
        options = ["--quiet", "--disable-pip-version-check", "-c", str(PROJECT / "constraints.txt")]
        pip = [sys.executable, "-m", "pip", "--python", str(python), "install"]
        _call([*pip, *options, boto3])
        with TemporaryDirectory() as scratch:
            sam = Sam(
                project=PROJECT,
                cache=folder,
                folder=Path(scratch),
                aws_environment={"AWS_DEFAULT_REGION": REGION},
            )
            sam.build({"Architecture": "arm64" if platform.machine() == "aarch64" else "x86_64"})
        return cls(python=python, built=folder / "build")

    @property
    def layer(self) -> Path:
        """The folder that Lambda mounts as /opt/python."""
        return self.built / "DeliveryLayer" / "python"

    def code(self, function: str) -> Path:
        """Return the folder that Lambda mounts as /var/task."""
        words = "".join(word.capitalize() for word in function.split("_"))
        return self.built / f"{words}Function"

    def invoke(self, function: str, events: Sequence[Event] = (), **options: Any) -> Any:
        """Return the output of inside/invoke.py for a function."""
        found, _ = self.run(
            "invoke", f"{function}.app", function=function, events=events, **options
        )
        return found

    def run(
        self,
        program: str,
        *arguments: str,
        function: str,
        events: Sequence[Event] = (),
        url: str = "",
        layer: Path | None = None,
    ) -> tuple[Any, str]:
        """Run a program of `inside` and return the JSON of its last line, and its other output.

        `url` is that of the stand-in for AWS and Twilio. No bytecode is written, because Lambda's
        file system is read-only.
        """
        path = [self.code(function), layer or self.layer]
        output = _call(
            [str(self.python), "-P", str(_PROGRAMS / f"{program}.py"), *arguments],
            {
                "PATH": os.environ["PATH"],
                "PYTHONPATH": os.pathsep.join(map(str, path)),
                "PYTHONDONTWRITEBYTECODE": "1",
                "AWS_LAMBDA_FUNCTION_NAME": function,
                "AWS_REGION": REGION,
                "AWS_DEFAULT_REGION": REGION,
                "AWS_ACCESS_KEY_ID": "none",
                "AWS_SECRET_ACCESS_KEY": "none",
                "AWS_SESSION_TOKEN": "none",
                "AWS_ENDPOINT_URL": url,
                **functions()[function].environment,
                "TWILIO_API_BASE_URL": url,
            },
            lines="".join(f"{json.dumps(event)}\n" for event in events),
        )
        *before, last = output.splitlines(keepends=True)
        return json.loads(last), "".join(before)


@contextmanager
def stand_in(*, delay_ms: float = 0) -> Iterator[str]:
    """Run the stand-in for AWS and Twilio in its own process; yields its URL."""
    command = [sys.executable, "-m", "bench.stand_in", str(delay_ms)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 -- fixed command
        try:
            assert process.stdout
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def _call(
    command: Sequence[str], environment: Mapping[str, str] | None = None, lines: str = ""
) -> str:
    finished = subprocess.run(  # noqa: S603 -- fixed commands
        command,
        env=environment,
        input=lines,
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_SECONDS,
    )
    if finished.returncode:
        raise RuntimeError(f"{command[:4]} failed:\n{finished.stdout}{finished.stderr}")
    return finished.stdout
