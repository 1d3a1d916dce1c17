"""`delivery send`: sends a message at most once, or queues one for each row of a CSV file."""

import argparse
import secrets
import sys
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Final

from rich.console import RenderableType
from rich.text import Text

from delivery_cli.arguments import (
    Commands,
    add_command,
    add_pairs,
    add_watch_options,
    not_empty,
    reject_options,
)
from delivery_cli.commands.campaign import command as campaign
from delivery_cli.commands.campaign.column_mapping import ColumnMapping
from delivery_cli.commands.campaign.csv_file import CsvFile
from delivery_cli.commands.show import render_state
from delivery_cli.commands.watch import poll_one, watch
from delivery_cli.errors import CommandError, NoAnswer
from delivery_cli.fields import NAMES, read_fields
from delivery_cli.message_view import render_message
from delivery_cli.messages_api import ApiResponse, Json, MessagesApi, describe_problems
from delivery_cli.output import Output
from delivery_cli.target import Target
from delivery_cli.terminal_text import escape_controls

_MAX_ATTEMPTS: Final = 3


def add(commands: Commands) -> argparse.ArgumentParser:
    """Add the command."""
    command = add_command(commands, "send", "Send a message, at most once.", _run, _check)
    recipient = command.add_mutually_exclusive_group(required=True)
    recipient.add_argument(
        "--to", metavar="NUMBER", help="recipient, in E.164 format or whatsapp:+…"
    )
    recipient.add_argument(
        "--csv",
        metavar="FILE",
        type=Path,
        help="send one message per row; other options are defaults for missing or empty cells",
    )
    command.add_argument("--from", metavar="NUMBER", help="sender")
    command.add_argument(
        "--messaging-service-sid", metavar="MG…", help="messaging service that chooses the sender"
    )
    text = command.add_mutually_exclusive_group()
    text.add_argument("--body", metavar="TEXT", help="text of the message")
    text.add_argument("--body-file", metavar="FILE", help="read the text from a file; - for stdin")
    command.add_argument(
        "--media-url", metavar="URL", action="append", help="media to attach; repeatable"
    )
    command.add_argument("--content-sid", metavar="HX…", help="content template, instead of text")
    command.add_argument(
        "--content-variables", metavar="JSON", help='template variables, e.g. \'{"1": "Ada"}\''
    )
    command.add_argument(
        "--send-at",
        metavar="TIME",
        help="ISO 8601 with time zone; requires --messaging-service-sid",
    )
    command.add_argument(
        "--account-sid", metavar="AC…", help="subaccount that sends; it must be in the secret"
    )
    command.add_argument("--reference", metavar="ID", help="your own id for the message")
    add_pairs(
        command, "--context", metavar="NAME=VALUE", help="stored with the message; repeatable"
    )
    add_pairs(
        command,
        "--set",
        metavar="FIELD=VALUE",
        help="any other field of the API, e.g. smart_encoded=true; repeatable",
    )
    command.add_argument(
        "--idempotency-key",
        metavar="KEY",
        type=not_empty,
        help="repeating a send with the same key sends nothing again",
    )
    command.add_argument("--watch", action="store_true", help="watch the message until it is final")
    add_watch_options(command.add_argument_group("watching (--watch)"))
    campaign.add_options(command)
    return command


def _check(options: argparse.Namespace) -> None:
    for name, _ in options.set:
        if name not in NAMES:
            fields = ", ".join(NAMES)
            options.parser.error(
                f"argument --set: invalid field '{name}': expected one of {fields}"
            )
    if options.csv is None:
        reject_options(options, campaign.OPTIONS, "only allowed with --csv")
    else:
        reject_options(options, ("idempotency_key", "watch"), "not allowed with --csv")
    if not options.watch:
        reject_options(options, ("timeout",), "only allowed with --watch")


def _run(options: argparse.Namespace, output: Output, target: Target) -> int:
    body = options.body if options.body_file is None else _read_text(options.body_file)
    if options.csv is not None:
        mapping = ColumnMapping.from_options(
            CsvFile.read(options.csv), options, defaults=read_fields(options), body=body
        )
        return campaign.run(options, output, target.api, mapping)
    response = _send(output, target.api, read_fields(options, body), options.idempotency_key)
    is_sent = response.status in {HTTPStatus.CREATED, HTTPStatus.OK}
    if options.watch and (is_sent or response.status == HTTPStatus.ACCEPTED):
        sid_or_request_id = response.content["message_sid" if is_sent else "request_id"]
        return watch(output, poll_one(target.api, sid_or_request_id), options)
    output.result(response.content, _render(response))
    return 0 if is_sent else 1


def _read_text(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
    except OSError as error:
        raise CommandError(f"Cannot read {file}: {error.strerror}.") from None
    except ValueError:
        raise CommandError(f"{file} is not UTF-8.", "Save the text as UTF-8.") from None


def _send(output: Output, api: MessagesApi, document: Json, key: str | None) -> ApiResponse:
    """Send the message; if only the answer is lost, repeat the request with the same key.

    Raises:
        CommandError: the request failed.
        NoAnswer: it is unknown whether the message was sent; the fix names the key.
    """
    key = key or f"cli-{secrets.token_hex(16)}"
    lost: NoAnswer | None = None
    try:
        for _ in range(_MAX_ATTEMPTS):
            try:
                response = api.send(document, key=key)
            except NoAnswer as error:
                lost = error
                continue
            # API Gateway's own 503 only means that the function did not answer in time.
            if response.is_from_function:
                return response
            lost = NoAnswer(f"The stack did not answer in time: {response.detail}.")
    except KeyboardInterrupt:
        output.error(_outcome_unknown("Interrupted.", key))
        raise
    raise _outcome_unknown(f"{lost}", key)


def _outcome_unknown(cause: str, key: str) -> NoAnswer:
    return NoAnswer(
        f"{cause} It is unknown whether the message was sent.",
        f"Repeat the command with --idempotency-key {key}: the message is not sent twice.",
    )


def _render(response: ApiResponse) -> Iterator[RenderableType]:
    content = response.content
    match response.status:
        case HTTPStatus.CREATED:
            yield from render_message(content)
        case HTTPStatus.OK:
            yield Text("Already sent with this idempotency key; nothing was sent now.", "yellow")
            yield from render_message(content) if "outcome" in content else _render_ids(content)
        case HTTPStatus.ACCEPTED:
            yield render_state(content)
            request_id = escape_controls(content["request_id"])
            yield Text(f"`delivery watch {request_id}` waits for the outcome.")
        case HTTPStatus.SERVICE_UNAVAILABLE:
            yield Text(escape_controls(response.detail), style="red")
            yield Text("`delivery doctor` looks for the cause.")
        case HTTPStatus.BAD_REQUEST:
            yield Text("Invalid message:", style="red")
            for problem in describe_problems(content) or [response.detail]:
                yield Text(f"  {escape_controls(problem)}")
        case _:
            yield Text(escape_controls(response.detail), style="red")
            yield from _render_ids(content)


def _render_ids(content: Json) -> Iterator[RenderableType]:
    for name in ("message_sid", "request_id"):
        if name in content:
            yield Text(f"{name.replace('_', ' ')}: {escape_controls(content[name])}")
