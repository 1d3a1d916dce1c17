"""NotifyFailureFunction in a storm: every failure is in one count, and every count is told once."""

import importlib
import io
import json
import sys
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError
from mypy_boto3_dynamodb import DynamoDBClient

from delivery.domain.messages import NoticeState
from delivery.twilio.error_codes import Category, categories_in
from tests.functions.interleaving import Writer, every_interleaving
from tests.functions.notifier import ClientOfThread, Dying, Notifier, a_teller

DIES = pytest.mark.parametrize("after", [False, True], ids=["before", "after"])


def test_the_first_failure_of_a_kind_is_told_and_the_others_are_counted(
    notifier: Notifier,
) -> None:
    first, *others = notifier.fail(1, 2, 3)

    assert notifier.stream(first, *others) == []

    assert notifier.told() == [("opening", "1-1")]
    assert (notifier.message(first).notice, notifier.message(first).notice_id) == (
        NoticeState.SENT,
        f"{first}:failure",
    )
    episode = notifier.episode()
    assert (episode.counted, episode.told) == (3, 1)
    assert {(it.notice, it.notice_id) for it in map(notifier.message, others)} == {
        (NoticeState.SENT, episode.episode_id)
    }
    assert notifier.facts()[0]["episode_id"] == episode.episode_id


def test_other_codes_and_other_accounts_are_other_episodes(notifier: Notifier) -> None:
    sids = [
        *notifier.fail(1, code=30003),
        *notifier.fail(2, code=30005),
        *notifier.fail(3, code=None),
        *notifier.fail(4, code=30003, account_sid="AC" + "1" * 32),
    ]

    notifier.stream(*sids)

    assert notifier.told() == [("opening", "1-1")] * 4


def test_a_storm_is_told_in_summaries_and_a_last_line_that_add_up(notifier: Notifier) -> None:
    sids = notifier.fail(*range(24))
    notifier.stream(*sids)
    notifier.clock.pass_by(minutes=14)
    sids += notifier.fail(*range(24, 36))
    notifier.stream(*sids[24:])
    notifier.clock.pass_by(minutes=2)
    notifier.schedule()
    notifier.clock.pass_by(minutes=1)
    sids += notifier.fail(*range(36, 41))
    notifier.stream(*sids[36:])
    notifier.let_it_end()

    assert notifier.told() == [("opening", "1-1"), ("summary", "2-36"), ("closing", "37-41")]
    assert notifier.numbers() == {notifier.episode().episode_id: list(range(1, 42))}
    assert not notifier.episode().is_open
    summary = notifier.facts()[1]
    assert summary["counted"] == "36"
    assert summary["examples"].count("SM") == 5
    assert "8675310" not in json.dumps(notifier.facts())


def test_a_failure_after_the_storm_is_told_at_once_again(notifier: Notifier) -> None:
    notifier.stream(*notifier.fail(1, 2))
    notifier.let_it_end()

    notifier.stream(*notifier.fail(3))

    assert notifier.told() == [("opening", "1-1"), ("closing", "2-2"), ("opening", "1-1")]
    assert len(notifier.numbers()) == 2


def test_a_failure_after_a_quiet_time_does_not_wait_for_the_schedule(notifier: Notifier) -> None:
    notifier.stream(*notifier.fail(1, 2))
    notifier.clock.pass_by(minutes=15)
    notifier.schedule()
    notifier.stream(*notifier.fail(3))
    notifier.clock.pass_by(minutes=1)
    notifier.schedule()
    notifier.clock.pass_by(minutes=20)  # nothing runs meanwhile

    notifier.stream(*notifier.fail(4))

    assert notifier.told() == [
        ("opening", "1-1"),
        ("closing", "2-2"),
        ("opening", "1-1"),
        ("opening", "1-1"),
    ]


def test_the_last_line_of_an_episode_that_nobody_closed_comes_before_the_next_one(
    notifier: Notifier,
) -> None:
    notifier.stream(*notifier.fail(1))
    notifier.clock.pass_by(minutes=14)
    notifier.stream(*notifier.fail(2))
    notifier.clock.pass_by(minutes=1)
    notifier.schedule()
    notifier.clock.pass_by(minutes=14)

    notifier.stream(*notifier.fail(3))

    assert notifier.told() == [
        ("opening", "1-1"),
        ("summary", "2-2"),
        ("closing", ""),
        ("opening", "1-1"),
    ]
    assert notifier.episode().telling is None


def test_with_no_quiet_time_every_failure_is_told_alone(notifier: Notifier) -> None:
    notifier.new_environment(quiet_minutes=0)

    notifier.stream(*notifier.fail(*range(5)))

    assert notifier.told() == [("opening", "1-1")] * 5


@pytest.mark.thorough
def test_three_hundred_failures_in_any_batches_at_any_times_are_each_told_once(
    notifier: Notifier,
) -> None:
    choice = Random(4)  # noqa: S311 -- the same every time, on purpose
    sids: list[str] = []
    while len(sids) < 300:
        size = min(choice.choice((1, 3, 20, 60)), 300 - len(sids))
        batch = notifier.fail(*range(len(sids), len(sids) + size))
        sids += batch
        again = choice.sample(sids, min(3, len(sids))) if choice.random() < 0.5 else []
        if choice.random() < 0.8:  # or the stream drops it
            assert notifier.stream(*batch, *again) == []
        notifier.clock.pass_by(minutes=choice.choice((0, 1, 5, 16)))
        if choice.random() < 0.7:
            notifier.schedule()
    notifier.let_it_end()

    counted = notifier.counted(sids)
    assert counted.total() == 300
    assert notifier.numbers() == {it: list(range(1, n + 1)) for it, n in counted.items()}
    assert len(counted) > 1


@pytest.mark.thorough
def test_what_the_stream_dropped_is_counted_by_the_sweep(notifier: Notifier) -> None:
    sids = notifier.fail(*range(110))
    notifier.clock.pass_by(minutes=6)

    notifier.schedule()

    assert notifier.told() == [("opening", "1-1")]
    assert notifier.counted(sids) == {notifier.episode().episode_id: 110}


# --- recoveries ----------------------------------------------------------------------------------


def test_the_recovery_of_a_counted_failure_is_counted_and_that_of_the_first_one_told(
    notifier: Notifier,
) -> None:
    sids = notifier.fail(1, 2, 3, 4)
    notifier.stream(*sids)
    notifier.deliver(*sids[:3])

    assert notifier.stream(*sids) == []
    notifier.let_it_end()

    assert {notifier.message(sid).notice for sid in sids[:3]} == {NoticeState.RECOVERED}
    assert notifier.episode().recovered == 2
    assert notifier.told() == [("opening", "1-1"), ("recovery", ""), ("closing", "2-4")]
    assert notifier.facts()[-1]["recovered"] == "2"


def test_a_recovery_is_counted_where_the_failure_was_though_its_code_came_later(
    notifier: Notifier,
) -> None:
    sids = notifier.fail(1, 2, code=None)
    notifier.stream(*sids)
    notifier.fail(2, code=30003)
    notifier.deliver(sids[1])

    notifier.stream(sids[1])

    assert notifier.episode("unknown").recovered == 1


def test_a_recovery_after_another_episode_began_is_only_marked(notifier: Notifier) -> None:
    sids = notifier.fail(1, 2)
    notifier.stream(*sids)
    notifier.let_it_end()
    notifier.stream(*notifier.fail(3))
    notifier.deliver(sids[1])

    assert notifier.stream(sids[1]) == []

    assert notifier.message(sids[1]).notice is NoticeState.RECOVERED
    assert notifier.episode().recovered == 0


def test_a_message_that_became_well_before_it_was_counted_is_not_counted(
    notifier: Notifier,
) -> None:
    sids = notifier.fail(1, 2)
    notifier.stream(sids[0])
    notifier.deliver(sids[1])

    notifier.stream(sids[1])

    assert notifier.message(sids[1]).notice is NoticeState.WITHDRAWN
    assert notifier.episode().counted == 1


# --- what is muted -------------------------------------------------------------------------------


def test_failures_of_a_muted_category_are_only_counted(
    notifier: Notifier, capsys: pytest.CaptureFixture[str]
) -> None:
    sids = notifier.fail(1, 2, 3, code=21610)

    assert notifier.stream(*sids) == []
    notifier.let_it_end()

    assert notifier.told() == []
    assert {notifier.message(sid).notice for sid in sids} == {NoticeState.MUTED}
    assert notifier.counted(sids) == {notifier.episode("21610").episode_id: 3}
    assert notifier.episode("21610").counted == 3
    metrics = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [it["NoticeMuted"] for it in metrics if "NoticeMuted" in it] == [[3.0]]


@pytest.mark.parametrize(
    ("text", "categories", "unknown"),
    [
        ("", set(), []),
        ("opt_out", {Category.OPT_OUT}, []),
        ("opt_out, content", {Category.OPT_OUT, Category.CONTENT}, []),
        ("optout,content", {Category.CONTENT}, ["optout"]),
    ],
)
def test_muted_categories_are_read_and_those_that_do_not_exist_are_named(
    text: str, categories: set[Category], unknown: list[str]
) -> None:
    assert categories_in(text) == (frozenset(categories), unknown)


def test_a_category_that_does_not_exist_is_an_error_in_the_log_and_stops_nothing(
    notifier: Notifier, log_output: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUTED_CATEGORIES", "optout,content")
    name = notifier.app.__name__
    monkeypatch.delitem(sys.modules, name)

    app = importlib.import_module(name)

    line = json.loads(log_output.getvalue().splitlines()[-1])
    assert (line["level"], line["unknown"]) == ("ERROR", ["optout"])
    assert "opt_out" in line["known"]
    assert {Category.CONTENT} == app.MUTED


# --- who dies, and what is lost ------------------------------------------------------------------


def end_of_storm(notifier: Notifier, sids: list[str]) -> None:
    """The stream brings it again, then the sweep; and at last everything must add up."""
    notifier.stream(*sids)
    notifier.clock.pass_by(minutes=6)
    notifier.schedule()
    notifier.let_it_end()
    counted = notifier.counted(sids)
    assert counted.total() == len(sids)
    assert notifier.numbers() == {it: list(range(1, n + 1)) for it, n in counted.items()}
    assert notifier.episode().telling is None
    assert not notifier.episode().is_open


@pytest.mark.thorough
@DIES
@pytest.mark.parametrize("call", range(1, 7))
def test_a_notifier_that_dies_while_it_counts_leaves_every_failure_in_one_count(
    notifier: Notifier, call: int, *, after: bool
) -> None:
    """Reading messages and the episode, opening it, marking the first, reading again, counting."""
    sids = notifier.fail(*range(1, 6))
    dying = Dying(notifier.app.dynamodb, call, after=after)
    notifier.new_environment(dying)
    notifier.stream(*sids)
    assert dying.left <= 0
    notifier.new_environment()

    end_of_storm(notifier, sids)


@pytest.mark.thorough
@DIES
@pytest.mark.parametrize("call", [1, 8, *range(16, 25)])
def test_a_notifier_that_dies_while_it_sums_up_is_followed_by_one_who_says_the_same(
    notifier: Notifier, call: int, *, after: bool
) -> None:
    """At any call of the sweep's sixteen lists and of what it takes to tell an episode."""
    sids = notifier.fail(*range(1, 6))
    notifier.stream(*sids)
    notifier.clock.pass_by(minutes=14)
    sids += notifier.fail(*range(6, 9))
    notifier.stream(*sids[5:])
    notifier.clock.pass_by(minutes=1)
    dying = Dying(notifier.app.dynamodb, call, after=after)
    notifier.new_environment(dying)
    run_what_dies(notifier)
    notifier.new_environment()

    end_of_storm(notifier, sids)

    assert ("summary", "2-8") in notifier.told()


def run_what_dies(notifier: Notifier) -> None:
    teller = notifier.app.teller
    store = teller._messages  # noqa: SLF001 -- what the function itself reads with
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(notifier.app, "store", store)
        try:
            notifier.schedule()
        except Exception as error:  # noqa: BLE001 -- whatever kills it
            assert "DynamoDB did not" in str(error)  # noqa: PT017 -- not every call kills it


class Unheard:
    """An SNS that takes a notice, and whose answer is lost; or that nobody reaches."""

    def __init__(self, topic: Any, *, takes: bool) -> None:
        self._topic = topic
        self._takes = takes

    def publish(self, **arguments: Any) -> None:
        if self._takes:
            self._topic.publish(**arguments)
            raise ReadTimeoutError(endpoint_url="sns")
        raise EndpointConnectionError(endpoint_url="sns")


@pytest.mark.thorough
@pytest.mark.parametrize("takes", [False, True], ids=["not published", "answer lost"])
@pytest.mark.parametrize("same_environment", [False, True], ids=["another", "the same"])
def test_a_summary_whose_publishing_failed_comes_again_with_the_same_id_and_numbers(
    notifier: Notifier, monkeypatch: pytest.MonkeyPatch, *, takes: bool, same_environment: bool
) -> None:
    sids = notifier.fail(*range(1, 6))
    notifier.stream(*sids)
    notifier.clock.pass_by(minutes=14)
    sids += notifier.fail(6)
    notifier.stream(*sids[5:])
    notifier.clock.pass_by(minutes=1)
    with monkeypatch.context() as broken:
        broken.setattr(notifier.app, "topic", Unheard(notifier.app.topic, takes=takes))
        notifier.schedule()
    sids += notifier.fail(7)
    notifier.stream(*sids[6:])
    if not same_environment:
        notifier.new_environment()
        notifier.schedule()
        assert len(notifier.told()) == 1 + takes  # it may be at it still
        notifier.clock.pass_by(minutes=6)

    notifier.schedule()

    assert notifier.told() == [("opening", "1-1"), *[("summary", "2-6")] * (1 + takes)]
    summaries = [it for it in notifier.facts() if it["kind"] == "summary"]
    assert all(it == summaries[0] for it in summaries)
    end_of_storm(notifier, sids)


def test_the_opening_whose_publishing_failed_does_not_keep_others_from_being_counted(
    notifier: Notifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    sids = notifier.fail(*range(1, 6))

    with monkeypatch.context() as broken:
        broken.setattr(notifier.app, "topic", Unheard(None, takes=False))
        assert notifier.stream(*sids) == sids[:1]

    assert notifier.episode().counted == 5
    assert notifier.stream(*sids[:1]) == []
    assert notifier.told() == [("opening", "1-1")]


class Picky:
    """DynamoDB as it would be if one message could be in no transaction."""

    def __init__(self, client: DynamoDBClient, message_sid: str) -> None:
        self._client = client
        self._message_sid = message_sid
        self.exceptions = client.exceptions

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return getattr(self._client, name)  # type: ignore[no-any-return]  # one of its calls

    def transact_write_items(self, **arguments: Any) -> Any:
        if self._message_sid in json.dumps(arguments):
            raise self.exceptions.TransactionCanceledException(
                {
                    "Error": {"Code": "TransactionCanceledException", "Message": ""},
                    "CancellationReasons": [{"Code": "None"}, {"Code": "ConditionalCheckFailed"}],
                },
                "TransactWriteItems",
            )
        return self._client.transact_write_items(**arguments)


@pytest.mark.parametrize("place", [0, 7, 11], ids=["first", "between", "last"])
def test_a_message_that_cannot_be_counted_does_not_hold_up_the_others(
    notifier: Notifier, place: int
) -> None:
    sids = notifier.fail(*range(12))
    poison = sids[place]
    notifier.new_environment(Picky(notifier.app.dynamodb, poison))

    assert notifier.stream(*sids) == [poison]

    assert notifier.episode().counted == 11
    assert notifier.message(poison).notice is NoticeState.DUE


def test_a_batch_that_cannot_be_read_comes_again_whole(notifier: Notifier) -> None:
    sids = notifier.fail(1, 2, 3)
    notifier.new_environment(Dying(notifier.app.dynamodb, 1, after=False))

    assert notifier.stream(*sids) == sids
    assert notifier.stream(*sids) == []


# --- several at once -----------------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.parametrize("others", ["another batch", "the same batch", "the schedule"])
def test_of_several_notifiers_at_once_each_failure_is_counted_by_one(
    notifier: Notifier, dynamodb: DynamoDBClient, others: str
) -> None:
    storms: dict[int, list[str]] = {}

    def stream(sids: list[str]) -> Writer:
        def work(of_thread: Any) -> None:
            teller = a_teller(notifier.app, of_thread)
            before = notifier.clock() - notifier.app.ABANDONED_AFTER
            for _ in teller.settle(sids, abandoned_before=before, time_left=lambda: 60.0):
                pass

        return work

    def look(of_thread: Any) -> None:
        teller = a_teller(notifier.app, of_thread)
        before = notifier.clock() - notifier.app.ABANDONED_AFTER
        for _ in teller.tell_episodes(abandoned_before=before, time_left=lambda: 60.0):
            pass

    def notifiers(run: int) -> list[Writer]:
        code, first = 40000 + run, run * 10
        sids = notifier.fail(*range(first, first + 4), code=code)
        storms[run] = sids
        if others == "the schedule":
            notifier.stream(*sids[:2])
            notifier.clock.pass_by(minutes=15)
            return [stream(sids[2:]), look, look]
        second = sids if others == "the same batch" else sids[2:]
        return [stream(sids if second is sids else sids[:2]), stream(second)]

    runs = sum(1 for _ in every_interleaving(dynamodb, notifiers, at_most=60))
    notifier.let_it_end()

    assert runs > 20
    counted = notifier.counted(sid for sids in storms.values() for sid in sids)
    assert counted.total() == 4 * runs
    assert notifier.numbers() == {it: list(range(1, n + 1)) for it, n in counted.items()}
    ids = [it["notice_id"] for it in notifier.facts()]
    assert len(ids) == len(set(ids))


def test_a_client_error_that_is_no_conflict_is_reported_and_not_taken_for_one(
    notifier: Notifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    sids = notifier.fail(1, 2)
    client = ClientOfThread()
    client.thread.client = notifier.app.dynamodb
    notifier.new_environment(client)

    def throttled(**_: Any) -> None:
        raise ClientError(
            {"Error": {"Code": "ThrottlingException", "Message": ""}}, "TransactWriteItems"
        )

    monkeypatch.setattr(client, "transact_write_items", throttled, raising=False)

    assert notifier.stream(*sids) == sids
