"""The requests to send, in their table: claimed once for each key, settled once.

Errors:

    StoreUnavailable    nothing is known to be stored: try again later
"""

from collections.abc import Iterator, Sequence
from datetime import date
from heapq import merge
from typing import TYPE_CHECKING

from delivery.domain.send_requests import UNRESOLVED_KEYS, RequestState, SendRequest
from delivery.storage.table import Conditions, Item, StoreUnavailable, Table, as_record

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class SendRequestStore:
    """The requests to send of one table.

    Args:
        client: a low-level DynamoDB client, its time-outs and retries set.
        table_name: the SendRequestsTable.
    """

    def __init__(self, client: "DynamoDBClient", table_name: str) -> None:
        self._table = Table(client, table_name)

    def get(self, request_id: str) -> SendRequest | None:
        """The request as it is now (strongly consistent); None where there is none.

        Raises:
            StoreUnavailable: DynamoDB did not answer.
        """
        item = self._table.get(request_id=request_id)
        return _request(item) if item else None

    def unresolved(self) -> Iterator[SendRequest]:
        """The requests of which something is still to be found out, the oldest first.

        Those whose function is still at work are among them.

        Raises:
            StoreUnavailable: DynamoDB did not answer.
        """
        shards = (
            self._table.query("by_unresolved", "#unresolved = :unresolved", unresolved=unresolved)
            for unresolved in UNRESOLVED_KEYS
        )
        listed = merge(*shards, key=lambda it: str(it["claimed_at"]["S"]))
        request_ids = (it["request_id"]["S"] for it in listed)
        for item in self._table.get_many("request_id", request_ids):
            if "unresolved" in item:  # the index lags
                yield _request(item)

    def day_read(self, account_sid: str) -> date | None:
        """The last day whose messages were read in full from Twilio's list, for this account.

        Raises:
            StoreUnavailable: DynamoDB did not answer.
        """
        item = self._table.get(request_id=_day_key(account_sid))
        return date.fromisoformat(item["day"]["S"]) if item else None

    def remember_day_read(self, account_sid: str, day: date) -> None:
        """Remember it, unless a later one is remembered.

        It is an item of this table, which has neither a stream nor lists of all its items: in the
        MessagesTable it would be shown and counted like a message.

        Raises:
            StoreUnavailable: it is not known to be remembered; the day may be read again.
        """
        unless_later = Conditions()
        unless_later.require("attribute_not_exists(#day) OR #day < :day", day=day.isoformat())
        record = {"request_id": _day_key(account_sid), "day": day.isoformat()}
        self._table.put(record, unless_later)

    def claim(self, request: SendRequest) -> SendRequest:
        """Remember the request, if its key is free: this one then; or else the one that has it.

        Whose claim it is tells `claim_id`, also where the answer of a write was lost.

        Raises:
            StoreUnavailable: it is not known to be claimed; do not post.
        """
        key_is_free = Conditions()
        key_is_free.require(
            "attribute_not_exists(#request_id) OR #state = :refused", refused=RequestState.REJECTED
        )
        return self._put(request.claimed(), key_is_free)

    def complete(self, seen: SendRequest, settled: SendRequest) -> SendRequest:
        """Store the result, if the request is still as it was seen; or else what it is by now.

        Raises:
            StoreUnavailable: it is not known to be stored; settling it again is safe.
        """
        return self._put(settled, _is(seen.claim_id, seen.state))

    def every_to(self, addresses: Sequence[str]) -> Iterator[SendRequest]:
        """The requests to these addresses; no index has them, so that the whole table is read.

        Raises:
            StoreUnavailable: DynamoDB did not answer.
        """
        values = {f"to{number}": to for number, to in enumerate(addresses)}
        listed = ", ".join(f":{name}" for name in values)
        found = self._table.scan(f"#to IN ({listed})", **values)
        for item in found:
            yield _request(item)

    def release(self, request: SendRequest) -> None:
        """Forget a claim under which provably nothing left: its key is free again.

        Raises:
            StoreUnavailable: it is not known to be forgotten; it will be in doubt then.
        """
        # It fails where the client repeated the write, or the request is not ours any more.
        ours = _is(request.claim_id, RequestState.IN_PROGRESS)
        self._table.delete(ours, request_id=request.request_id)

    def _put(self, request: SendRequest, conditions: Conditions) -> SendRequest:
        """The request, if the conditions held; or else the one that is there.

        A put whose conditions failed on its own earlier try finds itself.
        """
        written, item = self._table.put(request.as_record(), conditions)
        if not item:
            raise StoreUnavailable("the request is gone")
        return request if written else _request(item)


def _is(claim_id: str, state: RequestState) -> Conditions:
    """Nobody has claimed its key anew, or settled it."""
    conditions = Conditions()
    conditions.require("#claim_id = :claim_id AND #state = :state", claim_id=claim_id, state=state)
    return conditions


def _day_key(account_sid: str) -> str:
    return f"day#{account_sid}"


def _request(item: Item) -> SendRequest:
    return SendRequest.from_record(as_record(item))
