"""The options of `delivery redrive`, its confirmation and its result."""

import argparse
from collections.abc import Iterator, Mapping, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from delivery_cli.arguments import Commands, add_command, add_confirmation
from delivery_cli.commands.redrive.dead_letter_queue import DeadLetterQueue, RedriveResult
from delivery_cli.commands.redrive.routes import CALLBACKS, ROUTES, SEND
from delivery_cli.errors import CommandError
from delivery_cli.messages_api import Json
from delivery_cli.output import Output
from delivery_cli.target import Target
from delivery_cli.terminal_text import escape_controls


def add(commands: Commands) -> argparse.ArgumentParser:
    """Add the command."""
    command = add_command(
        commands, "redrive", "Redrive messages from the dead-letter queues.", _run
    )
    command.add_argument(
        "queues",
        metavar="QUEUE",
        nargs="*",
        choices=list(ROUTES),
        help=f"{SEND} (requests that were never sent) or {CALLBACKS} (status callbacks that were "
        "never stored); default: both",
    )
    add_confirmation(command)
    return command


def _run(options: argparse.Namespace, output: Output, target: Target) -> int:
    queues = [_dead_letter_queue(target, name) for name in options.queues or ROUTES]
    if options.dry_run:
        results = [queue.preview() for queue in queues]
    else:
        counts = {queue.name: queue.count() for queue in queues}
        if any(counts.values()) and not options.yes and not _confirm(output, counts):
            raise CommandError("Nothing was redriven.")
        results = [_redrive(output, queue, counts[queue.name]) for queue in queues]
    output.result(
        {"dry_run": options.dry_run, "queues": [_as_json(result) for result in results]},
        _render(results, dry_run=options.dry_run),
    )
    return 1 if any(result.failed for result in results) else 0


def _dead_letter_queue(target: Target, name: str) -> DeadLetterQueue:
    route = ROUTES[name]
    return DeadLetterQueue(
        target.account.queues,
        name,
        source=target.physical_id(route.source),
        target=target.physical_id(route.target),
    )


def _confirm(output: Output, counts: Mapping[str, int]) -> bool:
    described = " and ".join(
        f"about {count} from {ROUTES[name].source}" for name, count in counts.items() if count
    )
    return output.confirm(f"Redrive {described}?")


def _redrive(output: Output, queue: DeadLetterQueue, total: int) -> RedriveResult:
    with output.progress(f"Redriving {ROUTES[queue.name].source}", total) as report_done:
        return queue.redrive(report_done=report_done)


def _as_json(result: RedriveResult) -> Json:
    route = ROUTES[result.name]
    return {
        "queue": route.source,
        "target": route.target,
        "found": result.found,
        "redriven": result.redriven,
        "in_flight": result.in_flight,
        "failed": [{"message_id": it, "reason": reason} for it, reason in result.failed.items()],
        "messages": result.messages,
    }


def _render(results: Sequence[RedriveResult], *, dry_run: bool) -> Iterator[RenderableType]:
    for result in results:
        route = ROUTES[result.name]
        if not result.found and result.in_flight <= 0:
            yield Text(f"{route.source} is empty.")
            continue
        moved = f"{result.found} would move" if dry_run else f"{result.redriven} moved"
        yield Text(f"{route.source}: {moved} to {route.target}.", style="bold")
        if result.messages:
            yield _render_table(result.messages)
        for message_id, reason in result.failed.items():
            yield Text(f"  {message_id} failed: {reason}", style="red")
        if result.in_flight > 0:
            yield Text(
                f"  {result.in_flight} in flight: received by another consumer. Retry in a few "
                "minutes."
            )


def _render_table(messages: Sequence[Json]) -> Table:
    names = list(dict.fromkeys(name for message in messages for name in message))
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for name in names:
        table.add_column(name.replace("_", " "), overflow="fold")
    for message in messages:
        table.add_row(*(Text(escape_controls(message.get(name, ""))) for name in names))
    return table
