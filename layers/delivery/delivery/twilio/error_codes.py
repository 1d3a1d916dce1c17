"""Explains why a message failed and what to do, from a catalogue of Twilio's error codes.

The catalogue is error_codes.json: every code that a message can meet, in creation, delivery,
channels, scheduling or compliance. Its titles, categories and retry advice are this project's
reading of https://www.twilio.com/docs/api/errors; `source` names the edition that was read, and
tests/unit/data/message_error_codes.json has the editions' dates. Twilio adds, splits and renames
codes, so no decision about a status depends on them, and an unknown code has a safe explanation.
"""

import json
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, Final

from delivery.domain.statuses import MessageStatus

_CATALOGUE: Final = Path(__file__).with_suffix(".json")
_DICTIONARY: Final = "https://www.twilio.com/docs/api/errors"


class Category(StrEnum):
    """What kind of failure it is, and thereby who has to act; people subscribe by category."""

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
    """Parse comma-separated names of categories; return the categories and the unknown names.

    `none` alone stands for an empty list, because SAM's guided deploy cannot empty a parameter.
    """
    if text.strip() == "none":
        return frozenset(), []
    names = [name.strip() for name in text.split(",") if name.strip()]
    known = {name: Category(name) for name in names if name in Category}
    return frozenset(known.values()), [name for name in names if name not in known]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a message failed; `title` and `action` are written for people."""

    code: int | None = None
    title: str
    category: Category = Category.UNKNOWN
    retryable: bool = False
    """Whether one or two delayed resends of the same message are reasonable."""
    action: str
    duplicate_risk: bool = False
    """Whether the message may have been sent in spite of the error."""

    @property
    def retry_advice(self) -> str:
        """Return a sentence that says whether to send the same message again."""
        if self is _PRESUMED_UNSENT:
            return "It is never sent again under its old key, which prevents a duplicate."
        if self.duplicate_risk:
            return "It may have been sent in spite of the error: check before you send it again."
        if self.retryable:
            return "Sending it again later can help."
        if self.category is Category.UNKNOWN:
            return "It is unknown whether sending it again would help."
        return "Sending it again does not help."

    def as_record(self) -> dict[str, str | bool]:
        """Return the explanation as responses show it."""
        return {
            "title": self.title,
            "category": str(self.category),
            "retryable": self.retryable,
            "action": self.action,
        }


_PRESUMED_UNSENT: Final = Explanation(
    title="No trace of it at Twilio",
    action=(
        "It was probably not sent. Search Twilio's message log by recipient and time. If it is not "
        "there, send it again under a new key."
    ),
    duplicate_risk=True,
)

_REJECTED_BEFORE_TWILIO: Final = Explanation(
    title="The send request was invalid",
    category=Category.CONTENT,
    action=(
        "Search the log of SendMessageFunction for the request's id: it names the invalid fields, "
        "or says that the key was used for other content. Correct the caller."
    ),
)

_NO_CODE: Final = Explanation(
    title="Twilio gave no error code",
    action=f"Open the message in the Twilio Console. Codes are explained at {_DICTIONARY}.",
)


def explain(code: int | None, status: str | None = None, detail: str | None = None) -> Explanation:
    """Return why a message failed; for an unknown code, where to look it up.

    A request without a message is explained by its status if it has no code. `detail` is quoted
    where the code explains nothing: the words that Twilio or the channel reported, or the problems
    for which the stack rejected the request.
    """
    explanation = _explanation(code, status)
    if detail and explanation is _REJECTED_BEFORE_TWILIO:
        end = "" if detail.endswith("?") else "."
        return replace(explanation, action=f"Correct the caller: {detail}{end}")
    if not detail or explanation.category is not Category.UNKNOWN:
        return explanation
    return replace(explanation, action=f'Reported with it: "{detail}". {explanation.action}')


def _explanation(code: int | None, status: str | None) -> Explanation:
    if status == MessageStatus.PRESUMED_UNSENT:
        return _PRESUMED_UNSENT
    if code is None and status == MessageStatus.REJECTED:
        return _REJECTED_BEFORE_TWILIO
    if code is None:
        return _NO_CODE
    entry = _catalogue().get(str(code))
    if entry is None:
        return Explanation(
            code=code,
            title=f"Error {code} is not in the catalogue",
            action=f"Look it up at {_DICTIONARY}/{code}.",
        )
    return Explanation(
        code=code,
        title=entry["title"],
        category=Category(entry["category"]),
        retryable=entry.get("retryable", False),
        action=entry["action"],
        duplicate_risk=entry.get("duplicate_risk", False),
    )


def can_answer_create(code: int | None) -> bool:
    """Return whether Twilio can answer a request to create a message with this error code."""
    entry = _catalogue().get(str(code), {})
    return bool(entry.get("answers_create", False))


@cache
def _catalogue() -> dict[str, Any]:
    """Return the catalogue, read on first use: most invocations explain nothing."""
    catalogue: dict[str, Any] = json.loads(_CATALOGUE.read_text(encoding="utf-8"))
    return catalogue
