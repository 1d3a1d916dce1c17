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
from typing import TYPE_CHECKING, Final

from delivery.domain.messages import Message, iso
from delivery.storage.table import (
    Changes,
    Conditions,
    Item,
    Part,
    StoreUnavailable,
    Table,
    as_item,
    as_record,
    transact,
)

from .episode import OPEN, Episode, EpisodeKey

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

MAX_MESSAGES: Final = 99
"""How many messages one write can change with an episode: a transaction has a hundred parts."""

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
        table_name: the IncidentsTable.
        messages_table_name: the MessagesTable.
    """

    def __init__(self, client: "DynamoDBClient", table_name: str, messages_table_name: str) -> None:
        self._client = client
        self._episodes = Table(client, table_name)
        self._messages = Table(client, messages_table_name)

    def get(self, key: EpisodeKey) -> Episode | None:
        """The last episode of the key as it is now (strongly consistent), open or closed.

        Raises:
            StoreUnavailable: DynamoDB did not answer.
        """
        item = self._episodes.get(account_sid=key.account_sid, cause=key.cause)
        return _episode(item) if item else None

    def due(self, now: datetime) -> Iterator[EpisodeKey]:
        """The episodes that are to be looked at by now, those due longest first.

        The index lags a little behind: read the episode before doing anything about it.

        Raises:
            StoreUnavailable: DynamoDB did not answer.
        """
        due_of = "#open = :open AND #next_at <= :now"
        for item in self._episodes.query("by_next_at", due_of, open=OPEN, now=iso(now)):
            yield EpisodeKey(account_sid=item["account_sid"]["S"], cause=item["cause"]["S"])

    def write(
        self, seen: Episode | None, after: Episode, steps: Sequence[Step] = ()
    ) -> Episode | None:
        """Store the episode, and the steps of messages with it, if none has changed since.

        At most `MAX_MESSAGES` steps. Returns the episode as it is stored; None where something
        had changed, and nothing was written.

        Raises:
            StoreUnavailable: it is not known to be stored; read again.
        """
        after = replace(after, version=seen.version + 1 if seen else 1)
        record, conditions = after.as_record(), _unchanged_since(seen)
        if steps:
            put = self._episodes.as_put(record, conditions)
            written = transact(self._client, [put, *map(self._update, steps)])
        else:
            written, _ = self._episodes.put(record, conditions)
        return after if written else None

    def _update(self, step: Step) -> Part:
        after = step.after.as_record()
        changes = Changes(message_sid=step.seen.message_sid)
        for name in ("notice", "notice_id", "notice_due", "updated_at"):
            if name in after:
                changes.set(name, after[name])
            else:
                changes.remove(name)
        seen = as_item(step.seen.as_record())
        for name in _DEPENDS_ON:
            changes.require_unchanged(name, seen)
        return self._messages.as_update(changes)


def _unchanged_since(seen: Episode | None) -> Conditions:
    """The episode is as it was seen; its id tells, too, because it may have expired."""
    conditions = Conditions()
    if seen is None:
        conditions.require("attribute_not_exists(#episode_id)")
    else:
        conditions.require(
            "#episode_id = :episode_id AND #version = :version",
            episode_id=seen.episode_id,
            version=seen.version,
        )
    return conditions


def _episode(item: Item) -> Episode:
    try:
        return Episode.from_record(as_record(item))
    except (KeyError, TypeError, ValueError) as error:  # somebody else wrote it
        raise StoreUnavailable(f"an item is no episode: {type(error).__name__}") from error
