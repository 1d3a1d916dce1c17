"""HTML as a person sees it: texts, and buttons with the calls that they make."""

import json
from html.parser import HTMLParser
from typing import Any


class Screen(HTMLParser):
    """The texts and buttons of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.buttons: dict[str, dict[str, Any]] = {}
        self.opening: list[dict[str, Any]] = []
        self._last_text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag == "cwdb-action":
            self.buttons[self._last_text] = dict(attrs)

    def handle_data(self, data: str) -> None:
        match self.tags[-1]:
            case "style":
                pass
            case "cwdb-action" if "parameters" not in (button := self.buttons[self._last_text]):
                button["parameters"] = json.loads(data)
                if self._last_text == "Details":
                    self.opening.append(button)
            case _:
                self.texts.append(data)
                self._last_text = data

    @property
    def sids(self) -> list[str]:
        """SIDs of the messages with a Details button, in order."""
        return [it["parameters"]["message_sid"] for it in self.opening]

    @property
    def text(self) -> str:
        return "\n".join(self.texts)

    def classes_of(self, tag: str) -> set[str]:
        return {
            word
            for its, name, value in self.attributes
            if (its, name) == (tag, "class")
            for word in value.split()
        }
