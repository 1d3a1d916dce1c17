"""What a rolled back version leaves behind: items with words that this version does not know."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from simulation.fakes.dynamodb import Table
from simulation.twilio import ACCOUNT_SID

UNREADABLE_SID: Final = "SM" + "f" * 32
UNREADABLE_REQUEST_ID: Final = "rq_" + "f" * 32
UNREADABLE_PRESUMED_ID: Final = "rq_" + "e" * 32
UNREADABLE: Final = frozenset({UNREADABLE_SID, UNREADABLE_REQUEST_ID, UNREADABLE_PRESUMED_ID})
_WORD: Final = "from_the_future"


def add_unreadable_items(tables: Mapping[str, Table], at: datetime) -> None:
    """Put an unreadable item first on each worklist of the reconciliation."""
    time = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    message = {
        "message_sid": UNREADABLE_SID,
        "status": "sent",
        "outcome": _WORD,
        "list_key": "pending#f",
        "list_at": time,
        "notice": "due",
        "notice_due": "due#f",
        "notice_at": time,
        "created_at": time,
        "updated_at": time,
    }
    request = {
        "request_id": UNREADABLE_REQUEST_ID,
        "claim_id": "c",
        "content_digest": "d",
        "account_sid": ACCOUNT_SID,
        "state": _WORD,
        "unresolved": "unresolved#f",
        "claimed_at": time,
        "lease_until": time,
    }
    presumed = request | {"request_id": UNREADABLE_PRESUMED_ID, "unresolved": "presumed_unsent#e"}
    _put(tables["MessagesTable"], "message_sid", message)
    _put(tables["SendRequestsTable"], "request_id", request)
    _put(tables["SendRequestsTable"], "request_id", presumed)


def _put(table: Table, key: str, record: Mapping[str, str]) -> None:
    item: dict[str, Any] = {name: {"S": value} for name, value in record.items()}
    table.put({key: item[key]}, item)
