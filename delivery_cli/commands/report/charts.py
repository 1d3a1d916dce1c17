"""Draws the charts of a report's page as SVG: Vega-Lite, by vl-convert, without network.

Colours are CSS variables of the page, so that the charts follow its light or dark theme.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Final

from delivery_cli.commands.report.measures import Measures
from delivery_cli.errors import CommandError

type Spec = dict[str, Any]
"""A chart in Vega-Lite, see https://vega.github.io/vega-lite/docs/."""

_VEGA_LITE: Final = "6.1"
_OUTCOMES: Final = {
    "delivered": "var(--delivered)",
    "failed": "var(--failed)",
    "unconfirmed": "var(--unconfirmed)",
    "pending": "var(--pending)",
    "canceled": "var(--canceled)",
}
_CONFIG: Final[Spec] = {
    "background": None,
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--muted)",
        "gridColor": "var(--line)",
        "domainColor": "var(--line)",
        "tickColor": "var(--line)",
        "labelFontSize": 12,
        "title": None,
    },
    "legend": {
        "labelColor": "var(--text)",
        "labelFontSize": 12,
        "columnPadding": 16,
        "title": None,
        "orient": "top",
    },
    "text": {"color": "var(--text)", "fontSize": 12},
    "concat": {"spacing": 16},
}
_DAY_AXIS: Final[Spec] = {
    "labelExpr": "utcFormat(toDate(datum.value), '%b %-d')",
    "labelAngle": 0,
    "labelOverlap": True,
    "labelSeparation": 10,
    "ticks": False,
    "labelPadding": 6,
}
_RATE_FLOORS: Final = (0, 0.5, 0.8, 0.9, 0.95, 0.99)
"""Where the axis of rates can begin, below the lowest rate."""
_FEW: Final = 3
_AXIS_WIDTH: Final = 48
_MARGIN: Final = 20
_LABEL_WIDTH: Final = 150
_LEGEND_WIDTH: Final = 84
_ROW_HEIGHT: Final = 28


def check_charts_available() -> None:
    """Check that the package that draws the charts is installed.

    Raises:
        CommandError: it is not; nothing else in the command line needs it.
    """
    if find_spec("vl_convert") is None:
        raise CommandError(
            "The page needs the package vl-convert-python, which is not installed.",
            "Install it with `pip install vl-convert-python`.",
        )


def draw_days(days: Mapping[str, Measures], width: int) -> str:
    """Draw the delivery rate and the messages of each day, in the given order; returns SVG."""
    day: Spec = {"field": "day", "type": "ordinal", "sort": list(days)}
    plot_width = width - _AXIS_WIDTH - _MARGIN
    rates_of_days = {it: group.delivery_rate for it, group in days.items()}
    known = [rate for rate in rates_of_days.values() if rate is not None]
    floor = max((it for it in _RATE_FLOORS if it < min(known, default=0)), default=0)
    rates: Spec = {
        "data": {"values": [{"day": it, "rate": rate} for it, rate in rates_of_days.items()]},
        "width": plot_width,
        "height": 160,
        "encoding": {
            "x": day | {"axis": {"labels": False, "ticks": False}},
            "y": {
                "field": "rate",
                "type": "quantitative",
                "scale": {"domain": [floor, 1]},
                "axis": {
                    "format": ".1%" if floor == _RATE_FLOORS[-1] else ".0%",
                    "tickCount": 4,
                    "minExtent": _AXIS_WIDTH,
                },
            },
        },
        "layer": [
            {"mark": {"type": "line", "color": "var(--delivered)", "strokeJoin": "round"}},
            {"mark": {"type": "circle", "size": 40, "color": "var(--delivered)", "opacity": 1}},
        ],
    }
    counts = [
        {"day": it, "outcome": outcome, "order": order, "messages": getattr(group, outcome)}
        for it, group in days.items()
        for order, outcome in enumerate(_OUTCOMES)
    ]
    shown = [it for it in _OUTCOMES if any(getattr(group, it) for group in days.values())]
    messages: Spec = {
        "data": {"values": counts},
        "width": plot_width,
        "height": 110,
        "mark": "bar",
        "encoding": {
            "x": day | {"axis": _DAY_AXIS},
            "y": {
                "field": "messages",
                "type": "quantitative",
                "axis": {"format": ",d", "minExtent": _AXIS_WIDTH, **_whole_ticks(days)},
            },
            "color": {
                "field": "outcome",
                "type": "nominal",
                "scale": {"domain": shown, "range": [_OUTCOMES[it] for it in shown]},
                "legend": {"columns": plot_width // _LEGEND_WIDTH},
            },
            "order": {"field": "order", "type": "quantitative"},
        },
    }
    return _draw({"vconcat": [rates, messages], "resolve": {"legend": {"color": "independent"}}})


def _whole_ticks(days: Mapping[str, Measures]) -> Spec:
    """Return the ticks of an axis that counts messages: Vega may divide a few of them."""
    most = max(group.messages for group in days.values())
    return {"values": list(range(most + 1))} if most <= _FEW else {"tickCount": _FEW}


def draw_failures(categories: Mapping[str, int], width: int) -> str:
    """Draw the failures of each category; returns SVG."""
    values = [{"category": it, "failed": count} for it, count in categories.items()]
    category = {
        "field": "category",
        "type": "nominal",
        "sort": list(categories),
        "axis": {
            "domain": False,
            "ticks": False,
            "minExtent": _LABEL_WIDTH,
            "labelPadding": 8,
            "labelColor": "var(--text)",
        },
    }
    failed = {"field": "failed", "type": "quantitative", "axis": None}
    return _draw(
        {
            "data": {"values": values},
            "width": width - _LABEL_WIDTH - _AXIS_WIDTH - _MARGIN,
            "height": {"step": _ROW_HEIGHT},
            "encoding": {"y": category, "x": failed},
            "layer": [
                {"mark": {"type": "bar", "color": "var(--failed)", "height": 16}},
                {
                    "mark": {"type": "text", "align": "left", "dx": 6},
                    "encoding": {"text": {"field": "failed", "format": ","}},
                },
            ],
        }
    )


def _draw(spec: Spec) -> str:
    import vl_convert  # noqa: PLC0415 -- only this command needs it

    return vl_convert.vegalite_to_svg(
        {**spec, "config": _CONFIG}, vl_version=_VEGA_LITE, allowed_base_urls=[]
    )
