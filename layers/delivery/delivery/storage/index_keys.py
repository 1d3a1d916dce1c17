"""Keys of the sparse, sharded indexes: which items an index lists, and under which key.

An item without the key attribute is not in the index. Each key ends with a shard, the last hex
digit of the item's own key, so that no partition of an index takes every write.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-indexes-gsi-sharding.html
"""

from datetime import date
from typing import Final

from delivery.domain.messages import Message
from delivery.domain.notices import NOTICE_PENDING
from delivery.domain.statuses import Outcome

SHARDS: Final = "0123456789abcdef"
"""Every shard: the possible ends of a key."""

PENDING_KEYS: Final = tuple(f"pending#{shard}" for shard in SHARDS)
"""Every `list_key` of pending messages."""

NOTICE_DUE_KEYS: Final = tuple(f"due#{shard}" for shard in SHARDS)
"""Every `notice_due`: the messages for which the notifier has work to do."""


def list_keys(outcome: Outcome, day: date | None) -> tuple[str, ...]:
    """Return every `list_key` of an outcome on a day in UTC; of pending without a day."""
    if day is None:
        return PENDING_KEYS
    return tuple(f"{outcome}#{day.isoformat()}#{shard}" for shard in SHARDS)


def list_key_of(message: Message) -> str | None:
    """Return the key under which `by_list` has the message; None where it is on no list."""
    if message.list_at is None:
        return None
    shard = shard_of(message.message_sid)
    if message.outcome is Outcome.PENDING:
        return f"pending#{shard}"
    return f"{message.outcome}#{message.list_at:%Y-%m-%d}#{shard}"


def notice_due_key_of(message: Message) -> str | None:
    """Return the key under which `by_notice_due` has the message; None where no notice is due."""
    return f"due#{shard_of(message.message_sid)}" if message.notice in NOTICE_PENDING else None


def shard_of(key: str) -> str:
    """Return the last hex digit of a key, or a digit made from its last character."""
    last = key[-1].lower()
    # Some letters have two characters in lower case.
    return last if last in SHARDS else f"{ord(last[0]) % 16:x}"
