"""The lists of messages that the table's indexes have, read page by page or as a whole.

A list has an order of its own (`delivery.storage.cursor`), whatever order DynamoDB gives to items
of the same time. An index is eventually consistent: the reader returns a message only if the
message itself still belongs to the list.

Errors:

    StoreUnavailable    DynamoDB did not answer
    TokenInvalid        the token belongs to another list
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from heapq import merge
from itertools import batched, groupby, islice
from typing import Final

from delivery.domain.messages import Message
from delivery.domain.statuses import Outcome
from delivery.storage.cursor import Page, Position
from delivery.storage.index_keys import list_key_of, list_keys
from delivery.storage.table import MAX_BATCH_GET_ITEMS, Table

# The page size of one index key when a whole list is read: a fifth of what DynamoDB returns at
# once, since few days have more.
_INDEX_PAGE_SIZE: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How many messages a list has; at least so many where `is_exact` is false."""

    number: int
    is_exact: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageList:
    """A list: which keys of which index have it, and which messages belong to it.

    A list leaves out superseded requests, because their messages are on it; only `to` can include
    them.
    """

    query: str
    index: str
    key: str
    values: tuple[str, ...]
    at: str
    newest_first: bool
    belongs: Callable[[Message], bool]

    @classmethod
    def to(cls, *addresses: str, with_superseded: bool = False) -> "MessageList":
        """The messages to any of these addresses, as Twilio writes them; the newest first."""

        def belongs(message: Message) -> bool:
            return message.to in addresses and (with_superseded or not message.is_superseded)

        return cls._by_attribute("to", addresses, belongs)

    @classmethod
    def with_reference(cls, reference: str) -> "MessageList":
        """The messages with the caller's own id, the newest first."""

        def belongs(message: Message) -> bool:
            return message.reference == reference and not message.is_superseded

        return cls._by_attribute("reference", (reference,), belongs)

    @classmethod
    def pending(cls) -> "MessageList":
        """The messages without a final status, the one that is reconciled next first."""
        return cls._by_list_key(list_keys(Outcome.PENDING, None), newest_first=False)

    @classmethod
    def failed_on(cls, day: date) -> "MessageList":
        """The messages that failed on a day in UTC and are still failed, the newest first."""
        return cls._by_list_key(list_keys(Outcome.FAILED, day), newest_first=True)

    @classmethod
    def unconfirmed_on(cls, day: date) -> "MessageList":
        """The messages that became unconfirmed on a day in UTC and still are, the newest first."""
        return cls._by_list_key(list_keys(Outcome.UNCONFIRMED, day), newest_first=True)

    @classmethod
    def _by_list_key(cls, keys: tuple[str, ...], *, newest_first: bool) -> "MessageList":
        return cls(
            query=keys[0],
            index="by_list",
            key="list_key",
            values=keys,
            at="list_at",
            newest_first=newest_first,
            belongs=lambda message: list_key_of(message) in keys,
        )

    @classmethod
    def _by_attribute(
        cls, key: str, values: tuple[str, ...], belongs: Callable[[Message], bool]
    ) -> "MessageList":
        return cls(
            query=f"{key}={values[0]}",
            index=f"by_{key}",
            key=key,
            values=values,
            at="created_at",
            newest_first=True,
            belongs=belongs,
        )


class ListReader:
    """Reads lists of one table. Every method raises StoreUnavailable if DynamoDB does not answer.

    `get_many` returns the messages with these SIDs that exist (strongly consistent).
    """

    def __init__(
        self, table: Table, get_many: Callable[[Iterable[str]], Iterator[Message]]
    ) -> None:
        self._table = table
        self._get_many = get_many

    def page(self, of: MessageList, *, limit: int, next_token: str | None = None) -> Page:
        """Return the part of the list to which the token leads; without a token, the first part.

        Raises:
            TokenInvalid: the token belongs to another list.
        """
        after = Position.from_token(next_token, of.query) if next_token else None
        wanted = limit + 1  # one more shows whether there is a next page
        # Several keys share the page roughly evenly. Each query reads one item more than that,
        # because only the next item shows that no other one has the same time.
        keys = len(of.values)
        page_size = (wanted if keys == 1 else 2 * wanted // keys + 4) + 1
        found = list(islice(self._messages(of, after, wanted, page_size), wanted))
        messages = tuple(message for _, message in found[:limit])
        if len(found) <= limit:
            return Page(messages=messages)
        last, _ = found[limit - 1]
        return Page(messages=messages, next_token=last.as_token(of.query))

    def every(self, of: MessageList) -> Iterator[Message]:
        """Return the whole list, read as it is iterated."""
        for _, message in self._messages(of, None, MAX_BATCH_GET_ITEMS, _INDEX_PAGE_SIZE):
            yield message

    def count(self, of: MessageList) -> Count:
        """Count the list in the index alone, which is cheap; of a very long list only a part."""
        condition = f"#{of.key} = :key"
        counts = [self._table.count(of.index, condition, key=it) for it in of.values]
        return Count(
            number=sum(number for number, _ in counts),
            is_exact=all(is_exact for _, is_exact in counts),
        )

    def _messages(
        self, of: MessageList, after: Position | None, batch_size: int, page_size: int
    ) -> Iterator[tuple[Position, Message]]:
        """Return the list after a place; `page_size` is that of a query of one key."""
        keys = (self._positions(of, value, after, page_size) for value in of.values)
        seen = set[str]()  # a message that moves during a query is listed twice
        for positions in batched(merge(*keys, reverse=of.newest_first), batch_size, strict=False):
            by_sid: dict[str, Position] = {}
            for position in positions:
                if position.message_sid not in seen:
                    seen.add(position.message_sid)
                    by_sid[position.message_sid] = position
            for message in self._get_many(by_sid):
                if of.belongs(message):
                    yield by_sid[message.message_sid], message

    def _positions(
        self, of: MessageList, value: str, after: Position | None, page_size: int
    ) -> Iterator[Position]:
        """Return what the index has under one key after a place, in the list's order.

        DynamoDB does not define the order of items with the same time: they are read together and
        sorted here.
        """
        condition, values = f"#{of.key} = :key", {"key": value}
        if after:
            condition += f" AND #{of.at} {'<=' if of.newest_first else '>='} :after"
            values["after"] = after.at
        items = self._table.query(
            of.index, condition, newest_first=of.newest_first, limit=page_size, **values
        )
        for at, same_time in groupby(items, key=lambda it: str(it[of.at]["S"])):
            positions = (Position(at, it["message_sid"]["S"]) for it in same_time)
            for position in sorted(positions, reverse=of.newest_first):
                if not after or (position < after if of.newest_first else position > after):
                    yield position
