"""The widget's labels for outcomes, notice states, and states of an audit and a request.

The labels of Twilio's statuses are in the domain's table (`label_of`).
"""

from collections.abc import Mapping
from typing import Final

from delivery.domain.audits import AuditState
from delivery.domain.notices import NoticeState
from delivery.domain.send_requests import RequestState
from delivery.domain.statuses import Outcome

OUTCOME_LABELS: Final[Mapping[Outcome, str]] = {
    Outcome.PENDING: "pending",
    Outcome.DELIVERED: "delivered",
    Outcome.FAILED: "failed",
    Outcome.CANCELED: "canceled",
    Outcome.UNCONFIRMED: "unconfirmed",
    Outcome.SUPERSEDED: "sent after all",
}

OUTCOME_TONES: Final[Mapping[Outcome, str]] = {
    Outcome.DELIVERED: "good",
    Outcome.FAILED: "bad",
    Outcome.UNCONFIRMED: "doubtful",
}
"""The suffix of the CSS class of an outcome; all other outcomes have `plain`."""

NOTICE_LABELS: Final[Mapping[NoticeState, str]] = {
    NoticeState.DUE: "notice pending",
    NoticeState.PUBLISHING: "notice being published",
    NoticeState.PUBLISHED: "notice published",
    NoticeState.GROUPED: "counted in a summary",
    NoticeState.MUTED: "counted only: its category is muted",
    NoticeState.WITHDRAWN: "no notice: it was delivered in time",
    NoticeState.RECOVERY_DUE: "failure published, recovery notice pending",
    NoticeState.RECOVERED: "failure and recovery published",
}

AUDIT_LABELS: Final[Mapping[AuditState, str]] = {
    AuditState.RUNNING: "in progress",
    AuditState.PARTIAL: "day not finished",
    AuditState.FIRST: "first audit",
    AuditState.FINAL: "final audit",
    AuditState.FAILED: "failed: Twilio refused the list",
}

REQUEST_LABELS: Final[Mapping[RequestState, str]] = {
    RequestState.IN_PROGRESS: "In progress.",
    RequestState.SENT: "Sent. Its message is not kept any more.",
    RequestState.REJECTED: "Rejected: nothing was sent.",
    RequestState.IN_DOUBT: (
        "In doubt: the request left, but no response came, so it may have been sent. It is not "
        "sent again automatically, and is resolved when there is evidence."
    ),
    RequestState.PRESUMED_UNSENT: (
        "Presumed unsent: it was probably not sent, and is never sent again under its key. To "
        "send it, use a new key."
    ),
}
