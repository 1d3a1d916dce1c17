"""The graphs of the sandbox's dashboard, drawn as SVG from the measures."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from delivery.domain.messages import Outcome
from delivery.text.formatting import CATEGORY_IN_WORDS
from delivery.text.html import Child, Markup, element, joined
from delivery.twilio.error_codes import Category
from sandbox.dashboard.measures import BINS, Measures

_WIDTH: Final = 360
_WIDE: Final = 2 * _WIDTH + 50  # over two columns and the gap between them
_HEIGHT: Final = 130
_TOP: Final = 4
_LABELS: Final = 152  # the width of the words beside a bar
_NUMBERS: Final = 68  # and that of the number behind it
_ROW: Final = 26
_GAP: Final = 2

_IN_WORDS: Final[Mapping[str, str]] = {
    Outcome.DELIVERED: "delivered",
    Outcome.FAILED: "failed",
    Outcome.UNCONFIRMED: "unconfirmed",
    Outcome.CANCELED: "canceled",
    Outcome.PENDING: "on their way",
}
"""In the order in which they are stacked."""


def graphs(measures: Measures, queues: Mapping[str, int]) -> Markup:
    """All graphs, each in a card of its own; and above them the numbers for a glance.

    Args:
        measures: what is drawn.
        queues: how many messages wait in each, by what they wait for.
    """
    return joined(
        [
            _numbers(measures),
            _card("Outcomes, by when a message was created", _over_time(measures), kind="wide"),
            _card("Failures by category", _bars(_worded(measures.failures_by_category), "bad")),
            _card("Seconds from creation to delivered", _seconds(measures.seconds_to_delivered)),
            _card("On their way, by age", _bars(measures.awaiting_by_age, "plain")),
            _card("Waiting, and given up", _bars(queues, "doubtful")),
        ]
    )


def _numbers(measures: Measures) -> Markup:
    rate, outcomes = measures.delivery_rate, measures.outcomes
    numbers = (
        ("messages", sum(outcomes.values()), ""),
        ("delivered", "none yet" if rate is None else f"{100 * rate:.0f} %", "good"),
        ("failed", outcomes.get(Outcome.FAILED, 0), "bad"),
        ("unconfirmed", outcomes.get(Outcome.UNCONFIRMED, 0), "doubtful"),
        ("on their way", outcomes.get(Outcome.PENDING, 0), ""),
        ("requests in doubt", measures.requests_in_doubt, "doubtful"),
    )
    tiles = (
        element(
            "li",
            element("strong", number, class_=tone if number else ""),
            element("span", name),
        )
        for name, number, tone in numbers
    )
    return element("ul", *tiles, class_="numbers")


def _card(title: str, graph: Markup, *, kind: str = "") -> Markup:
    return element("section", element("h2", title), graph, class_=f"card {kind}".strip())


def _over_time(measures: Measures) -> Markup:
    highest = max(sum(bin_.values()) for bin_ in measures.outcomes_over_time) or 1
    floor, step = _HEIGHT - 1, _WIDE / BINS
    scale = (floor - _TOP) / highest
    bars = []
    for place, bin_ in enumerate(measures.outcomes_over_time):
        top: float = floor
        for outcome in _IN_WORDS:
            if height := bin_.get(outcome, 0) * scale:
                top -= height
                bars.append(
                    element(
                        "rect",
                        x=f"{place * step:.1f}",
                        y=f"{top:.1f}",
                        width=f"{step - _GAP:.1f}",
                        height=f"{height:.1f}",
                        class_=outcome,
                    )
                )
    ends = element(
        "p",
        element("span", f"{BINS * measures.bin_spans / timedelta(minutes=1):.0f} min ago"),
        element("span", f"{highest} at most"),
        element("span", "now"),
        class_="ends",
    )
    axis = element("line", x1=0, x2=_WIDE, y1=floor, y2=floor, class_="axis")
    svg = _svg(_HEIGHT, axis, *bars, width=_WIDE, label="Outcomes over time")
    return svg + ends + _legend(measures)


def _legend(measures: Measures) -> Markup:
    return element(
        "p",
        *(
            element("span", f"{measures.outcomes[outcome]} {words}", class_=f"key {outcome}")
            for outcome, words in _IN_WORDS.items()
            if measures.outcomes.get(outcome)
        ),
        class_="legend",
    )


def _seconds(seconds: Mapping[str, float]) -> Markup:
    if not seconds:
        return _nothing("Nothing is delivered yet.")
    return _rows({name: (it, f"{it:.2f} s") for name, it in seconds.items()}, "good")


def _bars(counts: Mapping[str, int], tone: str) -> Markup:
    if not counts:
        return _nothing("None.")
    return _rows({name: (count, str(count)) for name, count in counts.items()}, tone)


def _rows(rows: Mapping[str, tuple[float, str]], tone: str) -> Markup:
    longest = max(value for value, _ in rows.values()) or 1
    room = _WIDTH - _LABELS - _NUMBERS
    drawn = []
    for place, (name, (value, words)) in enumerate(rows.items()):
        middle = place * _ROW + _ROW // 2
        length = room * value / longest
        drawn += [
            _text(0, middle + 4, name),
            element(
                "rect",
                x=_LABELS,
                y=middle - 6,
                width=f"{max(length, 1):.1f}",
                height=12,
                rx=2,
                class_=tone if value else "none",
            ),
            _text(_LABELS + max(length, 1) + 8, middle + 4, words, kind="value"),
        ]
    return _svg(
        len(rows) * _ROW, *drawn, label=", ".join(f"{n}: {w}" for n, (_, w) in rows.items())
    )


def _worded(counts: Mapping[Category, int]) -> dict[str, int]:
    return {CATEGORY_IN_WORDS[category]: count for category, count in counts.items()}


def _svg(height: int, *content: Child, width: int = _WIDTH, label: str) -> Markup:
    return element("svg", *content, viewBox=f"0 0 {width} {height}", role="img", aria_label=label)


def _text(x: float, y: int, words: str, *, kind: str | None = None) -> Markup:
    return element("text", words, x=f"{x:.1f}", y=y, class_=kind)


def _nothing(sentence: str) -> Markup:
    return element("p", sentence, class_="nothing")
