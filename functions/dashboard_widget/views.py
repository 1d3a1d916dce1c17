"""The views of the widget: failures, audits, the result of a lookup, a message with its timeline.

Pure: messages and a viewer go in, HTML comes out. A button is an element followed by CloudWatch's
`cwdb-action`, which holds the function to invoke and its event:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/add_custom_widget_dashboard_interactivity.html
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from delivery.domain.audits import AuditResult
from delivery.domain.messages import Message
from delivery.domain.send_requests import SendRequest
from delivery.domain.statuses import Outcome
from delivery.storage.message_lists import Count
from delivery.text.formatting import CATEGORY_LABELS, format_duration
from delivery.text.identifiers import Kind
from delivery.twilio.error_codes import explain

from .html import Child, Markup, as_json, element, joined, stylesheet
from .labels import AUDIT_LABELS, NOTICE_LABELS, OUTCOME_LABELS, OUTCOME_TONES, REQUEST_LABELS
from .lookup import Counts, Failures, Matches
from .timeline import timeline
from .viewer import FIELD, Viewer

type Parameters = Mapping[str, Any]
"""The event with which a button invokes the function."""

_STYLE: Final = stylesheet(Path(__file__).with_name("widget.css").read_text(encoding="utf-8"))
_MAX_INPUT_LENGTH: Final = 200
_ERRORS: Final = "https://www.twilio.com/docs/api/errors"


def widget(viewer: Viewer, *content: Child, typed: str = "") -> str:
    """Return the whole widget: the lookup form with what was typed, and the content below it."""
    return _page(viewer, _form(viewer, typed), *content)


def popup(viewer: Viewer, *content: Child) -> str:
    """Return the content without the form, for CloudWatch's own dialog."""
    return _page(viewer, *content)


def failures(viewer: Viewer, listed: Failures, *, counts: Counts | None = None) -> Markup:
    """Return failed messages, newest first, with their explanations, and the counts above them."""
    older = None
    if listed.older:
        day, token = listed.older.day.isoformat(), listed.older.next_token
        older = {"view": "failures", "day": day, "next_token": token}
    days = f"from {listed.oldest_day:%-d %B} to {listed.newest_day:%-d %B %Y} (UTC)"
    return joined(
        [
            _counts(viewer, counts) if counts else None,
            _by_day(viewer, listed.messages, at=_failed_at)
            if listed.messages
            else element("p", f"No message failed {days}.", class_="dw-nothing"),
            _foot(viewer, _older(viewer, older)),
        ]
    )


def audits(results: Sequence[AuditResult]) -> Markup | None:
    """Return a line for each day's audit, of all accounts together; None without an audit."""
    days = groupby(results, key=lambda result: result.day)
    lines: dict[str, Child] = {f"{day:%-d %B}": _audit(list(of_day)) for day, of_day in days}
    if not lines:
        return None
    return element(
        "section", element("h3", "Audits: each day (UTC) compared with Twilio's list"), _list(lines)
    )


def _audit(results: Sequence[AuditResult]) -> str:
    spend: dict[str, Decimal] = {}
    for result in results:
        for currency, amount in result.spend.items():
            spend[currency] = spend.get(currency, Decimal()) + amount
    counts = {
        "messages": sum(it.messages for it in results),
        "corrected": sum(it.corrected_messages for it in results),
        "different": sum(it.difference_count for it in results),
    }
    states = {AUDIT_LABELS[it.state] for it in results}
    return " · ".join(
        [
            *sorted(states),
            *(f"{count:,} {name}" for name, count in counts.items()),
            *(f"{amount:,f} {currency}" for currency, amount in sorted(spend.items())),
        ]
    )


def found(viewer: Viewer, matches: Matches) -> Markup:
    """Return the messages that a lookup found, newest first."""
    candidate, page = matches.candidate, matches.page
    if candidate.kind is Kind.RECIPIENT:
        title, value = "Messages to ", viewer.number(candidate.value)
    else:
        title, value = "Messages with reference ", candidate.value
    older = None
    if page.next_token:
        filters = {"kind": str(candidate.kind), "value": candidate.value}
        older = {"view": "lookup", **filters, "next_token": page.next_token}
    return joined(
        [
            element("h2", title, element("bdi", value)),
            _by_day(viewer, page.messages, at=attrgetter("created_at"), shows_outcome=True),
            _foot(viewer, _back(viewer), _older(viewer, older)),
        ]
    )


def single_result(viewer: Viewer, message: Message) -> Markup:
    """Return the only message that a lookup found."""
    return joined([detail(viewer, message), _foot(viewer, _back(viewer))])


def detail(viewer: Viewer, message: Message) -> Markup:
    """Return everything known about a message, with its timeline."""
    recipient = viewer.number(message.to) or "an unknown recipient"
    return element(
        "section",
        element("h2", "Message to ", element("bdi", recipient), " ", _outcome(message)),
        _explanation(message) if message.outcome is Outcome.FAILED else None,
        timeline(message, viewer) if message.transitions else None,
        _facts(viewer, message),
        class_="dw-detail",
    )


def request(viewer: Viewer, claimed: SendRequest) -> Markup:
    """Return a send request that has no message, or not yet."""
    state = claimed.state_at(viewer.now)
    facts = {
        "Request": element("code", claimed.request_id),
        "Requested": _moment(viewer, claimed.claimed_at),
        "To": viewer.number(claimed.to),
        "Reference": claimed.reference and element("bdi", claimed.reference),
    }
    return joined(
        [
            element("h2", "Send request"),
            element("p", REQUEST_LABELS[state]),
            _list(facts),
            _foot(viewer, _back(viewer)),
        ]
    )


def problem(viewer: Viewer, sentence: str) -> Markup:
    """Return why nothing is shown, and what to do about it."""
    return joined(
        [
            element("p", sentence, class_="dw-problem", role="alert"),
            _foot(viewer, _back(viewer)),
        ]
    )


def button(
    text: str, viewer: Viewer, parameters: Parameters, *, display: str = "widget", kind: str = ""
) -> Markup:
    """Return a button that invokes this function again, with `parameters` as the event.

    `display`: `widget` replaces the content, `popup` opens a dialog above it. `kind` is another CSS
    class.
    """
    clicked = element("a", text, class_=f"dw-button {kind}".strip(), role="button", tabindex=0)
    return clicked + element(
        "cwdb-action",
        as_json(parameters),
        action="call",
        display=display,
        endpoint=viewer.endpoint,
    )


def _page(viewer: Viewer, *content: Child) -> str:
    theme = "dw dw-dark" if viewer.is_dark else "dw"
    # CloudWatch's own styles of tables and links would mix with ours.
    root = element("div", *content, class_=f"cwdb-no-default-styles {theme}")
    return str(_STYLE + root)


def _form(viewer: Viewer, typed: str) -> Markup:
    return element(
        "form",
        element(
            "input",
            name=FIELD,
            type="text",
            value=typed[:_MAX_INPUT_LENGTH],
            placeholder="Message SID, phone number or reference",
            aria_label="Message SID, phone number or reference",
            maxlength=_MAX_INPUT_LENGTH,
            autocomplete="off",
        ),
        button("Look up", viewer, {"view": "lookup"}, kind="dw-primary"),
        class_="dw-form",
    )


def _back(viewer: Viewer) -> Markup:
    return button("Recent failures", viewer, {"view": "failures"})


def _older(viewer: Viewer, parameters: Parameters | None) -> Markup | None:
    return button("Older", viewer, parameters) if parameters else None


def _foot(viewer: Viewer, *buttons: Child) -> Markup:
    return element(
        "footer",
        *buttons,
        element("small", f"Times are {viewer.zone_name}"),
        class_="dw-foot",
    )


def _counts(viewer: Viewer, counts: Counts) -> Markup:
    today = "today" if viewer.zone_name == "UTC" else "today (UTC)"
    pending = f"pending, {counts.stale} for over an hour" if counts.stale else "pending"
    tiles = (
        (f"failed {today}", counts.failed, "bad"),
        (f"unconfirmed {today}", counts.unconfirmed, "doubtful"),
        (pending, counts.pending, "plain"),
        ("in doubt", counts.in_doubt, "doubtful"),
    )
    return element("ul", *(_tile(*tile) for tile in tiles), class_="dw-counts")


def _tile(name: str, count: Count, tone: str) -> Markup:
    number = f"{count.number:,}" + ("" if count.is_exact else "+")
    tone = tone if count.number else "plain"
    return element("li", element("strong", number, class_=f"dw-{tone}"), element("span", name))


def _by_day(
    viewer: Viewer,
    messages: Sequence[Message],
    *,
    at: Callable[[Message], datetime],
    shows_outcome: bool = False,
) -> Markup:
    return joined(
        element(
            "section",
            element("h3", day),
            *(_row(viewer, it, at(it), shows_outcome=shows_outcome) for it in those),
        )
        for day, those in groupby(messages, key=lambda it: viewer.day(at(it)))
    )


def _row(viewer: Viewer, message: Message, at: datetime, *, shows_outcome: bool) -> Markup:
    to = viewer.number(message.to)
    return element(
        "div",
        element(
            "div",
            element("time", viewer.time(at)),
            element("small", viewer.ago(at)),
            class_="dw-when",
        ),
        element(
            "div",
            _outcome(message) if shows_outcome else None,
            _explanation(message) if message.outcome is Outcome.FAILED else None,
            element(
                "small",
                *_separated(
                    to and joined(["to ", element("bdi", to)]),
                    message.reference and _isolated(viewer, message, message.reference),
                    element("code", message.message_sid),
                ),
                class_="dw-which",
            ),
            class_="dw-what",
        ),
        element(
            "div",
            button(
                "Details",
                viewer,
                {"view": "message", "message_sid": message.message_sid},
                display="popup",
            ),
        ),
        class_="dw-row",
    )


def _explanation(message: Message) -> Markup:
    explanation = explain(message.error_code, message.status, message.error_detail)
    return element(
        "div",
        element(
            "p",
            element("strong", explanation.title),
            message.error_code and element("span", message.error_code, class_="dw-code"),
            element("span", CATEGORY_LABELS[explanation.category], class_="dw-pill"),
            class_="dw-title",
        ),
        element("p", f"{explanation.action} {explanation.retry_advice}", class_="dw-action"),
        class_="dw-explanation",
    )


def _outcome(message: Message) -> Markup:
    tone = OUTCOME_TONES.get(message.outcome, "plain")
    return element("span", OUTCOME_LABELS[message.outcome], class_=f"dw-outcome dw-{tone}")


def _facts(viewer: Viewer, message: Message) -> Markup:
    code, account = message.error_code, message.account_sid
    service, url = message.messaging_service_sid, f"{_ERRORS}/{message.error_code}"
    facts: dict[str, Child] = {
        "Message": element("code", message.message_sid),
        "Request": message.request_id and element("code", message.request_id),
        "Account": account and element("code", account),
        "From": viewer.number(message.from_),
        "Service": service and element("code", service),
        "Reference": message.reference and _isolated(viewer, message, message.reference),
        "Scheduled for": _moment(viewer, message.send_at),
        "Created": _moment(viewer, message.created_at),
        "Final": _final(viewer, message),
        "Segments": message.num_segments,
        "Price": message.price and " ".join(it for it in (message.price, message.price_unit) if it),
        "Notice": message.notice and NOTICE_LABELS[message.notice],
        "Error": code and element("a", url, href=url, target="_blank", rel="noopener"),
        "Body": message.body
        and element("span", _isolated(viewer, message, message.body), class_="dw-text"),
    }
    context = {name: _isolated(viewer, message, it) for name, it in message.context.items()}
    return joined(
        [
            _list(facts),
            element("h3", "Context") if context else None,
            _list(context) if context else None,
        ]
    )


def _list(facts: Mapping[str, Child]) -> Markup:
    pairs = [
        element("dt", element("bdi", name)) + element("dd", fact)
        for name, fact in facts.items()
        if fact
    ]
    return element("dl", *pairs, class_="dw-facts")


def _isolated(viewer: Viewer, message: Message, text: str) -> Markup:
    """Return a text of the caller, isolated from ours (`bdi`), with its numbers masked."""
    for number in filter(None, (message.to, message.from_)):
        text = text.replace(number, viewer.number(number) or "")
    return element("bdi", text)


def _moment(viewer: Viewer, time: datetime | None) -> str | None:
    return f"{viewer.day(time)}, {viewer.time(time)}" if time else None


def _final(viewer: Viewer, message: Message) -> str | None:
    if message.final_at is None:
        return None
    after = format_duration(message.final_at - message.created_at)
    return f"{_moment(viewer, message.final_at)} (after {after})"


def _failed_at(message: Message) -> datetime:
    return message.list_at or message.created_at


def _separated(*parts: Child) -> list[Child]:
    """Return the parts that are not empty, with a separator between them."""
    separated: list[Child] = []
    for part in parts:
        if part:
            separated += [" · ", part] if separated else [part]
    return separated
