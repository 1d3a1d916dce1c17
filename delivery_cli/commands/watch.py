"""`watch`: see what becomes of messages while it happens."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Final

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from delivery_cli.commands.find import Query
from delivery_cli.commands.show import draw_state, is_request_id
from delivery_cli.errors import CommandError
from delivery_cli.message_view import draw_message, draw_messages, error_of
from delivery_cli.messages_api import Json, MessagesApi
from delivery_cli.output import Screen
from delivery_cli.terminal_text import visible

_MOST: Final = 100
_NEVER_SENT: Final = frozenset({"rejected", "presumed_unsent"})

type Look = Callable[[], list[Json]]
"""The messages as they are now, the oldest first."""


@dataclass(slots=True)
class _Seen:
    """What was shown already, so that only news is."""

    messages: dict[str, Json] = field(default_factory=dict)

    def news(self, messages: list[Json]) -> Iterator[tuple[Json, list[Json]]]:
        """Each message that changed, with its new transitions; remembers them."""
        for message in messages:
            before = self.messages.get(message["message_sid"])
            if before == message:
                continue
            self.messages[message["message_sid"]] = message
            known = {it["status"] for it in before["transitions"]} if before else set()
            yield message, [it for it in message["transitions"] if it["status"] not in known]


def watch(screen: Screen, look: Look, *, every: float, timeout: float | None) -> int:
    """Show every change until all messages are final: 0 if all were delivered, else 1.

    `every` and `timeout` are seconds; without a timeout it waits as long as it takes.
    """
    ends_at = time.monotonic() + timeout if timeout is not None else float("inf")
    with _shown(screen) as show:
        show(messages := look())
        if not messages and not screen.can_move:
            screen.note("No message yet; Ctrl-C ends the watch.")
        while not _is_over(messages) and (left := ends_at - time.monotonic()) > 0:
            time.sleep(min(every, left))  # the API tells of no change: it has to be asked again
            show(messages := look())
    if not _is_over(messages):
        screen.note(f"Not over after {timeout:g} s: {_counts(messages)}.")
        return 1
    screen.note(f"Over: {_counts(messages)}.")
    return 0 if all(it["outcome"] == "delivered" for it in messages) else 1


def _is_over(messages: list[Json]) -> bool:
    return bool(messages) and all(it["outcome"] != "pending" for it in messages)


def _counts(messages: list[Json]) -> str:
    outcomes = Counter(it["outcome"] for it in messages)
    return ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items()) or "no message"


def looking_at(api: MessagesApi, named: str | None, query: Query) -> Look:
    """How to look at what is to be watched: a SID, a request id, or a list.

    A look at a request raises CommandError when it is certain that it becomes no message.
    """
    if named is None:
        return lambda: list(reversed(list(islice(api.messages(**query), _MOST))))
    if not is_request_id(named):
        return lambda: _one(api.message(named))

    def look() -> list[Json]:
        request = api.request(named)
        if request is None:
            return []
        if request["state"] in _NEVER_SENT:
            raise CommandError(
                f"There will be no message: {draw_state(request)}",
                f"`delivery show {request['request_id']}` says why.",
            )
        message_sid = request.get("message_sid")
        return _one(api.message(message_sid)) if message_sid else []

    return look


def _one(message: Json | None) -> list[Json]:
    return [] if message is None else [message]


@contextmanager
def _shown(screen: Screen) -> Iterator[Callable[[list[Json]], None]]:
    """How the messages are shown each time: in a picture that moves, or only news, on lines."""
    if screen.can_move:
        with Live(console=screen.out, auto_refresh=False, vertical_overflow="visible") as live:
            yield lambda messages: live.update(_picture(messages, screen.out.width), refresh=True)
        return
    seen = _Seen()

    def show_news(messages: list[Json]) -> None:
        for message, transitions in seen.news(messages):
            if screen.as_json:
                screen.json_line(message)
                continue
            for transition in transitions:
                screen.line(_line(message, transition))

    yield show_news


def _picture(messages: list[Json], width: int) -> RenderableType:
    waiting = "" if messages else "No message yet. "
    moving = not messages or any(it["outcome"] == "pending" for it in messages)
    below = Text(f"{waiting}Watching; Ctrl-C ends it." if moving else "", style="dim")
    match messages:
        case [message]:
            return Group(*draw_message(message), below)
        case []:
            return below
        case _:
            return Group(draw_messages(messages, width=width), below)


def _line(message: Json, transition: Mapping[str, str]) -> Text:
    at = datetime.fromisoformat(transition["at"])
    why = error_of(message) if transition.get("error_code") else ""
    return Text(
        f"{at:%Y-%m-%d %H:%M:%S}  {message['message_sid']}  {visible(message.get('to', '?'))}  "
        f"{visible(transition['status'])}  {why}".rstrip()
    )
