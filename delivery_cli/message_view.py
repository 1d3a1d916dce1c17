"""How messages look on a terminal. Pure: what the API answered becomes what rich draws."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from delivery.twilio.error_codes import explain
from delivery_cli.messages_api import Json
from delivery_cli.terminal_text import visible

_OUTCOMES: Final = {
    "delivered": "green",
    "failed": "red",
    "pending": "yellow",
    "unconfirmed": "magenta",
    "canceled": "dim",
}
_SOURCES: Final = {
    "send": "Twilio's answer to the request",
    "callback": "status callback",
    "reconcile": "found by asking Twilio",
}
_FACTS: Final = (
    ("reference", "reference"),
    ("request_id", "request"),
    ("account_sid", "account"),
    ("messaging_service_sid", "service"),
    ("body", "text"),
    ("num_segments", "segments"),
    ("notice", "notice"),
)
_ONE_LINE_COLUMNS: Final = 130
"""So wide a terminal has room for a message on one line."""


def draw_message(message: Json) -> Iterator[RenderableType]:
    """All that is known of one message: what became of it, why, and when."""
    to = Text(visible(message.get("to", "an unknown number")), style="bold")
    sender = message.get("from") or message.get("messaging_service_sid")
    yield Text.assemble(
        Text(visible(message["message_sid"]), style="bold"),
        "  to ",
        to,
        f"  from {visible(sender)}" if sender else "",
    )
    yield Text.assemble("Status ", _outcome_of(message), f", outcome {message['outcome']}")
    if message["outcome"] == "failed":
        yield from _draw_explanation(message)
    yield Text()
    # Together: what is printed one by one is joined first, and then wraps.
    yield Group(*_draw_timeline(message["transitions"]))
    if facts := list(_facts_of(message)):
        yield Text()
        yield draw_pairs(facts)


def _facts_of(message: Json) -> Iterator[tuple[str, object]]:
    """What else is known, with the words for it."""
    for name, title in _FACTS:
        if message.get(name) is not None:
            yield title, message[name]
    for name, value in message.get("context", {}).items():
        yield "context", f"{name} = {value}"
    if message.get("send_at"):
        yield "send at", moment(message["send_at"])
    if message.get("price"):
        yield "price", f"{message['price']} {message.get('price_unit', '')}"


def draw_messages(messages: Sequence[Json], *, width: int) -> RenderableType:
    """A line for each, or a few where a line is too short; no SID and no reason is cut."""
    return _on_one_line(messages) if width >= _ONE_LINE_COLUMNS else _on_short_lines(messages)


def _on_one_line(messages: Sequence[Json]) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for title in ("created (UTC)", "to", "status", "message", "reference"):
        table.add_column(title, no_wrap=True)
    table.add_column("error")
    for message in messages:
        table.add_row(
            Text(moment(message["created_at"])),
            Text(visible(message.get("to", "?"))),
            _outcome_of(message),
            Text(visible(message["message_sid"])),
            Text(visible(message.get("reference", ""))),
            Text(error_of(message), style="red"),
        )
    return table


def _on_short_lines(messages: Sequence[Json]) -> RenderableType:
    """Why it failed stands below, and the SID and the reference, where there is room for them."""
    to_width = max(len(visible(message.get("to", "?"))) for message in messages)
    lines: list[RenderableType] = []
    for message in messages:
        to = visible(message.get("to", "?"))
        lines.append(
            Text.assemble(
                f"{moment(message['created_at'])}  {to:<{to_width}}  ", _outcome_of(message)
            )
        )
        if why := error_of(message):
            lines.append(Padding.indent(Text(why, style="red"), 4))
        named = f"{visible(message['message_sid'])}  {visible(message.get('reference', ''))}"
        lines.append(Padding.indent(Text(named.rstrip(), style="dim"), 4))
    return Group(*lines)


def draw_pairs(pairs: Iterable[tuple[str, object]]) -> RenderableType:
    """Names and values, one under the other."""
    table = Table.grid(padding=(0, 2))
    for name, value in pairs:
        table.add_row(Text(visible(name), style="dim"), Text(visible(value)))
    return table


def _outcome_of(message: Json) -> Text:
    """Its status, in the colour of its outcome; the outcome too where it says something else."""
    status, outcome = message["status"], message["outcome"]
    shown = visible(status) if outcome != "unconfirmed" else f"{visible(status)} (unconfirmed)"
    return Text(shown, style=_OUTCOMES.get(outcome, ""))


def error_of(message: Json) -> str:
    """Why it failed, in a few words; nothing for one that did not."""
    if message["outcome"] != "failed":
        return ""
    code = message.get("error_code")
    title = _explanation(message)["title"]
    return visible(f"{code} {title}" if code else title)


def category_of(message: Json) -> str:
    """Of a failed message: who has to do something."""
    return str(_explanation(message)["category"])


def moment(text: str) -> str:
    """A time of the API's to the second, e.g. 2026-11-23 20:41:50."""
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%S}"


def _draw_explanation(message: Json) -> Iterator[RenderableType]:
    explanation = _explanation(message)
    again = "may be worth a try" if explanation["retryable"] else "will not help"
    yield Text(error_of(message), style="red")
    yield Padding.indent(Text(visible(explanation["action"])), 2)
    yield Padding.indent(Text(f"{explanation['category']}; sending it again {again}", "dim"), 2)


def _explanation(message: Json) -> Json:
    """The stack's own, or in a list, which has none, ours."""
    given: Json | None = message.get("explanation")
    return given or explain(message.get("error_code"), message["status"]).as_record()


def _draw_timeline(transitions: Sequence[Json]) -> Iterator[Text]:
    """A line for each, of which only the end is cut where it is too long: who told of it."""
    times = [datetime.fromisoformat(it["at"]) for it in transitions]
    afters = [_since((at - times[0]).total_seconds()) for at in times]
    statuses = [_status_of(it) for it in transitions]
    after_width, status_width = max(map(len, afters)), max(map(len, statuses))
    for transition, at, after, status in zip(transitions, times, afters, statuses, strict=True):
        source = _SOURCES.get(transition["source"], visible(transition["source"]))
        yield Text.assemble(
            f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d}  ",
            (f"{after:>{after_width}}", "dim"),
            f"  {status:<{status_width}}  ",
            (source, "dim"),
            no_wrap=True,
            overflow="ellipsis",
        )


def _status_of(transition: Json) -> str:
    code = transition.get("error_code")
    return visible(transition["status"]) + (f" (error {code})" if code else "")


def _since(seconds: float) -> str:
    """How long after the first, in the unit that fits."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if abs(seconds) >= 2 * size:
            return f"+{seconds / size:.1f} {unit}"
    return f"+{seconds:.2f} s"
