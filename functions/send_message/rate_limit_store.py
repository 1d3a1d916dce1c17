"""The rate limit of each sender, shared by all invocations: one item of the ControlTable each.

DynamoDB allows 1,000 writes of an item a second. A batch of messages needs one write, or two if
some are deferred or the sender was idle.

Errors: StoreUnavailable, as in `delivery.storage.table`.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from delivery.storage.expressions import Changes
from delivery.storage.items import Item, as_record
from delivery.storage.table import StoreUnavailable, Table

from .rate_limit import BURST_MS, RateLimit, Reservation

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_MAX_ATTEMPTS: Final = 16
_KEPT_FOR_MS: Final = 7 * 24 * 60 * 60 * 1000  # much longer than an item matters


class RateLimitStore:
    """The rate limits of one table. A sender is a number or a messaging service of one account.

    Args:
        client: a low-level DynamoDB client with timeouts and retries set.
        table_name: the ControlTable.
    """

    def __init__(self, client: "DynamoDBClient", table_name: str) -> None:
        self._table = Table(client, table_name)

    def reserve(
        self,
        sender: str,
        costs_ms: Sequence[int],
        *,
        now: int,
        until: int,
        jitter: Callable[[], float],
    ) -> list[Reservation]:
        """Return a reservation for each message: immediate up to `until`, otherwise deferred.

        It takes one write if all are immediate and the sender was active just before. Otherwise
        that write fails and returns the state, which is then changed by compare-and-set.

        Raises:
            StoreUnavailable: no reservation is known; slots may be lost to the sender.
        """
        total_ms = sum(costs_ms)
        earliest, latest = now - BURST_MS, until - total_ms + costs_ms[-1]
        item: Item = {}
        if earliest <= latest:
            changes = _changes(sender, now)
            changes.add("next_slot_at", total_ms)
            changes.require(
                "#next_slot_at BETWEEN :earliest AND :latest", earliest=earliest, latest=latest
            )
            written, item = self._table.update(changes)
            if written:
                before = RateLimit(next_slot_at=_limit(item).next_slot_at - total_ms)
                return before.reserve(costs_ms, now=now, until=until, jitter=0)[1]
        for _ in range(_MAX_ATTEMPTS):
            limit, reservations = _limit(item).reserve(
                costs_ms, now=now, until=until, jitter=jitter()
            )
            changes = _changes(sender, now)
            changes.set("next_slot_at", limit.next_slot_at)
            changes.set("retry_at", limit.retry_at)
            changes.require_unchanged("next_slot_at", item)
            changes.require_unchanged("retry_at", item)
            written, item = self._table.update(changes)
            if written:
                return reservations
        raise StoreUnavailable("other invocations kept reserving at the same time")

    def pause(self, sender: str, *, now: int, until: int) -> None:
        """Give the sender no slot before `until`; reservations that exist stay valid.

        Raises:
            StoreUnavailable: it is not known to be stored.
        """
        changes = _changes(sender, now)
        changes.set("next_slot_at", until)
        changes.require("attribute_not_exists(#next_slot_at) OR #next_slot_at < :next_slot_at")
        self._table.update(changes)


def _changes(sender: str, now: int) -> Changes:
    changes = Changes(name=f"rate#{sender}")
    changes.set("expires_at", (now + _KEPT_FOR_MS) // 1000)
    return changes


def _limit(item: Item) -> RateLimit:
    record = as_record(item)
    return RateLimit(next_slot_at=record.get("next_slot_at", 0), retry_at=record.get("retry_at", 0))
