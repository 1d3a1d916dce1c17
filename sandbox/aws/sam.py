"""Runs the real SAM CLI without access to the user's own AWS account and settings."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from sandbox.aws.template_filter import remove_unsupported
from sandbox.errors import SandboxError

BUCKET: Final = "sandbox-artifacts"

_ERROR_LINES: Final = 15
_SOURCES: Final = ("template.yaml", "functions", "layers")


class Sam:
    """The SAM CLI for one project.

    Args:
        project: the folder of template.yaml.
        cache: a folder that is kept between runs, so that only changes are built.
        folder: an existing folder for the settings and logs of this run.
        aws_environment: replaces the AWS variables of this process.
    """

    def __init__(
        self, *, project: Path, cache: Path, folder: Path, aws_environment: Mapping[str, str]
    ) -> None:
        beside = shutil.which("sam", path=Path(sys.executable).parent)
        found = beside or shutil.which("sam")
        if found is None:
            raise SandboxError("The SAM CLI (sam) is missing. `make demo` installs it.")
        self._sam = found
        self._project = project
        self._built = cache / "build"
        self._cache = cache / "cache"
        self._fingerprint_file = cache / "build.sha256"
        self._folder = folder
        self._settings = folder / "samconfig.toml"
        (folder / "tmp").mkdir(exist_ok=True)
        self._settings.write_text("version = 0.1\n")  # or SAM would read that of the project
        self._environment = _without_aws_settings(os.environ) | {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "TMPDIR": str(folder / "tmp"),
            "NO_PROXY": "127.0.0.1,localhost",
            "SAM_CLI_TELEMETRY": "0",
            "SAM_CLI_POLL_DELAY": "0.1",
            **aws_environment,
        }

    @property
    def is_built(self) -> bool:
        """Whether the last build is one of the sources as they are now."""
        file = self._fingerprint_file
        return file.is_file() and file.read_text("utf-8") == self._fingerprint()

    def build(self, parameters: Mapping[str, str]) -> None:
        """Build the functions and the layer, unless they are built."""
        if self.is_built:
            return
        fingerprint = self._fingerprint()  # a source that changes meanwhile is built next time
        self._fingerprint_file.unlink(missing_ok=True)
        self._run(
            "build",
            *("--cached", "--parallel"),
            *("--template-file", self._project / "template.yaml"),
            *("--build-dir", self._built, "--cache-dir", self._cache),
            *_overrides(parameters),
        )
        self._fingerprint_file.write_text(fingerprint, "utf-8")

    def deploy(self, *, stack_name: str, parameters: Mapping[str, str]) -> None:
        """Deploy the last build, without the resources that the emulator cannot create."""
        template = self._built / "emulated.yaml"  # beside the original: it has relative paths
        built = (self._built / "template.yaml").read_text("utf-8")
        unfinished = template.with_suffix(f".{os.getpid()}")  # others deploy it at the same time
        unfinished.write_text(remove_unsupported(built), "utf-8")
        unfinished.replace(template)
        self._run(
            "deploy",
            *("--template-file", template),
            *("--stack-name", stack_name, "--s3-bucket", BUCKET),
            *("--capabilities", "CAPABILITY_IAM"),
            *("--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar"),
            *_overrides(parameters),
        )

    def _fingerprint(self) -> str:
        """Return a hash of everything that a build reads."""
        digest = hashlib.sha256(sys.version.encode())
        for source in _SOURCES:
            path = self._project / source
            files = sorted(path.rglob("*")) if path.is_dir() else [path]
            for file in files:
                if file.is_file() and "__pycache__" not in file.parts:
                    name = file.relative_to(self._project).as_posix()
                    content = hashlib.sha256(file.read_bytes()).hexdigest()
                    digest.update(f"{name} {content}\n".encode())
        return digest.hexdigest()

    def _run(self, command: str, *arguments: str | Path) -> None:
        log = self._folder / f"sam-{command}.log"
        line = [self._sam, command, "--config-file", str(self._settings), *map(str, arguments)]
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 -- no shell, and no input from outside
                line,
                cwd=self._project,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                code = process.wait()
            finally:
                with suppress(ProcessLookupError):  # also ends its children
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if code:
            raise SandboxError(f"`sam {command}` failed:\n\n{_end_of(log)}\n\nFull log: {log}")


def _without_aws_settings(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith(("AWS_", "SAM_CLI_"))
    }


def _overrides(parameters: Mapping[str, str]) -> Sequence[str]:
    """Return the option with the parameters, in quotes because a value may have spaces."""
    return ["--parameter-overrides", *(f'{name}="{it}"' for name, it in parameters.items())]


def _end_of(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return "\n".join(lines[-_ERROR_LINES:])
