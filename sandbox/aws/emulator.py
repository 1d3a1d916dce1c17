"""The emulated AWS: MiniStack in a process group of its own, with its state in a private folder.

With AUTH=true it enforces IAM: requests with the sandbox's own credentials may do everything, a
function may do what its role allows. It runs the functions in worker processes on its own
interpreter; they see this module's environment, their own variables and their role's credentials.
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
from types import TracebackType
from typing import Final, NoReturn, Self

from sandbox.errors import SandboxError
from sandbox.http_server import LOOPBACK, NoResponse, call
from sandbox.polling import TimedOut, wait_for

ACCESS_KEY_ID: Final = "test"  # MiniStack's root credentials
SECRET_ACCESS_KEY: Final = "test"  # noqa: S105 -- the same: opens nothing but the emulator
REGION: Final = "us-east-1"

_READY_WITHIN_SECONDS: Final = 60
_ENDS_WITHIN_SECONDS: Final = 5


class Emulator:
    """MiniStack, started as soon as it is made and ended with its workers by `stop`.

    Args:
        port: a free port; nobody listens there yet.
        folder: an existing folder that is this emulator's alone.
        mailbox_url: where the functions reach SNS.
    """

    def __init__(self, *, port: int, folder: Path, mailbox_url: str) -> None:
        if find_spec("ministack") is None:
            raise SandboxError("The AWS emulator (ministack) is missing: `make demo` installs it.")
        self.url = f"http://{LOOPBACK}:{port}"
        self.log = folder / "emulator.log"
        self._port = port
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 -- no shell, and nobody else's words
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
        """What points an AWS client at the emulator, and at nobody's real account."""
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
        """Return when it answers; fail when it ended or takes too long."""
        try:
            wait_for(
                lambda: self._process.poll() is not None or self._answers(),
                within=_READY_WITHIN_SECONDS,
                what="An answer from the AWS emulator",
            )
        except TimedOut as error:
            raise SandboxError(f"{error}; see {self.log}") from error
        if self._process.poll() is not None:
            raise SandboxError(f"The AWS emulator did not start; see {self.log}")

    def check(self) -> None:
        """Save whoever waits for it from waiting in vain.

        Raises:
            SandboxError: it has ended by itself.
        """
        code = self._process.poll()
        if code is not None:
            raise self._ended_by_itself(code)

    def wait_until_ended(self) -> NoReturn:
        """Block until it ends, which it does not do by itself.

        Raises:
            SandboxError: it did.
        """
        raise self._ended_by_itself(self._process.wait())

    def kill_workers(self) -> int:
        """Kill the functions that run, in the middle of what they do: how many workers it were."""
        killed = 0
        for process in _processes():
            with suppress(ProcessLookupError, PermissionError):
                if process != self._process.pid == os.getpgid(process):
                    os.kill(process, signal.SIGKILL)
                    killed += 1
        return killed

    def stop(self) -> None:
        """End it and all its workers; harmless when it has ended already."""
        self._signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_ENDS_WITHIN_SECONDS)
        self._signal(signal.SIGKILL)
        self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End it; if it had ended already, that is why something else went wrong."""
        code = self._process.poll()
        self.stop()
        is_unexplained = isinstance(error, Exception) and not isinstance(error, SandboxError)
        if code is not None and is_unexplained:
            raise self._ended_by_itself(code) from error

    def _ended_by_itself(self, code: int) -> SandboxError:
        return SandboxError(f"The emulated AWS ended by itself (exit code {code}); see {self.log}")

    def _signal(self, signum: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signum)

    def _answers(self) -> bool:
        try:
            return call("GET", f"{self.url}/_ministack/ready", timeout=1).status == HTTPStatus.OK
        except NoResponse:
            return False


def _processes() -> Iterator[int]:
    """Every process of this machine."""
    if Path("/proc/self").exists():
        yield from (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
        return
    listed = subprocess.run(
        ["/bin/ps", "-A", "-o", "pid="], check=True, capture_output=True, text=True
    )
    yield from map(int, listed.stdout.split())


def _environment(port: int, folder: Path) -> dict[str, str]:
    """All that MiniStack sees: nothing of the person's own AWS set-up or proxies."""
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
