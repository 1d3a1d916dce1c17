"""The rate limit of each sender, shared by all who send for it: one item of the ControlTable each.

No other sender's messages touch the item, so it carries what a key of DynamoDB carries: 1,000
writes a second, of which a batch of messages needs one, or three where they have to wait.

Errors: StoreUnavailable, as `delivery.storage.table` has it.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from delivery.storage.expressions import Changes
from delivery.storage.items import Item, as_record
from delivery.storage.table import StoreUnavailable, Table

from .rate_limit import BURST, RateLimit, Reservation

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_MAX_TRIES: Final = 16
_KEPT_FOR: Final = 7 * 24 * 60 * 60 * 1000  # milliseconds; by then it says nothing any more


class RateLimitStore:
    """The paces of one table; a sender is a number, or whatever sends, of one account.

    Args:
        client: a low-level DynamoDB client, its time-outs and retries set.
        table_name: the ControlTable.
    """

    def __init__(self, client: "DynamoDBClient", table_name: str) -> None:
        self._table = Table(client, table_name)

    def reserve(
        self,
        sender: str,
        lengths: Sequence[int],
        *,
        now: int,
        until: int,
        chance: Callable[[], float],
    ) -> list[Reservation]:
        """A turn for each message: those that can go until then go, the others come back.

        One write where all can go and others went just before; else it is seen first how it is.

        Raises:
            StoreUnavailable: nothing is known to be reserved; what may be is lost to the sender.
        """
        total = sum(lengths)
        earliest, latest = now - BURST, until - total + lengths[-1]
        item: Item = {}
        if earliest <= latest:
            changes = _changes(sender, now)
            changes.add("free_at", total)
            changes.require(
                "#free_at BETWEEN :earliest AND :latest", earliest=earliest, latest=latest
            )
            written, item = self._table.update(changes)
            if written:
                before = RateLimit(free_at=_pace(item).free_at - total)
                return before.reserved(lengths, now=now, until=until, chance=0)[1]
        for _ in range(_MAX_TRIES):
            pace, turns = _pace(item).reserved(lengths, now=now, until=until, chance=chance())
            changes = _changes(sender, now)
            changes.set("free_at", pace.free_at)
            changes.set("return_at", pace.return_at)
            changes.require_unchanged("free_at", item)
            changes.require_unchanged("return_at", item)
            written, item = self._table.update(changes)
            if written:
                return turns
        raise StoreUnavailable("others kept reserving at the same time")

    def pause(self, sender: str, *, now: int, until: int) -> None:
        """Let nobody go before then who has no turn yet.

        Raises:
            StoreUnavailable: it is not known to be stored.
        """
        changes = _changes(sender, now)
        changes.set("free_at", until)
        changes.require("attribute_not_exists(#free_at) OR #free_at < :free_at")
        self._table.update(changes)


def _changes(sender: str, now: int) -> Changes:
    changes = Changes(name=f"rate#{sender}")
    changes.set("expires_at", (now + _KEPT_FOR) // 1000)
    return changes


def _pace(item: Item) -> RateLimit:
    record = as_record(item)
    return RateLimit(free_at=record.get("free_at", 0), return_at=record.get("return_at", 0))
