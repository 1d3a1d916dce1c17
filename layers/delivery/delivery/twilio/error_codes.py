"""Why a message failed, and what to do about it: mostly what an error code of Twilio's means.

The catalogue lies beside this module. Titles, categories and what may be retried are our reading
of https://www.twilio.com/docs/api/errors; Twilio adds, splits and renames codes, so no decision
about a message's status hangs on them, and an unknown code has a safe answer.
"""

import json
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, Final

from delivery.domain.statuses import MessageStatus

_CATALOGUE: Final = Path(__file__).with_suffix(".json")
_DICTIONARY: Final = "https://www.twilio.com/docs/api/errors"


class Category(StrEnum):
    """Who has to do something, so that people can subscribe to what concerns them."""

    RECIPIENT_UNREACHABLE = "recipient_unreachable"
    OPT_OUT = "opt_out"
    CARRIER_FILTERING = "carrier_filtering"
    REGISTRATION_COMPLIANCE = "registration_compliance"
    ACCOUNT_CONFIG = "account_config"
    CONTENT = "content"
    RATE_LIMIT = "rate_limit"
    TWILIO_INTERNAL = "twilio_internal"
    UNKNOWN = "unknown"


def categories_in(text: str) -> tuple[frozenset[Category], list[str]]:
    """The categories that a text names, with commas between them; and the names that are none."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    known = {name: Category(name) for name in names if name in Category}
    return frozenset(known.values()), [name for name in names if name not in known]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A failure in words; `title` and `action` are written for the person who is told."""

    code: int | None
    title: str
    category: Category
    retryable: bool
    """A delayed resend of the same message, once or twice, is reasonable."""
    action: str
    duplicate_risk: bool
    """The message may have gone out in spite of the error: look before sending it again."""

    @property
    def again(self) -> str:
        """Whether sending the same message again makes sense, in a sentence."""
        if self is _NOT_FOUND:
            return "Under its old key it is never sent again, so that nobody gets it twice."
        if self.duplicate_risk:
            return "It may have gone out all the same: look before you send it again."
        if self.retryable:
            return "Sending it again later can help."
        if self.category is Category.UNKNOWN:
            return "Whether sending it again would help is not known."
        return "Sending it again does not help."

    def as_record(self) -> dict[str, str | bool]:
        """What an answer shows of it."""
        return {
            "title": self.title,
            "category": str(self.category),
            "retryable": self.retryable,
            "action": self.action,
        }


_NOT_FOUND: Final = Explanation(
    code=None,
    title="No trace of it at Twilio",
    category=Category.UNKNOWN,
    retryable=False,
    action=(
        "It was probably not sent. Look for it in Twilio's log, by recipient and time; if it is "
        "not there, send it again under a new key."
    ),
    duplicate_risk=True,
)

_REFUSED_HERE: Final = Explanation(
    code=None,
    title="The request was not one that can be sent",
    category=Category.CONTENT,
    retryable=False,
    action=(
        "The log of SendMessageFunction says why, by the request's id: which fields are wrong, or "
        "that its key was used before. Correct the caller."
    ),
    duplicate_risk=False,
)


def explain(code: int | None, status: str | None = None) -> Explanation:
    """Why a message with this error code failed; of a code that nobody knows, where to look it up.

    A request that never became a message (its `status` is one of our two words) needs no code to be
    explained: it was probably not sent, or was refused before Twilio saw it.
    """
    if status == MessageStatus.PRESUMED_UNSENT:
        return _NOT_FOUND
    if code is None and status == MessageStatus.REJECTED:
        return _REFUSED_HERE
    if code is None:
        return _unknown(
            None,
            "Twilio gave no error code",
            f"Look at the message in Twilio's Console. Codes are at {_DICTIONARY}.",
        )
    entry = _catalogue().get(str(code))
    if entry is None:
        return _unknown(
            code, f"Error {code} is not in our catalogue", f"Look it up at {_DICTIONARY}/{code}."
        )
    return Explanation(
        code=code,
        title=entry["title"],
        category=Category(entry["category"]),
        retryable=entry.get("retryable", False),
        action=entry["action"],
        duplicate_risk=entry.get("duplicate_risk", False),
    )


def _unknown(code: int | None, title: str, action: str) -> Explanation:
    return Explanation(
        code=code,
        title=title,
        category=Category.UNKNOWN,
        retryable=False,
        action=action,
        duplicate_risk=False,
    )


@cache
def _catalogue() -> dict[str, Any]:
    """Read on first use: most invocations explain nothing."""
    catalogue: dict[str, Any] = json.loads(_CATALOGUE.read_text(encoding="utf-8"))
    return catalogue
