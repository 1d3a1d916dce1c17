"""The time scale of the sandbox: the stack's minutes and hours become seconds.

All times that the stack's behaviour depends on are set here. They are as short as two limits
permit: a status callback, which takes some tenths of a second here, has to arrive before the
function that reconciles fetches its message; and a notice claim must not expire while the
notifier still works on it.
"""

from collections.abc import Mapping
from typing import Any, Final

RECONCILE_AFTER_SECONDS: Final = 3
IN_DOUBT_SECONDS: Final = 4
UNCONFIRMED_AFTER_SECONDS: Final = 20
NOTICE_CLAIM_SECONDS: Final = 10
NOTICE_INTERVAL_SECONDS: Final = 6
SCHEDULE_INTERVAL_SECONDS: Final = 1.5
VISIBILITY_TIMEOUTS: Final[Mapping[str, int]] = {"SendQueue": 5, "CallbackQueue": 5}
"""In seconds, by the queue's logical id; set after the deploy, because no parameter sets them."""

PARAMETERS: Final[Mapping[str, str]] = {
    "ReconcileAfterMinutes": f"{RECONCILE_AFTER_SECONDS / 60:.6f}",
    "InDoubtTimeoutMinutes": f"{IN_DOUBT_SECONDS / 60:.6f}",
    "UnconfirmedAfterHours": f"{UNCONFIRMED_AFTER_SECONDS / 3600:.6f}",
    "NoticeIntervalMinutes": f"{NOTICE_INTERVAL_SECONDS / 60:.6f}",
}
"""Stack parameters."""

_SCALED: Final[Mapping[str, float]] = {"sweep_notices_older_than_seconds": NOTICE_CLAIM_SECONDS}


def scale_event(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schedule's event with its times scaled."""
    return {name: _SCALED.get(name, value) for name, value in event.items()}
