"""Table: what it asks DynamoDB for, and what it does when DynamoDB answers only in part."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError
from mypy_boto3_dynamodb import DynamoDBClient

from delivery.domain.audits import AuditResult, AuditState
from delivery.domain.messages import Message
from delivery.storage.expressions import Changes, Conditions
from delivery.storage.items import Item, as_item
from delivery.storage.messages import MessageStore, record_of
from delivery.storage.send_requests import SendRequestStore
from delivery.storage.table import (
    ItemUnreadable,
    StoreUnavailable,
    Table,
    TransactItem,
    parse_item,
    readable,
    transact,
)
from tests.support.builders import ACCOUNT_SID, MESSAGE_SID, NOON, a_message
from tests.support.shared_clients import shared_client

OTHER_SID = "SM" + "9" * 32
BUSY = "TransactionConflictException"
CANCELED = "TransactionCanceledException"


class ScriptedClient:
    """A client of DynamoDB that gives these answers one after the other, the last one again.

    Text is the name of an error, a list the reasons why a transaction was canceled; None stands
    for a part without a reason of its own.
    """

    def __init__(self, *answers: Any) -> None:
        self.exceptions = shared_client("dynamodb").exceptions
        self.calls: list[dict[str, Any]] = []
        self._answers = list(answers)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(**arguments: Any) -> Any:
            self.calls.append(arguments)
            answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
            match answer:
                case str():
                    raise getattr(self.exceptions, answer)({}, name)
                case list():
                    reasons = [{"Code": code} if code else {} for code in answer]
                    raise getattr(self.exceptions, CANCELED)({"CancellationReasons": reasons}, name)
                case Exception():
                    raise answer
            return answer

        return call


def a_table(*answers: Any) -> tuple[Any, ScriptedClient]:
    client = ScriptedClient(*answers)
    return Table(client, "Table"), client  # type: ignore[arg-type]  # as far as it is used


def batch(*sids: str, left: tuple[str, ...] = ()) -> dict[str, Any]:
    keys = [{"message_sid": {"S": sid}} for sid in left]
    return {
        "Responses": {"Table": [item(sid) for sid in sids]},
        "UnprocessedKeys": {"Table": {"Keys": keys}} if keys else {},
    }


def item(sid: str) -> Item:
    return {"message_sid": {"S": sid}}


@pytest.fixture
def calls(dynamodb: DynamoDBClient) -> Iterator[list[dict[str, Any]]]:
    """The arguments of every call of DynamoDB."""
    calls: list[dict[str, Any]] = []
    events = dynamodb.meta.events
    keep = lambda params, **_: calls.append(params)  # noqa: E731 -- to register and unregister it
    events.register("provide-client-params.dynamodb", keep)
    yield calls
    events.unregister("provide-client-params.dynamodb", keep)


# --- reads ---------------------------------------------------------------------------------------


def test_a_decision_is_made_on_strongly_consistent_reads(
    dynamodb: DynamoDBClient,
    messages_table: str,
    requests_table: str,
    calls: list[dict[str, Any]],
) -> None:
    messages = MessageStore(dynamodb, messages_table)
    requests = SendRequestStore(dynamodb, requests_table)

    messages.get(MESSAGE_SID)
    requests.get("rq_" + "0" * 32)
    list(messages.get_many([MESSAGE_SID]))
    list(requests.get_many(["rq_" + "0" * 32]))
    list(requests.every_to(["+15558675310"]))

    one, other, batch_of_messages, batch_of_requests, scan = calls
    assert [it["ConsistentRead"] for it in (one, other, scan)] == [True, True, True]
    assert batch_of_messages["RequestItems"][messages_table]["ConsistentRead"] is True
    assert batch_of_requests["RequestItems"][requests_table]["ConsistentRead"] is True


def test_an_audit_looks_up_messages_at_half_the_price(
    dynamodb: DynamoDBClient, messages_table: str, calls: list[dict[str, Any]]
) -> None:
    MessageStore(dynamodb, messages_table).find([MESSAGE_SID])

    assert calls[0]["RequestItems"][messages_table]["ConsistentRead"] is False


def test_keys_that_a_batch_left_unprocessed_are_read_too() -> None:
    table, client = a_table(batch(OTHER_SID, left=(MESSAGE_SID,)), batch(MESSAGE_SID))

    found = list(table.get_many("message_sid", [MESSAGE_SID, OTHER_SID]))

    assert found == [item(MESSAGE_SID), item(OTHER_SID)]
    assert client.calls[1]["RequestItems"] == {"Table": {"Keys": [item(MESSAGE_SID)]}}


def test_a_batch_that_stays_unprocessed_is_an_error_and_not_a_missing_item() -> None:
    table, client = a_table(batch(left=(MESSAGE_SID,)))

    with pytest.raises(StoreUnavailable):
        list(table.get_many("message_sid", [MESSAGE_SID]))
    assert len(client.calls) == 16


def test_a_batch_requests_each_key_once_and_a_hundred_at_a_time() -> None:
    sids = [f"SM{number:032x}" for number in range(101)]
    table, client = a_table(batch())

    list(table.get_many("message_sid", [sids[0], *sids]))

    batches = [[it["message_sid"]["S"] for it in _keys(call)] for call in client.calls]
    assert batches == [sids[:99], sids[99:]]  # the first batch holds the repeated key
    assert [call["RequestItems"]["Table"]["ConsistentRead"] for call in client.calls] == [True] * 2


def test_a_list_goes_on_where_its_page_ended() -> None:
    table, client = a_table(
        {"Items": [item(MESSAGE_SID)], "LastEvaluatedKey": item(MESSAGE_SID)},
        {"Items": [item(OTHER_SID)]},
    )

    found = list(table.query("by_list", "#list_key = :list_key", limit=1, list_key="failed"))

    assert found == [item(MESSAGE_SID), item(OTHER_SID)]
    assert "ExclusiveStartKey" not in client.calls[0]
    assert client.calls[1]["ExclusiveStartKey"] == item(MESSAGE_SID)
    assert [call["Limit"] for call in client.calls] == [1, 1]
    assert [call["ScanIndexForward"] for call in client.calls] == [True, True]


@pytest.mark.parametrize(
    ("page", "may_list"),
    [
        ({"Items": []}, False),
        ({"Items": [item(MESSAGE_SID)]}, True),
        ({"Items": [], "LastEvaluatedKey": item(MESSAGE_SID)}, True),
    ],
)
def test_an_index_lists_nothing_only_if_its_whole_scan_found_nothing(
    page: dict[str, Any], *, may_list: bool
) -> None:
    table, client = a_table(page)

    assert table.may_list("by_notice_due", "#notice_due = :due", due="due") is may_list
    assert len(client.calls) == 1


@pytest.mark.parametrize(
    "read",
    [
        lambda table: table.get(message_sid=MESSAGE_SID),
        lambda table: list(table.get_many("message_sid", [MESSAGE_SID])),
        lambda table: list(table.query("by_list", "#list_key = :key", key="failed")),
        lambda table: table.count("by_list", "#list_key = :key", key="failed"),
        lambda table: list(table.scan("#to = :to", to="+15558675310")),
        lambda table: table.may_list("by_list", "#list_key = :key", key="failed"),
    ],
)
def test_a_read_without_an_answer_is_unavailable_and_not_an_empty_result(
    read: Callable[[Any], object],
) -> None:
    table, _ = a_table(ReadTimeoutError(endpoint_url="https://aws.example.com"))

    with pytest.raises(StoreUnavailable):
        read(table)


def test_reads_have_a_client_of_their_own_where_one_is_given() -> None:
    reader, writer = ScriptedClient({"Items": [], "Count": 0} | batch()), ScriptedClient({})
    table: Any = Table(writer, "Table", reader=reader)  # type: ignore[arg-type]  # the same

    table.get(message_sid=MESSAGE_SID)
    list(table.get_many("message_sid", [MESSAGE_SID]))
    list(table.query("by_list", "#list_key = :key", key="failed"))
    table.count("by_list", "#list_key = :key", key="failed")
    list(table.scan("#to = :to", to="+15558675310"))
    table.may_list("by_list", "#list_key = :key", key="failed")
    table.delete(Conditions(), message_sid=MESSAGE_SID)

    assert (len(reader.calls), len(writer.calls)) == (6, 1)


def test_an_item_that_cannot_be_read_is_an_error_unless_the_caller_takes_its_key() -> None:
    def parse(it: Item) -> object:
        return parse_item(it, lambda record: record["status"], "a message")

    skipped: list[str] = []
    sent = item(OTHER_SID) | {"status": {"S": "sent"}}

    with pytest.raises(ItemUnreadable, match="not a message"):
        list(readable([item(MESSAGE_SID)], parse, "message_sid", None))
    found = list(readable([item(MESSAGE_SID), sent], parse, "message_sid", skipped.append))
    assert (found, skipped) == (["sent"], [MESSAGE_SID])


AUDITED = AuditResult(
    account_sid=ACCOUNT_SID, day=NOON.date(), state=AuditState.FINAL, updated_at=NOON
).as_item_record()


@pytest.mark.parametrize(
    ("record", "read"),
    [
        (record_of(a_message("sent")) | {"transitions": ["sent"]}, Message.from_record),
        (AUDITED | {"spend": ["USD"]}, AuditResult.from_record),
        (AUDITED | {"spend": {"USD": "1,50"}}, AuditResult.from_record),
    ],
    ids=["entries of a list", "a list", "a number"],
)
def test_an_item_with_an_attribute_of_another_shape_is_unreadable(
    record: dict[str, Any], read: Callable[[dict[str, Any]], object]
) -> None:
    with pytest.raises(ItemUnreadable):
        parse_item(as_item(record), read, "one of ours")


# --- writes --------------------------------------------------------------------------------------


def test_a_write_to_an_item_that_a_transaction_holds_is_tried_again() -> None:
    table, client = a_table(BUSY, BUSY, {"Attributes": item(MESSAGE_SID)})

    assert table.update(Changes(message_sid=MESSAGE_SID)) == (True, item(MESSAGE_SID))
    assert len(client.calls) == 3


def test_a_write_to_an_item_that_stays_busy_is_not_confirmed() -> None:
    table, client = a_table(BUSY)

    with pytest.raises(StoreUnavailable):
        table.update(Changes(message_sid=MESSAGE_SID))
    assert len(client.calls) == 16


def test_a_write_whose_condition_failed_returns_the_item_that_is_there(
    dynamodb: DynamoDBClient, messages_table: str
) -> None:
    table = Table(dynamodb, messages_table)
    is_new = Conditions()
    is_new.require("attribute_not_exists(#message_sid)")
    record = {"message_sid": MESSAGE_SID, "status": "sent"}

    first = table.put(record, is_new)
    second = table.put(record | {"status": "queued"}, is_new)

    stored = {"message_sid": {"S": MESSAGE_SID}, "status": {"S": "sent"}}
    assert (first, second) == ((True, stored), (False, stored))
    assert not table.delete(is_new, message_sid=MESSAGE_SID)
    assert table.get(message_sid=MESSAGE_SID) == stored


PARTS: list[TransactItem] = [{"Delete": {}}]


@pytest.mark.parametrize(
    "reasons",
    [
        ["ConditionalCheckFailed"],
        ["None", "TransactionConflict"],
        ["TransactionConflict", None],
    ],
)
def test_a_transaction_that_met_another_writer_is_a_conflict(reasons: list[str | None]) -> None:
    client: Any = ScriptedClient(reasons)

    assert not transact(client, PARTS)
    assert len(client.calls) == 1


@pytest.mark.parametrize(
    "answer",
    [[], ["ConditionalCheckFailed", "ThrottlingError"], ReadTimeoutError(endpoint_url="https://x")],
    ids=["no reason", "throttled", "no answer"],
)
def test_a_transaction_that_failed_otherwise_is_not_taken_for_a_conflict(answer: Any) -> None:
    client: Any = ScriptedClient(answer)

    with pytest.raises(StoreUnavailable):
        transact(client, PARTS)


def _keys(call: dict[str, Any]) -> list[dict[str, Any]]:
    keys: list[dict[str, Any]] = call["RequestItems"]["Table"]["Keys"]
    return keys
