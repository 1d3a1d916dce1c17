"""Runs the emulated AWS: MiniStack in its own process group, with its state in a private folder.

With AUTH=true it enforces IAM: the sandbox's own credentials permit everything, a function is
permitted what its role allows. It runs the functions in worker processes on its own interpreter.
They see this module's environment, their own variables and their role's credentials.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from http import HTTPStatus
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NoReturn, Self

from sandbox.errors import SandboxError
from sandbox.http_server import LOOPBACK, NoResponse, call
from sandbox.polling import TimedOut, wait_for

ACCESS_KEY_ID: Final = "test"  # MiniStack's root credentials
SECRET_ACCESS_KEY: Final = "test"  # noqa: S105 -- valid for the emulator only
REGION: Final = "us-east-1"

_START_TIMEOUT_SECONDS: Final = 60
_STOP_TIMEOUT_SECONDS: Final = 5


class Emulator:
    """MiniStack, which starts when the object is created and ends with its workers by `stop`.

    Args:
        port: a free port.
        folder: an existing folder that only this emulator uses.
        mailbox_url: the URL at which the functions reach SNS.
    """

    def __init__(self, *, port: int, folder: Path, mailbox_url: str) -> None:
        if find_spec("ministack") is None:
            raise SandboxError("The package ministack is missing. `make demo` installs it.")
        self.url = f"http://{LOOPBACK}:{port}"
        self.log = folder / "emulator.log"
        self._port = port
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 -- no shell, and no input from outside
                [sys.executable, "-m", "sandbox.aws.supervised", str(folder)],
                cwd=Path(__file__).resolve().parents[2],
                env=_environment(port, folder) | {"AWS_ENDPOINT_URL_SNS": mailbox_url},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def client_environment(self) -> dict[str, str]:
        """The environment variables that point AWS clients at the emulator, never at AWS."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def wait_until_ready(self) -> None:
        """Return when the emulator responds.

        Raises:
            SandboxError: it ended, or did not respond in time.
        """
        try:
            wait_for(
                lambda: self._process.poll() is not None or self._responds(),
                timeout=_START_TIMEOUT_SECONDS,
                what="The start of the emulated AWS",
            )
        except TimedOut as error:
            raise SandboxError(f"{error}; see {self.log}") from error
        if self._process.poll() is not None:
            raise SandboxError(f"The emulated AWS did not start; see {self.log}")

    def raise_if_ended(self) -> None:
        """Check that the emulator is running, so that a caller does not wait for it forever.

        Raises:
            SandboxError: it ended unexpectedly.
        """
        code = self._process.poll()
        if code is not None:
            raise self._unexpected_end(code)

    def wait_until_ended(self) -> NoReturn:
        """Block until the emulator ends.

        Raises:
            SandboxError: it ended, which is unexpected.
        """
        raise self._unexpected_end(self._process.wait())

    def kill_workers(self) -> int:
        """Kill all running functions, and return the number of killed processes."""
        killed = 0
        for process in _processes():
            with suppress(ProcessLookupError, PermissionError):
                if process != self._process.pid == os.getpgid(process):
                    os.kill(process, signal.SIGKILL)
                    killed += 1
        return killed

    def stop(self) -> None:
        """End the emulator and its workers; does nothing if it has ended."""
        self._signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_TIMEOUT_SECONDS)
        self._signal(signal.SIGKILL)
        self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        """Stop it; if it had ended unexpectedly, that is the cause of another error."""
        code = self._process.poll()
        self.stop()
        is_unexplained = isinstance(error, Exception) and not isinstance(error, SandboxError)
        if code is not None and is_unexplained:
            raise self._unexpected_end(code) from error

    def _unexpected_end(self, code: int) -> SandboxError:
        return SandboxError(f"The emulated AWS ended unexpectedly (exit code {code}): {self.log}")

    def _signal(self, signum: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signum)

    def _responds(self) -> bool:
        try:
            response = call("GET", f"{self.url}/_ministack/ready", timeout=1)
        except NoResponse:
            return False
        return response.status == HTTPStatus.OK


def _processes() -> Iterator[int]:
    """The ids of all processes of this machine."""
    if Path("/proc/self").exists():
        yield from (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
        return
    listed = subprocess.run(
        ["/bin/ps", "-A", "-o", "pid="], check=True, capture_output=True, text=True
    )
    yield from map(int, listed.stdout.split())


def _environment(port: int, folder: Path) -> dict[str, str]:
    """MiniStack's whole environment; the user's AWS settings and proxies are not in it."""
    for name in ("home", "state", "tmp"):
        (folder / name).mkdir(exist_ok=True)
    return {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.defpath]),
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "STATE_DIR": str(folder / "state"),
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        "AWS_EC2_METADATA_DISABLED": "true",
        "MINISTACK_REGION": REGION,
        "MINISTACK_HOST": LOOPBACK,
        "GATEWAY_PORT": str(port),
        "BIND_HOST": LOOPBACK,
        "AUTH": "true",
        "PERSIST_STATE": "0",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
    }
