"""`delivery failures`: lists the failed messages of a day."""

import argparse

from delivery.twilio.error_codes import Category
from delivery_cli.arguments import Commands, add_command, add_day, add_limit
from delivery_cli.commands.find import show_list
from delivery_cli.message_view import category_of
from delivery_cli.output import Output
from delivery_cli.target import Target


def add(commands: Commands) -> argparse.ArgumentParser:
    """Add the command."""
    summary = "List the messages that failed on a day, with the reason."
    command = add_command(commands, "failures", summary, _run)
    add_day(command)
    categories = [str(category) for category in Category]
    command.add_argument(
        "--category",
        metavar="NAME",
        choices=categories,
        help=f"only this error category: {', '.join(categories)}",
    )
    add_limit(command)
    return command


def _run(options: argparse.Namespace, output: Output, target: Target) -> int:
    failed = target.api.messages(failed_on=options.on)
    category = options.category
    matching = (it for it in failed if category in {None, category_of(it)})
    suffix = f" with category {category}" if category else ""
    if_empty = f"No messages failed{suffix} on {options.on} (UTC)."
    show_list(output, matching, limit=options.limit, if_empty=if_empty)
    return 0
