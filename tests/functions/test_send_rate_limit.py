"""SendMessageFunction: the rate limit of each sender of SendQueue."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from delivery.twilio.credentials import TwilioSecrets
from functions.send_message.rate_limit import MAX_DEFERRAL_MS
from functions.send_message.rate_limit_store import RateLimitStore
from functions.send_message.rate_limiter import SenderRateLimiter
from functions.send_message.send_queue import SendQueue
from tests.functions.sender import (
    FROM,
    QUEUE_MESSAGE_ID,
    SERVICE_SID,
    SUBACCOUNT_SID,
    SenderRig,
    a_document,
)
from tests.support.builders import ACCOUNT_SID, NOON
from tests.support.faults import WrappedClient
from tests.support.scripted_twilio import accepted, rejected
from tests.support.shared_clients import shared_client

FROM_OTHER = "+15005550007"


class RateLimitedRig:
    """The function with a rate limit. Time passes only while it waits."""

    def __init__(self, sender: SenderRig, per_second: float) -> None:
        self.sender = sender
        self.clock = sender.clock
        self.clock.time = NOON
        self.deferred: dict[str, int] = {}
        self._per_second = per_second
        self.restart(sender.dynamodb)

    def restart(self, dynamodb: Any) -> None:
        """Go on in a new environment with this client of DynamoDB."""
        self.sender.restart(dynamodb=dynamodb)
        sqs: Any = SimpleNamespace(change_message_visibility_batch=self._defer)
        limiter = SenderRateLimiter(
            store=RateLimitStore(dynamodb, "ControlTable"),
            queue=SendQueue(sqs, "url"),
            secrets=TwilioSecrets(self.sender.secrets_manager, "delivery/twilio"),
            per_second=self._per_second,
            now=self.clock,
            sleep=self.clock.sleep,
            jitter=lambda: 0.5,
        )
        self.function = replace(self.sender.function, rate_limiter=limiter)

    def receive(self, *documents: Any, received: int = 1) -> list[str]:
        """Hand over a batch of SendQueue; return the indexes of the messages that stay there."""
        self.sender.function = self.function
        return self.sender.receive(*documents, received=received)

    @property
    def posts(self) -> int:
        return len(self.sender.twilio.requests)

    @property
    def waits(self) -> list[float]:
        return self.clock.slept

    def _defer(self, **arguments: Any) -> dict[str, Any]:
        self.deferred |= {
            entry["ReceiptHandle"].removeprefix("handle-"): entry["VisibilityTimeout"]
            for entry in arguments["Entries"]
        }
        return {}


type Limited = Callable[[float], RateLimitedRig]


@pytest.fixture
def limited(sender: SenderRig) -> Limited:
    return partial(RateLimitedRig, sender)


def documents(count: int, *, of: str = "a", **fields: Any) -> list[dict[str, Any]]:
    return [a_document(idempotency_key=f"{of}-{n}", **fields) for n in range(count)]


# --- slots ---------------------------------------------------------------------------------------


def test_the_messages_of_a_batch_are_sent_at_the_rate(limited: Limited) -> None:
    rig = limited(2)

    stay = rig.receive(*documents(6))

    assert stay == []
    assert rig.posts == 6
    # The burst of one second is sent at once, with the first message.
    assert sum(rig.waits) == 1.5


def test_a_message_with_a_long_wait_is_deferred_until_near_its_slot(limited: Limited) -> None:
    rig = limited(0.5)

    stay = rig.receive(*documents(10))

    assert stay == ["2", "3", "4", "5", "6", "7", "8", "9"]
    assert rig.posts == 2
    assert rig.deferred == {str(place): 2 * place - 1 for place in range(2, 10)}
    assert rig.sender.metrics() == {"MessageSent": 2, "SendDeferred": 8}


def test_the_log_names_the_queue_message_that_was_sent_or_deferred(
    limited: Limited, log_output: io.StringIO, caplog: pytest.LogCaptureFixture
) -> None:
    rig = limited(0.2)

    with caplog.at_level("DEBUG", logger=rig.sender.module.logger.name):
        rig.receive(*documents(2))

    lines = [json.loads(line) for line in log_output.getvalue().splitlines()]
    assert {it["message"]: it.get("queue_message_id") for it in lines} == {
        "MessageSent": f"{QUEUE_MESSAGE_ID}-0",
        "SendDeferred": f"{QUEUE_MESSAGE_ID}-1",
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"from": FROM_OTHER},
        {"from": None, "messaging_service_sid": SERVICE_SID},
        {"account_sid": SUBACCOUNT_SID},
    ],
)
def test_each_sender_of_each_account_has_its_own_limit(
    limited: Limited, fields: dict[str, Any]
) -> None:
    rig = limited(0.1)
    rig.sender.put_secret(subaccounts={SUBACCOUNT_SID: {"auth_token": "t"}})

    stay = rig.receive(*documents(1), *documents(1, of="b", **fields))

    assert stay == []
    assert sum(rig.waits) == 0


def test_a_message_does_not_wait_for_the_slot_of_another_sender(limited: Limited) -> None:
    rig = limited(2)

    rig.receive(*documents(4), *documents(1, of="b", **{"from": FROM_OTHER}))

    senders = [dict(it.parameters)["From"] for it in rig.sender.twilio.requests]
    assert senders == [FROM, FROM, FROM, FROM_OTHER, FROM]


@pytest.mark.parametrize(
    ("fields", "segments"),
    [
        ({"body": "x" * 500}, 4),
        ({"body": "x" * 500, "media_url": ["https://example.com/a.jpg"]}, 1),
        ({"to": "whatsapp:+15558675310", "body": "x" * 500}, 1),
        ({"body": None, "content_sid": "HX" + "6" * 32}, 1),
    ],
)
def test_an_sms_counts_by_its_segments_and_another_message_as_one(
    limited: Limited, fields: dict[str, Any], segments: int
) -> None:
    rig = limited(4)
    rig.receive(*documents(4, of="before"))

    rig.receive(*documents(1, **fields))
    rig.receive(*documents(1, of="after"))

    assert sum(rig.waits) == segments / 4


def test_invalid_input_is_rejected_without_a_slot(limited: Limited) -> None:
    rig = limited(0.01)
    send_at = (rig.clock() - timedelta(days=1)).isoformat()
    passed = a_document(messaging_service_sid=SERVICE_SID, send_at=send_at, **{"from": None})

    stay = rig.receive(*documents(2), a_document(to="not-a-number"), "not JSON", passed)

    assert stay == ["1"]
    assert [message.status for message in rig.sender.messages()].count("rejected") == 3
    item = rig.sender.dynamodb.scan(TableName="ControlTable")["Items"]
    assert [it["name"]["S"] for it in item] == [f"rate#{ACCOUNT_SID}#{FROM}"]


def test_the_visibility_timeout_grows_with_each_receive(limited: Limited) -> None:
    rig = limited(0.1)
    rig.receive(*documents(2))

    rig.receive(*documents(1, of="b"), received=200)

    assert rig.deferred["0"] == 200


@pytest.mark.parametrize("broken", ["the table", "the secret"])
def test_nothing_is_sent_while_the_rate_limit_cannot_be_read(limited: Limited, broken: str) -> None:
    rig = limited(1)
    if broken == "the table":
        rig.sender.dynamodb.delete_table(TableName="ControlTable")
    else:
        rig.sender.put_secret(auth_token="")

    stay = rig.receive(*documents(2))

    assert stay == ["0", "1"]
    assert rig.posts == 0
    assert rig.sender.metrics() == {"SendUnavailable": 2}


def test_nothing_is_sent_while_other_invocations_keep_changing_the_rate_limit(
    limited: Limited,
) -> None:
    rig = limited(1)
    others = RateLimitStore(rig.sender.dynamodb, "ControlTable")
    now = int(rig.clock().timestamp() * 1000)
    pauses = iter(range(now + 60_000, now + 61_000))

    def around(_: str, call: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        if arguments["TableName"] == "ControlTable":
            others.pause(f"{ACCOUNT_SID}#{FROM}", now=now, until=next(pauses))
        return call(**arguments)

    rig.restart(WrappedClient(rig.sender.dynamodb, around))

    stay = rig.receive(*documents(2))

    assert stay == ["0", "1"]
    assert rig.posts == 0
    assert rig.sender.metrics() == {"SendUnavailable": 2}


def test_the_function_limits_senders_at_the_rate_of_the_stack(sender: SenderRig) -> None:
    sender.restart(SENDER_SEGMENTS_PER_SECOND="0.001")

    stay = sender.receive(*documents(2))

    assert stay == ["1"]
    assert len(sender.twilio.requests) == 1


def test_without_a_rate_limit_nothing_is_reserved(sender: SenderRig) -> None:
    assert sender.receive(*documents(5)) == []

    assert sender.dynamodb.scan(TableName="ControlTable")["Count"] == 0


# --- throttling ----------------------------------------------------------------------------------


def test_throttling_defers_the_messages_of_its_sender_until_the_pause_is_over(
    limited: Limited,
) -> None:
    rig = limited(10)
    rig.sender.twilio.will(rejected(429, 20429, {"Retry-After": "17"}))

    stay = rig.receive(*documents(3))
    tried = rig.posts
    later = rig.receive(*documents(1, of="b"))
    posts = rig.posts
    rig.sender.twilio.will(accepted())
    rig.clock.advance(seconds=17)
    after_the_pause = rig.receive(*documents(1))

    assert (stay, later, after_the_pause) == (["0", "1", "2"], ["0"], [])
    assert rig.deferred == dict.fromkeys(("0", "1", "2"), 17)
    assert posts == tried


def test_throttling_does_not_defer_other_senders(limited: Limited) -> None:
    rig = limited(10)
    rig.sender.twilio.will(*[rejected(429, 20429)] * 5, accepted())

    stay = rig.receive(*documents(2), *documents(1, of="b", **{"from": FROM_OTHER}))

    assert stay == ["0", "1"]


def test_deferred_messages_stay_invisible_for_their_time_however_many_they_are(
    send_queue: str,
) -> None:
    sqs = shared_client("sqs")
    queue = SendQueue(sqs, send_queue)
    for _ in range(12):
        sqs.send_message(QueueUrl=send_queue, MessageBody="{}")
    handles = [
        message["ReceiptHandle"]
        for _ in range(2)
        for message in sqs.receive_message(
            QueueUrl=send_queue, MaxNumberOfMessages=10, VisibilityTimeout=30
        )["Messages"]
    ]

    queue.defer(dict.fromkeys(handles, 0))

    again = [
        message
        for _ in range(2)
        for message in sqs.receive_message(QueueUrl=send_queue, MaxNumberOfMessages=10)["Messages"]
    ]
    assert len(again) == len(handles) == 12


def test_no_range_of_slots_is_requested_that_dynamodb_would_refuse(
    dynamodb: Any, control_table: str
) -> None:
    ranges: list[dict[str, Any]] = []

    def update_item(**arguments: Any) -> Any:
        ranges.append(arguments["ExpressionAttributeValues"])
        return dynamodb.update_item(**arguments)

    client: Any = SimpleNamespace(update_item=update_item, exceptions=dynamodb.exceptions)
    store = RateLimitStore(client, control_table)

    assert reserve(store, 5_000, 5_000, now=10_000, until=12_000) == [
        (10_000, True),
        (14_000, False),
    ]
    assert all(
        int(it[":earliest"]["N"]) <= int(it[":latest"]["N"]) for it in ranges if ":earliest" in it
    )


# --- the item ------------------------------------------------------------------------------------


def the_limit(dynamodb: Any, sender: str = "sender") -> dict[str, int]:
    """The numbers of a sender's item."""
    item = dynamodb.get_item(TableName="ControlTable", Key={"name": {"S": f"rate#{sender}"}})
    return {name: int(it["N"]) for name, it in item["Item"].items() if "N" in it}


def reserve(store: RateLimitStore, *costs: int, now: int, until: int) -> list[tuple[int, bool]]:
    reserved = store.reserve("sender", costs, now=now, until=until, jitter=lambda: 0.5)
    return [(it.at, it.immediate) for it in reserved]


def test_a_pause_lasts_as_long_as_twilio_requires_and_at_least_five_seconds(
    limited: Limited,
) -> None:
    rig = limited(10)
    now = int(rig.clock().timestamp() * 1000)
    sender = f"{ACCOUNT_SID}#{FROM}"

    rig.sender.twilio.will(*[rejected(429, 20429, {"Retry-After": "1"})] * 5)
    rig.receive(*documents(1))
    assert the_limit(rig.sender.dynamodb, sender)["next_slot_at"] == now + 5_000

    rig.clock.advance(seconds=5)
    rig.sender.twilio.will(rejected(429, 20429, {"Retry-After": "17"}))
    rig.receive(*documents(1, of="b"))
    assert the_limit(rig.sender.dynamodb, sender)["next_slot_at"] == now + 22_000


def test_a_pause_is_not_shortened_by_another_one(dynamodb: Any, control_table: str) -> None:
    store = RateLimitStore(dynamodb, control_table)

    store.pause("sender", now=1_000, until=9_000)
    store.pause("sender", now=1_000, until=8_000)
    store.pause("other", now=1_000, until=2_000)

    assert the_limit(dynamodb)["next_slot_at"] == 9_000
    assert reserve(store, 100, now=1_000, until=8_999) == [(9_000, False)]
    assert reserve(store, 100, now=1_000, until=9_000) == [(9_000, True)]


def test_an_item_is_kept_for_a_week_after_its_last_use(dynamodb: Any, control_table: str) -> None:
    store = RateLimitStore(dynamodb, control_table)
    week = 7 * 24 * 60 * 60

    store.pause("sender", now=5_000, until=6_000)
    assert the_limit(dynamodb)["expires_at"] == 5 + week

    reserve(store, 100, now=7_000, until=9_000)
    assert the_limit(dynamodb)["expires_at"] == 7 + week


def test_as_many_slots_as_there_are_until_the_deadline_take_one_write(
    dynamodb: Any, control_table: str
) -> None:
    client: Any = WrappedClient(dynamodb)
    store = RateLimitStore(client, control_table)
    store.pause("sender", now=10_000, until=11_000)
    client.calls.clear()

    assert reserve(store, 700, 300, now=10_000, until=11_700) == [(11_000, True), (11_700, True)]
    assert client.calls == ["update_item"]
    assert reserve(store, 700, 300, now=10_000, until=12_699) == [(12_000, True), (12_700, False)]
    assert client.calls == ["update_item"] * 3


def test_deferred_messages_of_concurrent_invocations_come_back_one_after_the_other(
    dynamodb: Any, control_table: str
) -> None:
    faster = RateLimitStore(dynamodb, control_table)
    faster.pause("sender", now=10_000, until=20_000)
    deferred: list[tuple[int, bool]] = []

    def around(_: str, call: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        if len(client.calls) == 2:  # the first one returned the state
            deferred.extend(reserve(faster, 500, now=10_000, until=12_000))
        return call(**arguments)

    client: Any = WrappedClient(dynamodb, around)
    slower = RateLimitStore(client, control_table)

    assert reserve(slower, 500, now=10_000, until=12_000) == [(20_500, False)]
    assert deferred == [(20_000, False)]


def test_messages_that_are_deferred_for_long_are_spread(dynamodb: Any, control_table: str) -> None:
    store = RateLimitStore(dynamodb, control_table)
    store.pause("sender", now=10_000, until=10_001 + MAX_DEFERRAL_MS)

    spread_to = 10_000 + MAX_DEFERRAL_MS * 3 // 4
    assert reserve(store, 500, now=10_000, until=12_000) == [(spread_to, False)]


def test_one_write_reserves_the_slots_that_the_rules_give(
    dynamodb: Any, control_table: str
) -> None:
    store = RateLimitStore(dynamodb, control_table)
    assert reserve(store, 300, 200, now=10_000, until=12_000) == [(10_000, True), (10_000, True)]
    assert the_limit(dynamodb)["next_slot_at"] == 9_500  # it had a second of unused time

    assert reserve(store, 1_000, 500, now=10_000, until=12_000) == [(10_000, True), (10_500, True)]
    assert the_limit(dynamodb)["next_slot_at"] == 11_000

    # The last of these slots is at `until`, and so one write reserves them.
    assert reserve(store, 1_000, 700, now=10_000, until=12_000) == [(11_000, True), (12_000, True)]
    assert reserve(store, 400, now=10_000, until=12_000) == [(12_700, False)]
    assert the_limit(dynamodb)["next_slot_at"] == 12_700
    assert the_limit(dynamodb)["retry_at"] == 13_100
