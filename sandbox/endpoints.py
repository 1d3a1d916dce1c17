"""Where everything is, for programs outside: `.sandbox/endpoints.json`, there while it is true."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from sandbox.errors import SandboxError


class FileTaken(SandboxError):
    """Another sandbox tells its endpoints in this file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """All that an outside program needs; the names are the file's keys."""

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
    """The file of one sandbox; whoever has it has it alone.

    Args:
        path: its place. Beside it is a lock, which the system releases however its owner ends.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep others out, and leave no file behind.

        Raises:
            FileTaken: another sandbox has it.
            SandboxError: no file can be there.
        """
        with ExitStack() as ending:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                lock = ending.enter_context(self.path.with_suffix(".lock").open("w"))
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.path.unlink(missing_ok=True)  # of one that was killed
            except BlockingIOError:
                raise FileTaken(
                    f"Another sandbox is up in this folder: use it ({self.path}), or stop it first."
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
        """Show the endpoints; a reader sees all of them or none."""
        unfinished = self.path.with_suffix(f".{os.getpid()}")
        unfinished.write_text(json.dumps(asdict(endpoints), indent=2) + "\n")
        unfinished.replace(self.path)
