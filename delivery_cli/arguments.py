"""Options and argument types that several commands share."""

import argparse
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from delivery.text.identifiers import (
    InvalidAddress,
    is_request_id,
    normalize_message_id,
    normalize_recipient,
)
from delivery_cli.output import Output
from delivery_cli.target import Target

DEFAULT_STACK_NAME: Final = "delivery"
_DEFAULT_LIMIT: Final = 50
_DEFAULT_INTERVAL_SECONDS: Final = 2.0

type Run = Callable[[argparse.Namespace, Output, Target], int]
"""Executes a command and returns its exit code."""

type Check = Callable[[argparse.Namespace], None]
"""Ends the program with a usage error if the options contradict each other."""

type Commands = Any
"""Return type of `add_subparsers`, for which argparse has no public name."""


def add_command(
    commands: Commands, name: str, summary: str, run: Run, check: Check = lambda _: None
) -> argparse.ArgumentParser:
    """Add the parser of a command; the parsed options carry `run` and `check`."""
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=summary, allow_abbrev=False
    )
    command.set_defaults(run=run, check=check, parser=command)
    return command


def reject_options(options: argparse.Namespace, names: Sequence[str], reason: str) -> None:
    """End the program with a usage error if one of these options was given."""
    for name in names:
        if getattr(options, name):
            options.parser.error(f"argument --{name.replace('_', '-')}: {reason}")


def add_target_options(command: argparse.ArgumentParser) -> None:
    """Add the options of every command: which stack to use, and the format of the result."""
    group = command.add_argument_group("target and output")
    group.add_argument(
        "--stack-name", metavar="NAME", help=f"stack in AWS (default: {DEFAULT_STACK_NAME})"
    )
    group.add_argument("--region", metavar="NAME", help="AWS region (default: like the AWS CLI)")
    group.add_argument("--profile", metavar="NAME", help="AWS profile (default: like the AWS CLI)")
    group.add_argument(
        "--sandbox",
        action="store_true",
        help="use the sandbox that runs in this folder or one above (also: DELIVERY_SANDBOX=1)",
    )
    group.add_argument("--json", action="store_true", help="print JSON")


def add_id(command: argparse._ActionsContainer, **how: Any) -> None:
    """Add the positional argument for a message or a send request."""
    help_text = "SID of the message, or id of the send request (rq_…)"
    command.add_argument("id", metavar="SID", type=_message_id, help=help_text, **how)


def add_list_options(group: argparse._MutuallyExclusiveGroup) -> None:
    """Add `--to` and `--reference`, which select a list of messages."""
    add_list_option(
        group,
        "--to",
        type=_recipient,
        metavar="NUMBER",
        help="messages to this recipient on every channel",
    )
    add_list_option(group, "--reference", metavar="ID", help="messages with this reference")


def add_list_option(group: argparse._MutuallyExclusiveGroup, option: str, **how: Any) -> None:
    """Add an option that sets `options.query`: a parameter of `GET /messages`, with its value."""
    name = option.removeprefix("--").replace("-", "_")
    parse = how.pop("type", not_empty)
    group.add_argument(option, dest="query", type=lambda text: {name: parse(text)}, **how)


def add_pairs(command: argparse._ActionsContainer, option: str, **how: Any) -> None:
    """Add a repeatable option that takes NAME=VALUE."""
    command.add_argument(option, type=_pair, action="append", default=[], **how)


def add_day(command: argparse.ArgumentParser, *, default: str = "today") -> None:
    """Add `--on DAY`."""
    others = {"today": "today (default) or yesterday", "yesterday": "yesterday (default) or today"}
    command.add_argument(
        "--on",
        metavar="DAY",
        type=day,
        default=default,
        help=f"day in UTC: YYYY-MM-DD, {others[default]}",
    )


def add_limit(command: argparse.ArgumentParser) -> None:
    """Add `--limit N`."""
    command.add_argument(
        "--limit",
        metavar="N",
        type=_count,
        default=_DEFAULT_LIMIT,
        help=f"maximum number of messages (default: {_DEFAULT_LIMIT})",
    )


def add_watch_options(command: argparse._ActionsContainer) -> None:
    """Add `--every` and `--timeout`, in seconds."""
    command.add_argument(
        "--every",
        metavar="SECONDS",
        type=_seconds,
        default=_DEFAULT_INTERVAL_SECONDS,
        help=f"polling interval (default: {_DEFAULT_INTERVAL_SECONDS:g})",
    )
    command.add_argument(
        "--timeout", metavar="SECONDS", type=_seconds, help="stop after this time (default: never)"
    )


def add_confirmation(command: argparse.ArgumentParser) -> None:
    """Add `--dry-run` and `--yes`."""
    command.add_argument("--dry-run", action="store_true", help="preview; change nothing")
    command.add_argument("--yes", action="store_true", help="do not ask for confirmation")


def day(text: str) -> str:
    """Parse a day: YYYY-MM-DD, today or yesterday (UTC)."""
    today = datetime.now(UTC).date()
    match text:
        case "today":
            return today.isoformat()
        case "yesterday":
            return (today - timedelta(days=1)).isoformat()
        case _:
            try:
                return date.fromisoformat(text).isoformat()
            except ValueError:
                raise argparse.ArgumentTypeError(
                    f"invalid date '{text}': expected YYYY-MM-DD, today or yesterday"
                ) from None


def not_empty(text: str) -> str:
    """Parse text that must not be blank."""
    if not text.strip():
        raise argparse.ArgumentTypeError("expected a value, got none: is a shell variable unset?")
    return text


def message_sid(text: str) -> str:
    """Parse a message's SID, in any case and with the quotes of a log line."""
    sid = normalize_message_id(not_empty(text))
    if sid is None or is_request_id(sid):
        raise argparse.ArgumentTypeError(
            f"invalid SID '{text}': expected SM or MM, followed by 32 hex digits"
        )
    return sid


def _message_id(text: str) -> str:
    """Parse a message's SID or the id of a send request, like `message_sid`."""
    normalized = normalize_message_id(not_empty(text))
    if normalized is None:
        raise argparse.ArgumentTypeError(
            f"invalid id '{text}': expected SM, MM, or rq_ (a send request), "
            "followed by 32 hex digits"
        )
    return normalized


def _recipient(text: str) -> str:
    try:
        normalize_recipient(not_empty(text))
    except InvalidAddress as error:
        raise argparse.ArgumentTypeError(f"invalid number '{text}': {error}") from None
    return text


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"invalid pair '{text}': expected NAME=VALUE")
    return name, value


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"invalid number '{text}': expected a positive integer")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"invalid duration '{text}': expected seconds, e.g. 2")
    return seconds
