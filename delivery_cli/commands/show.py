"""`delivery show`: shows a message or a send request."""

import argparse
from collections.abc import Iterator
from typing import Final

from rich.console import RenderableType
from rich.text import Text

from delivery.text.identifiers import is_request_id
from delivery_cli.arguments import Commands, add_command, add_id
from delivery_cli.errors import CommandError
from delivery_cli.message_view import render_message, render_pairs
from delivery_cli.messages_api import Json, MessagesApi
from delivery_cli.output import Output
from delivery_cli.target import Target
from delivery_cli.terminal_text import escape_controls

_STATES: Final = {
    "in_progress": ("The request is in progress.", "yellow"),
    "sent": ("The message was sent.", "green"),
    "rejected": ("The request was rejected; nothing was sent.", "red"),
    "in_doubt": ("In doubt: no answer arrived, and the message may have been sent.", "yellow"),
    "presumed_unsent": ("Presumed unsent: there is no evidence that the message was sent.", "red"),
}


def add(commands: Commands) -> argparse.ArgumentParser:
    """Add the command."""
    summary = "Show a message: its status, its timeline and why it failed."
    command = add_command(commands, "show", summary, _run)
    add_id(command)
    return command


def _run(options: argparse.Namespace, output: Output, target: Target) -> int:
    show = _show_request if is_request_id(options.id) else _show_message
    show(output, target.api, options.id)
    return 0


def render_state(request: Json) -> Text:
    """Render the state of a send request as a sentence."""
    state = request["state"]
    return Text(*_STATES.get(state, (escape_controls(state), "")))


def _show_message(output: Output, api: MessagesApi, message_sid: str) -> None:
    message = api.message(message_sid)
    if message is None:
        raise CommandError(
            f"Message {escape_controls(message_sid)} not found in this stack.",
            "Check the stack (--stack-name, --region). A stack knows a message once it sent it or "
            "received a status callback for it. `delivery find --to NUMBER` lists the messages of "
            "a recipient.",
        )
    output.result(message, render_message(message))


def _show_request(output: Output, api: MessagesApi, request_id: str) -> None:
    request = api.request(request_id)
    if request is None:
        raise CommandError(
            f"Request {escape_controls(request_id)} not found in this stack.",
            "A queued request is stored when it is processed, and removed "
            "IdempotencyKeyRetentionDays after it ended.",
        )
    message_sid = request.get("message_sid")
    message = api.message(message_sid) if message_sid else None
    output.result(request | {"message": message}, _render_request(request, message))


def _render_request(request: Json, message: Json | None) -> Iterator[RenderableType]:
    yield Text(escape_controls(request["request_id"]), style="bold")
    yield render_state(request)
    problem = request.get("problem", {})
    explanation = problem.get("explanation", {})
    error = (str(it) for it in (problem.get("error_code"), explanation.get("title")) if it)
    pairs = (
        ("reference", request.get("reference")),
        ("error", " ".join(error) or None),
        ("what to do", explanation.get("action") or problem.get("detail")),
    )
    if known := [(name, value) for name, value in pairs if value is not None]:
        yield render_pairs(known)
    if message:
        yield Text()
        yield from render_message(message)
