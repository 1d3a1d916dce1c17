"""HTML by construction: a text from outside stays text."""

import json
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.dashboard_widget.html import Markup, NotAllowed, as_json, element, joined, stylesheet

# With the characters of markup among them often.
TEXTS = st.text(st.sampled_from("<>&'\"=/!-[]; \0") | st.characters(exclude_characters="\r"))


class Read(HTMLParser):
    """The elements with their attributes, and the text, as a browser reads them."""

    def __init__(self, markup: Markup) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(str(markup))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return "".join(self.texts)


def test_an_element_holds_its_children_in_order() -> None:
    made = element("p", "one ", element("strong", "two"), None, 3, class_="a b", tabindex=0)

    assert str(made) == '<p class="a b" tabindex="0">one <strong>two</strong>3</p>'


def test_attribute_names_are_written_as_in_html() -> None:
    made = element("svg", aria_label="a line", text_anchor="end", viewBox="0 0 1 1")

    assert str(made) == '<svg aria-label="a line" text-anchor="end" viewBox="0 0 1 1"></svg>'


def test_an_attribute_that_is_none_is_omitted() -> None:
    assert str(element("input", value="", placeholder=None)) == '<input value="">'


@given(TEXTS)
def test_any_text_is_read_as_it_was_written(text: str) -> None:
    read = Read(element("p", element("bdi", text, title=text)))

    assert read.elements == [("p", {}), ("bdi", {"title": text})]
    assert read.text == text


@pytest.mark.parametrize("tag", ["script", "use", "style", "P", "p x"])
def test_an_active_tag_is_not_allowed(tag: str) -> None:
    with pytest.raises(NotAllowed):
        element(tag)


@pytest.mark.parametrize("name", ["onclick", "style", "src", "a b"])
def test_an_active_attribute_is_not_allowed(name: str) -> None:
    with pytest.raises(NotAllowed):
        element("p", **{name: "x"})


@pytest.mark.parametrize("url", ["javascript:alert(1)", "http://example.com", " https://x"])
def test_only_links_to_https_are_allowed(url: str) -> None:
    with pytest.raises(NotAllowed):
        element("a", "x", href=url)


def test_a_link_to_https_is_allowed() -> None:
    assert str(element("a", "x", href="https://example.com/?a=1&b=2")) == (
        '<a href="https://example.com/?a=1&amp;b=2">x</a>'
    )


def test_parts_are_joined_in_order() -> None:
    parts = joined(["<", element("p"), None, 1])

    assert str(parts + element("p")) == "&lt;<p></p>1<p></p>"


@given(TEXTS)
def test_json_is_the_same_as_text_and_as_html(content: str) -> None:
    made = element("cwdb-action", as_json({"lookup": content}), action="call")

    as_html = str(made).removeprefix('<cwdb-action action="call">').removesuffix("</cwdb-action>")
    assert json.loads(as_html) == json.loads(Read(made).text) == {"lookup": content}
    assert [tag for tag, _ in Read(made).elements] == ["cwdb-action"]


@pytest.mark.parametrize(
    "css", ["</style><script>", "@import 'x'", "a { background: url(https://example.com) }"]
)
def test_an_active_style_sheet_is_not_allowed(css: str) -> None:
    with pytest.raises(NotAllowed):
        stylesheet(css)


def test_a_style_sheet_is_not_escaped() -> None:
    assert str(stylesheet("a > b { color: red }")) == "<style>a > b { color: red }</style>"
