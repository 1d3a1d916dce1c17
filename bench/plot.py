"""Plots as SVG, with nothing but text: bars beside each other, and a line that they are held to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

_WIDTH: Final = 720
_NAMES: Final = 250
_ROW: Final = 30
_BAR: Final = 18
_TOP: Final = 44
_VALUES: Final = 90
_INK: Final = "#6e7781"  # readable on white and on black
_COLOURS: Final = (
    *("#2f81f7", "#d29922", "#3fb950", "#a371f7", "#db61a2"),
    *("#f85149", "#39c5cf", "#e3b341", "#8b949e"),
)


_LOOK: Final = f'font-family="system-ui, sans-serif" font-size="13" fill="{_INK}" role="img"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A named bar of one or more parts, and what to write behind it."""

    name: str
    parts: Sequence[float]
    value: str


def bars(
    title: str, rows: Sequence[Bar], *, parts: Sequence[str] = (), line: float | None = None
) -> str:
    """The bars below each other; `parts` names their parts, `line` is drawn across all of them."""
    longest = max(sum(row.parts) for row in rows)
    scale = (_WIDTH - _NAMES - _VALUES) / longest
    legend_rows = (len(parts) + 2) // 3
    top = _TOP + legend_rows * 20
    height = top + len(rows) * _ROW + 10
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" {_LOOK}>',
        f"<title>{escape(title)}</title>",
        f'<text x="0" y="20" font-size="15" font-weight="600">{escape(title)}</text>',
    ]
    for number, name in enumerate(parts):
        left, below = number % 3 * (_WIDTH // 3), 36 + number // 3 * 20
        drawn += [
            f'<rect x="{left}" y="{below}" width="12" height="12" fill="{_COLOURS[number]}"/>',
            f'<text x="{left + 18}" y="{below + 11}">{escape(name)}</text>',
        ]
    for number, row in enumerate(rows):
        y, x = top + number * _ROW, float(_NAMES)
        drawn.append(
            f'<text x="{_NAMES - 8}" y="{y + 14}" text-anchor="end">{escape(row.name)}</text>'
        )
        for part, colour in zip(row.parts, _COLOURS, strict=False):
            drawn.append(
                f'<rect x="{x:.1f}" y="{y}" width="{part * scale:.1f}" height="{_BAR}" '
                f'fill="{colour}"/>'
            )
            x += part * scale
        drawn.append(f'<text x="{x + 6:.1f}" y="{y + 14}">{escape(row.value)}</text>')
    if line is not None:
        x = _NAMES + line * scale
        drawn.append(
            f'<line x1="{x:.1f}" y1="{top - 6}" x2="{x:.1f}" y2="{height - 8}" stroke="{_INK}" '
            'stroke-dasharray="4 3"/>'
        )
    return "\n".join([*drawn, "</svg>", ""])
