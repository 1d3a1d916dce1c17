"""NotifyFailureFunction: every failed message is noticed, and nobody is told what is not so."""

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from types import ModuleType
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError
from moto.core.models import botocore_stubber
from mypy_boto3_dynamodb import DynamoDBClient

from delivery.domain.messages import Message, NoticeState
from delivery.storage.messages import MessageStore, StoreUnavailable
from tests.builders import MESSAGE_SID, NOON, an_update
from tests.functions import notifier
from tests.functions.interleaving import Writer, every_interleaving
from tests.functions.notifier import (
    SWEEP,
    ClientOfThread,
    Clock,
    Dying,
    Inbox,
    a_context,
    a_teller,
)

OTHER_SID = "SM" + "f" * 32
POISON_SID = "SM" + "e" * 32


@pytest.fixture
def inbox(aws: None) -> Inbox:  # noqa: ARG001 -- moto
    return Inbox()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(
    inbox: Inbox,
    messages_table: str,
    episodes_table: str,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[ModuleType]:
    from functions.notify_failure import app  # noqa: PLC0415 -- its clients need moto first

    assert messages_table
    assert episodes_table
    monkeypatch.setattr(app, "FAILURE_TOPIC_ARN", inbox.topic_arn)
    monkeypatch.setattr(app, "now", clock)
    monkeypatch.setattr(app, "teller", a_teller(app))
    yield app
    app.metrics.clear_metrics()


def a_stream_event(*message_sids: str) -> dict[str, Any]:
    return notifier.a_stream_event(*(message_sids or (MESSAGE_SID,)))


def failures_of(app: ModuleType, event: dict[str, Any]) -> list[str]:
    """The sequence numbers that Lambda is to send again."""
    answer = app.lambda_handler(event, a_context())
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def sweep(app: ModuleType) -> None:
    """What the schedule does."""
    assert app.lambda_handler(SWEEP, a_context()) is None


def notice_of(store: MessageStore, message_sid: str = MESSAGE_SID) -> NoticeState | None:
    message = store.get(message_sid)
    assert message is not None
    return message.notice


def put_poison(dynamodb: DynamoDBClient) -> None:
    """An item that somebody else wrote, and that stands first on the list of what is due."""
    texts = {
        "message_sid": POISON_SID,
        "notice": "due",
        "notice_due": "due#e",
        "updated_at": "2020-01-01T00:00:00.000Z",
    }
    dynamodb.put_item(
        TableName="MessagesTable", Item={name: {"S": text} for name, text in texts.items()}
    )


def fail_differently(store: MessageStore) -> None:
    """Two messages, for two reasons, so that each is the first of its kind."""
    store.record(an_update("failed", error_code=30003))
    store.record(an_update("failed", after=1, error_code=30005, message_sid=OTHER_SID))


def advanced(store: MessageStore, message: Message) -> Message:
    after = store.advance_notice(message, NOON)
    assert after is not None
    return after


def test_a_failed_message_is_told_once(app: ModuleType, store: MessageStore, inbox: Inbox) -> None:
    store.record(an_update("undelivered", error_code=30003))

    assert failures_of(app, a_stream_event()) == []
    assert failures_of(app, a_stream_event()) == []

    assert inbox.events() == [(f"{MESSAGE_SID}:failure", "failure")]
    assert notice_of(store) is NoticeState.SENT


def test_subscribers_get_the_attributes_to_filter_by(
    app: ModuleType, store: MessageStore, inbox: Inbox
) -> None:
    store.record(an_update("undelivered", error_code=30003))

    failures_of(app, a_stream_event())

    (notice,) = inbox.notices()
    assert notice["attributes"] == {
        "status": ("String", "undelivered"),
        "category": ("String", "recipient_unreachable"),
        "account_sid": ("String", "AC" + "0" * 32),
        "retryable": ("String", "true"),
        "error_code": ("Number", "30003"),
    }


def test_a_message_that_became_well_before_anybody_was_told_is_not_told(
    app: ModuleType, store: MessageStore, inbox: Inbox
) -> None:
    store.record(an_update("undelivered"))
    store.record(an_update("delivered"))

    failures_of(app, a_stream_event())

    assert inbox.events() == []
    assert notice_of(store) is NoticeState.WITHDRAWN


def test_a_recovery_is_told_to_those_who_were_told_of_the_failure(
    app: ModuleType, store: MessageStore, inbox: Inbox
) -> None:
    store.record(an_update("undelivered", error_code=30003))
    failures_of(app, a_stream_event())
    store.record(an_update("delivered"))
    failures_of(app, a_stream_event())
    failures_of(app, a_stream_event())

    assert inbox.events() == [
        (f"{MESSAGE_SID}:failure", "failure"),
        (f"{MESSAGE_SID}:recovery", "recovery"),
    ]
    assert notice_of(store) is NoticeState.RECOVERED


@pytest.mark.parametrize("comes_back", ["stream", "sweep"])
def test_a_notice_found_half_told_is_told_again_under_the_same_id(
    app: ModuleType, store: MessageStore, inbox: Inbox, clock: Clock, comes_back: str
) -> None:
    message = store.record(an_update("undelivered")).message
    advanced(store, message)  # and then the function died: before or after publishing?
    clock.pass_by(minutes=6)

    if comes_back == "stream":
        failures_of(app, a_stream_event())
    else:
        sweep(app)

    assert inbox.events() == [(f"{MESSAGE_SID}:failure", "failure")]
    assert notice_of(store) is NoticeState.SENT


def test_a_notice_that_somebody_may_be_telling_right_now_is_left_to_them(
    app: ModuleType, store: MessageStore, inbox: Inbox, clock: Clock
) -> None:
    advanced(store, store.record(an_update("undelivered")).message)
    clock.pass_by(minutes=4)

    assert failures_of(app, a_stream_event()) == []
    sweep(app)

    assert inbox.events() == []
    assert notice_of(store) is NoticeState.PUBLISHING


def test_a_message_that_became_well_while_it_was_half_told_owes_a_recovery(
    app: ModuleType, store: MessageStore, inbox: Inbox, clock: Clock
) -> None:
    advanced(store, store.record(an_update("undelivered")).message)
    store.record(an_update("delivered"))
    clock.pass_by(minutes=6)

    sweep(app)
    assert notice_of(store) is NoticeState.RECOVERY_DUE
    failures_of(app, a_stream_event())

    assert inbox.events() == [(f"{MESSAGE_SID}:recovery", "recovery")]
    assert notice_of(store) is NoticeState.RECOVERED


def test_a_message_that_becomes_well_during_the_publishing_owes_a_recovery(
    app: ModuleType, store: MessageStore, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.record(an_update("undelivered"))
    publish = app.publish

    def deliver_meanwhile(notice: Any) -> None:
        publish(notice)
        store.record(an_update("delivered"))

    monkeypatch.setattr(app, "publish", deliver_meanwhile)
    failures_of(app, a_stream_event())
    monkeypatch.undo()

    assert notice_of(store) is NoticeState.RECOVERY_DUE
    assert inbox.events() == [(f"{MESSAGE_SID}:failure", "failure")]


class Broken:
    """An SNS that cannot be reached, or whose answer is lost."""

    def __init__(self, topic: Any = None) -> None:
        self._topic = topic

    def publish(self, **arguments: Any) -> None:
        if self._topic is not None:
            self._topic.publish(**arguments)
        raise EndpointConnectionError(endpoint_url="sns")


def the_stream_again(app: ModuleType, _: Clock) -> None:
    assert failures_of(app, a_stream_event()) == []


def the_stream_elsewhere_and_the_sweep(app: ModuleType, clock: Clock) -> None:
    vars(app)["teller"] = a_teller(app)  # another environment knows nothing of this one
    assert failures_of(app, a_stream_event()) == []
    clock.pass_by(minutes=6)
    sweep(app)


@pytest.mark.parametrize("again", [the_stream_again, the_stream_elsewhere_and_the_sweep])
@pytest.mark.parametrize("published", [False, True], ids=["not published", "answer lost"])
def test_a_notice_that_could_not_be_published_stays_owed_and_is_tried_again(
    app: ModuleType,
    store: MessageStore,
    inbox: Inbox,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    again: Callable[[ModuleType, Clock], None],
    *,
    published: bool,
) -> None:
    store.record(an_update("undelivered"))
    topic = app.topic
    monkeypatch.setattr(app, "FAILURE_TOPIC_ARN", inbox.topic_arn)
    monkeypatch.setattr(app, "topic", Broken(topic if published else None))

    assert failures_of(app, a_stream_event()) == ["1000"]
    assert notice_of(store) is NoticeState.PUBLISHING
    monkeypatch.setattr(app, "topic", topic)
    again(app, clock)

    assert set(inbox.events()) == {(f"{MESSAGE_SID}:failure", "failure")}
    assert notice_of(store) is NoticeState.SENT


FAILURE_CALLS = ["reading", "reading the episode", "claiming", "marking"]
RECOVERY_CALLS = ["reading", "claiming", "marking"]


@pytest.mark.thorough
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("news", "dies"),
    [("failure", call) for call in FAILURE_CALLS] + [("recovery", call) for call in RECOVERY_CALLS],
)
def test_a_notifier_that_dies_at_any_of_its_calls_leaves_a_notice_that_is_still_told(
    app: ModuleType,
    store: MessageStore,
    inbox: Inbox,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    news: str,
    dies: str,
    *,
    after: bool,
) -> None:
    recovers = news == "recovery"
    call = (RECOVERY_CALLS if recovers else FAILURE_CALLS).index(dies) + 1
    store.record(an_update("undelivered"))
    if recovers:
        failures_of(app, a_stream_event())
        store.record(an_update("delivered"))
    told_before = inbox.events()

    with monkeypatch.context() as dying:
        client = Dying(app.dynamodb, call, after=after)
        dying.setattr(app, "teller", a_teller(app, client))
        assert failures_of(app, a_stream_event()) == ["1000"]
    clock.pass_by(minutes=6)
    sweep(app)
    sweep(app)

    told = inbox.events()
    end = NoticeState.RECOVERED if recovers else NoticeState.SENT
    assert len(told_before) == recovers
    assert set(told) == {(f"{MESSAGE_SID}:{news}", news)}
    # Twice only where it had been published, and the mark was lost.
    assert len(told) == (2 if (dies, after) == ("marking", False) else 1)
    assert notice_of(store) is end


def lose_the_next_answer(client: DynamoDBClient, operation: str) -> None:
    """Let the next request take effect and its answer be lost, below botocore's own retries."""
    event = f"before-send.dynamodb.{operation}"

    def lose(request: Any, **facts: Any) -> None:
        client.meta.events.unregister(event, lose)
        botocore_stubber(request=request, **facts)
        raise ReadTimeoutError(endpoint_url="dynamodb")

    client.meta.events.register_first(event, lose)


def test_a_claim_whose_answer_was_lost_on_the_way_is_not_taken_for_somebody_elses(
    app: ModuleType, store: MessageStore, inbox: Inbox
) -> None:
    store.record(an_update("undelivered"))
    lose_the_next_answer(app.dynamodb, "TransactWriteItems")

    assert failures_of(app, a_stream_event()) == ["1000"]
    assert notice_of(store) is NoticeState.PUBLISHING
    assert failures_of(app, a_stream_event()) == []

    assert inbox.events() == [(f"{MESSAGE_SID}:failure", "failure")]
    assert notice_of(store) is NoticeState.SENT


@pytest.mark.parametrize("place", [0, 1, 2], ids=["first", "between", "last"])
@pytest.mark.parametrize(
    "poison",
    [{}, {"Keys": {}}, {"Keys": None}, {"Keys": {"message_sid": {"S": POISON_SID}}}],
    ids=["empty", "without a key", "with nothing", "of an item that is no message"],
)
def test_a_record_that_fails_does_not_hold_up_the_others(
    app: ModuleType,
    dynamodb: DynamoDBClient,
    store: MessageStore,
    inbox: Inbox,
    poison: dict[str, Any],
    place: int,
) -> None:
    put_poison(dynamodb)
    fail_differently(store)
    event = a_stream_event(MESSAGE_SID, OTHER_SID)
    event["Records"].insert(
        place,
        {"eventSource": "aws:dynamodb", "dynamodb": {**poison, "SequenceNumber": "666"}},
    )

    failures = failures_of(app, event)

    assert failures == ["666"]
    assert sorted(inbox.events()) == [
        (f"{MESSAGE_SID}:failure", "failure"),
        (f"{OTHER_SID}:failure", "failure"),
    ]


def test_what_failed_in_a_batch_that_comes_again_is_told_and_the_rest_not_twice(
    app: ModuleType, store: MessageStore, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_differently(store)
    event = a_stream_event(MESSAGE_SID, OTHER_SID)

    with monkeypatch.context() as dying:
        dying.setattr(app, "teller", a_teller(app, Dying(app.dynamodb, 2, after=False)))
        assert failures_of(app, event) == ["1000"]
    assert failures_of(app, event) == []

    assert sorted(inbox.events()) == [
        (f"{MESSAGE_SID}:failure", "failure"),
        (f"{OTHER_SID}:failure", "failure"),
    ]


# --- the sweep -----------------------------------------------------------------------------------


def test_a_stream_that_dropped_everything_delays_the_notices_and_loses_none(
    app: ModuleType, store: MessageStore, inbox: Inbox, clock: Clock
) -> None:
    message_sids = [f"SM{number:032x}" for number in range(9)]
    for number, message_sid in enumerate(message_sids):
        store.record(an_update("failed", message_sid=message_sid, error_code=30000 + number))

    sweep(app)
    assert inbox.events() == []  # it is still the stream's turn
    clock.pass_by(minutes=6)
    sweep(app)
    sweep(app)

    assert sorted(inbox.events()) == [(f"{sid}:failure", "failure") for sid in message_sids]
    assert {notice_of(store, message_sid) for message_sid in message_sids} == {NoticeState.SENT}


def test_a_dropped_notice_of_what_became_well_is_withdrawn_or_becomes_a_recovery(
    app: ModuleType, store: MessageStore, inbox: Inbox, clock: Clock
) -> None:
    store.record(an_update("failed"))
    store.record(an_update("delivered"))
    store.record(an_update("failed", message_sid=OTHER_SID))
    failures_of(app, a_stream_event(OTHER_SID))
    store.record(an_update("delivered", message_sid=OTHER_SID))
    inbox.notices()
    clock.pass_by(minutes=6)

    sweep(app)

    assert inbox.events() == [(f"{OTHER_SID}:recovery", "recovery")]
    assert notice_of(store) is NoticeState.WITHDRAWN
    assert notice_of(store, OTHER_SID) is NoticeState.RECOVERED


def tell(app: ModuleType, message_sid: str, *, abandoned_before: datetime) -> None:
    """As another environment would, which knows nothing of the claims of this one."""
    client = app.teller._messages._table._client  # noqa: SLF001 -- the same client
    teller = a_teller(app, client)
    for _ in teller.settle(
        [message_sid], abandoned_before=abandoned_before, time_left=lambda: 60.0
    ):
        pass


def fails(store: MessageStore, message_sid: str) -> Message:
    """For a reason of its own."""
    code = 40000 + int(message_sid[-4:], 16)
    return store.record(an_update("failed", message_sid=message_sid, error_code=code)).message


def is_due(store: MessageStore, message_sid: str) -> None:
    fails(store, message_sid)


def is_half_told(store: MessageStore, message_sid: str) -> None:
    advanced(store, fails(store, message_sid))


def is_owed_a_recovery(store: MessageStore, message_sid: str) -> None:
    failed = fails(store, message_sid)
    advanced(store, advanced(store, failed))
    store.record(an_update("delivered", message_sid=message_sid))


def is_half_told_of_the_recovery(store: MessageStore, message_sid: str) -> None:
    is_owed_a_recovery(store, message_sid)
    owed = store.get(message_sid)
    assert owed is not None
    advanced(store, owed)


@pytest.mark.thorough
@pytest.mark.parametrize("second", ["notifier", "sweep"])
@pytest.mark.parametrize(
    "left_behind", [is_due, is_half_told, is_owed_a_recovery, is_half_told_of_the_recovery]
)
def test_of_a_sweep_and_another_on_the_same_message_at_once_one_tells_it(
    app: ModuleType,
    dynamodb: DynamoDBClient,
    store: MessageStore,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    left_behind: Callable[[MessageStore, str], None],
    second: str,
) -> None:
    published: list[str] = []
    client = ClientOfThread()
    monkeypatch.setattr(app, "teller", a_teller(app, client))
    monkeypatch.setattr(app, "publish", lambda notice: published.append(notice.email))
    clock.pass_by(minutes=6)

    def telling(message_sid: str, *, by: str) -> Writer:
        def by_thread(of_thread: Any) -> None:
            client.thread.client = of_thread
            age = app.ABANDONED_AFTER if by == "notifier" else timedelta(minutes=5)
            tell(app, message_sid, abandoned_before=clock() - age)

        return by_thread

    def tellers(run: int) -> list[Writer]:
        message_sid = f"SM{run:032x}"
        left_behind(store, message_sid)
        published.clear()
        return [telling(message_sid, by="sweep"), telling(message_sid, by=second)]

    runs = 0
    for run in every_interleaving(dynamodb, tellers, at_most=60):
        assert len(published) == 1
        assert notice_of(store, f"SM{run:032x}") in {NoticeState.SENT, NoticeState.RECOVERED}
        runs += 1
    assert runs > 2


@pytest.mark.thorough
def test_a_message_that_becomes_well_while_two_tell_it_is_told_what_is_so(
    app: ModuleType,
    dynamodb: DynamoDBClient,
    store: MessageStore,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    published: list[bool] = []
    client = ClientOfThread()
    monkeypatch.setattr(app, "teller", a_teller(app, client))
    monkeypatch.setattr(
        app, "publish", lambda notice: published.append("after all" in notice.subject)
    )
    clock.pass_by(minutes=6)

    def telling(message_sid: str) -> Writer:
        def by_thread(of_thread: Any) -> None:
            client.thread.client = of_thread
            tell(app, message_sid, abandoned_before=clock() - app.ABANDONED_AFTER)

        return by_thread

    def writers(run: int) -> list[Writer]:
        message_sid = f"SM{run:032x}"
        is_due(store, message_sid)
        published.clear()
        delivered = an_update("delivered", message_sid=message_sid)
        return [
            telling(message_sid),
            telling(message_sid),
            lambda of_thread: MessageStore(of_thread, "MessagesTable").record(delivered),
        ]

    for run in every_interleaving(dynamodb, writers, at_most=60):
        assert published in ([], [False], [False, True])
        client.thread.client = dynamodb
        tell(app, f"SM{run:032x}", abandoned_before=clock() - app.ABANDONED_AFTER)
        assert published in ([], [False, True])
        assert notice_of(store, f"SM{run:032x}") is (
            NoticeState.RECOVERED if published else NoticeState.WITHDRAWN
        )


def test_a_message_that_cannot_be_told_does_not_stop_the_sweep(
    app: ModuleType,
    dynamodb: DynamoDBClient,
    store: MessageStore,
    inbox: Inbox,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put_poison(dynamodb)
    fail_differently(store)
    publish = app.publish

    def publish_others(notice: Any) -> None:
        if MESSAGE_SID in notice.email:
            raise EndpointConnectionError(endpoint_url="sns")
        publish(notice)

    clock.pass_by(minutes=6)
    with monkeypatch.context() as broken:
        broken.setattr(app, "publish", publish_others)
        sweep(app)

    assert inbox.events() == [(f"{OTHER_SID}:failure", "failure")]
    clock.pass_by(minutes=6)
    sweep(app)
    assert inbox.events() == [(f"{MESSAGE_SID}:failure", "failure")]


def test_a_sweep_stops_before_its_time_is_up_and_the_next_goes_on(
    app: ModuleType, store: MessageStore, inbox: Inbox, clock: Clock
) -> None:
    fail_differently(store)
    clock.pass_by(minutes=6)
    left = iter([60, 60, *([19] * 9)])  # asked before each kind of failure, and each notice
    context = a_context()
    context.get_remaining_time_in_millis = lambda: next(left) * 1000

    app.lambda_handler(SWEEP, context)

    assert inbox.events() == [(f"{MESSAGE_SID}:failure", "failure")]
    sweep(app)
    assert inbox.events() == [(f"{OTHER_SID}:failure", "failure")]


def test_a_sweep_that_cannot_look_fails_loudly(app: ModuleType, dynamodb: DynamoDBClient) -> None:
    dynamodb.delete_table(TableName="MessagesTable")

    with pytest.raises(StoreUnavailable):
        sweep(app)


def test_what_was_swept_is_counted_also_when_it_is_nothing(
    app: ModuleType, store: MessageStore, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    clock.pass_by(minutes=6)
    sweep(app)
    store.record(an_update("failed"))
    sweep(app)

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    counted = [line["NoticeSwept"] for line in lines if "NoticeSwept" in line]
    assert counted == [[0.0], [1.0]]
    assert lines[-1]["NoticePublished"] == [1.0]


def test_a_message_that_is_gone_is_nobodys_fault(app: ModuleType, inbox: Inbox) -> None:
    assert failures_of(app, a_stream_event("SMgone")) == []
    assert inbox.events() == []


def test_the_log_holds_no_number(
    app: ModuleType, store: MessageStore, capsys: pytest.CaptureFixture[str], log_output: Any
) -> None:
    store.record(an_update("undelivered", error_code=30003))

    failures_of(app, a_stream_event())

    written = capsys.readouterr().out + log_output.getvalue()
    assert MESSAGE_SID in written
    assert "NoticePublished" in written
    assert not any(number in written for number in ("8675310", "5550006"))
