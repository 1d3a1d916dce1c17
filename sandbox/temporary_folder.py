"""The folder of one run of the sandbox, which holds logs and the workers' files."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from sandbox.errors import SandboxError


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Create a folder, and remove it at the end.

    After a SandboxError the logs in it are kept, because the error refers to them.
    """
    folder = Path(mkdtemp(prefix="delivery-sandbox-"))
    try:
        yield folder
    except SandboxError:
        remove(inner for inner in folder.iterdir() if inner.is_dir())
        raise
    except BaseException:
        remove([folder])
        raise
    remove([folder])


def remove(folders: Iterable[Path | str]) -> None:
    """Remove folders with their files, in a process that outlives this one.

    Each worker has its own copy of the layer, with more than a thousand files. On a slow disk it
    takes a minute to remove them.
    """
    command = ["/bin/rm", "-rf", *map(str, folders)]
    os.posix_spawn(command[0], command, os.environ, setpgroup=0)
