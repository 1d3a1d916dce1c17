"""NotifyFailureFunction: the notice of each message, under failures and concurrency."""

import io
import json
from typing import Any

import pytest
from mypy_boto3_dynamodb import DynamoDBClient

from delivery.domain.notices import NoticeState
from delivery.storage.messages import MessageStore
from delivery.twilio.error_codes import Category, categories_in
from tests.functions.interleaving import Writer, every_interleaving
from tests.functions.notifier import SWEEP, NotifierRig, a_stream_event, a_stream_record
from tests.support.builders import MESSAGE_SID, an_update
from tests.support.embedded_metrics import data_points, total
from tests.support.faults import FailingClient, WrappedClient, make_unreadable
from tests.support.shared_clients import shared_client

OTHER_SID = "SM" + "f" * 32
UNREADABLE_SID = "SM" + "e" * 32
FAILURE = (f"{MESSAGE_SID}:failure", "failure")
RECOVERY = (f"{MESSAGE_SID}:recovery", "recovery")


@pytest.fixture
def failed(notifier: NotifierRig) -> NotifierRig:
    """The rig, with one failed message."""
    notifier.store.record(an_update("undelivered", error_code=30003))
    return notifier


def fail_for_two_reasons(notifier: NotifierRig) -> None:
    """Two messages, each the first of its kind."""
    notifier.store.record(an_update("failed", error_code=30003))
    notifier.store.record(an_update("failed", after=1, error_code=30005, message_sid=OTHER_SID))


# --- one message ---------------------------------------------------------------------------------


def test_a_failed_message_is_published_once(failed: NotifierRig) -> None:
    assert failed.stream(MESSAGE_SID) == []
    assert failed.stream(MESSAGE_SID) == []

    assert failed.new_events() == [FAILURE]
    assert failed.notice_of(MESSAGE_SID) is NoticeState.PUBLISHED


def test_a_notice_has_the_attributes_of_filter_policies(failed: NotifierRig) -> None:
    failed.stream(MESSAGE_SID)

    (notice,) = failed.new_notices()
    assert notice["attributes"] == {
        "status": ("String", "undelivered"),
        "category": ("String", "recipient_unreachable"),
        "account_sid": ("String", "AC" + "0" * 32),
        "retryable": ("String", "true"),
        "error_code": ("Number", "30003"),
    }


def test_a_message_that_is_delivered_before_it_is_published_is_withdrawn(
    failed: NotifierRig,
) -> None:
    failed.deliver(MESSAGE_SID)

    failed.stream(MESSAGE_SID)

    assert failed.new_events() == []
    assert failed.notice_of(MESSAGE_SID) is NoticeState.WITHDRAWN


def test_the_recovery_of_a_published_failure_is_published_once(failed: NotifierRig) -> None:
    failed.stream(MESSAGE_SID)
    failed.deliver(MESSAGE_SID)
    failed.stream(MESSAGE_SID)
    failed.stream(MESSAGE_SID)

    assert failed.new_events() == [FAILURE, RECOVERY]
    assert failed.notice_of(MESSAGE_SID) is NoticeState.RECOVERED


def test_an_abandoned_claim_is_taken_over_and_published_under_the_same_id(
    failed: NotifierRig,
) -> None:
    failed.claim(MESSAGE_SID)  # whether it was published after that is unknown
    failed.clock.advance(minutes=6)

    failed.stream(MESSAGE_SID)

    assert failed.new_events() == [FAILURE]
    assert failed.notice_of(MESSAGE_SID) is NoticeState.PUBLISHED


def test_a_claim_is_respected_while_its_lease_holds(failed: NotifierRig) -> None:
    failed.claim(MESSAGE_SID)
    failed.clock.advance(minutes=4)

    assert failed.stream(MESSAGE_SID) == []
    failed.sweep()

    assert failed.new_events() == []
    assert failed.notice_of(MESSAGE_SID) is NoticeState.PUBLISHING


def test_a_message_that_is_delivered_under_an_abandoned_claim_owes_a_recovery(
    failed: NotifierRig,
) -> None:
    failed.claim(MESSAGE_SID)
    failed.deliver(MESSAGE_SID)
    failed.clock.advance(minutes=6)

    failed.sweep()
    assert failed.notice_of(MESSAGE_SID) is NoticeState.RECOVERY_DUE
    failed.stream(MESSAGE_SID)

    assert failed.new_events() == [RECOVERY]
    assert failed.notice_of(MESSAGE_SID) is NoticeState.RECOVERED


# --- what fails ----------------------------------------------------------------------------------


@pytest.mark.parametrize("same_environment", [True, False], ids=["same", "other environment"])
@pytest.mark.parametrize("published", [False, True], ids=["not published", "answer lost"])
def test_a_publish_that_failed_is_repeated(
    failed: NotifierRig, *, published: bool, same_environment: bool
) -> None:
    failed.restart(sns=FailingClient(shared_client("sns"), after=published))

    assert failed.stream(MESSAGE_SID) == [MESSAGE_SID]
    assert failed.notice_of(MESSAGE_SID) is NoticeState.PUBLISHING
    if not same_environment:
        failed.restart()
        assert failed.stream(MESSAGE_SID) == []  # the lease of the other environment holds
        failed.clock.advance(minutes=6)
        failed.sweep()
    assert failed.stream(MESSAGE_SID) == []

    assert set(failed.new_events()) == {FAILURE}
    assert failed.notice_of(MESSAGE_SID) is NoticeState.PUBLISHED


@pytest.mark.thorough
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call", [1, 2, 3], ids=["read", "claim", "mark"])
def test_a_recovery_is_published_although_any_call_of_the_database_fails(
    failed: NotifierRig, call: int, *, after: bool
) -> None:
    failed.stream(MESSAGE_SID)
    failed.deliver(MESSAGE_SID)
    assert failed.new_events() == [FAILURE]

    failed.restart(dynamodb=FailingClient(failed.dynamodb, call, after=after))
    assert failed.stream(MESSAGE_SID) == [MESSAGE_SID]
    failed.restart()
    failed.clock.advance(minutes=6)
    failed.sweep()

    assert set(failed.new_events()) == {(f"{MESSAGE_SID}:recovery", "recovery")}
    assert failed.notice_of(MESSAGE_SID) is NoticeState.RECOVERED


def test_a_claim_whose_answer_was_lost_is_published_once(failed: NotifierRig) -> None:
    failed.restart(dynamodb=FailingClient(failed.dynamodb, 3, after=True))

    assert failed.stream(MESSAGE_SID) == [MESSAGE_SID]
    assert failed.notice_of(MESSAGE_SID) is NoticeState.PUBLISHING
    assert failed.stream(MESSAGE_SID) == []

    assert failed.new_events() == [FAILURE]
    assert failed.notice_of(MESSAGE_SID) is NoticeState.PUBLISHED


def test_the_functions_own_clients_repeat_reads_and_never_a_write(notifier: NotifierRig) -> None:
    table = notifier.module.function.messages._table  # noqa: SLF001 -- the only way to them
    clients = [table._client, table._reader]  # noqa: SLF001 -- the same

    assert [it.meta.config.retries["total_max_attempts"] for it in clients] == [1, 3]


@pytest.mark.parametrize("change", [{}, {"Keys": None}], ids=["no keys", "null keys"])
def test_a_record_that_fails_does_not_hold_up_the_others(
    notifier: NotifierRig, change: dict[str, Any]
) -> None:
    fail_for_two_reasons(notifier)
    event = a_stream_event(MESSAGE_SID, OTHER_SID)
    event["Records"].insert(1, a_stream_record(666, **change))

    assert notifier.stream_again(event) == [666]

    assert sorted(notifier.new_events()) == [FAILURE, (f"{OTHER_SID}:failure", "failure")]


def test_the_stream_goes_on_after_an_unreadable_item_and_the_sweep_finds_it_again(
    notifier: NotifierRig,
    dynamodb: DynamoDBClient,
    capsys: pytest.CaptureFixture[str],
    log_output: io.StringIO,
) -> None:
    """As after a rollback: the newer version wrote an item that this one cannot read."""
    fail_for_two_reasons(notifier)
    notifier.store.record(an_update("failed", message_sid=UNREADABLE_SID, error_code=30006))
    make_unreadable(dynamodb, "MessagesTable", message_sid=UNREADABLE_SID)

    assert notifier.stream(MESSAGE_SID, UNREADABLE_SID, OTHER_SID) == []

    assert sorted(notifier.new_events()) == [FAILURE, (f"{OTHER_SID}:failure", "failure")]
    assert total(data_points(capsys.readouterr().out), "ItemUnreadable") == 1
    lines = [json.loads(line) for line in log_output.getvalue().splitlines()]
    assert [(it["level"], it["key"]) for it in lines if it["message"] == "ItemUnreadable"] == [
        ("ERROR", UNREADABLE_SID)
    ]

    notifier.clock.advance(minutes=6)
    notifier.sweep()
    assert total(data_points(capsys.readouterr().out), "ItemUnreadable") == 1
    dynamodb.update_item(
        TableName="MessagesTable",
        Key={"message_sid": {"S": UNREADABLE_SID}},
        UpdateExpression="SET outcome = :failed",
        ExpressionAttributeValues={":failed": {"S": "failed"}},
    )
    notifier.sweep()
    assert notifier.new_events() == [(f"{UNREADABLE_SID}:failure", "failure")]


def test_a_batch_that_comes_again_publishes_only_what_failed(notifier: NotifierRig) -> None:
    fail_for_two_reasons(notifier)
    notifier.restart(dynamodb=FailingClient(notifier.dynamodb, 2, after=False))

    assert notifier.stream(MESSAGE_SID, OTHER_SID) == [MESSAGE_SID]
    assert notifier.stream(MESSAGE_SID, OTHER_SID) == []

    assert sorted(notifier.new_events()) == [FAILURE, (f"{OTHER_SID}:failure", "failure")]


# --- the sweep -----------------------------------------------------------------------------------


def test_the_sweep_publishes_what_the_stream_dropped_after_five_minutes(
    notifier: NotifierRig,
) -> None:
    message_sids = [f"SM{number:032x}" for number in range(9)]
    for number, message_sid in enumerate(message_sids):
        update = an_update("failed", message_sid=message_sid, error_code=30000 + number)
        notifier.store.record(update)

    notifier.sweep()
    assert notifier.new_events() == []
    notifier.clock.advance(minutes=6)
    notifier.sweep()
    notifier.sweep()

    assert sorted(notifier.new_events()) == [(f"{sid}:failure", "failure") for sid in message_sids]
    assert set(map(notifier.notice_of, message_sids)) == {NoticeState.PUBLISHED}


def test_a_sweep_stops_before_its_time_is_up_and_the_next_one_continues(
    notifier: NotifierRig,
) -> None:
    fail_for_two_reasons(notifier)
    notifier.clock.advance(minutes=6)
    seconds = iter([60, 60, *([19] * 9)])  # read before each kind of failure, and each notice

    notifier.handle(SWEEP, seconds_left=lambda: next(seconds))

    assert notifier.new_events() == [FAILURE]
    notifier.sweep()
    assert notifier.new_events() == [(f"{OTHER_SID}:failure", "failure")]


@pytest.mark.parametrize("failing_call", [1, 17])
def test_a_sweep_that_cannot_read_the_due_notices_ends_with_a_count(
    failed: NotifierRig,
    capsys: pytest.CaptureFixture[str],
    log_output: io.StringIO,
    failing_call: int,
) -> None:
    """The first call checks whether a notice is due, the next sixteen read which ones are."""
    failed.clock.advance(minutes=6)
    failing = FailingClient(failed.dynamodb, failing_call, after=False)
    failed.restart(reader=failing)

    failed.sweep()

    assert failing.has_failed
    assert failed.new_events() == []
    points = data_points(capsys.readouterr().out)
    assert total(points, "NoticeSweepInterrupted", service="tested") == 1
    assert total(points, "NoticeSwept", service="tested") is None
    (line,) = map(json.loads, log_output.getvalue().splitlines())
    assert (line["level"], line["message"]) == ("WARNING", "NoticeSweepInterrupted")
    assert "DynamoDB did not answer" in line["reason"]
    failed.sweep()
    assert failed.new_events() == [FAILURE]


@pytest.mark.parametrize(
    ("failing_call", "notices_at_once"), [(1, 2), (2, 1)], ids=["due notices", "due incidents"]
)
def test_a_list_that_a_sweep_cannot_read_does_not_stop_the_other(
    notifier: NotifierRig,
    capsys: pytest.CaptureFixture[str],
    failing_call: int,
    notices_at_once: int,
) -> None:
    notifier.stream(*notifier.fail(1, 2))
    notifier.clock.advance(minutes=15)
    notifier.restart(reader=FailingClient(notifier.dynamodb, failing_call, after=False))

    notifier.sweep()

    points = data_points(capsys.readouterr().out)
    assert total(points, "NoticeSweepInterrupted", service="tested") == 1
    assert len(notifier.published()) == notices_at_once
    notifier.sweep()
    assert notifier.published() == [("opening", "1-1"), ("closing", "2-2")]


def test_a_sweep_without_due_notices_makes_two_requests(notifier: NotifierRig) -> None:
    notifier.stream(*notifier.fail(1, 2))
    notifier.fail(3)  # due, but the stream still has time to bring it
    client = WrappedClient(notifier.dynamodb)
    notifier.restart(dynamodb=client)

    notifier.sweep()

    assert client.calls == ["scan", "query"]


# --- several notifiers at once -------------------------------------------------------------------


def fail_for_a_reason_of_its_own(notifier: NotifierRig, message_sid: str) -> None:
    code = 40000 + int(message_sid[-4:], 16)
    notifier.store.record(an_update("failed", message_sid=message_sid, error_code=code))


class Topic:
    """SNS, which keeps what was published."""

    def __init__(self) -> None:
        self.published: list[dict[str, Any]] = []

    def publish(self, **arguments: Any) -> None:
        shared_client("sns").publish(**arguments)
        self.published.append(arguments)


def notifying(notifier: NotifierRig, topic: Topic, message_sid: str) -> Writer:
    """An environment of its own that handles the message, through the client of its thread."""

    def work(client: Any) -> None:
        function = notifier.build(dynamodb=client, sns=topic)
        list(function.notifier.notify([message_sid], notifier.limits()))

    return work


@pytest.mark.thorough
def test_a_message_that_is_delivered_while_two_notifiers_compete_is_published_correctly(
    notifier: NotifierRig, dynamodb: DynamoDBClient
) -> None:
    topic = Topic()

    def events() -> list[str]:
        defaults = [json.loads(json.loads(it["Message"])["default"]) for it in topic.published]
        return [it["metadata"]["eventType"] for it in defaults]

    def writers(run: int) -> list[Writer]:
        message_sid = f"SM{run:032x}"
        fail_for_a_reason_of_its_own(notifier, message_sid)
        topic.published.clear()
        delivered = an_update("delivered", message_sid=message_sid)
        return [
            notifying(notifier, topic, message_sid),
            notifying(notifier, topic, message_sid),
            lambda client: MessageStore(client, "MessagesTable").record(delivered),
        ]

    notifier.clock.advance(minutes=6)
    for run in every_interleaving(dynamodb, writers, at_most=60):
        message_sid = f"SM{run:032x}"
        assert events() in ([], ["failure"], ["failure", "recovery"])
        notifying(notifier, topic, message_sid)(dynamodb)
        assert events() in ([], ["failure", "recovery"])
        assert notifier.notice_of(message_sid) is (
            NoticeState.RECOVERED if topic.published else NoticeState.WITHDRAWN
        )


# --- parameters, log and metrics -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "categories", "unknown"),
    [
        ("", set(), []),
        ("none", set(), []),
        ("none,content", {Category.CONTENT}, ["none"]),
        ("opt_out, content", {Category.OPT_OUT, Category.CONTENT}, []),
        ("optout,content", {Category.CONTENT}, ["optout"]),
    ],
)
def test_categories_are_read_and_unknown_names_are_returned(
    text: str, categories: set[Category], unknown: list[str]
) -> None:
    assert categories_in(text) == (frozenset(categories), unknown)


def test_an_unknown_muted_category_is_logged_and_the_others_are_muted(
    notifier: NotifierRig, log_output: io.StringIO
) -> None:
    notifier.restart(MUTED_CATEGORIES="optout,content")

    line = json.loads(log_output.getvalue().splitlines()[-1])
    assert (line["level"], line["unknown"]) == ("ERROR", ["optout"])
    assert "opt_out" in line["known"]
    (rejected,) = notifier.fail(1, code=21617)
    (opted_out,) = notifier.fail(2, code=21610)
    notifier.stream(rejected, opted_out)
    assert notifier.new_events() == [(f"{opted_out}:failure", "failure")]


def test_the_sweep_counts_what_it_published_and_otherwise_writes_nothing(
    notifier: NotifierRig, capsys: pytest.CaptureFixture[str]
) -> None:
    notifier.clock.advance(minutes=6)
    notifier.sweep()
    nothing = capsys.readouterr().out
    notifier.store.record(an_update("failed"))
    notifier.sweep()
    one = data_points(capsys.readouterr().out)

    assert nothing == ""
    assert total(one, "NoticeSwept", service="tested") == 1
    assert total(one, "NoticePublished", service="tested") == 1


@pytest.mark.parametrize("gone", [0, 2])
def test_messages_that_are_gone_are_counted_as_already_handled(
    failed: NotifierRig, capsys: pytest.CaptureFixture[str], gone: int
) -> None:
    failed.stream(MESSAGE_SID, *(f"SMgone{number}" for number in range(gone)))

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    counts = [it["NoticeAlreadyHandled"] for it in lines if "NoticeAlreadyHandled" in it]
    assert counts == ([[gone]] if gone else [])


def test_log_and_metrics_hold_ids_and_no_phone_number(
    failed: NotifierRig, capsys: pytest.CaptureFixture[str], log_output: io.StringIO
) -> None:
    failed.stream(MESSAGE_SID)

    written = capsys.readouterr().out + log_output.getvalue()
    assert MESSAGE_SID in written
    assert "NoticePublished" in written
    assert not any(number in written for number in ("8675310", "5550006"))
