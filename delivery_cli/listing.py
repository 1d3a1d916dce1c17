"""`find`, `failures`, `summary`: many messages."""

from collections.abc import Iterable, Iterator
from itertools import islice

from rich.console import RenderableType
from rich.text import Text

from delivery_cli.drawing import category_of, draw_messages
from delivery_cli.messages_api import Json, MessagesApi
from delivery_cli.screen import Screen

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
