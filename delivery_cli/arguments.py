"""What may be typed: the commands, their options, and what both mean."""

import argparse
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from delivery.error_codes import Category
from delivery_cli.redriving import CALLBACKS, ROUTES, SEND

STACK_NAME: Final = "delivery"
_LIMIT: Final = 50
_EVERY_SECONDS: Final = 2.0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What was typed; a wrong command line ends the program with exit code 2."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command == "send":
        _check_send(parser, options)
    return options


def _check_send(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """What argparse cannot know: which options are for one message, and which for a file."""
    for_one = {"--idempotency-key": options.idempotency_key, "--watch": options.watch}
    for_many = {
        "--column": options.column,
        "--key-column": options.key_column,
        "--campaign": options.campaign,
        "--ignore-other-columns": options.ignore_other_columns,
        "--dry-run": options.dry_run,
    }
    many = options.csv is not None
    for option, given in (for_one if many else for_many).items():
        if given:
            parser.error(f"{option} is for {'one message, not for' if many else ''} --csv")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="delivery",
        allow_abbrev=False,
        description="Sends messages through a deployed stack, shows what became of them, and puts "
        "right what went wrong. docs/command-line.md shows each command at work.",
        epilog="Exit codes: 0 as wished; 1 not as wished, or it could not be done; 2 a wrong "
        "command line; 130 stopped by Ctrl-C.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (
        _add_send,
        _add_show,
        _add_find,
        _add_failures,
        _add_summary,
        _add_watch,
        _add_cancel,
        _add_redrive,
        _add_erase,
        _add_doctor,
    ):
        _add_place(add(commands))
    return parser


type _Commands = Any
"""argparse has no public name for what `add_subparsers` returns."""


def _add_place(command: argparse.ArgumentParser) -> None:
    """What every command takes: where the stack is, and how the result is wanted."""
    group = command.add_argument_group("where, and how")
    group.add_argument("--stack-name", metavar="NAME", help=f"{STACK_NAME} by default")
    group.add_argument("--region", metavar="NAME", help="of AWS; as for the AWS CLI by default")
    group.add_argument("--profile", metavar="NAME", help="of ~/.aws; as for the AWS CLI by default")
    group.add_argument(
        "--sandbox",
        action="store_true",
        help="the sandbox that is up in this folder or above; also if DELIVERY_SANDBOX is set",
    )
    group.add_argument("--json", action="store_true", help="JSON for programs")


def _add_send(commands: _Commands) -> argparse.ArgumentParser:
    command = _command(commands, "send", "Send a message, at most once.")
    whom = command.add_mutually_exclusive_group(required=True)
    whom.add_argument("--to", metavar="NUMBER", help="E.164, or whatsapp:+…")
    whom.add_argument(
        "--csv",
        metavar="FILE",
        type=Path,
        help="a message for each row; what else is said here is for rows that do not say it",
    )
    command.add_argument("--from", metavar="NUMBER", help="the sender; or a service:")
    command.add_argument("--messaging-service-sid", metavar="MG…")
    text = command.add_mutually_exclusive_group()
    text.add_argument("--body", metavar="TEXT")
    text.add_argument("--body-file", metavar="FILE", help="the text is in a file; - for stdin")
    command.add_argument("--media-url", metavar="URL", action="append", help="repeatable")
    command.add_argument("--content-sid", metavar="HX…", help="a template instead of a text")
    command.add_argument("--content-variables", metavar="JSON")
    command.add_argument("--send-at", metavar="TIME", help="ISO 8601 with zone; needs a service")
    command.add_argument("--account-sid", metavar="AC…", help="a subaccount of the secret")
    command.add_argument("--reference", metavar="ID", help="your own id of it")
    command.add_argument(
        "--context", metavar="NAME=VALUE", action="append", default=[], help="repeatable"
    )
    command.add_argument(
        "--set",
        metavar="FIELD=VALUE",
        action="append",
        default=[],
        help="any other field of the API, such as smart_encoded=true; repeatable",
    )
    command.add_argument(
        "--idempotency-key", metavar="KEY", help="under one key nothing is sent twice"
    )
    command.add_argument("--watch", action="store_true", help="then watch what becomes of it")
    _add_watching(command)
    _add_csv(command)
    return command


def _add_csv(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group(
        "many messages (--csv)",
        "The file is CSV in UTF-8. A column that is named like a field of the API is that field, "
        "context.NAME is context. In --body {COLUMN} stands for the row's cell.",
    )
    group.add_argument(
        "--column",
        metavar="FIELD=COLUMN",
        action="append",
        default=[],
        help="that field is in a column of another name; repeatable",
    )
    group.add_argument(
        "--key-column",
        metavar="COLUMN",
        help="the row's idempotency key, such as a customer's number; by default it is made of "
        "the file's content and the row's number",
    )
    group.add_argument(
        "--campaign",
        metavar="NAME",
        default="",
        help="a part of every key, to send to the same file once more",
    )
    group.add_argument("--ignore-other-columns", action="store_true")
    group.add_argument("--dry-run", action="store_true", help="only show what would be asked for")


def _add_show(commands: _Commands) -> argparse.ArgumentParser:
    command = _command(commands, "show", "Show a message: status, timeline, and why it failed.")
    command.add_argument("id", metavar="SID", help="of a message, or a request id (rq_…)")
    return command


def _add_find(commands: _Commands) -> argparse.ArgumentParser:
    command = _command(commands, "find", "List messages, the newest first.")
    lists = command.add_mutually_exclusive_group(required=True)
    lists.add_argument("--to", metavar="NUMBER")
    lists.add_argument("--reference", metavar="ID", help="your own id")
    lists.add_argument(
        "--awaiting",
        action="store_const",
        const="true",
        help="those without a final status, by when Twilio is asked next",
    )
    lists.add_argument("--unconfirmed-on", metavar="DAY", type=_day, help="those given up that day")
    _add_limit(command)
    return command


def _add_failures(commands: _Commands) -> argparse.ArgumentParser:
    command = _command(commands, "failures", "List what failed on a day, and why.")
    _add_day(command)
    command.add_argument("--category", choices=[str(it) for it in Category])
    _add_limit(command)
    return command


def _add_summary(commands: _Commands) -> argparse.ArgumentParser:
    command = _command(
        commands, "summary", "Count what failed on a day, what is open and what is in doubt."
    )
    _add_day(command)
    return command


def _add_watch(commands: _Commands) -> argparse.ArgumentParser:
    command = _command(
        commands, "watch", "Watch messages until all are final: 0 if all were delivered."
    )
    which = command.add_mutually_exclusive_group(required=True)
    which.add_argument("id", metavar="SID", nargs="?", help="of a message, or a request id (rq_…)")
    which.add_argument("--to", metavar="NUMBER")
    which.add_argument("--reference", metavar="ID")
    _add_watching(command)
    return command


def _add_watching(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--every",
        metavar="SECONDS",
        type=_seconds,
        default=_EVERY_SECONDS,
        help=f"how often to look; {_EVERY_SECONDS:g} by default",
    )
    command.add_argument(
        "--timeout", metavar="SECONDS", type=_seconds, help="give up then; never by default"
    )


def _add_cancel(commands: _Commands) -> argparse.ArgumentParser:
    command = _command(commands, "cancel", "Cancel a scheduled message.")
    command.add_argument("message_sid", metavar="SID")
    return command


def _add_redrive(commands: _Commands) -> argparse.ArgumentParser:
    command = _command(
        commands, "redrive", "Give another chance to what the stack gave up on its queues."
    )
    command.add_argument(
        "queues",
        metavar="QUEUE",
        nargs="*",
        choices=list(ROUTES),
        help=f"{SEND} (requests that were never sent) or {CALLBACKS} (statuses that were never "
        "stored); both by default",
    )
    command.add_argument("--dry-run", action="store_true", help="only show what would be done")
    command.add_argument("--yes", action="store_true", help="do not ask")
    return command


def _add_erase(commands: _Commands) -> argparse.ArgumentParser:
    command = _command(
        commands, "erase", "Erase one person's data, in the tables and at Twilio, for good."
    )
    command.add_argument("number", metavar="NUMBER", help="of the recipient, with country code")
    command.add_argument("--dry-run", action="store_true", help="only count what there is")
    command.add_argument("--yes", action="store_true", help="do not ask")
    command.add_argument("--tables-only", action="store_true", help="leave what Twilio has")
    return command


def _add_doctor(commands: _Commands) -> argparse.ArgumentParser:
    return _command(
        commands, "doctor", "Check a deployed stack from end to end, and say what to put right."
    )


def _add_day(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--on",
        metavar="DAY",
        type=_day,
        default="today",
        help="YYYY-MM-DD, today (the default) or yesterday, in UTC",
    )


def _add_limit(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--limit", metavar="N", type=_count, default=_LIMIT, help=f"at most; {_LIMIT} by default"
    )


def _command(commands: _Commands, name: str, what: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=what, description=what, allow_abbrev=False
    )
    return command


def _day(text: str) -> str:
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
                    f"{text} is no day; write YYYY-MM-DD, today or yesterday"
                ) from None


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text} is no number of messages")
    return count


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no time to wait")
    return seconds
