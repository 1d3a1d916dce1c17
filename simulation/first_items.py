"""Items that are in the tables when some runs begin.

A rolled back version leaves items with words that this version does not know, first on each
worklist. A backlog is more requests that are presumed unsent than a run of the reconciler can
visit: they are scheduled for a day far ahead, so they stay on the worklist for the whole run. The
reconciler is slow and has little time, and must get to all other work all the same (I7).
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from simulation.fakes.dynamodb import Table
from simulation.twilio import ACCOUNT_SID

UNREADABLE_SID: Final = "SM" + "f" * 32
UNREADABLE_REQUEST_IDS: Final = ("rq_" + "f" * 32, "rq_" + "e" * 32)
_UNKNOWN_WORD: Final = "from_the_future"

RECONCILER_SECONDS: Final = 60.0
"""The time of one run of the reconciler, with a backlog."""
SLOWNESS: Final = 15.0
"""How many times longer its calls take."""
_BACKLOG_SIZE: Final = 96
_BACKLOG_PREFIX: Final = "rq_0backlog"
_SHARDS: Final = "0123456789abcdef"


def add_unreadable_items(tables: Mapping[str, Table], at: datetime) -> None:
    """Put an unreadable item first on each worklist of the reconciliation."""
    time = _iso(at)
    message = {
        "message_sid": UNREADABLE_SID,
        "status": "sent",
        "outcome": _UNKNOWN_WORD,
        "list_key": "pending#f",
        "list_at": time,
        "notice": "due",
        "notice_due": "due#f",
        "notice_at": time,
        "created_at": time,
        "updated_at": time,
    }
    request = {
        "claim_id": "c",
        "content_digest": "d",
        "account_sid": ACCOUNT_SID,
        "state": _UNKNOWN_WORD,
        "claimed_at": time,
        "lease_until": time,
    }
    _put(tables["MessagesTable"], message)
    worklists = ("unresolved#f", "presumed_unsent#e")
    for request_id, worklist in zip(UNREADABLE_REQUEST_IDS, worklists, strict=True):
        own = {"request_id": request_id, "unresolved": worklist}
        _put(tables["SendRequestsTable"], request | own)


def add_backlog(tables: Mapping[str, Table], at: datetime) -> None:
    """Put the requests, and the failed messages that they are recorded as, into the tables."""
    claimed, sent = _iso(at - timedelta(hours=3)), _iso(at + timedelta(days=60))
    for number in range(_BACKLOG_SIZE):
        shard = _SHARDS[number % len(_SHARDS)]
        request_id, to = f"{_BACKLOG_PREFIX}{number:020d}{shard}", f"+1555333{number:04d}"
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
        transitions = {"L": [{"M": _typed(entry)}]}
        _put(tables["SendRequestsTable"], shared | request)
        _put(
            tables["MessagesTable"],
            shared | message,
            status_rank={"N": "60"},
            transitions=transitions,
        )


def is_in_backlog(key: str) -> bool:
    """Return whether a request, or the message that it is recorded as, is of the backlog."""
    return key.startswith(_BACKLOG_PREFIX)


def _put(table: Table, texts: Mapping[str, str], **others: Any) -> None:
    item = _typed(texts) | others
    table.put({name: item[name] for name in table.key_names}, item)


def _typed(texts: Mapping[str, str]) -> dict[str, Any]:
    return {name: {"S": value} for name, value in texts.items()}


def _iso(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
