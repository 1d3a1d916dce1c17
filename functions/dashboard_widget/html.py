"""HTML and SVG that are safe by construction: every `str` is escaped, only `element` makes markup.

A text from outside (a body, a reference, an unknown status) is a `str`. Only the tags and
attributes listed here are allowed: none of them can run a script or load anything, and links lead
to https only.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Final, Self

type Child = Markup | str | int | None
"""The content of an element; None stands for no content, so that content can be conditional."""

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
    """The tag, attribute or link is not allowed."""


@dataclass(frozen=True, slots=True)
class Markup:
    """Escaped markup; `element`, `joined`, `stylesheet` and `as_json` return it."""

    text: str

    def __str__(self) -> str:
        return self.text

    def __add__(self, other: Self) -> Self:
        return type(self)(self.text + other.text)


def element(tag: str, *children: Child, **attributes: Child) -> Markup:
    """Return an element.

    Args:
        tag: its name.
        children: its content, in order; text is escaped.
        attributes: by name, with `_` for `-` and without one at the end (`class_`); None omits one.

    Raises:
        NotAllowed: the tag or an attribute is not allowed, or a link does not lead to https.
    """
    if tag not in _TAGS:
        raise NotAllowed(f"tag not allowed: {tag}")
    opened = "".join([tag, *(_attribute(name, value) for name, value in attributes.items())])
    if tag in _WITHOUT_CONTENT:
        return Markup(f"<{opened}>")
    return Markup(f"<{opened}>{joined(children)}</{tag}>")


def joined(children: Iterable[Child]) -> Markup:
    """Return the children one after the other; text is escaped."""
    return Markup("".join(_content(child) for child in children))


def stylesheet(css: str) -> Markup:
    """Return a style element; the style sheet is not escaped, so it must be one of our own.

    Raises:
        NotAllowed: the style sheet could end the element, or load something.
    """
    if "<" in css or "@import" in css or "url(" in css:
        raise NotAllowed("style sheet not allowed: it may end the element or load something")
    return Markup(f"<style>{css}</style>")


def as_json(content: Mapping[str, object]) -> Markup:
    """Return JSON that reads the same as text and as HTML.

    `&`, `<` and `>` are written as JSON escapes. Quotes stay: they matter inside a tag only.
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
        raise NotAllowed(f"attribute not allowed: {name}")
    if name == "href" and not str(value).startswith(_SECURE):
        raise NotAllowed(f"link not allowed: expected {_SECURE}…")
    return f' {name}="{escape(str(value))}"'


def _content(child: Child) -> str:
    match child:
        case Markup(text):
            return text
        case None:
            return ""
        case _:
            return escape(str(child))
