"""The MessagesTable: every read and every write of a message.

Every write is conditional and safe to repeat. The plain advance, a status with a higher rank, is
one UpdateItem without a read. Everything else starts from the item that the failed condition
returned, lets the rules in `delivery.domain.messages` decide, and is a compare-and-set, tried again
with the newer item when another writer was faster.

The message of an erased person is replaced by a tombstone: reads do not find it, and it outranks
every status, so that no write brings the message back.

Errors of every read and write:

    StoreUnavailable    a read failed, or a write is not known to be stored: repeating it is safe
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from delivery.domain.messages import Effect, Message, Source, StatusUpdate, Timings
from delivery.domain.records import Record, iso
from delivery.domain.statuses import Outcome, outcome_of, rank
from delivery.storage.expressions import Changes, Conditions
from delivery.storage.index_keys import (
    NOTICE_DUE_KEYS,
    PENDING_KEYS,
    list_key_of,
    notice_due_key_of,
)
from delivery.storage.items import Item, as_item
from delivery.storage.table import (
    MAX_BATCH_GET_ITEMS,
    ItemUnreadable,
    StoreUnavailable,
    Table,
    parse_item,
    readable,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from delivery.domain.send_requests import SendRequest
    from delivery.storage.message_lists import ListReader

# Every conflict means that another writer succeeded, and a message has few statuses.
_MAX_ATTEMPTS: Final = 16

# The plain advance replaces these attributes; it sets others only where the item lacks them.
_REPLACED: Final = frozenset(
    {"status", "status_rank", "outcome", "error_code", "error_detail", "updated_at", "list_key"}
    | {"notice", "notice_id", "notice_due", "notice_at", "num_segments", "price", "price_unit"}
)
_REPLACED_BY_OUTCOME: Final = {
    Outcome.PENDING: frozenset[str](),
    Outcome.DELIVERED: frozenset[str](),  # `read` keeps the final_at of `delivered`
    Outcome.CANCELED: frozenset({"final_at"}),
    Outcome.FAILED: frozenset({"final_at", "list_at"}),
}

# The condition of the plain advance. The first update of a message always applies.
_IS_NEW: Final = "attribute_not_exists(#status_rank)"
# A higher rank cannot be in the history yet, so the history gains exactly one entry. After a
# failure, which always has a notice, the rules must see the whole message.
_RANKS_HIGHER: Final = "#status_rank < :status_rank AND attribute_not_exists(#notice)"
# `updated_at` never goes back: where the update is the earlier one, the rules compute it.
_IS_LATER: Final = "#updated_at <= :updated_at"
# The rules must also see a message whose outcome the plain advance would set wrongly: a pending
# status does not replace unconfirmed, and a delivery would keep the `final_at` of a cancellation.
_REPLACES_OUTCOME: Final = "#outcome <> :other_outcome"
_OTHER_OUTCOME: Final = {
    Outcome.PENDING: Outcome.UNCONFIRMED,
    Outcome.DELIVERED: Outcome.CANCELED,
}
# The rules merge what the sender put on its callback URL, unless it is always the same.
_SAME_CONTEXT: Final = "(attribute_not_exists(#context) OR #context = :context)"
# The rank of a tombstone: no status is higher.
_ERASED_RANK: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A message after an update, and what the update did to it."""

    update: StatusUpdate
    message: Message
    effect: Effect
    outcome_changed: bool = False
    """The update gave the message its outcome."""
    error_code_conflict: bool = False
    """The update brought another error code than the one known for its status, which stays."""


class Found(NamedTuple):
    """What the table has of some SIDs: messages, tombstones, and unreadable items."""

    messages: Mapping[str, Message]
    erased: frozenset[str]
    unreadable: frozenset[str]


class MessageStore:
    """The messages of one table. `lists` reads its lists, page by page or as a whole.

    Args:
        client: a low-level DynamoDB client with timeouts and retries set.
        table_name: the MessagesTable.
        timings: the basis of a new message's `expires_at` and `list_at`.
        unreadable: called with the SID of each item that a list or a batch skips because this
            version cannot read it; without it, such an item raises ItemUnreadable.
        reader: the client of reads, where they need other retries than writes.
    """

    def __init__(
        self,
        client: "DynamoDBClient",
        table_name: str,
        timings: Timings | None = None,
        *,
        unreadable: Callable[[str], object] | None = None,
        reader: "DynamoDBClient | None" = None,
    ) -> None:
        self._table = Table(client, table_name, reader=reader)
        self._timings = timings or Timings()
        self._unreadable = unreadable

    @property
    def lists(self) -> "ListReader":
        """The lists that the table's indexes have."""
        # Imported on first use: what only records statuses starts without it.
        from delivery.storage.message_lists import ListReader  # noqa: PLC0415 -- only readers need it

        return ListReader(self._table, self.get_many)

    def get(self, message_sid: str) -> Message | None:
        """Return the message (strongly consistent); None where there is none."""
        item = self._table.get(message_sid=message_sid)
        return message_of(item) if item and not _is_tombstone(item) else None

    def get_many(
        self, message_sids: Iterable[str], *, unreadable: Callable[[str], object] | None = None
    ) -> Iterator[Message]:
        """Return the messages that exist (strongly consistent).

        `unreadable` is as in the constructor, for this call.
        """
        items = self._table.get_many("message_sid", message_sids)
        kept = (item for item in items if not _is_tombstone(item))
        return readable(kept, message_of, "message_sid", unreadable or self._unreadable)

    def find(self, message_sids: Iterable[str]) -> Found:
        """Return what the table has of these SIDs, by eventually consistent reads."""
        items = list(self._table.get_many("message_sid", message_sids, consistent=False))
        erased = {item["message_sid"]["S"] for item in items if _is_tombstone(item)}
        kept = (item for item in items if not _is_tombstone(item))
        unreadable = set[str]()
        messages = list(readable(kept, message_of, "message_sid", unreadable.add))
        return Found(
            messages={message.message_sid: message for message in messages},
            erased=frozenset(erased),
            unreadable=frozenset(unreadable),
        )

    def every(
        self, *, changed_since: date | None = None, unreadable: Callable[[str], object]
    ) -> Iterator[Message]:
        """Return all messages (strongly consistent); it costs as much as reading the whole table.

        Args:
            changed_since: leaves out messages that have not changed on this day (UTC) or later.
            unreadable: called with the SID of each item that this version cannot read.
        """
        since = f"{changed_since or date.min}"
        items = self._table.scan(
            "attribute_not_exists(#erased_at) "
            "AND (attribute_not_exists(#updated_at) OR #updated_at >= :since)",
            since=since,
        )
        return readable(items, message_of, "message_sid", unreadable)

    def record(self, update: StatusUpdate) -> Recorded:
        """Record an update of a message; it is durable when this returns.

        Any order, repetition and concurrency of updates ends in the same status and outcome.
        """
        found = self._advance(update)
        for _ in range(_MAX_ATTEMPTS):
            if isinstance(found, Recorded):
                return found
            if _is_tombstone(found):
                message = Message.from_first_update(update, self._timings)
                return Recorded(update=update, message=message, effect=Effect.ERASED)
            found = self._merge(update, found) if found else self._advance(update)
        raise StoreUnavailable("other writers kept changing the message")

    def record_existing(self, known: Message, update: StatusUpdate) -> Recorded | None:
        """Record an update of a message that was read before; None where it is gone.

        An erased or expired message stays so.
        """
        item = as_item(record_of(known))
        for _ in range(_MAX_ATTEMPTS):
            if not item or _is_tombstone(item):
                return None
            found = self._merge(update, item)
            if isinstance(found, Recorded):
                return found
            item = found
        raise StoreUnavailable("other writers kept changing the message")

    def record_unsent_request(
        self, update: StatusUpdate, *, requested_at: datetime | None = None
    ) -> Recorded:
        """Record a request that ended without a SID as a failed message.

        The update's `message_sid` is the request's id. A later attempt under the same key replaces
        the record, and makes a new notice due; `requested_at` distinguishes it from a repetition.
        """
        unsent = Message.from_unsent_request(update, self._timings)
        written, item = self._table.update(_first_write(unsent))
        for _ in range(_MAX_ATTEMPTS):
            if _is_tombstone(item):
                return Recorded(update=update, message=unsent, effect=Effect.ERASED)
            known = message_of(item)
            if written:
                return Recorded(
                    update=update, message=known, effect=Effect.ADVANCED, outcome_changed=True
                )
            after = known.as_failed_again(update, self._timings, requested_at=requested_at)
            if after is known:
                return Recorded(update=update, message=known, effect=Effect.DUPLICATE)
            changes = compare_and_set(item, known, after, ("transitions", "notice", "outcome"))
            written, item = self._table.update(changes)
        raise StoreUnavailable("other writers kept changing the message")

    def record_superseded(self, update: StatusUpdate) -> Message:
        """Undo `record_unsent_request` of this update, whether it has happened yet or not."""
        superseded = Message.from_unsent_request(update, self._timings).as_superseded(update.at)
        written, item = self._table.update(_first_write(superseded))
        if written:
            return message_of(item)

        def supersede(known: Message) -> Message:
            return replace(known.as_superseded(update.at), status=update.status)

        return self._change(item, supersede) or superseded

    def supersede(self, request_id: str, at: datetime) -> None:
        """Mark a request that was recorded as unsent, if it was, as sent after all."""
        if item := self._table.get(message_sid=request_id):
            self._change(item, lambda known: known.as_superseded(at))

    def record_unconfirmed(self, message: Message, at: datetime) -> Message:
        """Give a pending message the outcome unconfirmed; a final status that was faster stays."""
        item = as_item(record_of(message))
        return self._change(item, lambda known: known.as_unconfirmed(at)) or message

    def erase(self, message_sid: str, *, at: datetime, expires_at: int) -> None:
        """Replace the message by a tombstone, or put one where the message would be.

        Later updates of the message are not stored. The tombstone holds nothing but the SID and two
        times; TTL deletes it at `expires_at` (epoch seconds).
        https://en.wikipedia.org/wiki/Tombstone_(data_store)
        """
        tombstone = {
            "message_sid": message_sid,
            "erased_at": iso(at),
            "status_rank": _ERASED_RANK,
            "expires_at": expires_at,
        }
        unless_erased = Conditions()
        unless_erased.require("attribute_not_exists(#erased_at)")
        self._table.put(tombstone, unless_erased)

    def schedule_check(self, message: Message, at: datetime) -> None:
        """Postpone the message's next reconciliation, if it is still pending."""
        changes = Changes(message_sid=message.message_sid)
        changes.set("list_at", iso(at))
        changes.require(
            "#list_key = :list_key AND #list_at < :list_at", list_key=list_key_of(message)
        )
        self._table.update(changes)

    def stale_messages(self, now: datetime) -> Iterator[Message]:
        """Return the pending messages that are due for reconciliation, the longest due first."""
        is_due = "#list_key = :list_key AND #list_at <= :now"
        shards = (
            self._table.query("by_list", is_due, list_key=list_key, now=iso(now))
            for list_key in PENDING_KEYS
        )
        due = merge(*shards, key=lambda it: str(it["list_at"]["S"]))
        for message in self.get_many(it["message_sid"]["S"] for it in due):
            # The index is eventually consistent: the message may have changed.
            if message.outcome is Outcome.PENDING and message.list_at and message.list_at <= now:
                yield message

    def advance_notice(self, message: Message, at: datetime) -> Message | None:
        """Take the next step of the message's notice, if it is still to be taken.

        Returns the message after it; None where another notifier took the step, the message is
        gone, or a later failure has replaced the notice. The client must not retry writes: a lost
        answer would make its own step look like another notifier's. After StoreUnavailable, read
        the message again.
        """
        item = as_item(record_of(message))
        for _ in range(_MAX_ATTEMPTS):
            known = message_of(item)
            changes = compare_and_set(
                item, known, known.with_next_notice_state(at), ("notice", "outcome")
            )
            written, item = self._table.update(changes)
            if written:
                return message_of(item)
            if not item or _is_tombstone(item):
                return None
            newer = message_of(item)
            if (newer.notice, newer.notice_id) != (message.notice, message.notice_id):
                return None
        raise StoreUnavailable("other writers kept changing the message")

    def take_over_notice(self, message: Message, at: datetime) -> Message | None:
        """Claim a notice whose lease is over; None where the message changed meanwhile.

        The client must not retry writes, as with `advance_notice`.
        """
        claimed = replace(message, notice_at=at)
        item = as_item(record_of(message))
        changes = compare_and_set(item, message, claimed, ("notice", "outcome"))
        written, item = self._table.update(changes)
        return message_of(item) if written else None

    def notices_due(self, before: datetime) -> Iterator[str]:
        """Return the SIDs of messages whose notice is due, or claimed, since before `before`.

        The oldest come first. The index is eventually consistent: read the message before acting.
        One request finds that nothing is due, which is nearly always so.
        """
        if not self._table.may_list("by_notice_due", "#notice_at < :before", before=iso(before)):
            return
        is_due = "#notice_due = :notice_due AND #notice_at < :before"
        shards = (
            self._table.query("by_notice_due", is_due, notice_due=notice_due, before=iso(before))
            for notice_due in NOTICE_DUE_KEYS
        )
        for item in merge(*shards, key=lambda it: str(it["notice_at"]["S"])):
            yield item["message_sid"]["S"]

    def sent_under(self, request: "SendRequest") -> Message | None:
        """Return the message of the request's account that carries the request's id.

        A callback that arrived before the send was recorded is found by that id, however its `To`
        is written. A message that the request's function recorded is found by recipient and time.
        The work is bounded, and the indexes are eventually consistent: None proves nothing. An
        erased request has no `to`.

        Raises:
            ItemUnreadable: this version cannot read a candidate.
        """
        if not request.to:
            return None
        since, until = request.recorded_between
        by_callback = self._table.query(
            "by_request",
            "#callback_request_id = :request_id",
            limit=MAX_BATCH_GET_ITEMS,
            request_id=request.request_id,
        )
        by_recipient = self._table.query(
            "by_to",
            "#to = :to AND #created_at BETWEEN :since AND :until",
            limit=MAX_BATCH_GET_ITEMS,
            to=request.to,
            since=iso(since),
            until=iso(until),
        )
        for listed in (by_callback, by_recipient):
            sids = [it["message_sid"]["S"] for it in islice(listed, MAX_BATCH_GET_ITEMS)]
            unreadable: list[str] = []
            for message in self.get_many(sids, unreadable=unreadable.append):
                if request.is_sent_as(message):
                    return message
            if unreadable:
                raise ItemUnreadable(f"the item is not a message: {unreadable[0]}")
        return None

    def _change(self, item: Item, change: Callable[[Message], Message]) -> Message | None:
        """Apply a change to the latest version of the message; return the message after it.

        The change may return the message as it was. None where the message was erased.
        """
        for _ in range(_MAX_ATTEMPTS):
            if _is_tombstone(item):
                return None
            known = message_of(item)
            changed = change(known)
            if changed == known:
                return known
            changes = compare_and_set(item, known, changed, ("transitions", "notice"))
            written, item = self._table.update(changes)
            if written:
                return message_of(item)
            if not item:
                raise StoreUnavailable("the message is gone")
        raise StoreUnavailable("other writers kept changing the message")

    def _advance(self, update: StatusUpdate) -> Recorded | Item:
        """Write the plain advance; or return the item that failed the condition ({}: none).

        A callback with our request's id usually arrives after the send was recorded. If it is the
        first write of its message, a second request puts the item into `by_request` too.
        """
        if update.source is Source.CALLBACK and update.request_id is not None:
            written, item = self._table.update(_plain_advance(update, self._timings, is_new=False))
            if not written and not item:
                first = _plain_advance(update, self._timings, is_new=True)
                first.set("callback_request_id", update.request_id)
                written, item = self._table.update(first)
        else:
            written, item = self._table.update(_plain_advance(update, self._timings))
        if not written:
            return item
        message = message_of(item)
        return Recorded(
            update=update,
            message=message,
            effect=Effect.ADVANCED if rank(update.status) else Effect.UNKNOWN,
            outcome_changed=_sets_outcome(update.status, message),
        )

    def _merge(self, update: StatusUpdate, item: Item) -> Recorded | Item:
        """Write what the rules make of the item; or return the newer item that was in the way."""
        known = message_of(item)
        after = known.apply(update, self._timings)
        if after is not known:
            changes = compare_and_set(item, known, after, ("transitions", "notice"))
            written, newer = self._table.update(changes)
            if not written:
                return newer
        return Recorded(
            update=update,
            message=after,
            effect=known.effect_of(update, after),
            outcome_changed=after.outcome is not known.outcome,
            error_code_conflict=known.conflicts_with(update),
        )


def message_of(item: Item) -> Message:
    """Return the message that an item holds.

    Raises:
        ItemUnreadable: the item is not a message.
    """
    return parse_item(item, Message.from_record, "a message")


def record_of(message: Message) -> Record:
    """Return what a message's item holds as plain data: its facts and the keys of the indexes."""
    keys = {
        "status_rank": message.status_rank,
        "list_key": list_key_of(message),
        "notice_due": notice_due_key_of(message),
    }
    keys = {name: key for name, key in keys.items() if key is not None}
    return message.as_item_record() | keys


def compare_and_set(
    item: Item, known: Message, after: Message, depends_on: tuple[str, ...]
) -> Changes:
    """Write what `after` changes in `known`, if nothing that the change depends on has changed.

    Only attributes that differ are written, and those must be as they were, too.
    https://en.wikipedia.org/wiki/Compare-and-swap
    """
    before, record = record_of(known), record_of(after)
    changes = Changes(message_sid=known.message_sid)
    touched = [name for name in before | record if before.get(name) != record.get(name)]
    for name in touched:
        if name in record:
            changes.set(name, record[name])
        else:
            changes.remove(name)
    for name in dict.fromkeys((*depends_on, *touched)):
        changes.require_unchanged(name, item)
    return changes


def _plain_advance(
    update: StatusUpdate, timings: Timings, *, is_new: bool | None = None
) -> Changes:
    """Return the write of a status on the condition that it is the first, or ranks higher.

    `is_new` restricts it to the first write of a message (True) or to later ones (False).
    """
    first = Message.from_first_update(update, timings)
    outcome = first.outcome
    record = record_of(first)
    changes = Changes(message_sid=record.pop("message_sid"))
    changes.append("transitions", record.pop("transitions")[0])
    replaced = _REPLACED | _REPLACED_BY_OUTCOME[outcome]
    for name, value in record.items():
        changes.set(name, value, once=name not in replaced)
    if outcome in {Outcome.DELIVERED, Outcome.CANCELED}:  # on no list any more
        changes.remove("list_key")
        changes.remove("list_at")

    # A later `send_at` moves times that were computed without it.
    if is_new or update.send_at is not None:
        changes.require(_IS_NEW)
        return changes
    ranks_higher = [_RANKS_HIGHER, _IS_LATER]
    other = {}
    if outcome in _OTHER_OUTCOME:
        ranks_higher.append(_REPLACES_OUTCOME)
        other["other_outcome"] = _OTHER_OUTCOME[outcome]
    if update.context:
        ranks_higher.append(_SAME_CONTEXT)
    if is_new is None:
        changes.require(f"{_IS_NEW} OR ({' AND '.join(ranks_higher)})", **other)
    else:
        changes.require(" AND ".join(ranks_higher), **other)
    return changes


def _sets_outcome(status: str, message: Message) -> bool:
    """Whether the status, which has just advanced the message, gave it its outcome.

    `read` does not after `delivered`. The plain advance never applies to a failed message.
    """
    outcome = outcome_of(status)
    return outcome is not Outcome.PENDING and all(
        outcome_of(it.status) is not outcome for it in message.transitions if it.status != status
    )


def _first_write(message: Message) -> Changes:
    """Return the write of a whole message on the condition that its item is new."""
    record = record_of(message)
    changes = Changes(message_sid=record.pop("message_sid"))
    for name, value in record.items():
        changes.set(name, value)
    changes.require(_IS_NEW)
    return changes


def _is_tombstone(item: Item) -> bool:
    return "erased_at" in item
