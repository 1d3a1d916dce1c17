"""The endpoints file, `.sandbox/endpoints.json`, which exists while the sandbox is up."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from sandbox.errors import SandboxError

PROJECT: Final = Path(__file__).resolve().parents[1]
FOLDER: Final = PROJECT / ".sandbox"


class EndpointsFileInUse(SandboxError):
    """Another sandbox uses this endpoints file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """All that other programs need to use the sandbox; the names are the file's keys."""

    aws_endpoint_url: str
    aws_access_key_id: str
    aws_secret_access_key: str
    region: str
    stack_name: str
    status_callback_url: str
    messages_api_url: str
    twilio_api_base_url: str
    twilio_account_sid: str
    twilio_auth_token: str
    messages_table: str
    send_queue_url: str
    failure_topic_arn: str
    notices_queue_url: str
    dashboard_url: str


class EndpointsFile:
    """The endpoints file of one sandbox.

    Args:
        path: the file. The lock file beside it is released when its owner ends, however it ends.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the file for this sandbox, and remove it at the end.

        Raises:
            EndpointsFileInUse: another sandbox has locked it.
            SandboxError: the file cannot be written.
        """
        with ExitStack() as resources:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                lock = resources.enter_context(self.path.with_suffix(".lock").open("w"))
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.path.unlink(missing_ok=True)  # left by a sandbox that was killed
            except BlockingIOError:
                raise EndpointsFileInUse(
                    f"Another sandbox is up in this folder ({self.path}). Use it, or stop it first."
                ) from None
            except OSError as error:
                raise SandboxError(
                    f"{self.path} cannot be written ({error}). Choose another --endpoints-file."
                ) from error
            try:
                yield
            finally:
                self.path.unlink(missing_ok=True)

    def write(self, endpoints: Endpoints) -> None:
        """Write the endpoints atomically: a reader never sees half of the file."""
        unfinished = self.path.with_suffix(f".{os.getpid()}")
        unfinished.write_text(json.dumps(asdict(endpoints), indent=2) + "\n")
        unfinished.replace(self.path)
