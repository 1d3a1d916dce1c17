"""The requests to send, in their table: claimed once for each key, settled once.

Errors:

    StoreUnavailable    nothing is known to be stored: try again later
"""

from collections.abc import Iterator, Sequence
from datetime import date
from heapq import merge
from typing import TYPE_CHECKING, cast

from botocore.exceptions import BotoCoreError, ClientError

from delivery.dynamodb import (
    Item,
    StoreUnavailable,
    as_item,
    as_record,
    query,
    read_many,
    read_one,
    reason,
    scan,
)
from delivery.send_request import UNSETTLED_KEYS, RequestState, SendRequest

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class RequestStore:
    """The requests to send of one table.

    Args:
        client: a low-level DynamoDB client, its time-outs and retries set.
        table_name: the SendRequestsTable.
    """

    def __init__(self, client: "DynamoDBClient", table_name: str) -> None:
        self._client = client
        self._table_name = table_name

    def get(self, request_id: str) -> SendRequest | None:
        """The request as it is now (strongly consistent); None where there is none.

        Raises:
            StoreUnavailable: DynamoDB did not answer.
        """
        item = read_one(self._client, self._table_name, "request_id", request_id)
        return _request(item) if item else None

    def unsettled(self) -> Iterator[SendRequest]:
        """The requests of which something is still to be found out, the oldest first.

        Those whose function is still at work are among them.

        Raises:
            StoreUnavailable: DynamoDB did not answer.
        """
        shards = (
            query(
                self._client,
                self._table_name,
                {
                    "IndexName": "by_unsettled",
                    "KeyConditionExpression": "#unsettled = :unsettled",
                    "ExpressionAttributeNames": {"#unsettled": "unsettled"},
                    "ExpressionAttributeValues": {":unsettled": {"S": unsettled}},
                },
            )
            for unsettled in UNSETTLED_KEYS
        )
        listed = merge(*shards, key=lambda it: str(it["claimed_at"]["S"]))
        request_ids = (it["request_id"]["S"] for it in listed)
        for item in read_many(self._client, self._table_name, "request_id", request_ids):
            if "unsettled" in item:  # the index lags
                yield _request(item)

    def day_read(self, account_sid: str) -> date | None:
        """The last day whose messages were read in full from Twilio's list, for this account.

        Raises:
            StoreUnavailable: DynamoDB did not answer.
        """
        item = read_one(self._client, self._table_name, "request_id", _day_key(account_sid))
        return date.fromisoformat(item["day"]["S"]) if item else None

    def remember_day_read(self, account_sid: str, day: date) -> None:
        """Remember it, unless a later one is remembered.

        It is an item of this table, which has neither a stream nor lists of all its items: in the
        MessagesTable it would be shown and counted like a message.

        Raises:
            StoreUnavailable: it is not known to be remembered; the day may be read again.
        """
        try:
            self._client.put_item(
                TableName=self._table_name,
                Item=as_item({"request_id": _day_key(account_sid), "day": day.isoformat()}),
                ConditionExpression="attribute_not_exists(#day) OR #day < :day",
                ExpressionAttributeNames={"#day": "day"},
                ExpressionAttributeValues={":day": {"S": day.isoformat()}},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return
        except (ClientError, BotoCoreError) as error:
            raise StoreUnavailable(f"DynamoDB did not confirm: {reason(error)}") from error

    def claim(self, request: SendRequest) -> SendRequest:
        """Remember the request, if its key is free: this one then; or else the one that has it.

        Whose claim it is tells `claim_id`, also where the answer of a write was lost.

        Raises:
            StoreUnavailable: it is not known to be claimed; do not post.
        """
        claimed = request.claimed()
        key_is_free = "attribute_not_exists(#request_id) OR #state = :refused"
        return self._put(
            claimed,
            key_is_free,
            {"#request_id": "request_id", "#state": "state"},
            {":refused": {"S": RequestState.REFUSED}},
        )

    def settle(self, seen: SendRequest, settled: SendRequest) -> SendRequest:
        """Store the result, if the request is still as it was seen; or else what it is by now.

        Raises:
            StoreUnavailable: it is not known to be stored; settling it again is safe.
        """
        as_seen = "#claim_id = :claim_id AND #state = :state"
        return self._put(
            settled,
            as_seen,
            {"#claim_id": "claim_id", "#state": "state"},
            {":claim_id": {"S": seen.claim_id}, ":state": {"S": seen.state}},
        )

    def every_to(self, addresses: Sequence[str]) -> Iterator[SendRequest]:
        """The requests to these addresses; no index has them, so that the whole table is read.

        Raises:
            StoreUnavailable: DynamoDB did not answer.
        """
        values = {f":to{number}": {"S": to} for number, to in enumerate(addresses)}
        found = scan(
            self._client,
            self._table_name,
            {
                "ConsistentRead": True,
                "FilterExpression": f"#to IN ({', '.join(values)})",
                "ExpressionAttributeNames": {"#to": "to"},
                "ExpressionAttributeValues": values,
            },
        )
        for item in found:
            yield _request(item)

    def release(self, request: SendRequest) -> None:
        """Forget a claim under which provably nothing left: its key is free again.

        Raises:
            StoreUnavailable: it is not known to be forgotten; it will be in doubt then.
        """
        try:
            self._client.delete_item(
                TableName=self._table_name,
                Key={"request_id": {"S": request.request_id}},
                ConditionExpression="#claim_id = :claim_id AND #state = :in_progress",
                ExpressionAttributeNames={"#claim_id": "claim_id", "#state": "state"},
                ExpressionAttributeValues={
                    ":claim_id": {"S": request.claim_id},
                    ":in_progress": {"S": RequestState.IN_PROGRESS},
                },
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return  # the client repeated the write, or the request is not ours any more
        except (ClientError, BotoCoreError) as error:
            raise StoreUnavailable(f"DynamoDB did not confirm: {reason(error)}") from error

    def _put(
        self, request: SendRequest, condition: str, names: dict[str, str], values: Item
    ) -> SendRequest:
        """The request, if the condition held; or else the one that is there.

        A put whose condition failed on its own earlier try finds itself.
        """
        try:
            self._client.put_item(
                TableName=self._table_name,
                Item=as_item(request.as_record()),
                ConditionExpression=condition,
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=values,
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as error:
            item = cast("Item", error.response.get("Item", {}))
            if not item:
                raise StoreUnavailable("the request is gone") from error
            return _request(item)
        except (ClientError, BotoCoreError) as error:
            raise StoreUnavailable(f"DynamoDB did not confirm: {reason(error)}") from error
        return request


def _day_key(account_sid: str) -> str:
    return f"day#{account_sid}"


def _request(item: Item) -> SendRequest:
    return SendRequest.from_record(as_record(item))
