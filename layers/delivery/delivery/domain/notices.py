"""The states of a message's failure notice, and the rules between them.

Pure. The notice is a transactional outbox: the write that makes a message failed makes its notice
due, and the notifier claims it (a lease), publishes it, and marks it.
https://microservices.io/patterns/data/transactional-outbox.html
"""

from datetime import datetime
from enum import StrEnum
from typing import Final

from delivery.domain.statuses import Outcome

INCIDENT_ID_PREFIX: Final = "inc_"
"""The start of an incident's id, and so of the `notice_id` of a message that an incident counts."""


class NoticeState(StrEnum):
    """How far the notification of a failure has come."""

    DUE = "due"
    PUBLISHING = "publishing"
    """Claimed by a notifier, for the failure or for the recovery: `notice_id` says which."""
    PUBLISHED = "published"
    """Published on its own: the failure that opened an incident."""
    GROUPED = "grouped"
    """Counted in an incident, and published in a summary's count."""
    MUTED = "muted"
    """Only counted in a metric, because its category is muted."""
    WITHDRAWN = "withdrawn"
    """Delivered before the failure was published."""
    RECOVERY_DUE = "recovery_due"
    RECOVERED = "recovered"


NOTICE_PENDING: Final = frozenset(
    {NoticeState.DUE, NoticeState.PUBLISHING, NoticeState.RECOVERY_DUE}
)
"""The states in which the notifier has work to do."""


def after_outcome(state: NoticeState | None, outcome: Outcome) -> NoticeState | None:
    """Return the state after the message's outcome was set: due, recovery_due or unchanged."""
    failed = outcome is Outcome.FAILED
    if failed and state is None:
        return NoticeState.DUE
    if not failed and state in {NoticeState.PUBLISHED, NoticeState.GROUPED}:
        return NoticeState.RECOVERY_DUE
    return state


def next_state(
    state: NoticeState | None, *, failed: bool, is_recovery: bool, is_grouped: bool
) -> NoticeState | None:
    """Return the state after the notifier's next step; the same one where no step is due.

    A message that is delivered while its failure is being published needs a recovery notice; one
    that is delivered earlier needs none. The recovery of a grouped failure is counted, not
    published.
    """
    match state:
        case NoticeState.DUE:
            return NoticeState.PUBLISHING if failed else NoticeState.WITHDRAWN
        case NoticeState.PUBLISHING if is_recovery:
            return NoticeState.RECOVERED
        case NoticeState.PUBLISHING:
            return NoticeState.PUBLISHED if failed else NoticeState.RECOVERY_DUE
        case NoticeState.RECOVERY_DUE:
            return NoticeState.RECOVERED if is_grouped else NoticeState.PUBLISHING
        case _:
            return state


def is_incident_id(notice_id: str | None) -> bool:
    """Whether a notice id is an incident's: the message is in its count."""
    return notice_id is not None and notice_id.startswith(INCIDENT_ID_PREFIX)


def notice_id_of(message_sid: str, state: NoticeState | None, notice_id: str | None) -> str | None:
    """Return the id that every repetition of the notice carries; the recovery has another one."""
    match state:
        case NoticeState.DUE:
            return failure_id_of(message_sid)
        case NoticeState.RECOVERY_DUE if not is_incident_id(notice_id):
            return recovery_id_of(message_sid)
        case _:
            return notice_id


def failure_id_of(message_sid: str) -> str:
    """Return the notice id of a message's failure."""
    return f"{message_sid}:failure"


def notice_id_of_attempt(request_id: str, at: datetime) -> str:
    """Return the notice id of a later failure of the same send request."""
    milliseconds = int(at.timestamp()) * 1000 + at.microsecond // 1000  # as an item has them
    return f"{request_id}:failure:{milliseconds}"


def recovery_id_of(message_sid: str) -> str:
    """Return the notice id of a message's recovery."""
    return f"{message_sid}:recovery"
