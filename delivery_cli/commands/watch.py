"""`delivery watch`: shows the changes of messages until all are final."""

import argparse
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from typing import Final

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from delivery.text.identifiers import is_request_id
from delivery_cli.arguments import (
    Commands,
    add_command,
    add_id,
    add_list_options,
    add_watch_options,
)
from delivery_cli.commands.show import render_state
from delivery_cli.errors import CommandError
from delivery_cli.message_view import format_error, render_message, render_messages
from delivery_cli.messages_api import Json, MessagesApi
from delivery_cli.output import Output
from delivery_cli.target import Target
from delivery_cli.terminal_text import escape_controls

_MAX_MESSAGES: Final = 100
_UNSENT_STATES: Final = frozenset({"rejected", "presumed_unsent"})

type Poll = Callable[[], list[Json]]
"""Returns the messages as they are now, oldest first."""


def add(commands: Commands) -> argparse.ArgumentParser:
    """Add the command."""
    summary = "Watch messages until all are final. Exits with 0 if all were delivered."
    command = add_command(commands, "watch", summary, _run)
    group = command.add_mutually_exclusive_group(required=True)
    add_id(group, nargs="?")
    add_list_options(group)
    add_watch_options(command)
    return command


def _run(options: argparse.Namespace, output: Output, target: Target) -> int:
    if options.query is None:
        return watch(output, poll_one(target.api, options.id), options)

    def poll() -> list[Json]:
        newest = list(islice(target.api.messages(**options.query), _MAX_MESSAGES))
        return newest[::-1]

    return watch(output, poll, options)


def poll_one(api: MessagesApi, sid_or_request_id: str) -> Poll:
    """Return how to poll a message, or the message of a send request.

    Polling a request raises CommandError once it is certain that it leads to no message.
    """

    def poll_message(message_sid: str | None) -> list[Json]:
        message = api.message(message_sid) if message_sid else None
        return [message] if message else []

    def poll_request() -> list[Json]:
        request = api.request(sid_or_request_id)
        if request is None:
            return []
        if request["state"] in _UNSENT_STATES:
            raise CommandError(
                f"There is no message to watch: {render_state(request)}",
                f"`delivery show {request['request_id']}` shows the reason.",
            )
        return poll_message(request.get("message_sid"))

    if is_request_id(sid_or_request_id):
        return poll_request
    return lambda: poll_message(sid_or_request_id)


def watch(output: Output, poll: Poll, options: argparse.Namespace) -> int:
    """Show every change until all messages are final, or until `options.timeout`.

    Returns:
        The exit code: 0 if all messages were delivered.
    """
    timeout = options.timeout
    ends_at = time.monotonic() + timeout if timeout is not None else float("inf")
    with _display(output) as show:
        show(messages := poll())
        if not messages and not output.supports_live:
            output.note("No message yet. Press Ctrl-C to stop.")
        while not _all_final(messages) and (left := ends_at - time.monotonic()) > 0:
            time.sleep(min(options.every, left))  # the API has no notification: poll it
            show(messages := poll())
    if not _all_final(messages):
        output.note(f"Timed out after {timeout:g} s: {_format_outcomes(messages)}.")
        return 1
    output.note(f"Final: {_format_outcomes(messages)}.")
    return 0 if all(it["outcome"] == "delivered" for it in messages) else 1


def _all_final(messages: list[Json]) -> bool:
    return bool(messages) and all(it["outcome"] != "pending" for it in messages)


def _format_outcomes(messages: list[Json]) -> str:
    outcomes = Counter(it["outcome"] for it in messages)
    return ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items()) or "no message"


@contextmanager
def _display(output: Output) -> Iterator[Callable[[list[Json]], None]]:
    """Yield a function that shows the messages: redrawn in place, or a line for each change."""
    if output.supports_live:
        with Live(console=output.out, auto_refresh=False, vertical_overflow="visible") as live:
            yield lambda messages: live.update(
                _render_live(messages, output.out.width), refresh=True
            )
        return
    shown: dict[str, Json] = {}

    def show_changes(messages: list[Json]) -> None:
        for message in messages:
            before = shown.get(message["message_sid"])
            shown[message["message_sid"]] = message
            if message != before:
                _show_change(output, before, message)

    yield show_changes


def _show_change(output: Output, before: Json | None, message: Json) -> None:
    if output.as_json:
        output.json_line(message)
        return
    known = {it["status"] for it in before["transitions"]} if before else set()
    for transition in message["transitions"]:
        if transition["status"] not in known:
            output.line(_render_line(message, transition))


def _render_live(messages: list[Json], width: int) -> RenderableType:
    if not messages:
        return Text("No message yet. Watching; press Ctrl-C to stop.", style="dim")
    footer = Text("" if _all_final(messages) else "Watching; press Ctrl-C to stop.", style="dim")
    if len(messages) == 1:
        return Group(*render_message(messages[0]), footer)
    return Group(render_messages(messages, width=width), footer)


def _render_line(message: Json, transition: Mapping[str, str]) -> Text:
    at = datetime.fromisoformat(transition["at"])
    error = format_error(message) if transition.get("error_code") else ""
    return Text(
        f"{at:%Y-%m-%d %H:%M:%S}  {message['message_sid']}  "
        f"{escape_controls(message.get('to', '?'))}  {escape_controls(transition['status'])}  "
        f"{error}".rstrip()
    )
