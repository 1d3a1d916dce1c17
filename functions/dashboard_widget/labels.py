"""What the widget calls things: Twilio's words stay, and beside each stands what it means."""

from collections.abc import Mapping
from typing import Final

from delivery.domain.notices import NoticeState
from delivery.domain.send_requests import RequestState
from delivery.domain.statuses import MessageStatus, Outcome

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
    MessageStatus.REJECTED: "it was refused and never sent",
    MessageStatus.PRESUMED_UNSENT: "no trace of it at Twilio: probably not sent",
}

OUTCOME_IN_WORDS: Final[Mapping[Outcome, str]] = {
    Outcome.PENDING: "on its way",
    Outcome.DELIVERED: "delivered",
    Outcome.FAILED: "failed",
    Outcome.CANCELED: "canceled",
    Outcome.UNCONFIRMED: "unconfirmed",
}

NOTICE_IN_WORDS: Final[Mapping[NoticeState, str]] = {
    NoticeState.DUE: "about to be told",
    NoticeState.PUBLISHING: "being told right now",
    NoticeState.PUBLISHED: "notice published",
    NoticeState.GROUPED: "counted in a summary",
    NoticeState.MUTED: "counted only, its category is muted",
    NoticeState.WITHDRAWN: "not told, it was delivered in time",
    NoticeState.RECOVERY_DUE: "told of the failure, about to be told of the delivery",
    NoticeState.RECOVERED: "told of the failure, and of the delivery after all",
}
"""How far people have been told."""

STATE_IN_WORDS: Final[Mapping[RequestState, str]] = {
    RequestState.IN_PROGRESS: "It is being sent right now.",
    RequestState.SENT: "It was sent; its message is not known here any more.",
    RequestState.REJECTED: "Twilio refused it; nothing was sent.",
    RequestState.IN_DOUBT: (
        "It may have been sent: it left, but no answer came. It is never sent again by itself; "
        "evidence is being looked for."
    ),
    RequestState.PRESUMED_UNSENT: (
        "It was probably not sent, and is never sent again under its key. To send it, use a new "
        "key."
    ),
}
