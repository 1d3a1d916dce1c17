"""Text that is safe to print on a terminal."""

from typing import Final

_ZERO_WIDTH_JOINER: Final = "\u200d"
"""Not printable by itself, but it joins the parts of an emoji."""

NOT_CONNECTED: Final = (
    "A phone number and the ids that channels give instead of it, such as whatsapp:US.1349… and "
    "messenger:…, are not connected: repeat the command for each of the person's ids."
)
"""Note of the commands that look for a person."""


def escape_controls(text: object) -> str:
    """Return the text with control characters escaped.

    Texts and references of messages come from outside; they must not move the cursor or change
    colours.
    """
    return "".join(
        character
        if character.isprintable() or character == _ZERO_WIDTH_JOINER
        else character.encode("unicode_escape", "surrogatepass").decode()
        for character in str(text)
    )


def format_count(count: int, noun: str) -> str:
    """Return the count with its noun: "1 row", "2 rows"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
