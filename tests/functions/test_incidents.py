"""NotifyFailureFunction: every failure is in the count of one incident, and the counts add up."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from moto.backends import get_backend
from moto.core.models import DEFAULT_ACCOUNT_ID
from mypy_boto3_dynamodb import DynamoDBClient

from delivery.domain.notices import NoticeState
from tests.functions.interleaving import Writer, every_interleaving
from tests.functions.notifier import SWEEP, NotifierRig
from tests.support.builders import ACCOUNT_SID
from tests.support.embedded_metrics import data_points, total
from tests.support.faults import FailingClient, WrappedClient
from tests.support.shared_clients import shared_client

REGION = "us-east-1"
FAILS = pytest.mark.parametrize("after", [False, True], ids=["before", "after"])


# --- opening, summaries, closing -----------------------------------------------------------------


def test_the_first_failure_is_published_alone_and_further_ones_are_counted(
    notifier: NotifierRig,
) -> None:
    first, *others = notifier.fail(1, 2, 3)

    assert notifier.stream(first, *others) == []

    assert notifier.published() == [("opening", "1-1")]
    assert notifier.message(first).notice_id == f"{first}:failure"
    assert notifier.notice_of(first) is NoticeState.PUBLISHED
    incident = notifier.incident()
    assert (incident.counted, incident.published) == (3, 1)
    assert {(it.notice, it.notice_id) for it in map(notifier.message, others)} == {
        (NoticeState.GROUPED, incident.incident_id)
    }
    assert notifier.facts()[0]["incident_id"] == incident.incident_id


def test_each_account_and_error_code_has_an_incident_of_its_own(notifier: NotifierRig) -> None:
    sids = [
        *notifier.fail(1, code=30003),
        *notifier.fail(2, code=30005),
        *notifier.fail(3, code=None),
        *notifier.fail(4, code=30003, account_sid="AC" + "1" * 32),
    ]

    notifier.stream(*sids)

    assert notifier.published() == [("opening", "1-1")] * 4


def test_an_incident_has_summaries_and_a_closing_notice_that_add_up(notifier: NotifierRig) -> None:
    sids = notifier.fail(*range(8))
    notifier.stream(*sids)
    notifier.clock.advance(minutes=14)
    sids += notifier.fail(*range(8, 12))
    notifier.stream(*sids[8:])
    notifier.clock.advance(minutes=2)
    notifier.sweep()
    notifier.clock.advance(minutes=1)
    sids += notifier.fail(*range(12, 15))
    notifier.stream(*sids[12:])
    notifier.finish()

    assert notifier.published() == [("opening", "1-1"), ("summary", "2-12"), ("closing", "13-15")]
    notifier.assert_adds_up(sids)
    assert not notifier.incident().is_open
    summary = notifier.facts()[1]
    assert summary["counted"] == "12"
    assert summary["examples"].count("SM") == 5
    assert "8675310" not in json.dumps(notifier.facts())


@pytest.mark.parametrize("before", [(), (1,)], ids=["opens", "counts"])
def test_a_failure_that_another_notifier_counts_meanwhile_stays_in_the_count(
    notifier: NotifierRig, before: tuple[int, ...]
) -> None:
    notifier.stream(*notifier.fail(*before))
    second, third = notifier.fail(2, 3)
    other, waiting = notifier.build(), [third]

    def overtake(name: str, call: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        answer = call(**arguments)
        if name == "get_item" and arguments["TableName"] == "IncidentsTable" and waiting:
            list(other.notifier.notify([waiting.pop()], notifier.limits()))
        return answer

    notifier.restart(dynamodb=WrappedClient(notifier.dynamodb, overtake))

    assert notifier.stream(second) == []

    assert notifier.incident().counted == len(before) + 2
    notifier.finish()
    notifier.assert_adds_up(f"SM{number:032x}" for number in (*before, 2, 3))


def test_a_failure_after_a_quiet_interval_is_published_at_once_without_a_sweep(
    notifier: NotifierRig,
) -> None:
    notifier.stream(*notifier.fail(1))
    notifier.clock.advance(minutes=20)

    notifier.stream(*notifier.fail(2))

    assert notifier.published() == [("opening", "1-1"), ("opening", "1-1")]


def test_a_new_incident_publishes_the_closing_notice_that_the_previous_one_lacks(
    notifier: NotifierRig,
) -> None:
    notifier.stream(*notifier.fail(1))
    notifier.clock.advance(minutes=14)
    notifier.stream(*notifier.fail(2))
    notifier.clock.advance(minutes=1)
    notifier.sweep()
    notifier.clock.advance(minutes=14)

    notifier.stream(*notifier.fail(3))

    assert notifier.published() == [
        ("opening", "1-1"),
        ("summary", "2-2"),
        ("closing", ""),
        ("opening", "1-1"),
    ]
    assert notifier.incident().pending_notice is None


@pytest.mark.thorough
def test_the_sweep_counts_failures_that_the_stream_dropped(notifier: NotifierRig) -> None:
    sids = notifier.fail(*range(110))
    notifier.clock.advance(minutes=6)

    notifier.sweep()

    assert notifier.published() == [("opening", "1-1")]
    assert notifier.count_by_incident(sids) == {notifier.incident().incident_id: 110}


# --- recoveries ----------------------------------------------------------------------------------


def test_the_recovery_of_a_grouped_failure_is_counted_and_that_of_the_first_one_published(
    notifier: NotifierRig,
) -> None:
    sids = notifier.fail(1, 2, 3, 4)
    notifier.stream(*sids)
    notifier.deliver(*sids[:3])

    assert notifier.stream(*sids) == []
    notifier.finish()

    assert set(map(notifier.notice_of, sids[:3])) == {NoticeState.RECOVERED}
    assert notifier.incident().recovered == 2
    assert notifier.published() == [("opening", "1-1"), ("recovery", ""), ("closing", "2-4")]
    assert notifier.facts()[-1]["recovered"] == "2"


def test_a_recovery_is_counted_where_the_failure_was_although_its_code_arrived_later(
    notifier: NotifierRig,
) -> None:
    sids = notifier.fail(1, 2, code=None)
    notifier.stream(*sids)
    notifier.fail(2, code=30003)
    notifier.deliver(sids[1])

    notifier.stream(sids[1])

    assert notifier.incident("unknown").recovered == 1


def test_a_recovery_after_the_next_incident_opened_is_only_marked(notifier: NotifierRig) -> None:
    sids = notifier.fail(1, 2)
    notifier.stream(*sids)
    notifier.finish()
    notifier.stream(*notifier.fail(3))
    notifier.deliver(sids[1])

    assert notifier.stream(sids[1]) == []

    assert notifier.notice_of(sids[1]) is NoticeState.RECOVERED
    assert notifier.incident().recovered == 0


# --- other notifiers -----------------------------------------------------------------------------


def test_a_summary_whose_notifier_died_is_published_by_another_after_its_lease(
    notifier: NotifierRig,
) -> None:
    notifier.stream(*notifier.fail(1, 2, 3))
    notifier.clock.advance(minutes=14)
    notifier.stream(*notifier.fail(4))
    notifier.clock.advance(minutes=2)
    notifier.restart(sns=FailingClient(shared_client("sns"), after=False))
    notifier.sweep()
    claimed = notifier.incident().pending_notice
    assert claimed is not None

    notifier.restart()
    notifier.clock.advance(minutes=4)
    notifier.sweep()
    before = notifier.published()
    notifier.clock.advance(minutes=2)
    notifier.sweep()

    assert before == [("opening", "1-1")]
    assert notifier.published() == [("opening", "1-1"), ("summary", "2-4")]
    assert notifier.facts()[1]["notice_id"] == claimed.notice_id
    assert notifier.incident().pending_notice is None


def test_a_notifier_repeats_its_own_summary_in_the_next_sweep(notifier: NotifierRig) -> None:
    notifier.stream(*notifier.fail(1, 2, 3))
    notifier.clock.advance(minutes=14)
    notifier.stream(*notifier.fail(4))
    notifier.clock.advance(minutes=2)
    notifier.restart(sns=FailingClient(shared_client("sns"), after=False))

    notifier.sweep()
    notifier.clock.advance(minutes=1)
    notifier.sweep()

    assert notifier.published() == [("opening", "1-1"), ("summary", "2-4")]


def test_a_summary_of_an_incident_that_expires_meanwhile_is_published_once(
    notifier: NotifierRig,
) -> None:
    notifier.stream(*notifier.fail(1, 2))
    notifier.clock.advance(minutes=16)
    tables = get_backend("dynamodb")[DEFAULT_ACCOUNT_ID][REGION].tables

    def expire(name: str, call: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        answer = call(**arguments)
        if name == "publish":
            tables["IncidentsTable"].items.clear()  # TTL, not the function
        return answer

    notifier.restart(sns=WrappedClient(shared_client("sns"), expire))

    notifier.sweep()
    notifier.sweep()

    assert notifier.published() == [("opening", "1-1"), ("closing", "2-2")]


def test_an_incident_that_another_notifier_replaced_meanwhile_is_not_closed(
    notifier: NotifierRig,
) -> None:
    notifier.stream(*notifier.fail(1))
    notifier.clock.advance(minutes=16)
    (sid,) = notifier.fail(2)
    other = notifier.build()

    def overtake(name: str, call: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        if name == "put_item":
            list(other.notifier.notify([sid], notifier.limits()))
        return call(**arguments)

    notifier.restart(dynamodb=WrappedClient(notifier.dynamodb, overtake))

    notifier.sweep()

    assert notifier.incident().is_open
    assert notifier.incident().opened_by == sid
    assert notifier.published() == [("opening", "1-1"), ("opening", "1-1")]


def test_an_incident_that_was_read_before_it_expired_does_not_replace_the_next_one(
    notifier: NotifierRig,
) -> None:
    notifier.stream(*notifier.fail(1))
    seen = notifier.incident()
    tables = get_backend("dynamodb")[DEFAULT_ACCOUNT_ID][REGION].tables
    tables["IncidentsTable"].items.clear()  # TTL, not the function
    notifier.stream(*notifier.fail(2))
    opened = notifier.incident()

    written = notifier.incidents.write(seen, seen.add_recoveries(1))

    assert opened.version == seen.version
    assert written is None
    assert notifier.incident() == opened


# --- muted categories ----------------------------------------------------------------------------


def test_failures_of_a_muted_category_are_counted_once_and_not_published(
    notifier: NotifierRig, capsys: pytest.CaptureFixture[str]
) -> None:
    sids = notifier.fail(1, 2, 3, code=21610)

    assert notifier.stream(*sids) == []
    assert notifier.stream(*sids) == []
    notifier.deliver(sids[0])
    notifier.finish()

    assert notifier.published() == []
    assert set(map(notifier.notice_of, sids)) == {NoticeState.MUTED}
    assert total(data_points(capsys.readouterr().out), "NoticeMuted", service="tested") == 3


def test_muted_failures_that_conflict_with_another_writer_do_not_hold_up_the_others(
    notifier: NotifierRig,
) -> None:
    sids = notifier.fail(*range(12), code=21610)
    notifier.restart(dynamodb=conflicting_client(notifier.dynamodb, sids[7]))

    assert notifier.stream(*sids) == [sids[7]]

    assert [sid for sid in sids if notifier.notice_of(sid) is NoticeState.DUE] == [sids[7]]


# --- what fails ----------------------------------------------------------------------------------


def assert_all_adds_up_in_the_end(notifier: NotifierRig, sids: Sequence[str]) -> None:
    """The stream brings everything again, then the sweep; in the end the counts add up."""
    notifier.stream(*sids)
    notifier.clock.advance(minutes=6)
    notifier.sweep()
    notifier.finish()
    notifier.assert_adds_up(sids)
    assert notifier.incident().pending_notice is None
    assert not notifier.incident().is_open


@pytest.mark.thorough
@FAILS
@pytest.mark.parametrize("call", range(1, 7))
def test_counts_add_up_although_any_call_of_counting_fails(
    notifier: NotifierRig, call: int, *, after: bool
) -> None:
    """Read messages and incident, open it, mark the first failure, read again, count."""
    sids = notifier.fail(*range(1, 6))
    failing = FailingClient(notifier.dynamodb, call, after=after)
    notifier.restart(dynamodb=failing)
    notifier.stream(*sids)
    assert failing.has_failed
    notifier.restart()

    assert_all_adds_up_in_the_end(notifier, sids)


@pytest.mark.thorough
@FAILS
@pytest.mark.parametrize("call", range(1, 7))
def test_a_summary_is_published_with_the_same_numbers_although_any_call_fails(
    notifier: NotifierRig, call: int, *, after: bool
) -> None:
    """Any call of the sweep: its two lists, and what it takes to publish a summary."""
    sids = notifier.fail(*range(1, 6))
    notifier.stream(*sids)
    notifier.clock.advance(minutes=14)
    sids += notifier.fail(*range(6, 9))
    notifier.stream(*sids[5:])
    notifier.clock.advance(minutes=1)
    failing = FailingClient(notifier.dynamodb, call, after=after)
    notifier.restart(dynamodb=failing)
    notifier.sweep()
    assert failing.has_failed
    notifier.restart()

    assert_all_adds_up_in_the_end(notifier, sids)

    assert ("summary", "2-8") in notifier.published()


def test_an_opening_whose_publish_failed_does_not_keep_others_from_being_counted(
    notifier: NotifierRig,
) -> None:
    sids = notifier.fail(*range(1, 6))
    notifier.restart(sns=FailingClient(shared_client("sns"), after=False))

    assert notifier.stream(*sids) == sids[:1]

    assert notifier.incident().counted == 5
    assert notifier.stream(*sids[:1]) == []
    assert notifier.published() == [("opening", "1-1")]


def conflicting_client(client: DynamoDBClient, message_sid: str) -> WrappedClient:
    """DynamoDB, if the transactions of one message always conflicted."""

    def around(operation: str, call: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        if operation != "transact_write_items" or message_sid not in json.dumps(arguments):
            return call(**arguments)
        raise client.exceptions.TransactionCanceledException(
            {
                "Error": {"Code": "TransactionCanceledException", "Message": ""},
                "CancellationReasons": [{"Code": "None"}, {"Code": "ConditionalCheckFailed"}],
            },
            "TransactWriteItems",
        )

    return WrappedClient(client, around)


@pytest.mark.parametrize("place", [0, 7], ids=["first", "between"])
def test_a_message_that_cannot_be_counted_does_not_hold_up_the_others(
    notifier: NotifierRig, place: int
) -> None:
    sids = notifier.fail(*range(12))
    notifier.restart(dynamodb=conflicting_client(notifier.dynamodb, sids[place]))

    assert notifier.stream(*sids) == [sids[place]]

    assert notifier.incident().counted == 11
    assert notifier.notice_of(sids[place]) is NoticeState.DUE


def test_an_unreadable_incident_does_not_hold_up_the_others(
    notifier: NotifierRig, dynamodb: DynamoDBClient, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = {"account_sid": ACCOUNT_SID, "cause": "30003", "open": "open", "next_at": "2020"}
    dynamodb.put_item(
        TableName="IncidentsTable", Item={name: {"S": text} for name, text in texts.items()}
    )
    blocked, first = *notifier.fail(1, code=30003), *notifier.fail(2, code=30005)

    assert notifier.stream(blocked, first) == []

    assert notifier.notice_of(blocked) is NoticeState.DUE  # so the sweep finds it again
    assert total(data_points(capsys.readouterr().out), "ItemUnreadable") == 1
    notifier.clock.advance(minutes=14)
    notifier.stream(*notifier.fail(3, code=30005))
    notifier.clock.advance(minutes=1)
    notifier.sweep()
    assert notifier.published() == [("opening", "1-1"), ("summary", "2-2")]
    # The due message of the incident, and the due incident.
    assert total(data_points(capsys.readouterr().out), "ItemUnreadable") == 2


def test_a_sweep_with_too_little_time_leaves_summaries_to_the_next_one(
    notifier: NotifierRig,
) -> None:
    notifier.stream(*notifier.fail(1, 2))
    notifier.clock.advance(minutes=15)

    notifier.handle(SWEEP, seconds_left=lambda: 19)
    assert notifier.published() == [("opening", "1-1")]
    notifier.sweep()

    assert notifier.published() == [("opening", "1-1"), ("closing", "2-2")]


def test_a_batch_that_cannot_be_read_comes_again_as_a_whole(notifier: NotifierRig) -> None:
    sids = notifier.fail(1, 2, 3)
    notifier.restart(dynamodb=FailingClient(notifier.dynamodb, 1, after=False))

    assert notifier.stream(*sids) == sids
    assert notifier.stream(*sids) == []


# --- several notifiers at once -------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.parametrize("competitor", ["another batch", "the same batch", "the sweep"])
def test_of_several_notifiers_at_once_one_counts_each_failure(
    notifier: NotifierRig, dynamodb: DynamoDBClient, competitor: str
) -> None:
    batches: dict[int, list[str]] = {}

    def stream(sids: list[str]) -> Writer:
        def work(client: Any) -> None:
            list(notifier.build(dynamodb=client).notifier.notify(sids, notifier.limits()))

        return work

    def advance(client: Any) -> None:
        list(notifier.build(dynamodb=client).notifier.advance_incidents(notifier.limits()))

    def notifiers(run: int) -> list[Writer]:
        code, first = 40000 + run, run * 10
        sids = notifier.fail(*range(first, first + 4), code=code)
        batches[run] = sids
        if competitor == "the sweep":
            notifier.stream(*sids[:2])
            notifier.clock.advance(minutes=15)
            return [stream(sids[2:]), advance, advance]
        if competitor == "the same batch":
            return [stream(sids), stream(sids)]
        return [stream(sids[:2]), stream(sids[2:])]

    runs = sum(1 for _ in every_interleaving(dynamodb, notifiers, at_most=30))
    notifier.finish()

    assert runs > 20
    notifier.assert_adds_up(sid for sids in batches.values() for sid in sids)
    ids = [it["notice_id"] for it in notifier.facts()]
    assert len(ids) == len(set(ids))
