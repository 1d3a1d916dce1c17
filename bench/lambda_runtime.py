"""What a function finds on Lambda: Python and boto3, the layer and its code as SAM builds them.

A process of it sees neither this project's tools nor its sources.
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

from sandbox.aws.sam import Sam
from simulation.deployment import PROJECT, REGION, functions

INSIDE: Final = Path(__file__).parent / "inside"
"""The programs that run in it."""

_SECONDS_TO_LIVE: Final = 1200


@dataclass(frozen=True, slots=True, kw_only=True)
class LambdaRuntime:
    """A folder with the interpreter, and what `sam build` made."""

    python: Path
    built: Path

    @classmethod
    def prepare(cls, folder: Path) -> Self:
        """Make it, or bring it up to date."""
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
        """What Lambda mounts as /opt/python."""
        return self.built / "DeliveryLayer" / "python"

    def code(self, function: str) -> Path:
        """What Lambda mounts as /var/task."""
        words = "".join(word.capitalize() for word in function.split("_"))
        return self.built / f"{words}Function"

    def run(
        self,
        program: str,
        *arguments: str,
        function: str,
        environment: Mapping[str, str] | None = None,
        layer: Path | None = None,
    ) -> tuple[Any, str]:
        """Run a program of `inside` to its end: the JSON of its last line, and what came before.

        A file system that nothing can be written to, as Lambda's is, keeps no bytecode either.
        """
        path = [self.code(function), layer or self.layer]
        finished = _call(
            [str(self.python), "-P", str(INSIDE / f"{program}.py"), *arguments],
            {
                "PATH": os.environ["PATH"],
                "PYTHONPATH": os.pathsep.join(map(str, path)),
                "PYTHONDONTWRITEBYTECODE": "1",
                "AWS_LAMBDA_FUNCTION_NAME": function,
                "AWS_REGION": REGION,
                "AWS_DEFAULT_REGION": REGION,
                "AWS_ACCESS_KEY_ID": "of-nobody",
                "AWS_SECRET_ACCESS_KEY": "of-nobody",
                "AWS_SESSION_TOKEN": "of-nobody",
                **functions()[function].environment,
                **(environment or {}),
            },
        )
        *before, last = finished.splitlines(keepends=True)
        return json.loads(last), "".join(before)


@contextmanager
def stand_in(*, delay_ms: float = 0) -> Iterator[str]:
    """DynamoDB's and Secrets Manager's stand-in in a process of its own: its URL."""
    command = [sys.executable, "-m", "bench.stand_in", str(delay_ms)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 -- its own words only
        try:
            assert process.stdout
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def _call(command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    finished = subprocess.run(  # noqa: S603 -- its own words only
        command,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS_TO_LIVE,
    )
    if finished.returncode:
        raise RuntimeError(f"{command[:4]} failed:\n{finished.stdout}{finished.stderr}")
    return finished.stdout
