"""`find`, `failures`, `summary`: many messages."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from delivery_cli.message_view import category_of, draw_messages, moment
from delivery_cli.messages_api import Json, MessagesApi
from delivery_cli.output import Screen
from delivery_cli.terminal_text import visible

type Query = dict[str, str]
"""What a list is asked for, as the API names it."""


def find(screen: Screen, api: MessagesApi, query: Query, *, limit: int) -> int:
    """Show the messages of a list, the first `limit` of them: 1 if there is none."""
    return _show(screen, api.messages(**query), limit, none="No such message is known here.")


def failures(
    screen: Screen, api: MessagesApi, day: str, *, category: str | None, limit: int
) -> int:
    """Show what failed on a day, and why: 0 also if nothing did."""
    failed = api.messages(failed_on=day)
    wanted = (it for it in failed if category in {None, category_of(it)})
    of = f" of category {category}" if category else ""
    _show(screen, wanted, limit, none=f"Nothing{of} failed on {day} (UTC).")
    return 0


def summary(screen: Screen, api: MessagesApi, day: str) -> int:
    """Show a day in numbers, and what is open right now."""
    counted = api.summary(day)
    screen.result(counted, _drawn_summary(counted))
    return 0


def _show(screen: Screen, messages: Iterable[Json], limit: int, *, none: str) -> int:
    found = list(islice(messages, limit + 1))
    shown, more = found[:limit], len(found) > limit
    screen.result({"messages": shown, "more": more}, _drawn(screen, shown, none, more=more))
    return 0 if shown else 1


def _drawn(
    screen: Screen, messages: list[Json], none: str, *, more: bool
) -> Iterator[RenderableType]:
    if not messages:
        yield Text(none)
        return
    yield draw_messages(messages, width=screen.out.width)
    if more:
        yield Text(f"There are more than {len(messages)}; --limit shows more.", style="dim")


_AGES: Final = {
    "scheduled": "scheduled",
    "under_1_hour": "under an hour",
    "1_to_24_hours": "one hour to a day",
    "over_24_hours": "over a day",
}


def _drawn_summary(counted: Json) -> Iterator[RenderableType]:
    failed, awaiting, doubt = counted["failed"], counted["pending"], counted["in_doubt"]
    yield Text(f"{counted['date']} (UTC)", style="bold")
    yield _headline("failed", failed, "red")
    yield from _breakdown(
        (f"{it['error_code'] or '-'} {it['title']}", it["category"], it["count"])
        for it in failed["by_error_code"]
    )
    yield from _breakdown(("from", sender, count) for sender, count in failed["by_sender"].items())
    yield _headline("unconfirmed", counted["unconfirmed"], "magenta")
    yield Text()
    yield Text(f"right now, at {moment(counted['at'])} UTC", style="bold")
    yield _headline("pending a final status", awaiting, "yellow")
    yield from _breakdown(
        (_AGES.get(age, age), "", count) for age, count in awaiting["by_age"].items() if count
    )
    yield _headline("in doubt, whether they were sent", doubt, "yellow")
    if doubt.get("oldest_at"):
        yield Padding.indent(Text(f"the oldest since {moment(doubt['oldest_at'])}"), 6)
    if not counted["complete"]:
        yield Text("There is more than was counted: + says of what.", style="dim")


def _headline(what: str, part: Json, style: str) -> Text:
    more = "" if part["complete"] else "+"
    return Text(f"{part['count']:>5}{more} {what}", style=style if part["count"] else "green")


def _breakdown(rows: Iterable[tuple[str, str, int]]) -> Iterator[RenderableType]:
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", width=7)
    for name, detail, count in rows:
        table.add_row(str(count), Text(visible(name)), Text(visible(detail), style="dim"))
    if table.row_count:
        yield table
