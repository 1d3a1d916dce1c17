"""The rules of incidents: whatever happens when, the notices of an incident add up to its count."""

from collections import defaultdict
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.domain.messages import Message
from delivery.twilio.error_codes import Category
from functions.notify_failure.incident import (
    Example,
    Incident,
    IncidentKey,
    NoticeKind,
    PendingNotice,
    incident_for,
    incident_id_of,
)
from functions.notify_failure.policy import NoticePolicy
from tests.support.builders import ACCOUNT_SID, NOON, a_message, an_update

INTERVAL = timedelta(minutes=15)
POLICY = NoticePolicy(interval=INTERVAL, muted=frozenset(), shows_full_numbers=False)
MUTING = replace(POLICY, muted=frozenset({Category.RECIPIENT_UNREACHABLE}))


def a_failure(number: int = 0, *, after: float = 0, **facts: Any) -> Message:
    return a_message(
        an_update(
            "undelivered",
            after=after,
            **{"message_sid": f"SM{number:032x}", "error_code": 30003} | facts,
        )
    )


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def opened(policy: NoticePolicy = POLICY) -> Incident:
    """An incident that opened at noon."""
    return incident_for(a_failure(), NOON, policy, seen=None)


def with_failures(incident: Incident, failures: int, *, minutes: float, **facts: Any) -> Incident:
    messages = [a_failure(n, after=minutes * 60, **facts) for n in range(1, failures + 1)]
    return incident.add_failures(messages, at(minutes), POLICY.mask)


def advanced(incident: Incident, minutes: float, policy: NoticePolicy = POLICY) -> Incident:
    return incident.advance(at(minutes), policy)


def marked(incident: Incident, minutes: float) -> Incident:
    """The incident when its pending notice was published."""
    assert incident.pending_notice is not None
    return incident.mark_published(incident.pending_notice.notice_id, at(minutes), POLICY)


def pending_of(incident: Incident) -> PendingNotice:
    assert incident.pending_notice is not None
    return incident.pending_notice


# --- which incident a failure belongs to ---------------------------------------------------------


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
        (
            replace(a_failure(error_code=21211), status="rejected"),
            "21211",
            Category.RECIPIENT_UNREACHABLE,
        ),
    ],
)
def test_failures_of_one_account_and_one_cause_share_a_key(
    message: Message, cause: str, category: Category
) -> None:
    key = IncidentKey.of(message)

    assert key == IncidentKey(account_sid=ACCOUNT_SID, cause=cause)
    assert key.category is category


def test_a_failure_of_an_unknown_account_has_a_key() -> None:
    assert IncidentKey.of(a_failure(account_sid=None)).account_sid == "unknown"


def test_each_opening_message_has_an_incident_id_of_its_own_that_does_not_change() -> None:
    ids = {incident_id_of(a_failure(number)) for number in range(100)}

    assert len(ids) == 100
    assert incident_id_of(a_failure(7)) == incident_id_of(a_failure(7, error_code=None))


# --- opening, summaries, closing -----------------------------------------------------------------


def test_each_summary_covers_the_failures_since_the_one_before() -> None:
    first = advanced(with_failures(opened(), 5, minutes=10), 15)
    assert pending_of(first).kind is NoticeKind.SUMMARY
    assert (pending_of(first).range_from, pending_of(first).range_to) == (2, 6)
    assert pending_of(first).notice_id == f"{first.incident_id}:2-6"

    more = with_failures(first, 3, minutes=16)  # while it is being published
    second = advanced(marked(more, 17), 32)

    assert (pending_of(second).range_from, pending_of(second).range_to) == (7, 9)
    assert advanced(marked(more, 17), 31.9).pending_notice is None


def test_a_pending_notice_does_not_change_when_failures_are_counted_or_it_is_reclaimed() -> None:
    first = advanced(with_failures(opened(), 5, minutes=10), 15)

    later = with_failures(first, 30, minutes=16).add_recoveries(2).reclaim(at(21))

    assert pending_of(later).claimed_at == at(21)
    assert replace(pending_of(later), claimed_at=at(15)) == pending_of(first)


def test_an_incident_with_a_summary_closes_with_a_notice() -> None:
    summed_up = marked(advanced(with_failures(opened(), 5, minutes=10), 15), 15)

    closed = advanced(summed_up, 30)

    assert not closed.is_open
    assert (pending_of(closed).kind, pending_of(closed).failures) == (NoticeKind.CLOSING, 0)
    assert pending_of(closed).notice_id == f"{closed.incident_id}:closed"
    assert marked(closed, 30).next_at is None


def test_a_failure_after_an_interval_opens_a_new_incident_also_before_the_sweep() -> None:
    incident = opened()

    assert not incident.accepts_failure(at(15), POLICY)
    assert incident.accepts_failure(at(14.9), POLICY)
    assert with_failures(incident, 1, minutes=1).accepts_failure(at(16), POLICY)


def test_what_a_new_incident_publishes_of_the_previous_one_says_that_it_is_over() -> None:
    previous = with_failures(opened(), 2, minutes=1)

    closing = previous.closing_notice(at(20))

    assert closing is not None
    assert (closing.kind, closing.is_muted, closing.until) == (NoticeKind.CLOSING, False, at(20))
    assert (closing.range_from, closing.range_to, closing.failures) == (2, 3, 2)
    pending = advanced(previous, 15)
    assert pending.closing_notice(at(20)) == pending_of(pending)
    assert advanced(opened(), 15).closing_notice(at(20)) is None


def test_an_incident_whose_category_is_muted_later_closes_with_what_is_unpublished() -> None:
    closed = advanced(with_failures(opened(), 5, minutes=14), 15, MUTING)

    assert not closed.is_open
    assert (pending_of(closed).failures, pending_of(closed).is_muted) == (5, True)


def test_counting_a_failure_does_not_change_an_index_key() -> None:
    before = opened()
    after = with_failures(before, 5, minutes=10)

    keys = ("open", "next_at")
    assert [before.as_record()[key] for key in keys] == [after.as_record()[key] for key in keys]


# --- the tally of a summary ----------------------------------------------------------------------


def test_a_tally_has_senders_a_few_examples_and_the_time_range() -> None:
    incident = with_failures(opened(), 3, minutes=1)
    incident = with_failures(incident, 4, minutes=2, from_=None)
    incident = with_failures(incident, 1, minutes=3, messaging_service_sid="MG1")

    tally = incident.tally
    assert tally.senders == {"…0006": 3, "unknown": 4, "MG1": 1}
    assert len(tally.examples) == 5
    assert (tally.first_at, tally.last_at) == (at(1), at(3))


def test_a_tally_names_at_most_forty_senders() -> None:
    incident = opened()
    for number in range(100):
        incident = with_failures(incident, 1, minutes=1, from_=f"+1555555{number:04d}")

    senders = incident.tally.senders
    assert sum(senders.values()) == 100
    assert len(senders) == 41
    assert senders["others"] == 60


# --- as it is stored -----------------------------------------------------------------------------


def test_an_incident_is_read_as_it_was_stored() -> None:
    first = advanced(with_failures(opened(), 5, minutes=10), 15).with_examples(
        [Example(message_sid="SM1", to="…5310", reference="order-1"), Example(message_sid="SM2")]
    )
    second = advanced(marked(with_failures(first, 2, minutes=16), 16), 32)

    for incident in (opened(), first, second, marked(second, 32)):
        assert Incident.from_record(incident.as_record()) == incident


# --- whatever happens when -----------------------------------------------------------------------


class Model:
    """The incidents of one key under everything that can happen, and the notices published."""

    def __init__(self, policy: NoticePolicy) -> None:
        self.policy = policy
        self.now = NOON
        self.numbers = count()
        self.incident: Incident | None = None
        self.counted: dict[str, int] = {}
        self.notices: dict[str, tuple[str, int, int]] = {}
        self.closed: list[str] = []

    def fail(self, failures: int) -> None:
        messages = [a_failure(next(self.numbers)) for _ in range(failures)]
        while messages:
            seen = self.incident
            incident = incident_for(messages[0], self.now, self.policy, seen=seen)
            if incident is seen:
                incident = incident.add_failures(messages, self.now, self.policy.mask)
                messages = []
            else:
                messages.pop(0)
                self._publish(f"{incident.incident_id}:alone", incident.incident_id, 1, 1)
            self.incident = incident
            self.counted[incident.incident_id] = incident.counted

    def sweep(self, *, dies: bool = False) -> None:
        """As the notifier does each minute; `dies`: after the publish and before the mark."""
        if self.incident is None:
            return
        after = self.incident.advance(self.now, self.policy)
        pending = after.pending_notice
        if pending is not None:
            if pending.kind is NoticeKind.CLOSING and pending.incident_id not in self.closed:
                self.closed.append(pending.incident_id)
            covered = pending.range_from, pending.range_to
            self._publish(pending.notice_id, pending.incident_id, *covered)
            if not dies:
                after = after.mark_published(pending.notice_id, self.now, self.policy)
        self.incident = after

    def finish(self) -> None:
        for _ in range(4):
            self.now += self.policy.interval + timedelta(minutes=1)
            self.sweep()

    def covered_numbers(self) -> dict[str, list[int]]:
        """Every number of every published range, by incident."""
        numbers: defaultdict[str, list[int]] = defaultdict(list)
        for incident_id, first, last in self.notices.values():
            numbers[incident_id] += range(first, last + 1)
        return numbers

    def _publish(self, notice_id: str, incident_id: str, first: int, last: int) -> None:
        covered = (incident_id, first, last)
        assert self.notices.setdefault(notice_id, covered) == covered


STEPS = st.one_of(
    st.tuples(st.just("fail"), st.integers(1, 7)),
    st.tuples(st.just("wait"), st.floats(0, 40)),
    st.tuples(st.just("sweep"), st.booleans()),
)


@given(st.lists(STEPS, max_size=40), st.sampled_from([0, 1, 15]))
def test_the_ranges_of_an_incident_add_up_to_its_count(
    steps: list[tuple[str, Any]], interval_minutes: int
) -> None:
    model = Model(replace(POLICY, interval=timedelta(minutes=interval_minutes)))
    for step, argument in steps:
        match step:
            case "fail":
                model.fail(argument)
            case "wait":
                model.now += timedelta(minutes=argument)
            case "sweep":
                model.sweep(dies=argument)
    model.finish()

    assert model.covered_numbers().keys() == model.counted.keys()
    for incident_id, numbers in model.covered_numbers().items():
        assert sorted(numbers) == list(range(1, model.counted[incident_id] + 1))
    assert sum(model.counted.values()) == next(model.numbers)
    with_more_than_one = {it for it, counted in model.counted.items() if counted > 1}
    assert with_more_than_one == set(model.closed)
    if interval_minutes == 0:
        assert set(model.counted.values()) <= {1}
    last = model.incident
    assert last is None or (not last.is_open and last.pending_notice is None)
