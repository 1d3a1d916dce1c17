"""The rules of episodes: whatever happens when, the notices of an episode add up to its count."""

from collections import defaultdict
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delivery.domain.messages import Message
from delivery.twilio.error_codes import Category
from functions.notify_failure.episode import (
    Episode,
    EpisodeKey,
    Example,
    Kind,
    Telling,
    episode_begun,
    episode_id_of,
)
from tests.builders import ACCOUNT_SID, NOON, a_message, an_update

QUIET = timedelta(minutes=15)
BAD_NUMBER = Category.RECIPIENT_UNREACHABLE


def a_failure(number: int = 0, *, after: float = 0, **facts: Any) -> Message:
    return a_message(
        an_update(
            "undelivered",
            after=after,
            **{"message_sid": f"SM{number:032x}", "error_code": 30003} | facts,
        )
    )


def masked(number: str) -> str:
    return number[-4:]


def an_episode(*, at: datetime = NOON, muted: bool = False, quiet: timedelta = QUIET) -> Episode:
    return episode_begun(a_failure(), at, quiet, previous=None, muted=muted)


def with_more(episode: Episode, failures: int, *, minutes: float, **facts: Any) -> Episode:
    at = NOON + timedelta(minutes=minutes)
    messages = [a_failure(n, after=minutes * 60, **facts) for n in range(1, failures + 1)]
    return episode.with_more(messages, at, masked)


def looked_at(episode: Episode, minutes: float, *, muted: bool = False) -> Episode:
    return episode.looked_at(NOON + timedelta(minutes=minutes), QUIET, muted=muted)


def told(episode: Episode, minutes: float) -> Episode:
    assert episode.telling is not None
    at = NOON + timedelta(minutes=minutes)
    return episode.after_telling(episode.telling.notice_id, at, QUIET)


# --- where a failure belongs ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "cause", "category"),
    [
        (a_failure(), "30003", Category.RECIPIENT_UNREACHABLE),
        (a_failure(error_code=21610), "21610", Category.OPT_OUT),
        (a_failure(error_code=99999), "99999", Category.UNKNOWN),
        (a_failure(error_code=None), "unknown", Category.UNKNOWN),
        (replace(a_failure(error_code=None), status="rejected"), "rejected", Category.CONTENT),
        (
            replace(a_failure(error_code=None), status="presumed_unsent"),
            "presumed_unsent",
            Category.UNKNOWN,
        ),
        (replace(a_failure(error_code=21211), status="rejected"), "21211", BAD_NUMBER),
    ],
)
def test_failures_of_one_account_and_one_cause_belong_together(
    message: Message, cause: str, category: Category
) -> None:
    key = EpisodeKey.of(message)

    assert key == EpisodeKey(account_sid=ACCOUNT_SID, cause=cause)
    assert key.category is category


def test_a_failure_of_an_unknown_account_has_a_place_too() -> None:
    assert EpisodeKey.of(a_failure(account_sid=None)).account_sid == "unknown"


def test_a_message_is_found_where_it_was_counted_though_its_code_came_later() -> None:
    counted = a_failure(error_code=None)
    later = a_message(
        an_update("failed", error_code=30008),
        an_update("undelivered", error_code=30003, after=1),
        an_update("delivered", after=2),
    )

    assert EpisodeKey.of(counted) in EpisodeKey.where_counted(later)
    assert EpisodeKey.of(a_failure()) == EpisodeKey.where_counted(later)[0]


def test_each_opening_has_an_id_of_its_own_and_keeps_it() -> None:
    ids = {episode_id_of(a_failure(number)) for number in range(100)}

    assert len(ids) == 100
    assert episode_id_of(a_failure(7)) == episode_id_of(a_failure(7, error_code=None))


# --- what is told when ---------------------------------------------------------------------------


def test_the_first_failure_is_told_alone_and_nothing_more_for_a_while() -> None:
    episode = an_episode()

    assert (episode.counted, episode.told, episode.untold) == (1, 1, 0)
    assert looked_at(with_more(episode, 5, minutes=1), 14.9).telling is None


def test_a_summary_covers_what_failed_since_and_the_next_one_what_failed_after_it() -> None:
    first = looked_at(with_more(an_episode(), 5, minutes=10), 15)
    assert first.telling is not None
    assert (first.telling.range_from, first.telling.range_to) == (2, 6)
    assert first.telling.notice_id == f"{first.episode_id}:2-6"
    assert first.telling.kind is Kind.SUMMARY

    more = with_more(first, 3, minutes=16)  # while it is being told
    second = looked_at(told(more, 17), 32)

    assert second.telling is not None
    assert (second.telling.range_from, second.telling.range_to) == (7, 9)
    assert looked_at(told(more, 17), 31.9).telling is None


def test_what_is_told_does_not_change_while_it_is_told() -> None:
    telling = looked_at(with_more(an_episode(), 5, minutes=10), 15)

    later = with_more(telling, 30, minutes=16).with_recovered(2)
    retold = later.taken_over(NOON + timedelta(minutes=21)).telling

    assert telling.telling is not None
    assert retold is not None
    assert replace(retold, claimed_at=telling.telling.claimed_at) == telling.telling


def test_an_episode_of_one_failure_ends_without_a_word() -> None:
    ended = looked_at(an_episode(), 15)

    assert not ended.is_open
    assert (ended.telling, ended.next_at) == (None, None)


def test_an_episode_that_people_heard_more_of_ends_with_a_last_line() -> None:
    summed_up = told(looked_at(with_more(an_episode(), 5, minutes=10), 15), 15)

    ended = looked_at(summed_up, 30)

    assert not ended.is_open
    assert ended.telling is not None
    assert (ended.telling.kind, ended.telling.failures) == (Kind.CLOSING, 0)
    assert ended.telling.notice_id == f"{ended.episode_id}:closed"
    assert told(ended, 30).next_at is None


def test_the_last_line_covers_what_no_summary_has_told() -> None:
    ended = looked_at(with_more(an_episode(), 5, minutes=2), 17)

    assert ended.telling is not None
    assert (ended.telling.kind, ended.telling.failures) == (Kind.CLOSING, 5)
    assert told(ended, 17).told == 6


def test_a_failure_after_a_quiet_time_is_told_at_once_though_nobody_closed_the_episode() -> None:
    episode = an_episode()
    at = NOON + QUIET

    assert not episode.counts_more(at, QUIET, muted=False)
    assert episode.counts_more(at - timedelta(seconds=1), QUIET, muted=False)
    assert with_more(episode, 1, minutes=1).counts_more(at + QUIET, QUIET, muted=False)


def test_the_episode_that_follows_carries_the_last_line_of_the_one_before() -> None:
    summed_up = told(looked_at(with_more(an_episode(), 5, minutes=10), 15), 15)
    at = NOON + timedelta(minutes=29)
    assert not summed_up.counts_more(at, QUIET, muted=False)

    next_one = episode_begun(a_failure(99), at, QUIET, previous=summed_up, muted=False)

    assert next_one.telling is not None
    assert next_one.telling.notice_id == f"{summed_up.episode_id}:closed"
    assert (next_one.counted, next_one.told) == (1, 1)
    after = told(next_one, 29)
    assert (after.told, after.next_at) == (1, next_one.next_at)


def test_with_no_quiet_time_at_all_every_failure_is_told_alone() -> None:
    episode = an_episode(quiet=timedelta())

    assert not episode.counts_more(NOON, timedelta(), muted=False)


def test_of_a_muted_category_everything_is_counted_and_nothing_is_told() -> None:
    episode = with_more(an_episode(muted=True), 50, minutes=1)

    assert episode.counted == 50
    assert looked_at(episode, 15, muted=True).telling is None
    ended = looked_at(looked_at(episode, 15, muted=True), 16, muted=True)
    assert not ended.is_open
    assert ended.telling is None


def test_a_category_that_is_muted_meanwhile_ends_with_what_is_left_to_tell() -> None:
    ended = looked_at(with_more(an_episode(), 5, minutes=14), 15, muted=True)

    assert not ended.is_open
    assert ended.telling is not None
    assert (ended.telling.failures, ended.telling.is_muted) == (5, True)


def test_a_category_that_is_not_muted_any_more_is_told_at_once() -> None:
    assert not an_episode(muted=True).counts_more(NOON, QUIET, muted=False)


def test_a_recovery_is_shown_in_the_next_notice() -> None:
    episode = with_more(an_episode(), 5, minutes=10).with_recovered(2)

    telling = looked_at(episode, 15).telling

    assert telling is not None
    assert telling.recovered == 2


def test_an_index_key_does_not_change_when_a_failure_is_counted() -> None:
    before = an_episode()
    after = with_more(before, 5, minutes=10)

    keys = ("open", "next_at")
    assert [before.as_record()[key] for key in keys] == [after.as_record()[key] for key in keys]


# --- the tally of a summary ----------------------------------------------------------------------


def test_a_tally_has_senders_a_few_examples_and_the_time_range() -> None:
    episode = with_more(an_episode(), 3, minutes=1)
    episode = with_more(episode, 4, minutes=2, from_=None)
    episode = with_more(episode, 1, minutes=3, messaging_service_sid="MG1")

    tally = episode.tally
    assert tally.senders == {"0006": 3, "unknown": 4, "MG1": 1}
    assert len(tally.examples) == 5
    assert (tally.first_at, tally.last_at) == (
        NOON + timedelta(minutes=1),
        NOON + timedelta(minutes=3),
    )


def test_a_tally_of_very_many_senders_stays_small() -> None:
    episode = an_episode()
    for number in range(100):
        episode = with_more(episode, 1, minutes=1, from_=f"+1555{number:04d}")

    senders = episode.tally.senders
    assert sum(senders.values()) == 100
    assert len(senders) == 41
    assert senders["others"] == 60


# --- as it is stored -----------------------------------------------------------------------------


def test_an_episode_is_read_as_it_was_stored() -> None:
    telling = looked_at(with_more(an_episode(), 5, minutes=10), 15).with_examples(
        [Example(message_sid="SM1", to="…5310", reference="order-1"), Example(message_sid="SM2")]
    )
    again = looked_at(told(with_more(telling, 2, minutes=16), 16), 32)

    for episode in (an_episode(), an_episode(muted=True), telling, again, told(again, 32)):
        assert Episode.from_record(episode.as_record()) == episode


# --- whatever happens when -----------------------------------------------------------------------


class Story:
    """One key's episodes under everything that can happen to them, and what people are told."""

    def __init__(self, quiet: timedelta) -> None:
        self.quiet = quiet
        self.now = NOON
        self.numbers = count()
        self.episode: Episode | None = None
        self.counted: dict[str, int] = {}
        self.notices: dict[str, tuple[str, int, int]] = {}
        self.closed: list[str] = []

    def fail(self, failures: int) -> None:
        messages = [a_failure(next(self.numbers)) for _ in range(failures)]
        while messages:
            seen = self.episode
            if seen is not None and seen.counts_more(self.now, self.quiet, muted=False):
                self.episode = seen.with_more(messages, self.now, masked)
                messages = []
            else:
                self.episode = episode_begun(
                    messages.pop(0), self.now, self.quiet, previous=seen, muted=False
                )
                self._publish(f"{self.episode.episode_id}:alone", self.episode.episode_id, 1, 1)
            self.counted[self.episode.episode_id] = self.episode.counted

    def look(self, *, dies: bool = False) -> None:
        """As the notifier does each minute; `dies`: when it has told people, before it marks."""
        if self.episode is None:
            return
        after = self.episode.looked_at(self.now, self.quiet, muted=False)
        if after.telling is not None:
            self._tell(after.telling)
            if not dies:
                after = after.after_telling(after.telling.notice_id, self.now, self.quiet)
        self.episode = after

    def _tell(self, telling: Telling) -> None:
        if telling.kind is Kind.CLOSING and telling.episode_id not in self.closed:
            self.closed.append(telling.episode_id)
        self._publish(telling.notice_id, telling.episode_id, telling.range_from, telling.range_to)

    def _publish(self, notice_id: str, episode_id: str, first: int, last: int) -> None:
        told_of = (episode_id, first, last)
        assert self.notices.setdefault(notice_id, told_of) == told_of

    def end(self) -> None:
        for _ in range(4):
            self.now += self.quiet + timedelta(minutes=1)
            self.look()

    def ranges(self) -> dict[str, list[int]]:
        """Every number of every range that people were told, by episode."""
        ranges: defaultdict[str, list[int]] = defaultdict(list)
        for episode_id, first, last in self.notices.values():
            ranges[episode_id] += range(first, last + 1)
        return ranges


THINGS_THAT_HAPPEN = st.one_of(
    st.tuples(st.just("fail"), st.integers(1, 7)),
    st.tuples(st.just("pass"), st.floats(0, 40)),
    st.tuples(st.just("look"), st.booleans()),
)


@settings(max_examples=300)
@given(st.lists(THINGS_THAT_HAPPEN, max_size=40), st.sampled_from([0, 1, 15]))
def test_the_ranges_of_an_episode_add_up_to_its_count(
    things: list[tuple[str, Any]], quiet_minutes: int
) -> None:
    story = Story(timedelta(minutes=quiet_minutes))
    for what, much in things:
        match what:
            case "fail":
                story.fail(much)
            case "pass":
                story.now += timedelta(minutes=much)
            case "look":
                story.look(dies=much)
    story.end()

    assert story.ranges().keys() == story.counted.keys()
    for episode_id, numbers in story.ranges().items():
        assert sorted(numbers) == list(range(1, story.counted[episode_id] + 1))
    assert sum(story.counted.values()) == next(story.numbers)
    heard_more = {it for it, counted in story.counted.items() if counted > 1}
    assert heard_more == set(story.closed)
    if quiet_minutes == 0:
        assert set(story.counted.values()) <= {1}
    assert story.episode is None or (not story.episode.is_open and story.episode.telling is None)
