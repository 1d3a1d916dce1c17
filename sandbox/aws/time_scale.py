"""The stack's minutes and hours, as seconds: here a person looks on.

Everything that the stack leaves to time is set in this one place. The seconds are as few as may be
while a status callback, which takes some tenths of a second here, still comes before anybody asks
Twilio about its message; and while a function that works on a notice is not taken for dead.
"""

from collections.abc import Mapping
from typing import Any, Final

RECONCILE_AFTER: Final = 3
DOUBT: Final = 4
UNCONFIRMED_AFTER: Final = 20
NOTICE_ABANDONED_AFTER: Final = 10
NOTICE_QUIET: Final = 6
SCHEDULES_RUN_EVERY: Final = 1.5
QUEUES_REDELIVER_AFTER: Final[Mapping[str, int]] = {"SendQueue": 5, "CallbackQueue": 5}
"""By logical id; their time is not a parameter of the stack, so it is set after the deploy."""

PARAMETERS: Final[Mapping[str, str]] = {
    "ReconcileAfterMinutes": f"{RECONCILE_AFTER / 60:.6f}",
    "InDoubtTimeoutMinutes": f"{DOUBT / 60:.6f}",
    "UnconfirmedAfterHours": f"{UNCONFIRMED_AFTER / 3600:.6f}",
    "NoticeIntervalMinutes": f"{NOTICE_QUIET / 60:.6f}",
}
"""Of the stack."""

_SOONER: Final[Mapping[str, float]] = {"sweep_notices_older_than_seconds": NOTICE_ABANDONED_AFTER}


def hastened(event: Mapping[str, Any]) -> dict[str, Any]:
    """What a schedule hands to its function, its minutes set to seconds."""
    return {name: _SOONER.get(name, value) for name, value in event.items()}
