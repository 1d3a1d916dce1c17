"""Asks, erases, and says what was left."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from rich.console import RenderableType
from rich.text import Text

from delivery.storage.messages import MessageStore
from delivery.storage.send_requests import SendRequestStore
from delivery.storage.table import StoreUnavailable
from delivery.text.identifiers import InvalidAddress
from delivery.twilio.credentials import SecretError
from delivery_cli.commands.erase.eraser import AtTwilio, Eraser, Found, Step, What, addresses_of
from delivery_cli.errors import CommandError
from delivery_cli.output import Screen
from delivery_cli.target import Place
from delivery_cli.terminal_text import counted, visible

_ELSEWHERE: Final = (
    "Queues, backups, notices and logs are not reached from here: docs/privacy.md lists what is in "
    "them, and for how long."
)


def erase(  # noqa: PLR0913 -- what may be typed
    screen: Screen, place: Place, number: str, *, dry_run: bool, confirmed: bool, tables_only: bool
) -> int:
    """Erase everything of one recipient: 0 if nothing is left, 1 if something is.

    Raises:
        CommandError: it is no number, nobody confirmed it, or it could not be done.
    """
    try:
        addresses = addresses_of(number)
    except InvalidAddress as error:
        raise CommandError(f"{visible(number)} {error}.") from None
    eraser = _eraser(place, tables_only=tables_only)
    steps: list[Step] = []
    try:
        found = eraser.look(number)
        if not dry_run:
            if found.anything and not confirmed and not _confirms(screen, addresses, found):
                raise CommandError("Nothing was erased.")
            steps = list(eraser.erase(number))
    except StoreUnavailable as error:
        raise CommandError(
            f"It was not done, or only in part: {error}.",
            "Run the command again: it goes on where this one ended.",
        ) from error
    left = [step for step in steps if step.what is What.LEFT]
    screen.result(
        {
            "addresses": addresses,
            "dry_run": dry_run,
            "found": asdict(found),
            "erased": len(steps) - len(left),
            "left": [{"id": step.id, "reason": step.reason} for step in left],
        },
        _drawn(addresses, found, steps, dry_run=dry_run),
    )
    return 1 if left else 0


def _eraser(place: Place, *, tables_only: bool) -> Eraser:
    parameters = place.stack.parameters
    tables = place.account.tables
    return Eraser(
        messages=MessageStore(tables, place.stack.outputs["MessagesTableName"]),
        requests=SendRequestStore(tables, place.physical_id("SendRequestsTable")),
        twilio=None if tables_only else _at_twilio(place),
        requests_kept_for=timedelta(
            days=float(parameters.get("IdempotencyKeyRetentionDays", "30"))
        ),
        now=partial(datetime.now, UTC),
    )


def _at_twilio(place: Place) -> AtTwilio:
    try:
        return AtTwilio(place.twilio, place.twilio_secret)
    except SecretError as error:
        raise CommandError(
            f"Nothing was erased: {error}.",
            "It is needed to erase at Twilio; --tables-only leaves what Twilio has.",
        ) from error


def _confirms(screen: Screen, addresses: tuple[str, ...], found: Found) -> bool:
    return screen.ask(f"Erase {_told(found)} of {', '.join(addresses)} for good?")


def _told(found: Found) -> str:
    messages, requests = counted(found.messages, "message"), counted(found.requests, "request")
    at_twilio = counted(found.at_twilio, "message")
    return f"{messages} and {requests} in the tables, and {at_twilio} at Twilio,"


def _drawn(
    addresses: tuple[str, ...], found: Found, steps: list[Step], *, dry_run: bool
) -> Iterator[RenderableType]:
    whose = ", ".join(addresses)
    if dry_run:
        yield Text(f"Found: {_told(found)} of {whose}.")
        return
    left = [step for step in steps if step.what is What.LEFT]
    yield Text(f"Messages and requests erased: {len(steps) - len(left)}, of {whose}.", "bold")
    for step in left:
        yield Text(f"  {visible(step.id)} is left: {visible(step.reason)}.", style="red")
    if left:
        yield Text("Run the command again later for what is left.")
    yield Text(_ELSEWHERE, style="dim")
