"""Every read and every write of a message.

Every write is conditional and safe to repeat. The common one, a status that advances a message, is
one UpdateItem and needs no read. Everything else starts from the item that the failed condition
returned, lets the rules in `delivery.domain.messages` decide, and is a compare-and-set: it is tried
again with the newer item when another writer was faster.

A message whose data was erased is an empty marker: for every read it is not there, and every write
finds a status in its way that none is better than.

Errors:

    StoreUnavailable    nothing is known to be stored: try again later
    TokenInvalid        a list was to be continued that is another one
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from heapq import merge
from typing import TYPE_CHECKING, Final

from delivery.domain.messages import (
    FINAL_OUTCOME,
    NOTICE_DUE_KEYS,
    PENDING_KEYS,
    Effect,
    Message,
    Outcome,
    StatusUpdate,
    Timings,
    iso,
    rank,
)
from delivery.storage.cursor import Page, TokenInvalid
from delivery.storage.message_lists import Count, ListReader, MessageList
from delivery.storage.table import (
    Changes,
    Conditions,
    Item,
    StoreUnavailable,
    Table,
    as_item,
    as_record,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

__all__ = ["MessageStore", "Page", "Recorded", "StoreUnavailable", "TokenInvalid"]

# Every loss means that another writer got through, and a message has few statuses.
_MAX_TRIES: Final = 16

# The plain advance tells these anew; the rest it says only where nobody has said it yet.
_SAID_ANEW: Final = frozenset(
    {"status", "status_rank", "outcome", "error_code", "updated_at", "list_key"}
    | {"notice", "notice_id", "notice_due", "num_segments", "price", "price_unit"}
)
_SAID_ANEW_BY_OUTCOME: Final = {
    Outcome.PENDING: frozenset[str](),
    Outcome.DELIVERED: frozenset[str](),  # `read` leaves the final_at of `delivered`
    Outcome.CANCELED: frozenset({"final_at"}),
    Outcome.FAILED: frozenset({"final_at", "list_at"}),
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
# Of a message whose data was erased: no status is better, so that none is recorded any more.
_ERASED_RANK: Final = 1000
# What the sender put on its callback URL is merged by the rules unless it is always the same.
_SAME_CONTEXT: Final = "(attribute_not_exists(#context) OR #context = :context)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A message after an update, and what the update did to it."""

    update: StatusUpdate
    message: Message
    effect: Effect
    outcome_changed: bool = False
    """The message's outcome became what it is by this update."""
    error_code_conflict: bool = False
    """The update brought another error code than the one known for its status; the first stays."""


class MessageStore:
    """The messages of one table.

    Args:
        client: a low-level DynamoDB client, its time-outs and retries set.
        table_name: the MessagesTable.
        timings: what a new message's `expires_at` and `list_at` are reckoned with.
    """

    def __init__(
        self, client: "DynamoDBClient", table_name: str, timings: Timings | None = None
    ) -> None:
        self._table = Table(client, table_name)
        self._lists = ListReader(self._table, self.get_many)
        self._lifetimes = timings or Timings()

    def get(self, message_sid: str) -> Message | None:
        """The message as it is now (strongly consistent); None where there is none.

        Raises:
            StoreUnavailable: DynamoDB did not answer.
        """
        item = self._table.get(message_sid=message_sid)
        return _message(item) if item and not _is_erased(item) else None

    def record(self, update: StatusUpdate) -> Recorded:
        """Store what was learned about a message; it is durable when this returns.

        Any order, repetition and concurrency of updates ends in the same status and outcome.

        Raises:
            StoreUnavailable: it is not known to be stored; recording it again is safe.
        """
        found = self._advance(update)
        for _ in range(_MAX_TRIES):
            if isinstance(found, Recorded):
                return found
            if _is_erased(found):
                message = Message.from_first_update(update, self._lifetimes)
                return Recorded(update=update, message=message, effect=Effect.ERASED)
            found = self._merge(update, found) if found else self._advance(update)
        raise StoreUnavailable("others kept changing the message at the same time")

    def record_unsent_request(self, update: StatusUpdate) -> Recorded:
        """Store a request that ended without a SID as a failed message; the first word stays.

        The update's `message_sid` is the request's id.

        Raises:
            StoreUnavailable: it is not known to be stored; recording it again is safe.
        """
        never_sent = Message.from_unsent_request(update, self._lifetimes)
        written, item = self._table.update(_first_word(never_sent))
        if _is_erased(item):
            return Recorded(update=update, message=never_sent, effect=Effect.ERASED)
        effect = Effect.ADVANCED if written else Effect.DUPLICATE
        return Recorded(
            update=update, message=_message(item), effect=effect, outcome_changed=written
        )

    def record_superseded(self, update: StatusUpdate) -> Message:
        """Take back what `record_unsent_request` stored of this update, or may be about to store.

        Raises:
            StoreUnavailable: it is not known to be stored; recording it again is safe.
        """
        sent = Message.from_unsent_request(update, self._lifetimes).as_superseded(update.at)
        written, item = self._table.update(_first_word(sent))
        if written:
            return _message(item)
        return self._conclude(item, lambda known: known.as_superseded(update.at)) or sent

    def record_unconfirmed(self, message: Message, at: datetime) -> Message:
        """Store that the message was waited for in vain; a final status that was faster stays.

        Raises:
            StoreUnavailable: it is not known to be stored; recording it again is safe.
        """
        item = as_item(message.as_record())
        return self._conclude(item, lambda known: known.as_unconfirmed(at)) or message

    def erase(self, message_sid: str, *, at: datetime, expires_at: int) -> None:
        """Put an empty marker in the message's place, or where it would be.

        Whatever anybody tells of the message from now on, it is shown nowhere and nothing is stored
        of it. The marker holds nothing but the SID and the two times, and goes at `expires_at`
        (epoch seconds).

        Raises:
            StoreUnavailable: it is not known to be erased; erasing it again is safe.
        """
        marker = {
            "message_sid": message_sid,
            "erased_at": iso(at),
            "status_rank": _ERASED_RANK,
            "expires_at": expires_at,
        }
        unless_erased_before = Conditions()
        unless_erased_before.require("attribute_not_exists(#erased_at)")
        self._table.put(marker, unless_erased_before)

    def schedule_check(self, message: Message, at: datetime) -> None:
        """Move the time at which Twilio is asked about the message next, if it still waits.

        Raises:
            StoreUnavailable: it is not known to be moved; moving it again is safe.
        """
        changes = Changes(message_sid=message.message_sid)
        changes.set("list_at", iso(at))
        changes.require("#list_key = :list_key AND #list_at < :list_at", list_key=message.list_key)
        self._table.update(changes)

    def stale_messages(self, now: datetime) -> Iterator[Message]:
        """The messages that Twilio is to be asked about at `now`, those due longest first.

        Raises:
            StoreUnavailable: DynamoDB did not answer.
        """
        due_of = "#list_key = :list_key AND #list_at <= :now"
        shards = (
            self._table.query("by_list", due_of, list_key=list_key, now=iso(now))
            for list_key in PENDING_KEYS
        )
        due = merge(*shards, key=lambda it: str(it["list_at"]["S"]))
        for message in self.get_many(it["message_sid"]["S"] for it in due):
            # The index lags: somebody may have asked, or Twilio called, meanwhile.
            if message.outcome is Outcome.PENDING and message.list_at and message.list_at <= now:
                yield message

    def messages_to(self, to: str, *, limit: int, next_token: str | None = None) -> Page:
        """The messages to an address, which is spelled as Twilio does, the newest first.

        A list is read from an index, which shows what was written a moment ago only a moment later.

        Raises:
            TokenInvalid: the token is of another list.
            StoreUnavailable: DynamoDB did not answer.
        """
        return self._lists.page(MessageList.to(to), limit, next_token)

    def messages_with_reference(
        self, reference: str, *, limit: int, next_token: str | None = None
    ) -> Page:
        """The messages with the caller's own id, the newest first.

        Raises:
            TokenInvalid: the token is of another list.
            StoreUnavailable: DynamoDB did not answer.
        """
        return self._lists.page(MessageList.with_reference(reference), limit, next_token)

    def messages_failed_on(self, day: date, *, limit: int, next_token: str | None = None) -> Page:
        """The messages that failed on a day in UTC, and are failed still, the newest first.

        Raises:
            TokenInvalid: the token is of another list.
            StoreUnavailable: DynamoDB did not answer.
        """
        return self._lists.page(MessageList.watched(Outcome.FAILED, day), limit, next_token)

    def messages_unconfirmed_on(
        self, day: date, *, limit: int, next_token: str | None = None
    ) -> Page:
        """The messages that were given up on a day in UTC, without news since, the newest first.

        Raises:
            TokenInvalid: the token is of another list.
            StoreUnavailable: DynamoDB did not answer.
        """
        return self._lists.page(MessageList.watched(Outcome.UNCONFIRMED, day), limit, next_token)

    def messages_pending(self, *, limit: int, next_token: str | None = None) -> Page:
        """The messages without a final status, the one that Twilio is asked about next first.

        Raises:
            TokenInvalid: the token is of another list.
            StoreUnavailable: DynamoDB did not answer.
        """
        return self._lists.page(MessageList.watched(Outcome.PENDING), limit, next_token)

    def every_to(self, to: str) -> Iterator[Message]:
        """All that is kept of messages to an address, read as it is iterated.

        Requests that were sent after all are among it, which `messages_to` leaves out.

        Raises:
            StoreUnavailable: DynamoDB did not answer.
        """
        return self._lists.every(MessageList.to(to, with_superseded=True))

    def every_failed_on(self, day: date) -> Iterator[Message]:
        """All of `messages_failed_on`, read as they are iterated.

        Raises:
            StoreUnavailable: DynamoDB did not answer.
        """
        return self._lists.every(MessageList.watched(Outcome.FAILED, day))

    def every_unconfirmed_on(self, day: date) -> Iterator[Message]:
        """All of `messages_unconfirmed_on`, read as they are iterated.

        Raises:
            StoreUnavailable: DynamoDB did not answer.
        """
        return self._lists.every(MessageList.watched(Outcome.UNCONFIRMED, day))

    def every_pending(self) -> Iterator[Message]:
        """All of `messages_pending`, read as they are iterated.

        Raises:
            StoreUnavailable: DynamoDB did not answer.
        """
        return self._lists.every(MessageList.watched(Outcome.PENDING))

    def count(self, outcome: Outcome, day: date | None = None) -> Count:
        """How many messages failed or were given up on a day in UTC, or are pending (no day).

        Counted in the index alone, which is cheap however long the list is; of a very long one a
        part is counted.

        Raises:
            StoreUnavailable: DynamoDB did not answer.
        """
        return self._lists.count(MessageList.watched(outcome, day))

    def get_many(
        self, message_sids: Iterable[str], *, unreadable: Callable[[str], object] | None = None
    ) -> Iterator[Message]:
        """The messages as they are now (strongly consistent), as far as there are any.

        `unreadable` is told the SID of an item that is no message, which is left out then.

        Raises:
            StoreUnavailable: DynamoDB did not answer, or an item is no message.
        """
        for item in self._table.get_many("message_sid", message_sids):
            if _is_erased(item):
                continue
            try:
                message = _message(item)
            except StoreUnavailable:
                if unreadable is None:
                    raise
                unreadable(item["message_sid"]["S"])
            else:
                yield message

    def advance_notice(self, message: Message, at: datetime) -> Message | None:
        """Take the next step of the message's notice (`Message.told`), if it is still to be taken.

        Returns the message after it; None where somebody else took the step, or the message is
        gone. The client must not repeat a write by itself: it would take its own step, whose answer
        was lost, for somebody else's.

        Raises:
            StoreUnavailable: it is not known to be stored; read the message again.
        """
        item = as_item(message.as_record())
        for _ in range(_MAX_TRIES):
            known = _message(item)
            changes = _compare_and_set(item, known, known.told(at), ("notice", "outcome"))
            written, item = self._table.update(changes)
            if written:
                return _message(item)
            if not item or _is_erased(item) or _message(item).notice is not message.notice:
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
            as_item(message.as_record()), message, claimed, ("notice", "outcome")
        )
        written, item = self._table.update(changes)
        return _message(item) if written else None

    def notices_due(self, before: datetime) -> Iterator[str]:
        """The SIDs of messages that owe people a notice, untouched since `before`, oldest first.

        The index lags a little behind: read the message before doing anything about it.

        Raises:
            StoreUnavailable: DynamoDB did not answer.
        """
        due_of = "#notice_due = :notice_due AND #updated_at < :before"
        shards = (
            self._table.query("by_notice_due", due_of, notice_due=notice_due, before=iso(before))
            for notice_due in NOTICE_DUE_KEYS
        )
        for item in merge(*shards, key=lambda it: str(it["updated_at"]["S"])):
            yield item["message_sid"]["S"]

    def sent_under(self, request_id: str, to: str, since: datetime) -> Message | None:
        """The message to `to`, heard of after `since`, that carries our request's id; or None.

        The index lags a little behind: None is no proof. A request whose data was erased does not
        know its `to` any more.

        Raises:
            StoreUnavailable: DynamoDB did not answer.
        """
        if not to:
            return None
        found = self._table.query(
            "by_to", "#to = :to AND #created_at >= :since", to=to, since=iso(since)
        )
        for item in found:
            message = self.get(item["message_sid"]["S"])
            if message and message.request_id == request_id and not message.is_request:
                return message
        return None

    def _conclude(self, item: Item, conclusion: Callable[[Message], Message]) -> Message | None:
        """Store what follows for the message as it is by then; it may be that nothing does.

        None where its data was erased.
        """
        for _ in range(_MAX_TRIES):
            if _is_erased(item):
                return None
            known = _message(item)
            concluded = conclusion(known)
            if concluded == known:
                return known
            changes = _compare_and_set(item, known, concluded, ("transitions", "notice"))
            written, item = self._table.update(changes)
            if written:
                return _message(item)
            if not item:
                raise StoreUnavailable("the message is gone")
        raise StoreUnavailable("others kept changing the message at the same time")

    def _advance(self, update: StatusUpdate) -> Recorded | Item:
        """The plain advance; or else the item that was in its way ({}: it is gone by now)."""
        written, item = self._table.update(_plain_advance(update, self._lifetimes))
        if not written:
            return item
        message = _message(item)
        return Recorded(
            update=update,
            message=message,
            effect=Effect.ADVANCED if rank(update.status) else Effect.UNKNOWN,
            outcome_changed=_concludes(update.status, message),
        )

    def _merge(self, update: StatusUpdate, item: Item) -> Recorded | Item:
        """What the rules make of the item; or else the newer item that was in the way."""
        known = _message(item)
        learned = known.apply(update, self._lifetimes)
        if learned is not known:
            changes = _compare_and_set(item, known, learned, ("transitions", "notice"))
            written, newer = self._table.update(changes)
            if not written:
                return newer
        return Recorded(
            update=update,
            message=learned,
            effect=known.effect_of(update),
            outcome_changed=learned.outcome is not known.outcome,
            error_code_conflict=known.conflicts_with(update),
        )


def _plain_advance(update: StatusUpdate, timings: Timings) -> Changes:
    """The write for a status that is the first or a better one, on nothing but that condition."""
    first = Message.from_first_update(update, timings)
    outcome = first.outcome
    record = first.as_record()
    changes = Changes(message_sid=record.pop("message_sid"))
    changes.append("transitions", record.pop("transitions")[0])
    anew = _SAID_ANEW | _SAID_ANEW_BY_OUTCOME[outcome]
    for name, value in record.items():
        changes.set(name, value, once=name not in anew)
    if outcome in {Outcome.DELIVERED, Outcome.CANCELED}:  # nothing to watch any more
        changes.remove("list_key")
        changes.remove("list_at")

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
    changes.require(f"{_NEVER_HEARD_OF} OR ({' AND '.join(better)})", **other)
    return changes


def _compare_and_set(
    item: Item, known: Message, learned: Message, depends_on: tuple[str, ...]
) -> Changes:
    """The write of what `learned` has new over `known`, if nothing it was made from changed.

    Only what differs is written, so that nobody else's attribute is touched; and what is written
    must be as it was, too.
    """
    before, after = known.as_record(), learned.as_record()
    changes = Changes(message_sid=known.message_sid)
    touched = [name for name in before | after if before.get(name) != after.get(name)]
    for name in touched:
        if name in after:
            changes.set(name, after[name])
        else:
            changes.remove(name)
    for name in dict.fromkeys((*depends_on, *touched)):
        changes.require_unchanged(name, item)
    return changes


def _concludes(status: str, message: Message) -> bool:
    """Whether the status, which just advanced the message, gave it its outcome.

    `read` does not after `delivered`. A message that had failed before is never advanced plainly.
    """
    outcome = FINAL_OUTCOME.get(status)
    return outcome is not None and all(
        FINAL_OUTCOME.get(it.status) is not outcome
        for it in message.transitions
        if it.status != status
    )


def _first_word(message: Message) -> Changes:
    """The write of a message that was never heard of, whole."""
    record = message.as_record()
    changes = Changes(message_sid=record.pop("message_sid"))
    for name, value in record.items():
        changes.set(name, value)
    changes.require(_NEVER_HEARD_OF)
    return changes


def _is_erased(item: Item) -> bool:
    """Whether the item is the marker that `erase` leaves."""
    return "erased_at" in item


def _message(item: Item) -> Message:
    try:
        return Message.from_record(as_record(item))
    except (KeyError, TypeError, ValueError) as error:  # somebody else wrote it
        raise StoreUnavailable(f"an item is no message: {type(error).__name__}") from error
