"""MessageStore against DynamoDB's own expressions (moto), alone and with others at its side."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import cycle, permutations, product
from random import Random
from typing import Any

import pytest
from mypy_boto3_dynamodb import DynamoDBClient

from delivery.domain.messages import Effect, Message, Source, StatusUpdate, Timings
from delivery.domain.notices import NoticeState
from delivery.domain.send_requests import SendRequest
from delivery.domain.statuses import TWILIO_STATUSES, Outcome
from delivery.storage.messages import MessageStore
from delivery.storage.table import StoreUnavailable
from tests.functions.interleaving import Writer, every_interleaving
from tests.support.builders import ACCOUNT_SID, MESSAGE_SID, NOON, a_message, an_update
from tests.support.faults import FailingClient, WrappedClient

TIMINGS = Timings()


@pytest.fixture
def store(dynamodb: DynamoDBClient, messages_table: str) -> MessageStore:
    client = WrappedClient(dynamodb, refuse_what_dynamodb_refuses)
    return MessageStore(client, messages_table, TIMINGS)  # type: ignore[arg-type]  # as far as used


def raw(dynamodb: DynamoDBClient, message_sid: str = MESSAGE_SID) -> dict[str, Any]:
    return dynamodb.get_item(
        TableName="MessagesTable", Key={"message_sid": {"S": message_sid}}
    ).get("Item", {})


def refuse_what_dynamodb_refuses(
    operation: str, call: Callable[..., Any], arguments: dict[str, Any]
) -> Any:
    """Names and values that are declared and not used, paths written twice, empty key values."""
    if operation == "update_item":
        refuse_update(arguments)
    return call(**arguments)


def refuse_update(arguments: dict[str, Any]) -> None:
    expression = arguments["UpdateExpression"]
    used = set(re.findall(r"[#:]\w+", expression + " " + arguments["ConditionExpression"]))
    names, values = arguments["ExpressionAttributeNames"], arguments["ExpressionAttributeValues"]
    assert used == names.keys() | values.keys()
    sets, _, removes = expression.removeprefix("SET ").partition(" REMOVE ")
    written = re.findall(r"(#\w+) = ", sets) + re.findall(r"#\w+", removes)
    assert len(written) == len(set(written))
    assert {"S": ""} not in [values.get(":" + name[1:]) for name in written]


# --- one writer ----------------------------------------------------------------------------------


@pytest.mark.thorough
def test_every_order_of_two_statuses_leaves_what_the_rules_say(
    dynamodb: DynamoDBClient, store: MessageStore
) -> None:
    """A third status follows each two, with facts that change from one message to the next."""
    words = [*TWILIO_STATUSES, "new_word", "another"]
    facts: list[dict[str, Any]] = [
        {},
        {"error_code": 30003, "context": {"a": "1"}},
        {"error_code": 30005, "context": {"a": "2", "b": "3"}, "price": "-0.01"},
        {"send_at": NOON + timedelta(days=2), "reference": "order-1"},
        {"from_": None, "num_segments": "2"},
    ]
    thirds, changing = cycle(words), cycle(facts)
    for number, pair in enumerate(product(words, repeat=2)):
        message_sid = f"SM{number:032x}"
        updates = [
            an_update(status, after=3600 * hours, message_sid=message_sid, **next(changing))
            for hours, status in enumerate((*pair, next(thirds)))
        ]

        recorded = [store.record(update).message for update in updates]

        states = [Message.from_first_update(updates[0], TIMINGS)]
        for update in updates[1:]:
            states.append(states[-1].apply(update, TIMINGS))
        assert recorded == states
        assert store.get(message_sid) == states[-1]
        assert "" not in _strings(raw(dynamodb, message_sid))


def _strings(item: Any) -> list[str]:
    if isinstance(item, dict):
        return [text for value in item.values() for text in _strings(value)]
    if isinstance(item, list):
        return [text for value in item for text in _strings(value)]
    return [item]


def test_an_item_has_the_attributes_of_the_contract_in_their_types(
    dynamodb: DynamoDBClient, store: MessageStore
) -> None:
    store.record(an_update("sent", after=0.5, context={"order": "7"}, reference="r-1"))
    store.record(an_update("undelivered", after=2, error_code=30003, carrier_time="2611231200"))

    assert raw(dynamodb) == {
        "message_sid": {"S": MESSAGE_SID},
        "account_sid": {"S": "AC" + "0" * 32},
        "to": {"S": "+15558675310"},
        "from": {"S": "+15005550006"},
        "reference": {"S": "r-1"},
        "context": {"M": {"order": {"S": "7"}}},
        "status": {"S": "undelivered"},
        "status_rank": {"N": "70"},
        "outcome": {"S": "failed"},
        "error_code": {"N": "30003"},
        "transitions": {
            "L": [
                {
                    "M": {
                        "status": {"S": "sent"},
                        "at": {"S": "2026-11-23T12:00:00.500Z"},
                        "source": {"S": "callback"},
                    }
                },
                {
                    "M": {
                        "status": {"S": "undelivered"},
                        "at": {"S": "2026-11-23T12:00:02.000Z"},
                        "source": {"S": "callback"},
                        "error_code": {"N": "30003"},
                        "carrier_time": {"S": "2611231200"},
                    }
                },
            ]
        },
        "created_at": {"S": "2026-11-23T12:00:00.500Z"},
        "updated_at": {"S": "2026-11-23T12:00:02.000Z"},
        "final_at": {"S": "2026-11-23T12:00:02.000Z"},
        "list_key": {"S": "failed#2026-11-23#f"},
        "list_at": {"S": "2026-11-23T12:00:02.000Z"},
        "notice": {"S": "due"},
        "notice_id": {"S": f"{MESSAGE_SID}:failure"},
        "notice_due": {"S": "due#f"},
        "notice_at": {"S": "2026-11-23T12:00:02.000Z"},
        "expires_at": {"N": str(int((NOON + timedelta(days=400)).timestamp()))},
    }


def test_a_write_whose_answer_was_lost_can_be_repeated(
    dynamodb: DynamoDBClient, messages_table: str
) -> None:
    client: Any = FailingClient(dynamodb, after=True)
    store = MessageStore(client, messages_table)
    update = an_update("undelivered", error_code=30003)

    with pytest.raises(StoreUnavailable):
        store.record(update)
    before = raw(dynamodb)
    recorded = store.record(update)

    assert recorded.effect is Effect.DUPLICATE
    assert recorded.message == a_message(update)
    assert raw(dynamodb) == before


def test_another_code_for_a_status_is_reported_and_the_first_stays(store: MessageStore) -> None:
    store.record(an_update("undelivered", error_code=30003))

    recorded = store.record(an_update("undelivered", error_code=30005))

    assert recorded.error_code_conflict
    assert recorded.message.error_code == 30003


def test_attributes_of_others_are_left_alone(dynamodb: DynamoDBClient, store: MessageStore) -> None:
    store.record(an_update("sent"))
    dynamodb.update_item(
        TableName="MessagesTable",
        Key={"message_sid": {"S": MESSAGE_SID}},
        UpdateExpression="SET theirs = :theirs, flag = :flag",
        ExpressionAttributeValues={":theirs": {"N": "1.5"}, ":flag": {"BOOL": True}},
    )

    store.record(an_update("queued"))  # late: the compare-and-set

    item = raw(dynamodb)
    assert (item["theirs"], item["flag"]) == ({"N": "1.5"}, {"BOOL": True})
    assert [entry["M"]["status"]["S"] for entry in item["transitions"]["L"]] == ["sent", "queued"]


def test_a_refused_request_is_stored_once(store: MessageStore) -> None:
    update = an_update(
        "rejected", message_sid="rq_" + "a" * 32, source=Source.SEND, error_code=21211
    )

    first = store.record_unsent_request(update)
    again = store.record_unsent_request(replace(update, at=NOON + timedelta(minutes=1)))

    message = first.message
    assert message == again.message == store.get(update.message_sid)
    assert (message.outcome, message.notice) == (Outcome.FAILED, NoticeState.DUE)
    assert message.error_code == 21211
    assert (first.outcome_changed, again.outcome_changed) == (True, False)


# --- several writers -----------------------------------------------------------------------------

SEND = an_update(
    "queued",
    source=Source.SEND,
    from_=None,
    reference="order-1",
    context={"a": "1"},
    num_segments="1",
)
CONCURRENT = {
    "the send's answer and its first callback": [SEND, an_update("sent", after=1)],
    "the same failure with and without its code": [
        an_update("undelivered"),
        an_update("undelivered", error_code=30003),
    ],
    "two failures": [
        an_update("failed", error_code=30007),
        an_update("undelivered", error_code=30003),
    ],
    "a failure and the truth": [an_update("undelivered", error_code=30003), an_update("delivered")],
    "two contexts": [
        an_update("sent", context={"b": "2"}),
        an_update("delivered", context={"c": "3"}),
    ],
    "the send and two callbacks": [
        SEND,
        an_update("sent", after=1),
        an_update("delivered", after=2),
    ],
    "two failures and a late send": [
        SEND,
        an_update("failed"),
        an_update("undelivered", error_code=30003),
    ],
    "three times the same": [an_update("delivered")] * 3,
}


def recording(update: StatusUpdate, table: str) -> Writer:
    return lambda client: MessageStore(client, table).record(update)


@pytest.mark.thorough
@pytest.mark.parametrize("updates", CONCURRENT.values(), ids=CONCURRENT.keys())
@pytest.mark.parametrize("before", [None, "accepted"], ids=["unheard of", "known"])
def test_concurrent_writers_of_one_message_lose_nothing_in_any_interleaving(
    dynamodb: DynamoDBClient, messages_table: str, updates: list[StatusUpdate], before: str | None
) -> None:
    def writers(run: int) -> list[Writer]:
        message_sid = f"SM{run:032x}"
        if before:
            MessageStore(dynamodb, messages_table).record(
                an_update(before, message_sid=message_sid)
            )
        mine = [replace(update, message_sid=message_sid) for update in updates]
        return [recording(update, messages_table) for update in mine]

    store = MessageStore(dynamodb, messages_table)
    expected = a_message(*([before] if before else []), *updates)
    runs = 0
    for run in every_interleaving(dynamodb, writers):
        message = store.get(f"SM{run:032x}")
        assert message is not None
        assert (message.status, message.outcome) == (expected.status, expected.outcome)
        assert message.error_code == expected.error_code
        assert {(t.status, t.error_code) for t in message.transitions} == {
            (t.status, t.error_code) for t in expected.transitions
        }
        assert len(message.transitions) == len(expected.transitions)
        assert (message.reference, message.context) == (expected.reference, expected.context)
        assert (message.from_, message.num_segments) == (expected.from_, expected.num_segments)
        if expected.outcome is Outcome.FAILED:
            assert message.notice is NoticeState.DUE
        runs += 1
    assert runs >= len(list(permutations(updates)))


def failed_message(store: MessageStore, run: int) -> Message:
    return store.record(an_update("failed", message_sid=f"SM{run:032x}")).message


def claimed_notice(store: MessageStore, run: int) -> Message:
    claimed = store.advance_notice(failed_message(store, run), NOON)
    assert claimed is not None
    return claimed


def test_a_notice_is_claimed_by_one_of_two_and_never_after_the_message_became_well(
    dynamodb: DynamoDBClient, messages_table: str
) -> None:
    store = MessageStore(dynamodb, messages_table)
    claims: dict[int, list[Message | None]] = {}

    def writers(run: int) -> list[Writer]:
        failed = failed_message(store, run)
        claims[run] = []

        def claiming(at: datetime) -> Writer:
            return lambda client: claims[run].append(
                MessageStore(client, messages_table).advance_notice(failed, at)
            )

        delivered = an_update("delivered", message_sid=failed.message_sid)
        later = NOON + timedelta(seconds=1)
        return [claiming(NOON), claiming(later), recording(delivered, messages_table)]

    ends = set()
    for run in every_interleaving(dynamodb, writers):
        message = store.get(f"SM{run:032x}")
        won = [claim for claim in claims[run] if claim is not None]
        assert message is not None
        assert message.outcome is Outcome.DELIVERED
        assert len(won) == 1
        assert won[0].notice is message.notice
        assert won[0].outcome is (
            Outcome.FAILED if message.notice is NoticeState.PUBLISHING else Outcome.DELIVERED
        )
        ends.add(message.notice)
    assert ends == {NoticeState.PUBLISHING, NoticeState.WITHDRAWN}


def test_a_recovery_is_owed_whether_it_comes_before_or_after_the_notice_is_marked_sent(
    dynamodb: DynamoDBClient, messages_table: str
) -> None:
    store = MessageStore(dynamodb, messages_table)

    def writers(run: int) -> list[Writer]:
        claimed = claimed_notice(store, run)
        return [
            lambda client: MessageStore(client, messages_table).advance_notice(claimed, NOON),
            recording(an_update("delivered", message_sid=claimed.message_sid), messages_table),
        ]

    for run in every_interleaving(dynamodb, writers):
        message = store.get(f"SM{run:032x}")
        assert message is not None
        assert message.notice is NoticeState.RECOVERY_DUE


def test_an_abandoned_claim_is_taken_over_by_one_of_several(
    dynamodb: DynamoDBClient, messages_table: str
) -> None:
    store = MessageStore(dynamodb, messages_table)
    claims: dict[int, list[Message | None]] = {}

    def writers(run: int) -> list[Writer]:
        claimed = claimed_notice(store, run)
        claims[run] = []

        def taking_over(minutes: int) -> Writer:
            at = NOON + timedelta(minutes=minutes)
            return lambda client: claims[run].append(
                MessageStore(client, messages_table).take_over_notice(claimed, at)
            )

        return [taking_over(6), taking_over(7)]

    for run in every_interleaving(dynamodb, writers):
        (won,) = (claim for claim in claims[run] if claim is not None)
        assert store.get(f"SM{run:032x}") == won
        assert won.notice is NoticeState.PUBLISHING


def test_a_notifier_takes_no_step_of_a_later_failures_notice(store: MessageStore) -> None:
    request: dict[str, Any] = {"message_sid": "rq_" + "a" * 32, "request_id": "rq_" + "a" * 32}
    rejected = an_update("rejected", source=Source.SEND, error_code=21211, **request)
    first_due = store.record_unsent_request(rejected).message
    first_claimed = store.advance_notice(first_due, NOON)
    assert first_claimed is not None
    later = an_update("rejected", source=Source.SEND, error_code=21610, after=60, **request)
    second_due = store.record_unsent_request(later).message

    marked_before_the_claim = store.advance_notice(first_due, NOON + timedelta(minutes=2))
    second_claimed = store.advance_notice(second_due, NOON + timedelta(minutes=2))
    marked_after_the_claim = store.advance_notice(first_claimed, NOON + timedelta(minutes=2))

    assert second_due.notice_id != first_due.notice_id
    assert marked_before_the_claim is None
    assert marked_after_the_claim is None
    assert second_claimed is not None
    assert store.get(request["message_sid"]) == second_claimed


# --- what applies only while nothing changed -----------------------------------------------------


def test_a_check_is_postponed_only_while_the_message_is_pending(store: MessageStore) -> None:
    pending = store.record(an_update("sent")).message
    final = store.record(an_update("delivered", after=1)).message

    store.schedule_check(pending, NOON + timedelta(days=1))

    assert store.get(MESSAGE_SID) == final


def test_a_check_is_not_brought_forward(store: MessageStore) -> None:
    pending = store.record(an_update("sent")).message

    store.schedule_check(pending, NOON + timedelta(hours=3))
    store.schedule_check(pending, NOON + timedelta(hours=2))

    assert store.get(MESSAGE_SID) == replace(pending, list_at=NOON + timedelta(hours=3))


def test_a_final_status_that_was_faster_is_not_replaced_by_unconfirmed(store: MessageStore) -> None:
    pending = store.record(an_update("sent")).message
    final = store.record(an_update("undelivered", after=1)).message

    assert store.record_unconfirmed(pending, NOON + timedelta(days=3)) == final
    assert store.get(MESSAGE_SID) == final


def test_an_update_of_a_message_that_was_read_merges_with_what_came_since(
    store: MessageStore,
) -> None:
    read = store.record(an_update("sent")).message
    store.record(an_update("delivered", after=1))

    recorded = store.record_existing(read, an_update("read", after=2))

    assert recorded is not None
    assert [it.status for it in recorded.message.transitions] == ["sent", "delivered", "read"]
    assert recorded.message.final_at == NOON + timedelta(seconds=1)


def test_an_update_of_a_message_that_has_expired_is_not_stored(
    dynamodb: DynamoDBClient, store: MessageStore
) -> None:
    read = store.record(an_update("sent")).message
    dynamodb.delete_item(TableName="MessagesTable", Key={"message_sid": {"S": MESSAGE_SID}})

    assert store.record_existing(read, an_update("delivered", after=1)) is None
    assert store.get(MESSAGE_SID) is None


def test_messages_are_stale_from_their_time_on_the_longest_due_first(store: MessageStore) -> None:
    for number, seconds in enumerate((2, 0, 1, 3)):
        store.record(an_update("sent", after=seconds, message_sid=f"SM{number:032x}"))
    store.record(an_update("delivered", after=4, message_sid=f"SM{2:032x}"))
    due_at = NOON + TIMINGS.reconcile_after

    stale = [it.message_sid for it in store.stale_messages(due_at + timedelta(seconds=2))]

    assert stale == [f"SM{1:032x}", f"SM{0:032x}"]


@pytest.mark.parametrize("change", ["failed", "checked"])
def test_a_message_that_changed_since_the_index_was_read_is_not_stale(
    dynamodb: DynamoDBClient, messages_table: str, change: str
) -> None:
    faster = MessageStore(dynamodb, messages_table, TIMINGS)
    sent = faster.record(an_update("sent")).message
    due_at = NOON + TIMINGS.reconcile_after

    def around(name: str, call: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        answer = call(**arguments)
        if name == "query" and answer["Items"]:
            if change == "failed":
                faster.record(an_update("failed", after=1))
            else:
                faster.schedule_check(sent, due_at + timedelta(seconds=1))
        return answer

    slower = MessageStore(WrappedClient(dynamodb, around), messages_table, TIMINGS)  # type: ignore[arg-type]  # as far as used

    assert list(slower.stale_messages(due_at)) == []


def test_the_message_of_a_request_is_the_one_that_carries_its_id_in_its_account(
    store: MessageStore,
) -> None:
    request = SendRequest(
        request_id="rq_" + "a" * 32,
        claim_id="1",
        account_sid=ACCOUNT_SID,
        to="+15558675310",
        claimed_at=NOON,
        lease_until=NOON + timedelta(seconds=29),
    )
    skew = timedelta(minutes=5).total_seconds()
    for number, (after, facts) in enumerate(
        [
            (0, {"request_id": "rq_" + "b" * 32}),
            (0, {"request_id": request.request_id, "account_sid": "AC" + "1" * 32}),
            (-skew - 1, {"request_id": request.request_id}),
            (29 + skew + 1, {"request_id": request.request_id}),
        ]
    ):
        facts |= {"source": Source.SEND, "message_sid": f"SM{number:032x}"}
        store.record(an_update("sent", after=after, **facts))
    assert store.sent_under(request) is None

    for number, after in enumerate((29 + skew, -skew)):
        facts = {"request_id": request.request_id, "source": Source.SEND}
        sent = store.record(
            an_update("sent", after=after, message_sid=f"SM{number + 9:032x}", **facts)
        )
        assert store.sent_under(request) == sent.message
        store.erase(sent.message.message_sid, at=NOON, expires_at=0)


# --- lists ---------------------------------------------------------------------------------------


def with_short_pages(operation: str, call: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """Answer queries two items at a time."""
    return call(**arguments, Limit=2) if operation == "query" else call(**arguments)


def test_notices_that_are_due_are_found_on_every_list_and_page_the_oldest_first(
    dynamodb: DynamoDBClient, messages_table: str
) -> None:
    client = WrappedClient(dynamodb, with_short_pages)
    store = MessageStore(client, messages_table)  # type: ignore[arg-type]  # as far as it is used
    minutes = list(range(40))
    Random(3).shuffle(minutes)  # noqa: S311 -- the same every time, on purpose
    for minute in minutes:  # sixteen lists, and one of them with many
        message_sid = f"SM{minute:031x}" + (f"{minute:x}" if minute < 16 else "a")
        store.record(an_update("failed", after=60 * minute, message_sid=message_sid))
    store.record(an_update("sent", message_sid="SM" + "b" * 32))
    finished = store.record(an_update("failed", message_sid="SM" + "c" * 32)).message
    for _ in range(2):
        finished = store.advance_notice(finished, NOON) or finished

    due = list(store.notices_due(NOON + timedelta(minutes=38)))

    assert [int(message_sid[2:-1], 16) for message_sid in due] == list(range(38))
    assert client.calls.count("query") > 16


def test_an_item_that_is_not_a_message_is_reported_as_such(
    dynamodb: DynamoDBClient, store: MessageStore
) -> None:
    item = {"message_sid": {"S": MESSAGE_SID}, "status_rank": {"N": "40"}, "notice": {"S": "new"}}
    dynamodb.put_item(TableName="MessagesTable", Item=item)

    with pytest.raises(StoreUnavailable, match="not a message"):
        store.get(MESSAGE_SID)
    with pytest.raises(StoreUnavailable, match="not a message"):
        store.record(an_update("failed"))


def test_messages_that_changed_since_a_day_are_read_without_erased_ones(
    dynamodb: DynamoDBClient, store: MessageStore
) -> None:
    old, new, erased = (f"SM{number:032x}" for number in range(3))
    one_day = timedelta(days=1)
    store.record(an_update("sent", message_sid=old))
    for message_sid in (new, erased):
        store.record(an_update("sent", message_sid=message_sid, after=one_day.total_seconds()))
    store.erase(erased, at=NOON + one_day, expires_at=0)
    dynamodb.put_item(TableName="MessagesTable", Item={"message_sid": {"S": MESSAGE_SID}})
    unreadable: list[str] = []

    def every(**since: date) -> set[str]:
        return {it.message_sid for it in store.every(**since, unreadable=unreadable.append)}

    assert every() == {old, new}
    assert every(changed_since=NOON.date()) == {old, new}
    assert every(changed_since=(NOON + one_day).date()) == {new}
    assert every(changed_since=(NOON + 2 * one_day).date()) == set()
    assert unreadable == [MESSAGE_SID] * 4
