"""The command line.

Exit codes: 0 as wished; 1 not as wished, or it could not be done; 2 a wrong command line; 130
stopped by Ctrl-C.
"""

import argparse
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NoReturn

from botocore.exceptions import BotoCoreError, ClientError

from delivery_cli.arguments import STACK_NAME, parse
from delivery_cli.aws_errors import in_words
from delivery_cli.commands.campaign.column_mapping import Layout
from delivery_cli.commands.campaign.command import send_all, show_all
from delivery_cli.commands.campaign.csv_file import Sheet
from delivery_cli.commands.doctor.command import examine
from delivery_cli.commands.erase.command import erase
from delivery_cli.commands.find import Query, failures, find, summary
from delivery_cli.commands.redrive.command import redrive
from delivery_cli.commands.redrive.routes import ROUTES
from delivery_cli.commands.send import id_to_watch, send, show_answer
from delivery_cli.commands.show import cancel, show
from delivery_cli.commands.watch import looking_at, watch
from delivery_cli.errors import CommandError
from delivery_cli.fields import document_of
from delivery_cli.messages_api import Json
from delivery_cli.output import Screen
from delivery_cli.target import Place, aws_target, sandbox_file, sandbox_target

_STOPPED: Final = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command: its exit code."""
    options = parse(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # texts may hold what a terminal cannot show
    screen = Screen(sys.stdout, sys.stderr, as_json=options.json)
    try:
        with _stopped_by(signal.SIGINT, signal.SIGTERM):
            run = _COMMANDS[options.command]
            return run(options, screen, _place(options, os.environ, Path.cwd()))
    except CommandError as error:
        screen.error(error)
        return 1
    except (BotoCoreError, ClientError) as error:
        screen.error(in_words(error))
        return 1
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python tries again
        if not isinstance(error, BrokenPipeError):  # then whoever read this has seen enough
            screen.error(CommandError(f"The result cannot be written: {error.strerror}."))
        return 1
    except KeyboardInterrupt:
        screen.note("Stopped.")
        return _STOPPED


@contextmanager
def _stopped_by(*signums: signal.Signals) -> Iterator[None]:
    """Unwind on these signals, also where whoever started this ignores them."""

    def stop(_signum: int, _frame: object) -> NoReturn:
        raise KeyboardInterrupt

    before = {signum: signal.signal(signum, stop) for signum in signums}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _send(options: argparse.Namespace, screen: Screen, place: Place) -> int:
    body = options.body if options.body_file is None else _text_in(options.body_file)
    fields = {name: getattr(options, name) for name in _SENT_AS_GIVEN}
    document = document_of(fields, context=options.context, more=options.set)
    if options.csv is not None:
        return _send_all(options, screen, place, fixed=document, body=body)
    document |= {"body": body} if body is not None else {}
    answer = send(screen, place.api, document, key=options.idempotency_key)
    named = id_to_watch(answer)
    if not options.watch or named is None:
        return show_answer(screen, answer)
    look = looking_at(place.api, named, {})
    return watch(screen, look, every=options.every, timeout=options.timeout)


def _send_all(
    options: argparse.Namespace, screen: Screen, place: Place, *, fixed: Json, body: str | None
) -> int:
    layout = Layout.of(
        Sheet.read(options.csv),
        mapped=dict(options.column),
        fixed=fixed,
        body=body,
        key_column=options.key_column,
        campaign=options.campaign,
        ignores_others=options.ignore_other_columns,
    )
    if options.dry_run:
        return show_all(screen, layout)
    return send_all(screen, place.api, options.csv, layout)


def _text_in(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}.") from None
    except ValueError:
        raise CommandError(f"{file} is not UTF-8.", "Save it as text in UTF-8.") from None


def _find(options: argparse.Namespace, screen: Screen, place: Place) -> int:
    return find(screen, place.api, _query(options), limit=options.limit)


def _failures(options: argparse.Namespace, screen: Screen, place: Place) -> int:
    return failures(screen, place.api, options.on, category=options.category, limit=options.limit)


def _watch(options: argparse.Namespace, screen: Screen, place: Place) -> int:
    look = looking_at(place.api, options.id, _query(options))
    return watch(screen, look, every=options.every, timeout=options.timeout)


def _redrive(options: argparse.Namespace, screen: Screen, place: Place) -> int:
    queues = options.queues or list(ROUTES)
    return redrive(screen, place, queues, dry_run=options.dry_run, confirmed=options.yes)


def _erase(options: argparse.Namespace, screen: Screen, place: Place) -> int:
    return erase(
        screen,
        place,
        options.number,
        dry_run=options.dry_run,
        confirmed=options.yes,
        tables_only=options.tables_only,
    )


def _query(options: argparse.Namespace) -> Query:
    """Which list is meant; the parser lets only one of them through."""
    asked = {name: getattr(options, name, None) for name in _LISTS}
    return {name: value for name, value in asked.items() if value}


def _place(options: argparse.Namespace, environment: Mapping[str, str], folder: Path) -> Place:
    """The sandbox if it is asked for, on the command line or around it; else AWS."""
    named = environment.get("DELIVERY_SANDBOX", "")
    aws = any((options.stack_name, options.profile, options.region))
    if options.sandbox or (named and not aws):
        return sandbox_target(sandbox_file(named, folder))
    return aws_target(
        stack_name=options.stack_name or STACK_NAME,
        # The AWS CLI reads it, boto3 does not.
        region=options.region or environment.get("AWS_REGION"),
        profile=options.profile,
    )


_LISTS: Final = ("to", "reference", "pending", "unconfirmed_on")
_SENT_AS_GIVEN: Final = (
    "to",
    "from",
    "messaging_service_sid",
    "media_url",
    "content_sid",
    "content_variables",
    "send_at",
    "account_sid",
    "reference",
)
_COMMANDS: Final[Mapping[str, Callable[[argparse.Namespace, Screen, Place], int]]] = {
    "send": _send,
    "show": lambda options, screen, place: show(screen, place.api, options.id),
    "find": _find,
    "failures": _failures,
    "summary": lambda options, screen, place: summary(screen, place.api, options.on),
    "watch": _watch,
    "cancel": lambda options, screen, place: cancel(screen, place.api, options.message_sid),
    "redrive": _redrive,
    "erase": _erase,
    "doctor": lambda _, screen, place: examine(screen, place),
}
