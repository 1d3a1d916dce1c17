"""Rendering of messages for a terminal. Pure: from the API's JSON to rich's renderables."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from delivery.domain.messages import Transition
from delivery.text.formatting import source_label
from delivery.twilio.error_codes import explain
from delivery_cli.messages_api import Json
from delivery_cli.terminal_text import escape_controls

_OUTCOME_STYLES: Final = {
    "delivered": "green",
    "failed": "red",
    "pending": "yellow",
    "unconfirmed": "magenta",
    "canceled": "dim",
}
_FIELD_LABELS: Final = (
    ("reference", "reference"),
    ("request_id", "request"),
    ("account_sid", "account"),
    ("messaging_service_sid", "service"),
    ("body", "text"),
    ("num_segments", "segments"),
    ("notice", "notice"),
)
_TABLE_WIDTH: Final = 130
"""From this width on, a terminal has room for a message on one line."""


def render_message(message: Json) -> Iterator[RenderableType]:
    """Render everything that is known about a message."""
    to = escape_controls(message.get("to", "unknown number"))
    sender = message.get("from") or message.get("messaging_service_sid")
    yield Text.assemble(
        Text(escape_controls(message["message_sid"]), style="bold"),
        "  to ",
        Text(to, style="bold"),
        f"  from {escape_controls(sender)}" if sender else "",
    )
    yield Text.assemble("Status ", _render_status(message), f", outcome {message['outcome']}")
    if message["outcome"] == "failed":
        yield from _render_explanation(message)
    yield Text()
    # As one group: outside of a terminal, rich would join and wrap lines that are printed alone.
    yield Group(*_render_timeline(message["transitions"]))
    if fields := list(_fields_of(message)):
        yield Text()
        yield render_pairs(fields)


def _fields_of(message: Json) -> Iterator[tuple[str, object]]:
    """Yield the remaining fields with their labels."""
    for name, label in _FIELD_LABELS:
        if message.get(name) is not None:
            yield label, message[name]
    for name, value in message.get("context", {}).items():
        yield "context", f"{name} = {value}"
    if message.get("send_at"):
        yield "send at", format_time(message["send_at"])
    if message.get("price"):
        yield "price", f"{message['price']} {message.get('price_unit', '')}"


def render_messages(messages: Sequence[Json], *, width: int) -> RenderableType:
    """Render a list: a table, or a few lines for each message if the terminal is narrow.

    SIDs, references and errors are never truncated.
    """
    return _render_table(messages) if width >= _TABLE_WIDTH else _render_blocks(messages)


def _render_table(messages: Sequence[Json]) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for title in ("created (UTC)", "to", "status", "message", "reference"):
        table.add_column(title, no_wrap=True)
    table.add_column("error")
    for message in messages:
        table.add_row(
            Text(format_time(message["created_at"])),
            Text(escape_controls(message.get("to", "?"))),
            _render_status(message),
            Text(escape_controls(message["message_sid"])),
            Text(escape_controls(message.get("reference", ""))),
            Text(format_error(message), style="red"),
        )
    return table


def _render_blocks(messages: Sequence[Json]) -> RenderableType:
    recipients = [escape_controls(message.get("to", "?")) for message in messages]
    to_width = max(map(len, recipients))
    lines: list[RenderableType] = []
    for message, to in zip(messages, recipients, strict=True):
        created = format_time(message["created_at"])
        lines.append(Text.assemble(f"{created}  {to:<{to_width}}  ", _render_status(message)))
        if error := format_error(message):
            lines.append(Padding.indent(Text(error, style="red"), 4))
        ids = f"{message['message_sid']}  {message.get('reference', '')}"
        lines.append(Padding.indent(Text(escape_controls(ids).rstrip(), style="dim"), 4))
    return Group(*lines)


def render_pairs(pairs: Iterable[tuple[str, object]]) -> RenderableType:
    """Render names and values as two columns."""
    table = Table.grid(padding=(0, 2))
    for name, value in pairs:
        table.add_row(Text(escape_controls(name), style="dim"), Text(escape_controls(value)))
    return table


def _render_status(message: Json) -> Text:
    """Render the status in the colour of the outcome; add `unconfirmed`, which no status says."""
    status, outcome = escape_controls(message["status"]), message["outcome"]
    text = f"{status} (unconfirmed)" if outcome == "unconfirmed" else status
    return Text(text, style=_OUTCOME_STYLES.get(outcome, ""))


def format_error(message: Json) -> str:
    """Return the error's code and title; empty unless the message failed."""
    if message["outcome"] != "failed":
        return ""
    code, title = message.get("error_code"), _explanation_of(message)["title"]
    return escape_controls(f"{code} {title}" if code else title)


def category_of(message: Json) -> str:
    """Return the error category of a failed message."""
    return str(_explanation_of(message)["category"])


def format_time(text: str) -> str:
    """Format a time of the API to the second, e.g. 2026-11-23 20:41:50."""
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%S}"


def _render_explanation(message: Json) -> Iterator[RenderableType]:
    explanation = _explanation_of(message)
    retryable = "retryable" if explanation["retryable"] else "not retryable"
    yield Text(format_error(message), style="red")
    yield Padding.indent(Text(escape_controls(explanation["action"])), 2)
    yield Padding.indent(Text(f"{explanation['category']}, {retryable}", style="dim"), 2)


def _explanation_of(message: Json) -> Json:
    """Return the API's explanation, or for a list item, which has none, our own."""
    explanation: Json | None = message.get("explanation")
    if explanation:
        return explanation
    detail = message.get("error_detail")
    return explain(message.get("error_code"), message["status"], detail).as_record()


def _render_timeline(transitions: Sequence[Json]) -> Iterator[Text]:
    """Render a line for each transition; a narrow terminal truncates only the source."""
    times = [datetime.fromisoformat(it["at"]) for it in transitions]
    offsets = [_format_offset((at - times[0]).total_seconds()) for at in times]
    statuses = [_format_status(it) for it in transitions]
    offset_width, status_width = max(map(len, offsets)), max(map(len, statuses))
    for transition, at, offset, status in zip(transitions, times, offsets, statuses, strict=True):
        yield Text.assemble(
            f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d}  ",
            (f"{offset:>{offset_width}}", "dim"),
            f"  {status:<{status_width}}  ",
            (_label_source(transition), "dim"),
            no_wrap=True,
            overflow="ellipsis",
        )


def _format_status(transition: Json) -> str:
    code = transition.get("error_code")
    return escape_controls(transition["status"]) + (f" (error {code})" if code else "")


def _label_source(transition: Json) -> str:
    """Return the label of where a status was learned; a newer stack may have further sources."""
    try:
        return source_label(Transition.from_record(transition))
    except ValueError:
        return escape_controls(transition["source"])


def _format_offset(seconds: float) -> str:
    """Format the time since the first transition in the largest unit that fits twice."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if abs(seconds) >= 2 * size:
            return f"+{seconds / size:.1f} {unit}"
    return f"+{seconds:.2f} s"
