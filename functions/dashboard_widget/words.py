"""What the widget calls things: Twilio's words stay, and beside each stands what it means."""

from collections.abc import Mapping
from typing import Final

from delivery.error_codes import NOT_FOUND, Category, Explanation, explain
from delivery.message import Message, MessageStatus, Notice, Outcome, Source
from delivery.send_request import RequestState

STATUS_IN_WORDS: Final[Mapping[str, str]] = {
    MessageStatus.ACCEPTED: "Twilio took it and chooses a sender",
    MessageStatus.SCHEDULED: "Twilio keeps it for later",
    MessageStatus.QUEUED: "Twilio took it; it waits for its turn",
    MessageStatus.SENDING: "on its way to the carrier",
    MessageStatus.SENT: "the carrier took it",
    MessageStatus.CANCELED: "called off before it was sent",
    MessageStatus.FAILED: "it could not be sent",
    MessageStatus.UNDELIVERED: "the carrier says that it did not arrive",
    MessageStatus.PARTIALLY_DELIVERED: "a part of it arrived",
    MessageStatus.DELIVERED: "the carrier says that it arrived",
    MessageStatus.READ: "the recipient opened it",
    MessageStatus.REFUSED: "it was refused and never sent",
    MessageStatus.NOT_FOUND: "no trace of it at Twilio: probably not sent",
}

SOURCE_IN_WORDS: Final[Mapping[Source, str]] = {
    Source.SEND: "answer to the request",
    Source.CALLBACK: "status callback",
    Source.RECONCILE: "found by asking Twilio",
}

CATEGORY_IN_WORDS: Final[Mapping[Category, str]] = {
    Category.RECIPIENT_UNREACHABLE: "recipient unreachable",
    Category.OPT_OUT: "opted out",
    Category.CARRIER_FILTERING: "filtered",
    Category.REGISTRATION_COMPLIANCE: "registration, compliance",
    Category.ACCOUNT_CONFIG: "account, set-up",
    Category.CONTENT: "content",
    Category.RATE_LIMIT: "too many at once",
    Category.TWILIO_INTERNAL: "Twilio's side",
    Category.UNKNOWN: "unknown",
}

OUTCOME_IN_WORDS: Final[Mapping[Outcome, str]] = {
    Outcome.PENDING: "on its way",
    Outcome.DELIVERED: "delivered",
    Outcome.FAILED: "failed",
    Outcome.CANCELED: "canceled",
    Outcome.UNCONFIRMED: "unconfirmed",
}

NOTICE_IN_WORDS: Final[Mapping[Notice, str]] = {
    Notice.DUE: "about to be told",
    Notice.TELLING: "being told right now",
    Notice.SENT: "told",
    Notice.MUTED: "counted only, its category is muted",
    Notice.WITHDRAWN: "not told, it was delivered in time",
    Notice.RECOVERY_DUE: "told of the failure, about to be told of the delivery",
    Notice.RECOVERED: "told of the failure, and of the delivery after all",
}
"""How far people have been told."""

STATE_IN_WORDS: Final[Mapping[RequestState, str]] = {
    RequestState.IN_PROGRESS: "It is being sent right now.",
    RequestState.SENT: "It was sent; its message is not known here any more.",
    RequestState.REFUSED: "Twilio refused it; nothing was sent.",
    RequestState.IN_DOUBT: (
        "It may have been sent: it left, but no answer came. It is never sent again by itself; "
        "evidence is being looked for."
    ),
    RequestState.NOT_FOUND: (
        "It was probably not sent, and is never sent again under its key. To send it, use a new "
        "key."
    ),
}

_INVALID: Final = Explanation(
    code=None,
    title="The request was not one that can be sent",
    category=Category.CONTENT,
    retryable=False,
    action="The log of SendMessageFunction names the fields that are wrong. Correct the caller.",
    duplicate_risk=False,
)


def explained(message: Message) -> Explanation:
    """Why the message failed; of those that never reached Twilio, what we know ourselves."""
    match message:
        case Message(status=MessageStatus.NOT_FOUND):
            return NOT_FOUND
        case Message(status=MessageStatus.REFUSED, error_code=None):
            return _INVALID
        case _:
            return explain(message.error_code)


def again(message: Message, explanation: Explanation) -> str:
    """Whether sending it again makes sense."""
    if message.status == MessageStatus.NOT_FOUND:
        return "Under its old key it is never sent again."
    if explanation.duplicate_risk:
        return "It may have gone out all the same: look before you send it again."
    if explanation.retryable:
        return "Sending it again later can help."
    if explanation.category is Category.UNKNOWN:
        return "Whether sending it again would help is not known."
    return "Sending it again does not help."
