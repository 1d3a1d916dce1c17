"""`delivery cancel`: cancels a scheduled message."""

import argparse
from http import HTTPStatus

from delivery_cli.arguments import Commands, add_command, message_sid
from delivery_cli.errors import CommandError
from delivery_cli.message_view import render_message
from delivery_cli.messages_api import Json
from delivery_cli.output import Output
from delivery_cli.target import Target
from delivery_cli.terminal_text import escape_controls


def add(commands: Commands) -> argparse.ArgumentParser:
    """Add the command."""
    command = add_command(commands, "cancel", "Cancel a scheduled message.", _run)
    command.add_argument("message_sid", metavar="SID", type=message_sid, help="SID of the message")
    return command


def _run(options: argparse.Namespace, output: Output, target: Target) -> int:
    """Cancel the message and show it; succeeds also if it was canceled before."""
    response = target.api.cancel(options.message_sid)
    is_accepted = response.status == HTTPStatus.OK
    message = response.content if is_accepted else target.api.message(options.message_sid)
    if message is None or (not is_accepted and message["outcome"] != "canceled"):
        raise CommandError(f"The message was not canceled: {response.detail}", _fix(message))
    output.result(message, render_message(message))
    return 0 if message["outcome"] == "canceled" else 1


def _fix(message: Json | None) -> str:
    if message is None:
        return "Check the SID and its account; `delivery find` lists messages by recipient."
    if message["status"] == "scheduled":
        return "Retry in a minute. `delivery doctor` looks for the cause."
    status = escape_controls(message["status"])
    return f"Its status is {status}; only a scheduled message can be canceled."
