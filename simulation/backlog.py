"""A backlog: more requests that are presumed unsent than a run of the reconciler can visit.

They are scheduled for a day far ahead, so they stay on the worklist for the whole run. The
reconciler is slow and has little time, and must get to all other work all the same (I7).
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from simulation.fakes.dynamodb import Table
from simulation.twilio import ACCOUNT_SID

RECONCILER_SECONDS: Final = 60.0
"""The time of one run of the reconciler."""
SLOWNESS: Final = 15.0
"""How many times longer its calls take."""
_SIZE: Final = 96
_PREFIX: Final = "rq_0backlog"
_SHARDS: Final = "0123456789abcdef"


def add_backlog(tables: Mapping[str, Table], at: datetime) -> None:
    """Put the requests, and the failed messages that they are recorded as, into the tables."""
    claimed, sent = _iso(at - timedelta(hours=3)), _iso(at + timedelta(days=60))
    for number in range(_SIZE):
        shard = _SHARDS[number % len(_SHARDS)]
        request_id, to = f"{_PREFIX}{number:020d}{shard}", f"+1555333{number:04d}"
        shared = {"request_id": request_id, "account_sid": ACCOUNT_SID, "to": to, "send_at": sent}
        request = {
            "claim_id": "c",
            "content_digest": "d",
            "state": "presumed_unsent",
            "unresolved": f"presumed_unsent#{shard}",
            "claimed_at": claimed,
            "lease_until": claimed,
        }
        message = {
            "message_sid": request_id,
            "status": "presumed_unsent",
            "outcome": "failed",
            "notice": "muted",
            "created_at": claimed,
            "updated_at": claimed,
            "final_at": claimed,
        }
        entry = {"status": "presumed_unsent", "at": claimed, "source": "reconcile"}
        _put(tables["SendRequestsTable"], "request_id", _typed(shared | request))
        item = _typed(shared | message) | {
            "status_rank": {"N": "60"},
            "transitions": {"L": [{"M": _typed(entry)}]},
        }
        _put(tables["MessagesTable"], "message_sid", item)


def is_in_backlog(key: str) -> bool:
    """Return whether a request, or the message that it is recorded as, is of the backlog."""
    return key.startswith(_PREFIX)


def _put(table: Table, key: str, item: Mapping[str, Any]) -> None:
    table.put({key: item[key]}, dict(item))


def _typed(record: Mapping[str, str]) -> dict[str, Any]:
    return {name: {"S": value} for name, value in record.items()}


def _iso(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
