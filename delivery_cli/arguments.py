"""What may be typed: the commands, their options, and what both mean."""

import argparse
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from delivery.twilio.error_codes import Category
from delivery_cli.commands.redrive.routes import CALLBACKS, ROUTES, SEND

STACK_NAME: Final = "delivery"
_LIMIT: Final = 50
_EVERY_SECONDS: Final = 2.0
_IN_AWS: Final = ("stack_name", "region", "profile")
_FOR_ONE: Final = ("idempotency_key", "watch")
_FOR_MANY: Final = ("column", "key_column", "campaign", "ignore_other_columns", "dry_run")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What was typed; a wrong command line ends the program with exit code 2."""
    parser = _parser()
    options = parser.parse_args(arguments)
    _check_together(parser, options)
    return options


def _check_together(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """What argparse cannot know: which options make sense beside which others."""
    if options.sandbox:
        _refuse(parser, options, _IN_AWS, "for AWS, not for --sandbox")
    if options.command == "send":
        if options.csv is not None:
            _refuse(parser, options, _FOR_ONE, "for one message, not for --csv")
        else:
            _refuse(parser, options, _FOR_MANY, "for --csv")
        if not options.watch:
            _refuse(parser, options, ("timeout",), "for --watch")


def _refuse(
    parser: argparse.ArgumentParser,
    options: argparse.Namespace,
    names: Sequence[str],
    what_for: str,
) -> None:
    for name in names:
        if getattr(options, name):
            parser.error(f"--{name.replace('_', '-')} is {what_for}")


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
    command.add_argument("--from", metavar="NUMBER", help="the sender")
    command.add_argument(
        "--messaging-service-sid", metavar="MG…", help="a service that chooses the sender"
    )
    text = command.add_mutually_exclusive_group()
    text.add_argument("--body", metavar="TEXT", help="the text")
    text.add_argument("--body-file", metavar="FILE", help="the text is in a file; - for stdin")
    command.add_argument(
        "--media-url", metavar="URL", action="append", help="of a picture; repeatable"
    )
    command.add_argument("--content-sid", metavar="HX…", help="a template instead of a text")
    command.add_argument(
        "--content-variables", metavar="JSON", help='of the template, such as \'{"1": "Ada"}\''
    )
    command.add_argument("--send-at", metavar="TIME", help="ISO 8601 with zone; needs a service")
    command.add_argument("--account-sid", metavar="AC…", help="a subaccount of the secret")
    command.add_argument("--reference", metavar="ID", help="your own id of it")
    _add_pairs(command, "--context", "NAME=VALUE", "kept with the message; repeatable")
    _add_pairs(
        command,
        "--set",
        "FIELD=VALUE",
        "any other field of the API, such as smart_encoded=true; repeatable",
    )
    command.add_argument(
        "--idempotency-key",
        metavar="KEY",
        type=_not_empty,
        help="under one key nothing is sent twice",
    )
    command.add_argument("--watch", action="store_true", help="then watch what becomes of it")
    _add_watching(command.add_argument_group("watching (--watch)"))
    _add_csv(command)
    return command


def _add_csv(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group(
        "many messages (--csv)",
        "The file is CSV in UTF-8. A column that is named like a field of the API is that field, "
        "context.NAME is context. In --body {COLUMN} stands for the row's cell.",
    )
    _add_pairs(
        group,
        "--column",
        "FIELD=COLUMN",
        "that field is in a column of another name; repeatable",
    )
    group.add_argument(
        "--key-column",
        metavar="COLUMN",
        type=_not_empty,
        help="the row's idempotency key, such as a customer's number; by default it is made of "
        "the file's content and the row's number",
    )
    group.add_argument(
        "--campaign",
        metavar="NAME",
        default="",
        help="a part of every key, to send to the same file once more",
    )
    group.add_argument(
        "--ignore-other-columns",
        action="store_true",
        help="columns that are for nothing are no mistake",
    )
    group.add_argument("--dry-run", action="store_true", help="only show what would be asked for")


def _add_show(commands: _Commands) -> argparse.ArgumentParser:
    command = _command(commands, "show", "Show a message: status, timeline, and why it failed.")
    command.add_argument(
        "id", metavar="SID", type=_not_empty, help="of a message, or a request id (rq_…)"
    )
    return command


def _add_find(commands: _Commands) -> argparse.ArgumentParser:
    command = _command(commands, "find", "List messages, the newest first.")
    lists = command.add_mutually_exclusive_group(required=True)
    _add_recipient_and_reference(lists)
    lists.add_argument(
        "--pending",
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
    categories = [str(it) for it in Category]
    command.add_argument(
        "--category", metavar="NAME", choices=categories, help=f"only {', '.join(categories)}"
    )
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
    which.add_argument(
        "id", metavar="SID", nargs="?", type=_not_empty, help="of a message, or a request id (rq_…)"
    )
    _add_recipient_and_reference(which)
    _add_watching(command)
    return command


def _add_watching(command: argparse._ActionsContainer) -> None:
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
    command.add_argument("message_sid", metavar="SID", type=_not_empty, help="of the message")
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


def _add_recipient_and_reference(lists: argparse._MutuallyExclusiveGroup) -> None:
    lists.add_argument("--to", metavar="NUMBER", type=_not_empty, help="of the recipient")
    lists.add_argument("--reference", metavar="ID", type=_not_empty, help="your own id of it")


def _add_pairs(command: argparse._ActionsContainer, option: str, pair: str, what: str) -> None:
    command.add_argument(option, metavar=pair, type=_pair, action="append", default=[], help=what)


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


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"{text} is no pair; write a name, = and a value")
    return name, value


def _not_empty(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty; is a variable of the shell not set?")
    return text


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text} is no number of messages; write 1 or more")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no time to wait; write seconds, such as 2")
    return seconds
