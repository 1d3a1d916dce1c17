"""The options of `delivery erase`, its confirmation and its result."""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from rich.console import RenderableType
from rich.text import Text

from delivery.storage.messages import MessageStore
from delivery.storage.send_requests import SendRequestStore
from delivery.storage.table import StoreUnavailable
from delivery.text.addresses import addresses_of
from delivery.text.identifiers import InvalidAddress
from delivery.twilio.credentials import SecretError
from delivery_cli.arguments import Commands, add_command, add_confirmation
from delivery_cli.commands.erase.eraser import Eraser, Found, Step, TwilioAccounts
from delivery_cli.errors import CommandError
from delivery_cli.output import Output
from delivery_cli.target import Target
from delivery_cli.terminal_text import NOT_CONNECTED, escape_controls, format_count

_NOT_ERASED: Final = (
    "Queues, backups, notices and logs are not erased: docs/privacy.md lists what they hold, and "
    "for how long."
)


def add(commands: Commands) -> argparse.ArgumentParser:
    """Add the command."""
    summary = "Erase one person's data in the tables and at Twilio, irreversibly."
    command = add_command(commands, "erase", summary, _run)
    command.add_argument(
        "number",
        metavar="NUMBER",
        help="recipient: with country code, or an address of a channel",
    )
    add_confirmation(command)
    command.add_argument("--tables-only", action="store_true", help="erase nothing at Twilio")
    return command


def _run(options: argparse.Namespace, output: Output, target: Target) -> int:
    """Erase the data of one recipient: returns 1 if something is left."""
    try:
        addresses = addresses_of(options.number)
    except InvalidAddress as error:
        raise CommandError(f"Invalid number {escape_controls(options.number)}: {error}.") from None
    eraser = _eraser(target, tables_only=options.tables_only)
    steps: list[Step] = []
    try:
        found = eraser.find(options.number)
        if not options.dry_run:
            question = f"Erase {_describe(found)} for {', '.join(addresses)}, irreversibly?"
            if any(asdict(found).values()) and not options.yes and not output.confirm(question):
                raise CommandError("Nothing was erased.")
            steps = list(eraser.erase(options.number))
    except StoreUnavailable as error:
        raise CommandError(
            f"The data was not erased, or only in part: {error}.",
            "Repeat the command: it continues where this run ended.",
        ) from error
    left = [step for step in steps if step.is_left]
    output.result(
        {
            "addresses": addresses,
            "dry_run": options.dry_run,
            "found": asdict(found),
            "erased": len(steps) - len(left),
            "left": [asdict(step) for step in left],
        },
        _render_dry_run(addresses, found) if options.dry_run else _render(addresses, steps),
    )
    return 1 if left else 0


def _eraser(target: Target, *, tables_only: bool) -> Eraser:
    tables, stack = target.account.tables, target.stack
    unreadable: list[str] = []
    return Eraser(
        messages=MessageStore(
            tables, stack.outputs["MessagesTableName"], unreadable=unreadable.append
        ),
        requests=SendRequestStore(
            tables, target.physical_id("SendRequestsTable"), unreadable=unreadable.append
        ),
        twilio=None if tables_only else _twilio_accounts(target),
        key_retention=timedelta(
            days=float(stack.parameters.get("IdempotencyKeyRetentionDays", "30"))
        ),
        now=partial(datetime.now, UTC),
        unreadable=unreadable,
    )


def _twilio_accounts(target: Target) -> TwilioAccounts:
    try:
        return TwilioAccounts(target.twilio, target.twilio_secret)
    except SecretError as error:
        raise CommandError(
            f"Nothing was erased: {error}.",
            "The secret is required to erase at Twilio. --tables-only erases only the tables.",
        ) from error


def _describe(found: Found) -> str:
    messages = format_count(found.messages, "message")
    requests = format_count(found.requests, "request")
    at_twilio = format_count(found.at_twilio, "message")
    return f"{messages} and {requests} in the tables and {at_twilio} at Twilio"


def _render_dry_run(addresses: Sequence[str], found: Found) -> Iterator[RenderableType]:
    yield Text(f"Found {_describe(found)} for {', '.join(addresses)}.")
    yield Text(NOT_CONNECTED, style="dim")


def _render(addresses: Sequence[str], steps: Sequence[Step]) -> Iterator[RenderableType]:
    left = [step for step in steps if step.is_left]
    erased = len(steps) - len(left)
    yield Text(f"Messages and requests erased: {erased}, of {', '.join(addresses)}.", "bold")
    for step in left:
        yield Text(escape_controls(f"  {step.id} is left: {step.reason}."), style="red")
    if left:
        yield Text("Repeat the command later to erase the rest.")
    yield Text(NOT_CONNECTED, style="dim")
    yield Text(_NOT_ERASED, style="dim")
