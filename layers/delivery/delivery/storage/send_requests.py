"""The SendRequestsTable: each request is claimed once for its key, and completed once.

Errors of every read and write:

    StoreUnavailable    a read failed, or a write is not known to be stored: repeating it is safe
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from heapq import merge
from itertools import batched
from typing import TYPE_CHECKING, Final

from delivery.domain.records import Record, iso
from delivery.domain.send_requests import RequestState, SendRequest
from delivery.storage.expressions import Conditions
from delivery.storage.index_keys import SHARDS, shard_of
from delivery.storage.items import Item
from delivery.storage.table import (
    MAX_BATCH_GET_ITEMS,
    StoreUnavailable,
    Table,
    parse_item,
    readable,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# Every conflict means that another invocation was rejected under the same key.
_MAX_ATTEMPTS: Final = 16

UNRESOLVED_KEYS: Final = tuple(f"unresolved#{shard}" for shard in SHARDS)
"""Every `unresolved` of send requests whose result is not known or not complete."""

PRESUMED_UNSENT_KEYS: Final = tuple(f"presumed_unsent#{shard}" for shard in SHARDS)
"""Every `unresolved` of requests that are presumed unsent; a callback may still arrive."""


class SendRequestStore:
    """The send requests of one table.

    Args:
        client: a low-level DynamoDB client with timeouts and retries set.
        table_name: the SendRequestsTable.
        unreadable: called with the id of each item that a list skips because this version
            cannot read it; without it, such an item raises ItemUnreadable.
    """

    def __init__(
        self,
        client: "DynamoDBClient",
        table_name: str,
        *,
        unreadable: Callable[[str], object] | None = None,
    ) -> None:
        self._table = Table(client, table_name)
        self._unreadable = unreadable

    def get(self, request_id: str) -> SendRequest | None:
        """Return the request (strongly consistent); None where there is none."""
        item = self._table.get(request_id=request_id)
        return _request(item) if item else None

    def get_many(self, request_ids: Iterable[str]) -> Iterator[SendRequest]:
        """Return the requests that exist (strongly consistent)."""
        return map(_request, self._table.get_many("request_id", request_ids))

    def unresolved(self) -> Iterator[SendRequest]:
        """Return the requests without a complete result, the oldest first.

        It includes those whose function is still at work.
        """
        of_key = "#unresolved = :unresolved"
        shards = (
            self._table.query("by_unresolved", of_key, unresolved=unresolved)
            for unresolved in UNRESOLVED_KEYS
        )
        return self._listed(merge(*shards, key=lambda it: str(it["claimed_at"]["S"])))

    def presumed_unsent(self, *, first_shard: int) -> Iterator[SendRequest]:
        """Return the requests that are presumed unsent and may still turn out to be sent.

        They come shard by shard, so that callers who begin with different shards reach all of them
        even if none reads to the end.
        """
        of_key = "#unresolved = :unresolved"
        shards = len(PRESUMED_UNSENT_KEYS)
        for number in range(first_shard, first_shard + shards):
            key = PRESUMED_UNSENT_KEYS[number % shards]
            yield from self._listed(self._table.query("by_unresolved", of_key, unresolved=key))

    def presumed_unsent_between(self, since: datetime, until: datetime) -> Iterator[SendRequest]:
        """Return the requests presumed unsent that were claimed in this period."""
        in_time = "#unresolved = :unresolved AND #claimed_at BETWEEN :since AND :until"
        for key in PRESUMED_UNSENT_KEYS:
            found = self._table.query(
                "by_unresolved", in_time, unresolved=key, since=iso(since), until=iso(until)
            )
            yield from self._listed(found)

    def claim(self, request: SendRequest) -> SendRequest:
        """Store the request if its key is free, and return it; else the one that has the key.

        `claim_id` shows whose claim it is, also where the answer to a write was lost.

        Raises:
            StoreUnavailable: it is not known to be claimed; do not post.
        """
        key_is_new = Conditions()
        key_is_new.require("attribute_not_exists(#request_id)")
        held = self._put(request.claimed(), key_is_new)
        for _ in range(_MAX_ATTEMPTS):
            if held.claim_id == request.claim_id or held.state is not RequestState.REJECTED:
                return held
            still_rejected = _is_as_seen(held.claim_id, RequestState.REJECTED)
            held = self._put(request.claimed(after=held), still_rejected)
        raise StoreUnavailable("other invocations kept using the key")

    def reject(self, rejected: SendRequest) -> bool:
        """Store a request that is rejected without a post, if its key is free; return if it was.

        It is one write: a claim without a result would be in doubt.
        """
        key_is_free = Conditions()
        key_is_free.require(
            "attribute_not_exists(#request_id) OR #state = :rejected",
            rejected=RequestState.REJECTED,
        )
        return self._put(rejected, key_is_free).claim_id == rejected.claim_id

    def complete(self, seen: SendRequest, completed: SendRequest) -> SendRequest:
        """Store the result if the request is still as it was seen; return what is stored then."""
        return self._put(completed, _is_as_seen(seen.claim_id, seen.state))

    def every_to(self, addresses: Sequence[str]) -> Iterator[SendRequest]:
        """Return the requests to these addresses; without an index, the whole table is read."""
        values = {f"to{number}": to for number, to in enumerate(addresses)}
        listed = ", ".join(f":{name}" for name in values)
        yield from self._readable(self._table.scan(f"#to IN ({listed})", **values))

    def release(self, request: SendRequest) -> None:
        """Delete a claim under which provably nothing was sent: its key is free again.

        Raises:
            StoreUnavailable: it is not known to be deleted; then it will be in doubt.
        """
        # It fails where the client repeated the write, or the request is not ours any more.
        ours = _is_as_seen(request.claim_id, RequestState.IN_PROGRESS)
        self._table.delete(ours, request_id=request.request_id)

    def _listed(self, listed: Iterable[Item]) -> Iterator[SendRequest]:
        """Return the requests of a list that are still on it: the index is eventually consistent.

        A request whose state changed meanwhile is on the other list then.
        """
        for batch in batched(listed, MAX_BATCH_GET_ITEMS, strict=False):
            keys = {it["request_id"]["S"]: it["unresolved"] for it in batch}
            items = self._table.get_many("request_id", keys)
            yield from self._readable(
                it for it in items if it.get("unresolved") == keys[it["request_id"]["S"]]
            )

    def _readable(self, items: Iterable[Item]) -> Iterator[SendRequest]:
        return readable(items, _request, "request_id", self._unreadable)

    def _put(self, request: SendRequest, conditions: Conditions) -> SendRequest:
        """Store the request if the conditions hold; else return the one that is stored.

        A put whose conditions failed because of its own earlier attempt finds itself.
        """
        written, item = self._table.put(_record(request), conditions)
        if not item:
            raise StoreUnavailable("the request is gone")
        return request if written else _request(item)


def _is_as_seen(claim_id: str, state: RequestState) -> Conditions:
    """Return the condition that the key was not claimed again, nor the request completed."""
    conditions = Conditions()
    conditions.require("#claim_id = :claim_id AND #state = :state", claim_id=claim_id, state=state)
    return conditions


def _record(request: SendRequest) -> Record:
    record = request.as_record()
    if request.is_unresolved:
        record["unresolved"] = _unresolved_key_of(request)
    return record


def _request(item: Item) -> SendRequest:
    """Return the request that an item holds.

    Raises:
        ItemUnreadable: the item is not a send request.
    """
    read = partial(SendRequest.from_record, is_unresolved="unresolved" in item)
    return parse_item(item, read, "a send request")


def _unresolved_key_of(request: SendRequest) -> str:
    """Return the key under which `by_unresolved` has an unresolved send request."""
    presumed = request.state is RequestState.PRESUMED_UNSENT
    return f"{'presumed_unsent' if presumed else 'unresolved'}#{shard_of(request.request_id)}"
