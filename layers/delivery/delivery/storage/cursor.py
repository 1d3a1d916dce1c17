"""Lists page by page: where a page ended, told in a token that nobody needs to understand.

Pure. A list has an order of its own, by a time and then by SID, whatever order a database gives to
what has the same time; so a page goes on exactly where the one before it ended.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import Final, Self

from delivery.domain.messages import Message

_FORM: Final = re.compile(
    r"(?P<digest>[0-9a-f]{12}) (?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (?P<sid>\S{1,128})"
)


class TokenInvalid(ValueError):
    """The token is none of this list's."""

    def __init__(self) -> None:
        super().__init__(
            "is not of this list; take the next_token of the last answer to the same question, "
            "or leave it out to begin anew"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A part of a list; `next_token` leads to the next one, and is None where there is none."""

    messages: tuple[Message, ...]
    next_token: str | None = None


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A message's place in a list: `at` is ISO 8601 in UTC with milliseconds, and sorts as text."""

    at: str
    message_sid: str

    def as_token(self, question: str) -> str:
        """The token that leads on from here, in the answer to this question only."""
        content = f"{_digest(question, self)} {self.at} {self.message_sid}"
        return base64.urlsafe_b64encode(content.encode()).rstrip(b"=").decode("ascii")

    @classmethod
    def from_token(cls, token: str, question: str) -> Self:
        """The place that a token of this question's answer leads on from.

        Raises:
            TokenInvalid: it is the token of another question, or none at all.
        """
        try:
            padded = token + "=" * (-len(token) % 4)
            content = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
        except (binascii.Error, ValueError):
            raise TokenInvalid from None
        found = _FORM.fullmatch(content)
        if not found:
            raise TokenInvalid
        position = cls(found["at"], found["sid"])
        if found["digest"] != _digest(question, position):
            raise TokenInvalid
        return position


def _digest(question: str, position: Position) -> str:
    """What tells honest mistakes: another question, half a token. It keeps no secret."""
    content = f"{question}\n{position.at}\n{position.message_sid}"
    return hashlib.sha256(content.encode("utf-8", "backslashreplace")).hexdigest()[:12]
