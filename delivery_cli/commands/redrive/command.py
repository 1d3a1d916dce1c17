"""Asks, moves dead letters, and says what was left."""

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from delivery_cli.commands.redrive.dead_letters import DeadLetters, Tally
from delivery_cli.commands.redrive.routes import ROUTES
from delivery_cli.errors import CommandError
from delivery_cli.messages_api import Json
from delivery_cli.output import Screen
from delivery_cli.target import Place
from delivery_cli.terminal_text import visible


def redrive(
    screen: Screen, place: Place, which: Sequence[str], *, dry_run: bool, confirmed: bool
) -> int:
    """Move the dead letters of these queues, or show what there is: 1 if one had to be left.

    Raises:
        CommandError: nobody has confirmed it.
    """
    queues = [_dead_letters(place, it) for it in which]
    if dry_run:
        tallies = [it.look() for it in queues]
    else:
        waiting = {it.which: it.count() for it in queues}
        if any(waiting.values()) and not confirmed and not _confirms(screen, waiting):
            raise CommandError("Nothing was moved.")
        tallies = [_move(screen, it, waiting[it.which]) for it in queues]
    screen.result(
        {"dry_run": dry_run, "queues": [_as_json(tally) for tally in tallies]},
        _drawn(tallies, dry_run=dry_run),
    )
    return 1 if any(tally.left for tally in tallies) else 0


def _dead_letters(place: Place, which: str) -> DeadLetters:
    route = ROUTES[which]
    return DeadLetters(
        place.account.queues,
        which,
        source=place.physical_id(route.dead_letters),
        target=place.physical_id(route.queue),
    )


def _confirms(screen: Screen, waiting: dict[str, int]) -> bool:
    told = " and ".join(
        f"{count} of {ROUTES[which].dead_letters}" for which, count in waiting.items() if count
    )
    return screen.ask(f"Move about {told} back to be tried again?")


def _move(screen: Screen, queue: DeadLetters, total: int) -> Tally:
    with screen.progress(f"Redriving {ROUTES[queue.which].dead_letters}", total) as reached:
        return queue.move(reached=reached)


def _as_json(tally: Tally) -> Json:
    route = ROUTES[tally.which]
    return {
        "queue": route.dead_letters,
        "into": route.queue,
        "found": tally.found,
        "redriven": tally.redriven,
        "hidden": tally.hidden,
        "left": [{"message_id": it, "reason": reason} for it, reason in tally.left.items()],
        "letters": tally.letters,
    }


def _drawn(tallies: Sequence[Tally], *, dry_run: bool) -> Iterator[RenderableType]:
    for tally in tallies:
        route = ROUTES[tally.which]
        if not tally.found and tally.hidden <= 0:
            yield Text(f"{route.dead_letters} is empty.")
            continue
        told = f"{tally.found} would move" if dry_run else f"{tally.redriven} moved"
        yield Text(f"{route.dead_letters}: {told} to {route.queue}.", style="bold")
        if tally.letters:
            yield _table(tally.letters)
        for message_id, reason in tally.left.items():
            yield Text(f"  {message_id} stays. {reason}", style="red")
        if tally.hidden > 0:
            yield Text(
                f"  {tally.hidden} hidden, because somebody has received them; try again in some "
                "minutes."
            )


def _table(letters: Sequence[Json]) -> Table:
    names = list(dict.fromkeys(name for letter in letters for name in letter))
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for name in names:
        table.add_column(name.replace("_", " "), overflow="fold")
    for letter in letters:
        table.add_row(*(Text(visible(letter.get(name, ""))) for name in names))
    return table
