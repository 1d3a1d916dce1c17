"""The only module that knows the tables: every read and every write of a message.

Every write is conditional and safe to repeat. The common one, a status that advances a message, is
one UpdateItem and needs no read. Everything else starts from the item that the failed condition
returned, lets the rules in `delivery.message` decide, and is a compare-and-set: it is tried again
with the newer item when somebody else was faster.

Errors:

    StoreUnavailable    nothing is known to be stored: try again later
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from heapq import merge
from itertools import batched
from typing import TYPE_CHECKING, Any, Final, cast

from botocore.exceptions import BotoCoreError, ClientError

from delivery.message import (
    AWAITING_KEYS,
    NOTICE_DUE_KEYS,
    Effect,
    Lifetimes,
    Message,
    Outcome,
    StatusUpdate,
    iso,
    rank,
)
from delivery.send_request import UNSETTLED_KEYS, RequestState, SendRequest

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

type Item = dict[str, Any]
"""An item as the low-level client has it, e.g. {"status": {"S": "sent"}}."""

# Every loss means that another writer got through, and a message has few statuses.
_MOST_TRIES: Final = 16
_MOST_ITEMS_OF_A_READ: Final = 100  # DynamoDB's own limit

# The plain advance tells these anew; the rest it says only where nobody has said it yet.
_SAID_ANEW: Final = frozenset(
    {"status", "status_rank", "outcome", "error_code", "updated_at", "watch"}
    | {"notice", "notice_id", "notice_due", "num_segments", "price", "price_unit"}
)
_SAID_ANEW_BY_OUTCOME: Final = {
    Outcome.PENDING: frozenset[str](),
    Outcome.DELIVERED: frozenset[str](),  # `read` leaves the final_at of `delivered`
    Outcome.CANCELED: frozenset({"final_at"}),
    Outcome.FAILED: frozenset({"final_at", "watch_at"}),
}

# Its condition. A message that was never heard of takes any status.
_NEVER_HEARD_OF: Final = "attribute_not_exists(#status_rank)"
# A better status: none of the known ones can be the same, so the history gains exactly one entry.
# After a failure (which always has a notice) the rules must see the whole message.
_BETTER: Final = "#status_rank < :status_rank AND attribute_not_exists(#notice)"
# An outcome that the new one does not simply replace, so the rules must see the whole message:
# only a final status is better than unconfirmed, and `read` keeps only the time of `delivered`.
_REPLACES_OUTCOME: Final = "#outcome <> :other_outcome"
_OTHER_OUTCOME: Final = {
    Outcome.PENDING: Outcome.UNCONFIRMED,
    Outcome.DELIVERED: Outcome.CANCELED,
}
# What the sender put on its callback URL is merged by the rules unless it is always the same.
_SAME_CONTEXT: Final = "(attribute_not_exists(#context) OR #context = :context)"


class StoreUnavailable(Exception):
    """DynamoDB did not confirm a read or a write; the write may still have happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A message after an update, and what the update did to it."""

    message: Message
    effect: Effect
    contradicted: bool = False
    """The update brought another error code than the one known for its status; the first stays."""


class MessageStore:
    """The messages of one table.

    Args:
        client: a low-level DynamoDB client, its time-outs and retries set.
        table_name: the MessagesTable.
        lifetimes: what a new message's `expires_at` and `watch_at` are reckoned with.
    """

    def __init__(
        self, client: "DynamoDBClient", table_name: str, lifetimes: Lifetimes | None = None
    ) -> None:
        self._client = client
        self._table_name = table_name
        self._lifetimes = lifetimes or Lifetimes()

    def get(self, message_sid: str) -> Message | None:
        """The message as it is now (strongly consistent); None where there is none.

        Raises:
            StoreUnavailable: DynamoDB did not answer.
        """
        try:
            answer = self._client.get_item(
                TableName=self._table_name,
                Key={"message_sid": {"S": message_sid}},
                ConsistentRead=True,
            )
        except (ClientError, BotoCoreError) as error:
            raise StoreUnavailable(f"DynamoDB did not answer a read: {_reason(error)}") from error
        return _message(answer["Item"]) if "Item" in answer else None

    def record(self, update: StatusUpdate) -> Recorded:
        """Store what was learned about a message; it is durable when this returns.

        Any order, repetition and concurrency of updates ends in the same status and outcome.

        Raises:
            StoreUnavailable: it is not known to be stored; recording it again is safe.
        """
        found = self._advance(update)
        for _ in range(_MOST_TRIES):
            if isinstance(found, Recorded):
                return found
            found = self._merge(update, found) if found else self._advance(update)
        raise StoreUnavailable("others kept changing the message at the same time")

    def record_never_sent(self, update: StatusUpdate) -> Message:
        """Store a request that ended without a SID as a failed message; the first word stays.

        The update's `message_sid` is the request's id.

        Raises:
            StoreUnavailable: it is not known to be stored; recording it again is safe.
        """
        _, item = self._write(_first_word(Message.never_sent(update, self._lifetimes)))
        return _message(item)

    def record_sent_after_all(self, update: StatusUpdate) -> Message:
        """Take back what `record_never_sent` stored of this update, or may be about to store.

        Raises:
            StoreUnavailable: it is not known to be stored; recording it again is safe.
        """
        never_sent = Message.never_sent(update, self._lifetimes)
        written, item = self._write(_first_word(never_sent.sent_after_all(update.at)))
        if written:
            return _message(item)
        return self._conclude(item, lambda known: known.sent_after_all(update.at))

    def record_unconfirmed(self, message: Message, at: datetime) -> Message:
        """Store that the message was waited for in vain; a final status that was faster stays.

        Raises:
            StoreUnavailable: it is not known to be stored; recording it again is safe.
        """
        return self._conclude(_item(message.as_record()), lambda known: known.unconfirmed(at))

    def ask_again_at(self, message: Message, at: datetime) -> None:
        """Move the time at which Twilio is asked about the message next, if it still waits.

        Raises:
            StoreUnavailable: it is not known to be moved; moving it again is safe.
        """
        changes = _Changes(message.message_sid)
        changes.set("watch_at", iso(at))
        changes.require("#watch = :watch AND #watch_at < :watch_at", "watch", watch=message.watch)
        self._write(changes)

    def awaiting(self, now: datetime) -> Iterator[Message]:
        """The messages that Twilio is to be asked about at `now`, those due longest first.

        Raises:
            StoreUnavailable: DynamoDB did not answer.
        """
        shards = (
            self._query(
                IndexName="by_watch",
                KeyConditionExpression="#watch = :watch AND #watch_at <= :now",
                ExpressionAttributeNames={"#watch": "watch", "#watch_at": "watch_at"},
                ExpressionAttributeValues={":watch": {"S": watch}, ":now": {"S": iso(now)}},
            )
            for watch in AWAITING_KEYS
        )
        due = merge(*shards, key=lambda it: str(it["watch_at"]["S"]))
        for message in self.get_many(it["message_sid"]["S"] for it in due):
            # The index lags: somebody may have asked, or Twilio called, meanwhile.
            if message.outcome is Outcome.PENDING and message.watch_at and message.watch_at <= now:
                yield message

    def get_many(self, message_sids: Iterable[str]) -> Iterator[Message]:
        """The messages as they are now (strongly consistent), as far as there are any.

        Raises:
            StoreUnavailable: DynamoDB did not answer.
        """
        for item in _read_many(self._client, self._table_name, "message_sid", message_sids):
            yield _message(item)

    def advance_notice(self, message: Message, at: datetime) -> Message | None:
        """Take the next step of the message's notice (`Message.told`), if it is still to be taken.

        Returns the message after it; None where somebody else took the step, or the message is
        gone. The client must not repeat a write by itself: it would take its own step, whose answer
        was lost, for somebody else's.

        Raises:
            StoreUnavailable: it is not known to be stored; read the message again.
        """
        item = _item(message.as_record())
        for _ in range(_MOST_TRIES):
            known = _message(item)
            changes = _compare_and_set(item, known, known.told(at), ("notice", "outcome"))
            written, item = self._write(changes)
            if written:
                return _message(item)
            if not item or _message(item).notice is not message.notice:
                return None
        raise StoreUnavailable("others kept changing the message at the same time")

    def take_over_notice(self, message: Message, at: datetime) -> Message | None:
        """Claim a notice anew whose teller died: the message, or None where it changed meanwhile.

        The client must not repeat a write by itself, as with `advance_notice`.

        Raises:
            StoreUnavailable: it is not known to be claimed.
        """
        claimed = replace(message, updated_at=at)
        changes = _compare_and_set(
            _item(message.as_record()), message, claimed, ("notice", "outcome")
        )
        written, item = self._write(changes)
        return _message(item) if written else None

    def notices_due(self, before: datetime) -> Iterator[str]:
        """The SIDs of messages that owe people a notice, untouched since `before`, oldest first.

        The index lags a little behind: read the message before doing anything about it.

        Raises:
            StoreUnavailable: DynamoDB did not answer.
        """
        shards = (
            self._query(
                IndexName="by_notice_due",
                KeyConditionExpression="#notice_due = :notice_due AND #updated_at < :before",
                ExpressionAttributeNames={
                    "#notice_due": "notice_due",
                    "#updated_at": "updated_at",
                },
                ExpressionAttributeValues={
                    ":notice_due": {"S": notice_due},
                    ":before": {"S": iso(before)},
                },
            )
            for notice_due in NOTICE_DUE_KEYS
        )
        for item in merge(*shards, key=lambda it: str(it["updated_at"]["S"])):
            yield item["message_sid"]["S"]

    def sent_under(self, request_id: str, to: str, since: datetime) -> Message | None:
        """The message to `to`, heard of after `since`, that carries our request's id; or None.

        The index lags a little behind: None is no proof.

        Raises:
            StoreUnavailable: DynamoDB did not answer.
        """
        found = self._query(
            IndexName="by_to",
            KeyConditionExpression="#to = :to AND #created_at >= :since",
            ExpressionAttributeNames={"#to": "to", "#created_at": "created_at"},
            ExpressionAttributeValues={":to": {"S": to}, ":since": {"S": iso(since)}},
        )
        for item in found:
            message = self.get(item["message_sid"]["S"])
            if message is not None and message.request_id == request_id != message.message_sid:
                return message
        return None

    def _conclude(self, item: Item, conclusion: Callable[[Message], Message]) -> Message:
        """Store what follows for the message as it is by then; it may be that nothing does."""
        for _ in range(_MOST_TRIES):
            known = _message(item)
            concluded = conclusion(known)
            if concluded == known:
                return known
            changes = _compare_and_set(item, known, concluded, ("transitions", "notice"))
            written, item = self._write(changes)
            if written:
                return _message(item)
            if not item:
                raise StoreUnavailable("the message is gone")
        raise StoreUnavailable("others kept changing the message at the same time")

    def _advance(self, update: StatusUpdate) -> Recorded | Item:
        """The plain advance; or else the item that was in its way ({}: it is gone by now)."""
        written, item = self._write(_plain_advance(update, self._lifetimes))
        if not written:
            return item
        effect = Effect.ADVANCED if rank(update.status) else Effect.UNKNOWN
        return Recorded(message=_message(item), effect=effect)

    def _merge(self, update: StatusUpdate, item: Item) -> Recorded | Item:
        """What the rules make of the item; or else the newer item that was in the way."""
        known = _message(item)
        learned = known.learn(update, self._lifetimes)
        if learned is not known:
            changes = _compare_and_set(item, known, learned, ("transitions", "notice"))
            written, newer = self._write(changes)
            if not written:
                return newer
        return Recorded(
            message=learned,
            effect=known.effect_of(update),
            contradicted=known.contradicts(update),
        )

    def _query(self, **arguments: Any) -> Iterator[Item]:
        return _query(self._client, self._table_name, arguments)

    def _write(self, changes: "_Changes") -> tuple[bool, Item]:
        """(True, the item after the write) or (False, the item that failed the condition)."""
        try:
            answer = self._client.update_item(
                TableName=self._table_name,
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **changes.as_arguments(),
            )
        except self._client.exceptions.ConditionalCheckFailedException as error:
            return False, cast("Item", error.response.get("Item", {}))
        except (ClientError, BotoCoreError) as error:
            raise StoreUnavailable(f"DynamoDB did not confirm a write: {_reason(error)}") from error
        return True, cast("Item", answer["Attributes"])


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
        try:
            answer = self._client.get_item(
                TableName=self._table_name,
                Key={"request_id": {"S": request_id}},
                ConsistentRead=True,
            )
        except (ClientError, BotoCoreError) as error:
            raise StoreUnavailable(f"DynamoDB did not answer a read: {_reason(error)}") from error
        return _request(answer["Item"]) if "Item" in answer else None

    def unsettled(self) -> Iterator[SendRequest]:
        """The requests of which something is still to be found out, the oldest first.

        Those whose function is still at work are among them.

        Raises:
            StoreUnavailable: DynamoDB did not answer.
        """
        shards = (
            _query(
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
        for item in _read_many(self._client, self._table_name, "request_id", request_ids):
            if "unsettled" in item:  # the index lags
                yield _request(item)

    def day_read(self, account_sid: str) -> date | None:
        """The last day whose messages were read in full from Twilio's list, for this account.

        Raises:
            StoreUnavailable: DynamoDB did not answer.
        """
        key = {"request_id": {"S": _day_key(account_sid)}}
        try:
            answer = self._client.get_item(TableName=self._table_name, Key=key, ConsistentRead=True)
        except (ClientError, BotoCoreError) as error:
            raise StoreUnavailable(f"DynamoDB did not answer a read: {_reason(error)}") from error
        return date.fromisoformat(answer["Item"]["day"]["S"]) if "Item" in answer else None

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
                Item=_item({"request_id": _day_key(account_sid), "day": day.isoformat()}),
                ConditionExpression="attribute_not_exists(#day) OR #day < :day",
                ExpressionAttributeNames={"#day": "day"},
                ExpressionAttributeValues={":day": {"S": day.isoformat()}},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return
        except (ClientError, BotoCoreError) as error:
            raise StoreUnavailable(f"DynamoDB did not confirm: {_reason(error)}") from error

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
            raise StoreUnavailable(f"DynamoDB did not confirm: {_reason(error)}") from error

    def _put(
        self, request: SendRequest, condition: str, names: dict[str, str], values: Item
    ) -> SendRequest:
        """The request, if the condition held; or else the one that is there.

        A put whose condition failed on its own earlier try finds itself.
        """
        try:
            self._client.put_item(
                TableName=self._table_name,
                Item=_item(request.as_record()),
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
            raise StoreUnavailable(f"DynamoDB did not confirm: {_reason(error)}") from error
        return request


class _Changes:
    """One UpdateItem in the making: what it sets and removes, and on which conditions."""

    def __init__(self, message_sid: str) -> None:
        self._message_sid = message_sid
        self._names: dict[str, str] = {}
        self._values: Item = {}
        self._sets: list[str] = []
        self._removes: list[str] = []
        self._conditions: list[str] = []

    def set(self, name: str, value: object, *, once: bool = False) -> None:
        self._mention(name, value)
        new = f"if_not_exists(#{name}, :{name})" if once else f":{name}"
        self._sets.append(f"#{name} = {new}")

    def append(self, name: str, value: object) -> None:
        self._mention(name, [value])
        self._values[":nothing"] = {"L": []}
        self._sets.append(f"#{name} = list_append(if_not_exists(#{name}, :nothing), :{name})")

    def remove(self, name: str) -> None:
        self._names[f"#{name}"] = name
        self._removes.append(f"#{name}")

    def require(self, condition: str, *names: str, **values: object) -> None:
        """Write only if `condition` holds, which mentions `#name` and `:value` so."""
        self._conditions.append(f"({condition})")
        self._names |= {f"#{name}": name for name in names}
        self._values |= {f":{name}": _attribute(value) for name, value in values.items()}

    def require_unchanged(self, name: str, item: Item) -> None:
        """Write only if the attribute is as it is in `item`, which may lack it."""
        self._names[f"#{name}"] = name
        if name in item:
            self._values[f":seen_{name}"] = item[name]
            self._conditions.append(f"#{name} = :seen_{name}")
        else:
            self._conditions.append(f"attribute_not_exists(#{name})")

    def as_arguments(self) -> dict[str, Any]:
        """The arguments of `update_item`, but for the table's name and what to return."""
        expression = "SET " + ", ".join(self._sets)
        if self._removes:
            expression += " REMOVE " + ", ".join(self._removes)
        return {
            "Key": {"message_sid": {"S": self._message_sid}},
            "UpdateExpression": expression,
            "ConditionExpression": " AND ".join(self._conditions),
            "ExpressionAttributeNames": self._names,
            "ExpressionAttributeValues": self._values,
        }

    def _mention(self, name: str, value: object) -> None:
        self._names[f"#{name}"] = name
        self._values[f":{name}"] = _attribute(value)


def _plain_advance(update: StatusUpdate, lifetimes: Lifetimes) -> _Changes:
    """The write for a status that is the first or a better one, on nothing but that condition."""
    first = Message.first_heard_of(update, lifetimes)
    outcome = first.outcome
    record = first.as_record()
    changes = _Changes(record.pop("message_sid"))
    changes.append("transitions", record.pop("transitions")[0])
    anew = _SAID_ANEW | _SAID_ANEW_BY_OUTCOME[outcome]
    for name, value in record.items():
        changes.set(name, value, once=name not in anew)
    if outcome in {Outcome.DELIVERED, Outcome.CANCELED}:  # nothing to watch any more
        changes.remove("watch")
        changes.remove("watch_at")

    if update.send_at is not None:  # it moves what was reckoned without it: the rules' work
        changes.require(_NEVER_HEARD_OF)
        return changes
    better = [_BETTER]
    other = {}
    if outcome in _OTHER_OUTCOME:
        better.append(_REPLACES_OUTCOME)
        other["other_outcome"] = _OTHER_OUTCOME[outcome]
    if update.context:
        better.append(_SAME_CONTEXT)
    changes.require(f"{_NEVER_HEARD_OF} OR ({' AND '.join(better)})", "notice", **other)
    return changes


def _compare_and_set(
    item: Item, known: Message, learned: Message, depends_on: tuple[str, ...]
) -> _Changes:
    """The write of what `learned` has new over `known`, if nothing it was made from changed.

    Only what differs is written, so that nobody else's attribute is touched; and what is written
    must be as it was, too.
    """
    before, after = known.as_record(), learned.as_record()
    changes = _Changes(known.message_sid)
    touched = [name for name in before | after if before.get(name) != after.get(name)]
    for name in touched:
        if name in after:
            changes.set(name, after[name])
        else:
            changes.remove(name)
    for name in dict.fromkeys((*depends_on, *touched)):
        changes.require_unchanged(name, item)
    return changes


def _first_word(message: Message) -> _Changes:
    """The write of a message that was never heard of, whole."""
    record = message.as_record()
    changes = _Changes(record.pop("message_sid"))
    for name, value in record.items():
        changes.set(name, value)
    changes.require(_NEVER_HEARD_OF, "status_rank")
    return changes


def _query(
    client: "DynamoDBClient", table_name: str, arguments: Mapping[str, Any]
) -> Iterator[Item]:
    """The items of a query of the table, page by page."""
    start: Item = {}
    while True:
        try:
            page = client.query(TableName=table_name, **arguments, **start)
        except (ClientError, BotoCoreError) as error:
            reason = _reason(error)
            raise StoreUnavailable(f"DynamoDB did not answer a query: {reason}") from error
        yield from page["Items"]
        if "LastEvaluatedKey" not in page:
            return
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def _read_many(
    client: "DynamoDBClient", table_name: str, key: str, values: Iterable[str]
) -> Iterator[Item]:
    """The items with these keys in the keys' order, as far as there are any."""
    for listed in batched(values, _MOST_ITEMS_OF_A_READ, strict=False):
        wanted = dict.fromkeys(listed)  # what moved while the index was read is in it twice
        asked: Any = {
            table_name: {"Keys": [{key: {"S": value}} for value in wanted], "ConsistentRead": True}
        }
        found: dict[str, Item] = {}
        for _ in range(_MOST_TRIES):
            try:
                answer = client.batch_get_item(RequestItems=asked)
            except (ClientError, BotoCoreError) as error:
                reason = _reason(error)
                raise StoreUnavailable(f"DynamoDB did not answer a read: {reason}") from error
            found |= {item[key]["S"]: item for item in answer["Responses"].get(table_name, [])}
            asked = answer["UnprocessedKeys"]
            if not asked:
                break
        else:
            raise StoreUnavailable("DynamoDB answered a read in part only")
        yield from (found[value] for value in wanted if value in found)


def _day_key(account_sid: str) -> str:
    return f"day#{account_sid}"


def _reason(error: ClientError | BotoCoreError) -> str:
    """What went wrong in one word: the rest of an error can quote what was written."""
    if isinstance(error, ClientError):
        return error.response["Error"]["Code"]
    return type(error).__name__


def _message(item: Item) -> Message:
    record = {name: _value(attribute) for name, attribute in item.items()}
    try:
        return Message.from_record(record)
    except (KeyError, TypeError, ValueError) as error:  # somebody else wrote it
        raise StoreUnavailable(f"an item is no message: {type(error).__name__}") from error


def _request(item: Item) -> SendRequest:
    return SendRequest.from_record({name: _value(attribute) for name, attribute in item.items()})


def _item(record: Mapping[str, Any]) -> Item:
    return {name: _attribute(value) for name, value in record.items()}


def _attribute(value: object) -> dict[str, Any]:
    """A plain value as the low-level client wants it.

    Our own and not boto3's TypeSerializer, whose import brings boto3's resources to every start.
    """
    match value:
        case str():
            return {"S": value}
        case int():
            return {"N": str(value)}
        case list():
            return {"L": [_attribute(entry) for entry in value]}
        case dict():
            return {"M": _item(value)}
        case _:
            raise TypeError(f"a message holds no {type(value).__name__}")


def _value(attribute: Mapping[str, Any]) -> Any:
    match attribute:
        case {"S": text}:
            return text
        case {"N": number}:
            return int(number) if number.lstrip("-").isdigit() else float(number)
        case {"L": entries}:
            return [_value(entry) for entry in entries]
        case {"M": entries}:
            return {name: _value(entry) for name, entry in entries.items()}
        case _:
            return None  # somebody else's attribute; none of ours has such a type
