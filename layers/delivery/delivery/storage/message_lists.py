"""The lists of messages that the table's indexes have, read page by page or as a whole.

A list has an order of its own (`delivery.storage.cursor`), whatever order DynamoDB gives to what
has the same time. An index lags behind the table: a message is on a list only if it belongs to it
by now.

Errors:

    StoreUnavailable    DynamoDB did not answer
    TokenInvalid        a list was to be continued that is another one
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from heapq import merge
from itertools import batched, groupby, islice
from typing import Final

from delivery.domain.messages import PENDING_KEYS, Message, Outcome, list_keys
from delivery.storage.cursor import Page, Position
from delivery.storage.table import MAX_ITEMS_OF_A_READ, Table

# Of one key of an index, where all are wanted: a fifth of what DynamoDB gives at once, since the
# fewest days have so many.
_MANY_POSITIONS: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How many messages are on a list; where `is_all` is false, at least so many."""

    number: int
    is_all: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageList:
    """A question whose answer is a list: where an index has it, and which messages belong to it.

    A request that was sent after all is superseded by its message: a list has one of them only.
    """

    question: str
    index: str
    key: str
    values: tuple[str, ...]
    at: str
    newest_first: bool
    belongs: Callable[[Message], bool]

    @classmethod
    def to(cls, address: str, *, with_superseded: bool = False) -> "MessageList":
        """The messages to an address, the newest first."""

        def belongs(message: Message) -> bool:
            return message.to == address and (with_superseded or not message.is_superseded)

        return cls._of("to", address, belongs)

    @classmethod
    def with_reference(cls, reference: str) -> "MessageList":
        """The messages with the caller's own id, the newest first."""

        def belongs(message: Message) -> bool:
            return message.reference == reference and not message.is_superseded

        return cls._of("reference", reference, belongs)

    @classmethod
    def watched(cls, outcome: Outcome, day: date | None = None) -> "MessageList":
        """The messages that failed or were given up on a day in UTC, the newest first.

        Those that are pending stand under no day: the one that Twilio is asked about next first.
        """
        values = PENDING_KEYS if day is None else list_keys(outcome, day)
        return cls(
            question=values[0],
            index="by_list",
            key="list_key",
            values=values,
            at="list_at",
            newest_first=day is not None,
            belongs=lambda message: message.list_key in values,
        )

    @classmethod
    def _of(cls, key: str, value: str, belongs: Callable[[Message], bool]) -> "MessageList":
        return cls(
            question=f"{key}={value}",
            index=f"by_{key}",
            key=key,
            values=(value,),
            at="created_at",
            newest_first=True,
            belongs=belongs,
        )


class ListReader:
    """Reads lists of one table.

    Args:
        table: the MessagesTable.
        read: the messages with these SIDs as they are now, as far as there are any.
    """

    def __init__(self, table: Table, read: Callable[[Iterable[str]], Iterator[Message]]) -> None:
        self._table = table
        self._read = read

    def page(self, listed: MessageList, limit: int, next_token: str | None) -> Page:
        """The part of the list that the token leads to; the first one without."""
        after = Position.from_token(next_token, listed.question) if next_token else None
        at_once = limit + 1  # one more than is shown tells whether there is a next page
        # Of several keys each has its part, give or take; and that nothing more has the same time
        # shows only in the next item.
        keys = len(listed.values)
        share = (at_once if keys == 1 else 2 * at_once // keys + 4) + 1
        found = list(islice(self._messages(listed, after, at_once, share), at_once))
        shown = tuple(message for _, message in found[:limit])
        if len(found) <= limit:
            return Page(messages=shown)
        last, _ = found[limit - 1]
        return Page(messages=shown, next_token=last.as_token(listed.question))

    def every(self, listed: MessageList) -> Iterator[Message]:
        """The whole list, read as it is iterated."""
        for _, message in self._messages(listed, None, MAX_ITEMS_OF_A_READ, _MANY_POSITIONS):
            yield message

    def count(self, listed: MessageList) -> Count:
        """How long the list is by the index alone; of a very long one a part is counted."""
        condition = f"#{listed.key} = :key"
        counts = [self._table.count(listed.index, condition, key=it) for it in listed.values]
        return Count(
            number=sum(number for number, _ in counts), is_all=all(is_all for _, is_all in counts)
        )

    def _messages(
        self, listed: MessageList, after: Position | None, at_a_time: int, share: int
    ) -> Iterator[tuple[Position, Message]]:
        """The list from a place on, read `at_a_time` messages and `share` of each key at a time."""
        keys = (self._positions(listed, value, after, share) for value in listed.values)
        seen = set[str]()  # what moved while the index was read is in it twice
        for positions in batched(
            merge(*keys, reverse=listed.newest_first), at_a_time, strict=False
        ):
            places: dict[str, Position] = {}
            for position in positions:
                if position.message_sid not in seen:
                    seen.add(position.message_sid)
                    places[position.message_sid] = position
            for message in self._read(places):
                if listed.belongs(message):
                    yield places[message.message_sid], message

    def _positions(
        self, listed: MessageList, value: str, after: Position | None, share: int
    ) -> Iterator[Position]:
        """What the index has under one key, in the list's order, from a place on.

        DynamoDB says nothing of the order of what has the same time: those are read together, and
        put into an order of ours.
        """
        condition, values = f"#{listed.key} = :key", {"key": value}
        if after:
            condition += f" AND #{listed.at} {'<=' if listed.newest_first else '>='} :after"
            values["after"] = after.at
        items = self._table.query(
            listed.index, condition, newest_first=listed.newest_first, limit=share, **values
        )
        for at, together in groupby(items, key=lambda it: str(it[listed.at]["S"])):
            positions = (Position(at, it["message_sid"]["S"]) for it in together)
            for position in sorted(positions, reverse=listed.newest_first):
                if not after or (position < after if listed.newest_first else position > after):
                    yield position
