"""The timeline of a message: a track with its statuses along time, and a line for each."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import accumulate, pairwise
from typing import Final

from delivery.domain.messages import Message, Transition
from delivery.domain.statuses import STATUSES, MessageStatus, Outcome, label_of, rank
from delivery.text.formatting import format_duration, source_label

from .html import Child, Markup, element
from .labels import OUTCOME_TONES
from .viewer import Viewer

_HEIGHT: Final = 24
_MIDDLE: Final = _HEIGHT // 2
_RADIUS: Final = 9
_THICK: Final = 6
# In per cent of the track's width. Marks that are closer are moved apart; the lines below the track
# have the exact times.
_MIN_DISTANCE: Final = 4.5

_PHASE_AFTER: Final[Mapping[str, str]] = {
    MessageStatus.SENT: "carrier",
    **{
        status: "after"
        for status, known in STATUSES.items()
        if known.outcome is not Outcome.PENDING
    },
}
_PHASE_LABELS: Final = {
    "twilio": "at Twilio",
    "carrier": "at the carrier",
    "after": "until the final status",
}
# Drawn in a box of 18 by 18 around the middle.
_SIGNS: Final = {"good": "M-4 0.5L-1.2 3.3L4.2 -3", "bad": "M-3.2 -3.2L3.2 3.2M3.2 -3.2L-3.2 3.2"}


def timeline(message: Message, viewer: Viewer) -> Markup:
    """Return the track, and below it a line for each status."""
    return element("div", _track(message, viewer), _lines(message, viewer), class_="dw-timeline")


def _track(message: Message, viewer: Viewer) -> Markup:
    transitions = sorted(message.transitions, key=lambda it: it.at)
    waits = message.outcome in {Outcome.PENDING, Outcome.UNCONFIRMED}
    end = max(viewer.now, transitions[-1].at) if waits else transitions[-1].at
    times = [it.at for it in transitions] + ([end] if waits else [])
    phases = _phases(transitions)
    places = _places(times)
    segments = [
        element(
            "rect",
            x=f"{begin:.2f}%",
            y=_MIDDLE - _THICK // 2,
            width=f"{until - begin:.2f}%",
            height=_THICK,
            class_=f"dw-phase-{phase}",
        )
        for phase, (begin, until) in zip(phases, pairwise(places), strict=False)
    ]
    marks = [
        _mark(place, tone(it), f"{it.status}, {viewer.time(it.at)}")
        for place, it in zip(places, transitions, strict=False)
    ]
    svg = element(
        "svg",
        *segments,
        *marks,
        height=_HEIGHT,
        class_="dw-track",
        role="img",
        aria_label=f"{len(transitions)} statuses in {format_duration(end - times[0])}",
    )
    return svg + _legend(phases, times)


def _phases(transitions: Sequence[Transition]) -> list[str]:
    """Return the phase after each status: that of the highest-ranked status so far."""
    best: Iterable[Transition] = accumulate(transitions, _better)
    return [_PHASE_AFTER.get(it.status, "twilio") for it in best]


def _better(one: Transition, other: Transition) -> Transition:
    return max(one, other, key=_rank)


def _rank(transition: Transition) -> int:
    return rank(transition.status)


def _places(times: Sequence[datetime]) -> list[float]:
    """Return each time's place on the track in per cent, at a distance from its neighbors."""
    whole = (times[-1] - times[0]).total_seconds() or 1
    places = [100 * (time - times[0]).total_seconds() / whole for time in times]
    for place in range(1, len(places)):
        places[place] = max(places[place], places[place - 1] + _MIN_DISTANCE)
    end = 100.0
    for place in reversed(range(len(places))):  # and back, if the last ones are beyond the end
        places[place] = min(places[place], end)
        end = places[place] - _MIN_DISTANCE
    return places


def _legend(phases: Sequence[str], times: Sequence[datetime]) -> Markup:
    """Return how long each phase lasted."""
    lasted: dict[str, timedelta] = {}
    for phase, (begin, until) in zip(phases, pairwise(times), strict=False):
        lasted[phase] = lasted.get(phase, timedelta()) + (until - begin)
    return element(
        "p",
        *(
            element(
                "span", f"{format_duration(lasted[phase])} {where}", class_=f"dw-key dw-key-{phase}"
            )
            for phase, where in _PHASE_LABELS.items()
            if phase in lasted
        ),
        class_="dw-legend",
    )


def _mark(place: float, tone_name: str, words: str) -> Markup:
    # An SVG of its own, because a transformation does not accept per cent.
    drawn = element(
        "g",
        element("title", words),
        *_sign(tone_name),
        transform=f"translate(0 {_MIDDLE})",
        class_=f"dw-mark dw-{tone_name}",
    )
    return element("svg", drawn, x=f"{place:.2f}%", class_="dw-place")


def _sign(tone_name: str) -> list[Markup]:
    sign = _SIGNS.get(tone_name)
    circle = element("circle", r=_RADIUS if sign else _RADIUS - 3)
    return [circle, element("path", d=sign, class_="dw-sign")] if sign else [circle]


def tone(transition: Transition) -> str:
    """Return the CSS class suffix for the outcome of a status."""
    known = STATUSES.get(transition.status)
    return OUTCOME_TONES.get(known.outcome, "plain") if known else "plain"


def _lines(message: Message, viewer: Viewer) -> Markup:
    rows, best, before, day = [], -1, None, ""
    for transition in message.transitions:
        is_out_of_order = 0 < _rank(transition) < best
        best = max(best, _rank(transition))
        shown_day = viewer.day(transition.at, short=True)
        rows.append(
            _line(
                transition,
                viewer,
                day=shown_day if shown_day != day else None,
                after=transition.at - before if before else None,
                is_out_of_order=is_out_of_order,
            )
        )
        before, day = transition.at, shown_day
    if last := _next_step(message, viewer):
        rows.append(last)
    return element("ol", *rows, class_="dw-lines")


def _line(
    transition: Transition,
    viewer: Viewer,
    *,
    day: str | None,
    after: timedelta | None,
    is_out_of_order: bool,
) -> Markup:
    code = f"error {transition.error_code}" if transition.error_code else None
    facts = [
        source_label(transition),
        "arrived out of order; status unchanged" if is_out_of_order else None,
        f"carrier's own time {transition.carrier_time}" if transition.carrier_time else None,
    ]
    return element(
        "li",
        _when(
            viewer.time(transition.at),
            day,
            f"+{format_duration(after)}" if after is not None else None,
        ),
        element(
            "svg",
            *_sign(tone(transition)),
            viewBox="-9 -9 18 18",
            class_=f"dw-mark dw-{tone(transition)}",
            aria_hidden="true",
        ),
        element(
            "div",
            element("strong", element("bdi", transition.status)),
            code and element("span", code, class_="dw-code"),
            element(
                "span",
                label_of(transition.status) or "unknown status",
                class_="dw-meaning",
            ),
            element("small", " · ".join(it for it in facts if it)),
        ),
    )


def _when(time: str, day: str | None, after: str | None) -> Markup:
    return element(
        "div",
        element("span", day, class_="dw-day") if day else None,
        element("time", time),
        element("small", after) if after else None,
        class_="dw-when",
    )


def _next_step(message: Message, viewer: Viewer) -> Markup | None:
    """Return what a message without a final status waits for."""
    waited: Child
    match message.outcome:
        case Outcome.PENDING if message.list_at is not None:
            check_at = f"{viewer.day(message.list_at)}, {viewer.time(message.list_at)}"
            is_due = message.list_at <= viewer.now
            title = "pending"
            small = f"next check with Twilio: {'now' if is_due else check_at}"
        case Outcome.UNCONFIRMED:
            title, small = "unconfirmed", "Twilio reported no final status in time"
        case _:
            return None
    waited = format_duration(max(viewer.now - message.transitions[-1].at, timedelta()))
    return element(
        "li",
        _when("", None, f"+{waited}"),
        element(
            "svg",
            element("circle", r=_RADIUS - 3),
            viewBox="-9 -9 18 18",
            class_="dw-mark dw-open",
            aria_hidden="true",
        ),
        element("div", element("strong", title), element("small", small)),
        class_="dw-next",
    )
