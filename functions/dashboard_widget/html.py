"""HTML and SVG that are safe however they are put together: text becomes markup only by `element`.

Whatever somebody else wrote (a body, a reference, a status that does not exist today) is a `str`,
and every `str` is escaped on its way in. Tags and attributes are those that are listed here: none
of them can run a script, load anything, or leave the page other than by a link to https.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Final, Self

type Child = Markup | str | int | None
"""What an element can hold: None is nothing, so that a condition can stand in the middle."""

_TAGS: Final = (
    frozenset({"div", "section", "header", "footer", "h1", "h2", "h3", "p", "span", "strong"})
    | {"small", "time", "bdi", "code", "a", "ul", "ol", "li", "dl", "dt", "dd", "form", "input"}
    | {"svg", "g", "line", "circle", "path", "rect", "text", "title", "cwdb-action"}
)
_ATTRIBUTES: Final = (
    frozenset({"class", "title", "role", "tabindex", "aria-label", "aria-hidden"})
    | {"href", "target", "rel", "name", "type", "value", "placeholder", "maxlength"}
    | {"autocomplete", "action", "display", "endpoint"}
    | {"viewBox", "width", "height", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "rx", "d"}
    | {"transform", "text-anchor"}
)
_WITHOUT_CONTENT: Final = frozenset({"input"})
_SECURE: Final = "https://"


class NotAllowed(ValueError):
    """A tag, an attribute or a link that is not listed here."""


@dataclass(frozen=True, slots=True)
class Markup:
    """Text that is markup already; `element`, `joined`, `stylesheet` and `as_json` make it."""

    text: str

    def __str__(self) -> str:
        return self.text

    def __add__(self, other: Self) -> Self:
        return type(self)(self.text + other.text)


def element(tag: str, *children: Child, **attributes: Child) -> Markup:
    """An element with all that it holds.

    Args:
        tag: its name.
        children: its content, in order; text is escaped.
        attributes: by name, `_` for `-` and none at the end (`class_`); one that is None is left
            out.

    Raises:
        NotAllowed: there is no such tag or attribute here, or a link does not lead to https.
    """
    if tag not in _TAGS:
        raise NotAllowed(f"no tag {tag}")
    opened = "".join([tag, *(_attribute(name, value) for name, value in attributes.items())])
    if tag in _WITHOUT_CONTENT:
        return Markup(f"<{opened}>")
    return Markup(f"<{opened}>{joined(children)}</{tag}>")


def joined(children: Iterable[Child]) -> Markup:
    """One after the other; text is escaped."""
    return Markup("".join(_content(child) for child in children))


def stylesheet(css: str) -> Markup:
    """A style element; a style sheet is not escaped, so it must be one of our own.

    Raises:
        NotAllowed: it could end the element, or load something.
    """
    if "<" in css or "@import" in css or "url(" in css:
        raise NotAllowed("a style sheet that does more than style")
    return Markup(f"<style>{css}</style>")


def as_json(content: Mapping[str, object]) -> Markup:
    """JSON that reads the same as text and as HTML, as whoever takes it out of an element may do.

    What HTML gives a meaning to is written in JSON's own escapes, but for quotes: these mean
    something only inside of a tag.
    """
    plain = json.dumps(content)
    for letter in "&<>":
        plain = plain.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(plain)


def _attribute(name: str, value: Child) -> str:
    if value is None:
        return ""
    name = name.rstrip("_").replace("_", "-")
    if name not in _ATTRIBUTES:
        raise NotAllowed(f"no attribute {name}")
    if name == "href" and not str(value).startswith(_SECURE):
        raise NotAllowed(f"a link to something other than {_SECURE}")
    return f' {name}="{escape(str(value))}"'


def _content(child: Child) -> str:
    match child:
        case Markup(text):
            return text
        case None:
            return ""
        case _:
            return escape(str(child))
