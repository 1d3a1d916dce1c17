"""The episodes, in their table: one item for each account and cause, changed with its messages.

A failure is in the count of an episode exactly when its message says so: one transaction writes
both, if neither has changed since it was read. Whoever loses reads again. The client must not
repeat a write by itself: it would take its own, whose answer was lost, for somebody else's.

Errors:

    StoreUnavailable    nothing is known to be stored: try again later
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from delivery.dynamodb import Changes, Item, StoreUnavailable, as_item, as_record, query, reason
from delivery.message import Message, iso

from .episode import OPEN, Episode, EpisodeKey

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

MOST_MESSAGES: Final = 99
"""How many messages one write can change with an episode: a transaction has a hundred parts."""

# Why a transaction is called off when somebody else is at work on one of its items:
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
_LOST: Final = frozenset({"None", "ConditionalCheckFailed", "TransactionConflict"})
# What a message's part in an episode was decided on. Not `updated_at`: what else is learned about
# it at the same time changes nothing.
_DEPENDS_ON: Final = ("notice", "outcome", "error_code", "account_sid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A message as it was read, and with the next step of its notice."""

    seen: Message
    after: Message


class EpisodeStore:
    """The episodes of one table, and the notices of their messages.

    Args:
        client: a low-level DynamoDB client, its time-outs set and its retries off.
        table_name: the EpisodesTable.
        messages_table_name: the MessagesTable.
    """

    def __init__(self, client: "DynamoDBClient", table_name: str, messages_table_name: str) -> None:
        self._client = client
        self._table_name = table_name
        self._messages_table_name = messages_table_name

    def get(self, key: EpisodeKey) -> Episode | None:
        """The last episode of the key as it is now (strongly consistent), open or closed.

        Raises:
            StoreUnavailable: DynamoDB did not answer.
        """
        try:
            answer = self._client.get_item(
                TableName=self._table_name, Key=_key(key), ConsistentRead=True
            )
        except (ClientError, BotoCoreError) as error:
            raise StoreUnavailable(f"DynamoDB did not answer a read: {reason(error)}") from error
        return _episode(answer["Item"]) if "Item" in answer else None

    def due(self, now: datetime) -> Iterator[EpisodeKey]:
        """The episodes that are to be looked at by now, those due longest first.

        The index lags a little behind: read the episode before doing anything about it.

        Raises:
            StoreUnavailable: DynamoDB did not answer.
        """
        arguments = {
            "IndexName": "by_next_at",
            "KeyConditionExpression": "#open = :open AND #next_at <= :now",
            "ExpressionAttributeNames": {"#open": "open", "#next_at": "next_at"},
            "ExpressionAttributeValues": {":open": {"S": OPEN}, ":now": {"S": iso(now)}},
        }
        for item in query(self._client, self._table_name, arguments):
            yield EpisodeKey(account_sid=item["account_sid"]["S"], cause=item["cause"]["S"])

    def write(
        self, seen: Episode | None, after: Episode, steps: Sequence[Step] = ()
    ) -> Episode | None:
        """Store the episode, and the steps of messages with it, if none has changed since.

        At most `MOST_MESSAGES` steps. Returns the episode as it is stored; None where something
        had changed, and nothing was written.

        Raises:
            StoreUnavailable: it is not known to be stored; read again.
        """
        after = replace(after, version=seen.version + 1 if seen else 1)
        put = {"TableName": self._table_name, "Item": as_item(after.as_record()), **_unless(seen)}
        try:
            if steps:
                parts: Any = [{"Put": put}, *({"Update": self._update(step)} for step in steps)]
                self._client.transact_write_items(TransactItems=parts)
            else:
                self._client.put_item(**put)
        except self._client.exceptions.ConditionalCheckFailedException:
            return None
        except self._client.exceptions.TransactionConflictException:
            return None
        except self._client.exceptions.TransactionCanceledException as error:
            if _was_lost(error):
                return None
            raise StoreUnavailable(f"DynamoDB called it off: {_causes(error)}") from error
        except (ClientError, BotoCoreError) as error:
            raise StoreUnavailable(f"DynamoDB did not confirm a write: {reason(error)}") from error
        return after

    def _update(self, step: Step) -> dict[str, Any]:
        before, after = step.seen.as_record(), step.after.as_record()
        changes = Changes(message_sid=step.seen.message_sid)
        for name in ("notice", "notice_id", "notice_due", "updated_at"):
            if name in after:
                changes.set(name, after[name])
            else:
                changes.remove(name)
        seen = as_item(before)
        for name in _DEPENDS_ON:
            changes.require_unchanged(name, seen)
        return {"TableName": self._messages_table_name, **changes.as_arguments()}


def _key(key: EpisodeKey) -> Item:
    return as_item({"account_sid": key.account_sid, "cause": key.cause})


def _unless(seen: Episode | None) -> dict[str, Any]:
    """The condition that the episode is as it was seen; its id, because it may have expired."""
    if seen is None:
        return {
            "ConditionExpression": "attribute_not_exists(#episode_id)",
            "ExpressionAttributeNames": {"#episode_id": "episode_id"},
        }
    return {
        "ConditionExpression": "#episode_id = :episode_id AND #version = :version",
        "ExpressionAttributeNames": {"#episode_id": "episode_id", "#version": "version"},
        "ExpressionAttributeValues": as_item(
            {":episode_id": seen.episode_id, ":version": seen.version}
        ),
    }


def _causes(error: ClientError) -> list[str]:
    reasons: Any = error.response.get("CancellationReasons", [])
    return sorted({reason.get("Code", "None") for reason in reasons})


def _was_lost(error: ClientError) -> bool:
    causes = _causes(error)
    return bool(causes) and _LOST.issuperset(causes)


def _episode(item: Item) -> Episode:
    try:
        return Episode.from_record(as_record(item))
    except (KeyError, TypeError, ValueError) as error:  # somebody else wrote it
        raise StoreUnavailable(f"an item is no episode: {type(error).__name__}") from error
