"""The place where a page of a list ended, as an opaque token from which the next page goes on.

Pure. A list is ordered by a time and then by SID, whatever order the database gives to items of the
same time, so that a page goes on exactly where the previous one ended.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import Final, Self

from delivery.domain.messages import Message

_FORMAT: Final = re.compile(
    r"(?P<digest>[0-9a-f]{12}) (?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (?P<sid>\S{1,128})"
)


class TokenInvalid(ValueError):
    """The token does not belong to this list."""

    def __init__(self) -> None:
        super().__init__(
            "does not belong to this list; pass the next_token of the previous answer to the same "
            "query, or omit it to start from the beginning"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A part of a list; `next_token` leads to the next part, None where there is none."""

    messages: tuple[Message, ...]
    next_token: str | None = None


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A message's place in a list: `at` is ISO 8601 in UTC with milliseconds and sorts as text."""

    at: str
    message_sid: str

    def as_token(self, query: str) -> str:
        """Return the token that goes on from here, valid for this query only."""
        content = f"{_digest(query, self)} {self.at} {self.message_sid}"
        return base64.urlsafe_b64encode(content.encode()).rstrip(b"=").decode("ascii")

    @classmethod
    def from_token(cls, token: str, query: str) -> Self:
        """Return the place from which a token of this query goes on.

        Raises:
            TokenInvalid: the token is of another query, or damaged.
        """
        try:
            padded = token + "=" * (-len(token) % 4)
            content = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
        except (binascii.Error, ValueError):
            raise TokenInvalid from None
        found = _FORMAT.fullmatch(content)
        if not found:
            raise TokenInvalid
        position = cls(found["at"], found["sid"])
        if found["digest"] != _digest(query, position):
            raise TokenInvalid
        return position


def _digest(query: str, position: Position) -> str:
    """Return a checksum against mistakes: another query, a truncated token. It is not a secret."""
    content = f"{query}\n{position.at}\n{position.message_sid}"
    return hashlib.sha256(content.encode("utf-8", "backslashreplace")).hexdigest()[:12]
