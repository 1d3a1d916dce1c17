"""Words for a terminal.

What others wrote (texts, references) is shown with its control characters spelled out: nothing of
it can move the cursor or colour the screen.
"""

from typing import Final

_JOINER: Final = "\u200d"
"""Invisible, but it holds an emoji's parts together."""


def visible(text: object) -> str:
    """The text with everything spelled out that a terminal would obey instead of showing."""
    return "".join(
        letter
        if letter.isprintable() or letter == _JOINER
        else letter.encode("unicode_escape", "surrogatepass").decode()
        for letter in str(text)
    )


def counted(count: int, thing: str) -> str:
    """How many, in words: "1 row", "2 rows"."""
    return f"{count} {thing}{'' if count == 1 else 's'}"
