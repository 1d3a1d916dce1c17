"""The command line: `python -m sandbox demo`, `up` and `twilio`.

Exit codes: 0 success; 1 a message of the demo did not end as expected, or the sandbox could not
start; 2 usage error; 130 interrupted before the sandbox was up.
"""

import argparse
import io
import math
import os
import re
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from rich.console import Console

from delivery.twilio.signature import Algorithm
from sandbox.console import new_console
from sandbox.endpoints import FOLDER, EndpointsFile, EndpointsFileInUse
from sandbox.errors import SandboxError
from sandbox.twilio.accounts import DEFAULT_ACCOUNT_SID, DEFAULT_AUTH_TOKEN
from sandbox.twilio.command import DEFAULT_PORT, DEFAULT_SPEED, Options, match_type_of, run_twilio
from sandbox.twilio.webhook_documents import is_pattern

if TYPE_CHECKING:
    from sandbox.lifecycle import Settings

_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_INTERRUPTED: Final = 130
_MAX_PORT: Final = 65_535
_MAX_SPEED: Final = 1000
_DEFAULT_RULE: Final = "DEFAULT"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, and return its exit code."""
    options = _parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # for emails on terminals without Unicode
    console = new_console(sys.stdout)
    for signum in _STOP_SIGNALS:
        signal.signal(signum, _stop)
    run = {"demo": _demo, "up": _up, "twilio": _twilio}[options.command]
    try:
        return run(console, options)
    except SandboxError as error:
        console.print(str(error), style="red")
        return 1
    except BrokenPipeError:  # the reader of a pipe has left; Python must not flush again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        console.print("Stopped. Nothing is left running.")
        return _INTERRUPTED


def _demo(console: Console, options: argparse.Namespace) -> int:
    """Run the demo, in a sandbox without an endpoints file if another one is up."""
    from sandbox.demo import demo  # noqa: PLC0415 -- boto3, which `twilio` does without

    settings = _settings(options)
    try:
        return demo(console, settings)
    except EndpointsFileInUse:
        console.print("Another sandbox is up here. The demo starts its own.", style="yellow")
        return demo(console, replace(settings, endpoints_file=None))


def _up(console: Console, options: argparse.Namespace) -> int:
    from sandbox.up import up  # noqa: PLC0415 -- as in `_demo`

    return up(console, _settings(options))


def _settings(options: argparse.Namespace) -> "Settings":
    from sandbox.lifecycle import Settings  # noqa: PLC0415 -- as in `_demo`

    return Settings(
        gateway_port=options.gateway_port,
        aws_port=options.aws_port,
        twilio_port=options.twilio_port,
        dashboard_port=options.dashboard_port,
        endpoints_file=EndpointsFile(options.endpoints_file),
    )


def _twilio(console: Console, options: argparse.Namespace) -> int:
    given = vars(options) | {"algorithm": Algorithm(options.algorithm)}
    del given["command"]
    return run_twilio(console, Options(**given))


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
    commands = parser.add_subparsers(dest="command", required=True, metavar="demo|up|twilio")
    for name, help_ in (
        ("demo", "start the sandbox, send a few messages, show their delivery, and stop"),
        ("up", "start the sandbox, list its endpoints, and run until Ctrl-C"),
    ):
        command = commands.add_parser(name, help=help_, description=_sentence(help_))
        _add_endpoints(command)
    help_ = "start the simulated Twilio alone, for any application, and run until Ctrl-C"
    twilio = commands.add_parser("twilio", help=help_, description=_sentence(help_))
    _add_twilio_options(twilio)
    return parser


def _sentence(help_: str) -> str:
    """Return a help text as a sentence; `str.capitalize` would change names such as Twilio."""
    return f"{help_[0].upper()}{help_[1:]}."


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


def _add_twilio_options(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add(
        "--port",
        type=_port_or_free,
        default=DEFAULT_PORT,
        metavar="PORT",
        help=f"port on 127.0.0.1; 0 takes a free one (default: {DEFAULT_PORT})",
    )
    add(
        "--account",
        dest="account_sid",
        type=_account_sid,
        default=DEFAULT_ACCOUNT_SID,
        metavar="SID",
        help=f"account SID (default: {DEFAULT_ACCOUNT_SID})",
    )
    add(
        "--token",
        dest="auth_token",
        type=_secret,
        default=DEFAULT_AUTH_TOKEN,
        metavar="TOKEN",
        help=f"auth token (default: {DEFAULT_AUTH_TOKEN})",
    )
    add(
        "--api-key",
        type=_api_key,
        metavar="SID:SECRET",
        help="API key that is valid besides the auth token",
    )
    add(
        "--speed",
        type=_speed,
        default=DEFAULT_SPEED,
        metavar="NUMBER",
        help=f"statuses of a message per second (default: {DEFAULT_SPEED:g})",
    )
    add(
        "--webhook-rule",
        dest="rule_urls",
        type=_rule_url,
        action="append",
        default=[],
        metavar="URL",
        help="sign callbacks to this URL with a shared key, not the auth token: an exact URL, a "
        f"prefix that ends with a slash, or {_DEFAULT_RULE} for all; can be repeated",
    )
    add(
        "--shared-key",
        type=_shared_key,
        metavar="ID:SECRET",
        help="shared key of the webhook rules (default: a new one)",
    )
    add(
        "--algorithm",
        choices=[str(it) for it in Algorithm],
        default=Algorithm.HMAC_SHA256,
        help=f"algorithm of the webhook rules (default: {Algorithm.HMAC_SHA256})",
    )


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= _MAX_PORT:
        raise argparse.ArgumentTypeError(f"invalid port '{text}': expected 1 to {_MAX_PORT}")
    return int(text)


def _port_or_free(text: str) -> int:
    return 0 if text == "0" else _port(text)


def _account_sid(text: str) -> str:
    if not re.fullmatch(r"AC[0-9a-fA-F]{32}", text):
        raise argparse.ArgumentTypeError(
            f"invalid account SID '{text}': expected AC and 32 hexadecimal digits"
        )
    return text


def _secret(text: str) -> str:
    if not text.isascii() or not text.isprintable() or not text.strip():
        raise argparse.ArgumentTypeError("invalid token: expected printable ASCII characters")
    return text


def _api_key(text: str) -> tuple[str, str]:
    sid, _, secret = text.partition(":")
    if not re.fullmatch(r"SK[0-9a-fA-F]{32}", sid) or not secret:
        raise argparse.ArgumentTypeError(
            "invalid API key: expected SK and 32 hexadecimal digits, a colon, and the secret"
        )
    return sid, _secret(secret)


def _shared_key(text: str) -> tuple[str, str]:
    key_id, _, secret = text.partition(":")
    if not re.fullmatch(r"[A-Za-z0-9_]{1,64}", key_id) or not secret:
        raise argparse.ArgumentTypeError(
            "invalid shared key: expected an id such as webhooks_sharedkey_1, a colon, and the "
            "secret"
        )
    return key_id, _secret(secret)


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = math.nan
    if not 0 < speed <= _MAX_SPEED:
        raise argparse.ArgumentTypeError(
            f"invalid speed '{text}': expected a number above 0, up to {_MAX_SPEED}"
        )
    return speed


def _rule_url(text: str) -> str:
    """Return the URL of a rule; an empty one for DEFAULT."""
    if text == _DEFAULT_RULE:
        return ""
    if not text or not is_pattern(match_type_of(text), text):
        raise argparse.ArgumentTypeError(
            f"invalid URL '{text}': expected an http or https URL, or {_DEFAULT_RULE}"
        )
    return text
