"""Entry point: parses the arguments and runs one command.

Exit codes: 0 success; 1 failure (not sent, not found, not delivered, or an error); 2 usage error;
130 interrupted.
"""

import argparse
import io
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NoReturn

from botocore.exceptions import BotoCoreError, ClientError

from delivery_cli import __version__
from delivery_cli.arguments import DEFAULT_STACK_NAME, add_target_options, reject_options
from delivery_cli.aws_errors import explain_aws_error
from delivery_cli.commands import audit, cancel, failures, find, send, show, summary, watch
from delivery_cli.commands.archive import command as archive
from delivery_cli.commands.doctor import command as doctor
from delivery_cli.commands.erase import command as erase
from delivery_cli.commands.redrive import command as redrive
from delivery_cli.commands.report import command as report
from delivery_cli.completion import SHELLS, PrintCompletion
from delivery_cli.errors import CommandError
from delivery_cli.output import Output
from delivery_cli.target import Target, aws_target, find_endpoints_file, sandbox_target

_COMMANDS: Final = (
    send.add,
    show.add,
    find.add,
    failures.add,
    summary.add,
    audit.add,
    report.add,
    archive.add,
    watch.add,
    cancel.add,
    redrive.add,
    erase.add,
    doctor.add,
)
_INTERRUPTED: Final = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    options = _parse(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # for texts that the encoding does not cover
    output = Output(sys.stdout, sys.stderr, as_json=options.json)
    try:
        with _interrupted_by(signal.SIGINT, signal.SIGTERM):
            exit_code: int = options.run(options, output, _target(options))
            return exit_code
    except CommandError as error:
        output.error(error)
        return 1
    except (BotoCoreError, ClientError) as error:
        output.error(explain_aws_error(error))
        return 1
    except OSError as error:
        # Discard what is still buffered: Python would try to write it again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # the reader closed the pipe
            output.error(CommandError(f"Cannot write the result: {error.strerror}."))
        return 1
    except KeyboardInterrupt:
        output.note("Interrupted.")
        return _INTERRUPTED


@contextmanager
def _interrupted_by(*signums: signal.Signals) -> Iterator[None]:
    """Raise KeyboardInterrupt on these signals, even if the parent process ignores them."""

    def interrupt(_signum: int, _frame: object) -> NoReturn:
        raise KeyboardInterrupt

    before = {signum: signal.signal(signum, interrupt) for signum in signums}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the arguments; a usage error ends the program with exit code 2."""
    parser = argparse.ArgumentParser(
        prog="delivery",
        allow_abbrev=False,
        description="Send messages through a deployed stack, inspect their delivery, and repair "
        "failures. docs/command-line.md has an example of each command.",
        epilog="Exit codes: 0 success; 1 failure (not sent, not found, not delivered, or an "
        "error); 2 usage error; 130 interrupted.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument(
        "--completion",
        choices=SHELLS,
        action=PrintCompletion,
        help="print a script that completes commands and options in this shell",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in _COMMANDS:
        add_target_options(add(commands))
    options = parser.parse_args(arguments)
    if options.sandbox:
        reject_options(options, ("stack_name", "region", "profile"), "not allowed with --sandbox")
    options.check(options)
    return options


def _target(options: argparse.Namespace) -> Target:
    """Return the sandbox if an option or DELIVERY_SANDBOX selects it, else a stack in AWS."""
    setting = os.environ.get("DELIVERY_SANDBOX", "")
    selects_aws = any((options.stack_name, options.profile, options.region))
    if options.sandbox or (setting and not selects_aws):
        return sandbox_target(find_endpoints_file(setting, Path.cwd()))
    return aws_target(
        stack_name=options.stack_name or DEFAULT_STACK_NAME,
        # boto3 itself does not read AWS_REGION; the AWS CLI does.
        region=options.region or os.environ.get("AWS_REGION"),
        profile=options.profile,
    )
