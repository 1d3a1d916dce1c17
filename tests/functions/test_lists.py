"""The lists of MessageStore: their pages, also for equal times and while the index lags."""

from collections.abc import Callable, Iterable
from datetime import date, timedelta
from functools import partial
from itertools import batched
from random import Random
from typing import Any

import pytest
from mypy_boto3_dynamodb import DynamoDBClient

from delivery.domain.messages import StatusUpdate
from delivery.storage.cursor import Page, TokenInvalid
from delivery.storage.items import as_item
from delivery.storage.message_lists import Count, MessageList
from delivery.storage.messages import MessageStore, record_of
from tests.support.builders import NOON, a_message, an_update
from tests.support.faults import WrappedClient

TODAY = date(2026, 11, 23)
TO = "+15558675310"

type ReadPage = Callable[..., Page]
type Fill = Callable[[Iterable[StatusUpdate]], None]


@pytest.fixture
def fill(dynamodb: DynamoDBClient, messages_table: str) -> Fill:
    """Store the message of each update in batches, which is faster than recording them."""

    def put(updates: Iterable[StatusUpdate]) -> None:
        for some in batched(updates, 25, strict=False):
            items = [as_item(record_of(a_message(update))) for update in some]
            puts: Any = [{"PutRequest": {"Item": item}} for item in items]
            dynamodb.batch_write_item(RequestItems={messages_table: puts})

    return put


def sid(number: int) -> str:
    return f"SM{number:032x}"


def failure(number: int, *, after: float = 0, **facts: Any) -> StatusUpdate:
    return an_update("failed", after=after, message_sid=sid(number), **facts)


def pages(read: ReadPage, limit: int) -> list[list[str]]:
    """The SIDs of every page, following the tokens."""
    page = read(limit=limit)
    listed = [[message.message_sid for message in page.messages]]
    while page.next_token:
        page = read(limit=limit, next_token=page.next_token)
        listed.append([message.message_sid for message in page.messages])
    return listed


def scattered(count: int, times: int) -> list[tuple[int, int]]:
    """Numbers in random order, each with one of a few times."""
    chance = Random(count * times)  # noqa: S311 -- the same every time, on purpose
    numbers = [(number, chance.randrange(times)) for number in range(count)]
    chance.shuffle(numbers)
    return numbers


# --- pages ---------------------------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.parametrize("limit", [2, 5, 12, 100])
@pytest.mark.parametrize("times", [1, 3, 12], ids=["one time", "few times", "many times"])
def test_each_message_is_on_one_page_also_if_many_have_the_same_time(
    store: MessageStore, limit: int, times: int, fill: Fill
) -> None:
    numbers = scattered(12, times)
    fill(failure(number, after=60 * minute, reference="r") for number, minute in numbers)
    newest_first = [
        sid(number) for number, _ in sorted(numbers, key=lambda it: (it[1], it[0]), reverse=True)
    ]
    readers: list[ReadPage] = [
        lambda **page: store.lists.page(MessageList.to(TO), **page),
        lambda **page: store.lists.page(MessageList.with_reference("r"), **page),
        lambda **page: store.lists.page(MessageList.failed_on(TODAY), **page),
    ]

    for read in readers:
        assert pages(read, limit) == [list(it) for it in batched(newest_first, limit, strict=False)]


@pytest.mark.parametrize("limit", [5, 100])
def test_pending_messages_are_listed_by_their_next_check(
    store: MessageStore, limit: int, fill: Fill
) -> None:
    numbers = scattered(21, 5)
    fill(
        an_update("sent", message_sid=sid(number), after=60 * minute) for number, minute in numbers
    )
    expected = [sid(number) for number, _ in sorted(numbers, key=lambda it: (it[1], it[0]))]

    listed = pages(partial(store.lists.page, MessageList.pending()), limit)
    assert [sid for page in listed for sid in page] == expected


def test_unconfirmed_messages_are_listed_by_their_day(store: MessageStore) -> None:
    for number, hours in enumerate((11.9, 12, 13, 36)):
        message = store.record(an_update("sent", message_sid=sid(number))).message
        store.record_unconfirmed(message, NOON + timedelta(hours=hours))

    listed = [
        [
            it.message_sid
            for it in store.lists.page(MessageList.unconfirmed_on(day), limit=10).messages
        ]
        for day in (TODAY + timedelta(days=days) for days in range(4))
    ]

    assert listed == [[sid(0)], [sid(2), sid(1)], [sid(3)], []]


def test_a_full_last_page_has_no_token(store: MessageStore, fill: Fill) -> None:
    fill(failure(number) for number in range(4))

    first = store.lists.page(MessageList.failed_on(TODAY), limit=2)
    assert first.next_token
    last = store.lists.page(MessageList.failed_on(TODAY), limit=2, next_token=first.next_token)

    assert (len(last.messages), last.next_token) == (2, None)


def test_new_messages_do_not_move_the_next_page(store: MessageStore, fill: Fill) -> None:
    fill(failure(number, after=number) for number in range(10))
    first = store.lists.page(MessageList.to(TO), limit=5)
    fill([failure(10, after=10), failure(11, after=4.5)])

    rest = store.lists.page(MessageList.to(TO), limit=100, next_token=first.next_token)

    assert [message.message_sid for message in rest.messages] == [
        sid(number) for number in (11, 4, 3, 2, 1, 0)
    ]


# --- which messages belong to a list -------------------------------------------------------------


def test_a_recovered_message_is_not_listed_while_the_index_lags(
    dynamodb: DynamoDBClient, store: MessageStore, fill: Fill
) -> None:
    fill(failure(number, after=number) for number in range(20))
    keys = [f"failed#2026-11-23#{shard}" for shard in "0123456789abcdef"]
    before = {
        key: dynamodb.query(
            TableName="MessagesTable",
            IndexName="by_list",
            KeyConditionExpression="list_key = :key",
            ExpressionAttributeValues={":key": {"S": key}},
            ScanIndexForward=False,
        )["Items"]
        for key in keys
    }

    def lag(name: str, call: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        if name != "query":
            return call(**arguments)
        return {"Items": before[arguments["ExpressionAttributeValues"][":key"]["S"]]}

    client: Any = WrappedClient(dynamodb, lag)
    lagging = MessageStore(client, "MessagesTable")
    for number in range(10, 20):
        store.record(an_update("delivered", after=100, message_sid=sid(number)))

    page = lagging.lists.page(MessageList.failed_on(TODAY), limit=5)

    assert [message.message_sid for message in page.messages] == [
        sid(number) for number in (9, 8, 7, 6, 5)
    ]
    assert page.next_token


def test_messages_of_another_day_or_recipient_are_not_listed(
    store: MessageStore, fill: Fill
) -> None:
    fill([failure(1, after=-13 * 3600), failure(2, to="+15550000000", reference="other")])

    def listed(messages: MessageList) -> list[str]:
        return [it.message_sid for it in store.lists.page(messages, limit=9).messages]

    assert listed(MessageList.failed_on(TODAY)) == [sid(2)]
    assert listed(MessageList.to("+15550000000")) == [sid(2)]
    assert listed(MessageList.with_reference("othe")) == []


# --- tokens --------------------------------------------------------------------------------------


@pytest.fixture
def token(store: MessageStore, fill: Fill) -> str:
    """The token of the second page of the messages to TO."""
    fill(failure(number) for number in range(3))
    token = store.lists.page(MessageList.to(TO), limit=1).next_token
    assert token
    return token


def test_a_token_is_safe_in_a_url_and_holds_no_number(token: str) -> None:
    assert len(token) < 128
    assert token.replace("-", "").replace("_", "").isalnum()
    assert "8675310" not in token


def test_a_token_of_another_list_is_invalid(store: MessageStore, token: str) -> None:
    for other in (
        MessageList.to("+15550000000"),
        MessageList.with_reference(TO),
        MessageList.failed_on(TODAY),
        MessageList.pending(),
    ):
        with pytest.raises(TokenInvalid):
            store.lists.page(other, limit=1, next_token=token)


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda token: token[:-1],
        lambda token: token + "A",
        lambda token: token + "=",
        lambda token: "!" + token,
        lambda token: token.swapcase(),
        lambda _: "ÿ",
        lambda _: "A" * 5000,
    ],
)
def test_a_damaged_token_is_invalid(
    store: MessageStore, token: str, spoilt: Callable[[str], str]
) -> None:
    with pytest.raises(TokenInvalid, match="next_token"):
        store.lists.page(MessageList.to(TO), limit=1, next_token=spoilt(token))


# --- counting ------------------------------------------------------------------------------------


def test_a_list_is_counted(store: MessageStore, fill: Fill) -> None:
    fill(failure(number) for number in range(20))
    fill([an_update("sent", message_sid=sid(20))])

    assert store.lists.count(MessageList.failed_on(TODAY)) == Count(number=20)
    assert store.lists.count(MessageList.unconfirmed_on(TODAY)) == Count(number=0)
    assert store.lists.count(MessageList.pending()) == Count(number=1)


def test_a_count_of_one_page_of_a_longer_list_is_not_exact(
    fill: Fill, dynamodb: DynamoDBClient, messages_table: str
) -> None:
    fill(failure(number) for number in range(0, 32, 16))  # of the same last digit

    def one_per_page(_: str, call: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        return call(**arguments | {"Limit": 1})

    client: Any = WrappedClient(dynamodb, one_per_page)
    store = MessageStore(client, messages_table)

    assert store.lists.count(MessageList.failed_on(TODAY)) == Count(number=1, is_exact=False)
