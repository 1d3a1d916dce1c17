"""The command line: `python -m sandbox demo` and `python -m sandbox up`.

Exit codes: 0 success; 1 a message of the demo did not end as expected, or the sandbox could not
start; 2 usage error; 130 interrupted before the sandbox was up.
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
from sandbox.endpoints import EndpointsFile, EndpointsFileInUse
from sandbox.errors import SandboxError
from sandbox.lifecycle import FOLDER, Settings
from sandbox.up import up

_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_INTERRUPTED: Final = 130
_MAX_PORT: Final = 65_535


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, and return its exit code."""
    options = _parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # for emails on terminals without Unicode
    console = new_console(sys.stdout)
    settings = Settings(
        gateway_port=options.gateway_port,
        aws_port=options.aws_port,
        twilio_port=options.twilio_port,
        dashboard_port=options.dashboard_port,
        endpoints_file=EndpointsFile(options.endpoints_file),
    )
    for signum in _STOP_SIGNALS:
        signal.signal(signum, _stop)
    run = {"demo": _demo, "up": up}[options.command]
    try:
        return run(console, settings)
    except SandboxError as error:
        console.print(str(error), style="red")
        return 1
    except BrokenPipeError:  # the reader of a pipe has left; Python must not flush again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        console.print("Stopped. Nothing is left running.")
        return _INTERRUPTED


def _demo(console: Console, settings: Settings) -> int:
    """Run the demo, in a sandbox without an endpoints file if another one is up."""
    try:
        return demo(console, settings)
    except EndpointsFileInUse:
        console.print("Another sandbox is up here. The demo starts its own.", style="yellow")
        return demo(console, settings.without_endpoints_file())


def _stop(_signum: int, _frame: object) -> NoReturn:
    """Interrupt the command, and ignore further signals while it cleans up."""
    for signum in _STOP_SIGNALS:
        signal.signal(signum, signal.SIG_IGN)
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox",
        description="Run the whole system on this machine: the real stack, deployed into an "
        "emulated AWS, with a simulated Twilio. No AWS or Twilio account is needed.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="demo|up")
    for name, help_ in (
        ("demo", "start the sandbox, send a few messages, show their delivery, and stop"),
        ("up", "start the sandbox, list its endpoints, and run until Ctrl-C"),
    ):
        command = commands.add_parser(name, help=help_, description=help_.capitalize() + ".")
        _add_endpoints(command)
    return parser


def _add_endpoints(command: argparse.ArgumentParser) -> None:
    for option, server in (
        ("--gateway-port", "public endpoints of the stack's two APIs"),
        ("--aws-port", "emulated AWS"),
        ("--twilio-port", "simulated Twilio"),
        ("--dashboard-port", "dashboard page"),
    ):
        command.add_argument(
            option, type=_port, metavar="PORT", help=f"port of the {server} (default: a free port)"
        )
    command.add_argument(
        "--endpoints-file",
        type=Path,
        default=FOLDER / "endpoints.json",
        metavar="FILE",
        help="file in which other programs read the endpoints (default: .sandbox/endpoints.json)",
    )


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= _MAX_PORT:
        raise argparse.ArgumentTypeError(f"invalid port '{text}': expected 1 to {_MAX_PORT}")
    return int(text)
