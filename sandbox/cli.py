"""The command line: `python -m sandbox up` and `demo`.

Exit codes: 0 all as it should be; 1 it is not, or the sandbox could not start; 2 a wrong command
line; 130 stopped before it was up.
"""

import argparse
import io
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from rich.console import Console

from sandbox.console import new_console
from sandbox.demo import demo
from sandbox.endpoints import EndpointsFile, FileTaken
from sandbox.errors import SandboxError
from sandbox.lifecycle import FOLDER, Settings
from sandbox.up import up

_ENDS_IT: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STOPPED: Final = 130
_LAST_PORT: Final = 65_535


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command: its exit code."""
    options = _parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # an email may hold what a terminal cannot show
    console = new_console(sys.stdout)
    settings = Settings(
        gateway_port=options.gateway_port,
        aws_port=options.aws_port,
        twilio_port=options.twilio_port,
        dashboard_port=options.dashboard_port,
        endpoints_file=EndpointsFile(options.endpoints_file),
    )
    for signum in _ENDS_IT:
        signal.signal(signum, _stop)
    try:
        return _run(options, console, settings)
    except SandboxError as error:
        console.print(str(error), style="red")
        return 1
    except BrokenPipeError:  # whoever read this has seen enough, and Python must not try again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        console.print("Stopped. Nothing is left running.")
        return _STOPPED


def _run(options: argparse.Namespace, console: Console, settings: Settings) -> int:
    if options.command == "up":
        return up(console, settings)
    try:
        return demo(console, settings)
    except FileTaken as taken:
        console.print(f"{taken} Meanwhile this takes a sandbox of its own.", style="yellow")
        return demo(console, settings.without_endpoints_file())


def _stop(_signum: int, _frame: object) -> NoReturn:
    """Unwind, and let nothing disturb that."""
    for signum in _ENDS_IT:
        signal.signal(signum, signal.SIG_IGN)
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox",
        description="The whole system on this machine: an emulated AWS, a simulated Twilio, and "
        "the real stack deployed between them. Needs no account and no network once it is built.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="up|demo")
    for name, what in (
        ("up", "start it, say where everything is, and stay until Ctrl-C"),
        ("demo", "start it, send a few messages, show what becomes of them, and end"),
    ):
        command = commands.add_parser(name, help=what, description=what.capitalize() + ".")
        _add_places(command)
    return parser


def _add_places(command: argparse.ArgumentParser) -> None:
    for option, whose in (
        ("--gateway-port", "the public endpoints of the stack's two APIs"),
        ("--aws-port", "the emulated AWS"),
        ("--twilio-port", "the simulated Twilio"),
        ("--dashboard-port", "the page that stands for the CloudWatch dashboard"),
    ):
        command.add_argument(
            option, type=_port, metavar="PORT", help=f"of {whose}; a free one by default"
        )
    command.add_argument(
        "--endpoints-file",
        type=Path,
        default=FOLDER / "endpoints.json",
        metavar="FILE",
        help="where other programs read the endpoints; .sandbox/endpoints.json by default",
    )


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= _LAST_PORT:
        raise argparse.ArgumentTypeError(f"{text} is no port (1 to {_LAST_PORT})")
    return int(text)
