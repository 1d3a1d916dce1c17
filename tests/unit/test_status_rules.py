"""The rules of statuses, codes and notices for every order and for generated histories."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise, permutations
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from delivery.domain.messages import (
    Effect,
    Message,
    Source,
    StatusUpdate,
    Timings,
    within_context_limits,
)
from delivery.domain.notices import NoticeState
from delivery.domain.statuses import TWILIO_STATUSES, Outcome, outcome_of, rank
from delivery.storage.index_keys import notice_due_key_of
from delivery.storage.messages import record_of
from tests.support.builders import MESSAGE_SID, NOON, an_update

TIMINGS = Timings()
CODES = [30003, 30005, 21610]

statuses = st.sampled_from(
    [*TWILIO_STATUSES, "paused_by_carrier", "unknown", "rejected", "presumed_unsent"]
)
codes = st.none() | st.sampled_from(CODES)
times = st.datetimes(
    datetime(2020, 1, 1),  # noqa: DTZ001 -- hypothesis adds the zone itself
    datetime(2100, 1, 1),  # noqa: DTZ001 -- the same
    timezones=st.just(UTC),
).map(lambda time: time.replace(microsecond=time.microsecond // 1000 * 1000))

updates = st.builds(
    an_update,
    statuses,
    after=st.integers(0, 10**6),
    source=st.sampled_from(Source),
    error_code=codes,
    error_detail=st.none() | st.sampled_from(["busy", "blocked"]),
    request_id=st.none() | st.just("rq_" + "0" * 32),
    reference=st.none() | st.sampled_from(["order-1", "order-2"]),
    context=st.dictionaries(st.sampled_from("abc"), st.sampled_from("12"), max_size=2),
    send_at=st.none() | st.just(NOON + timedelta(days=3)),
)
histories = st.lists(updates, min_size=1, max_size=8)


def states_of(history: Sequence[StatusUpdate]) -> list[Message]:
    """The message after each of the updates."""
    states = [Message.from_first_update(history[0], TIMINGS)]
    for update in history[1:]:
        states.append(states[-1].apply(update, TIMINGS))
    return states


def codes_of(message: Message) -> dict[str, int | None]:
    return {entry.status: entry.error_code for entry in message.transitions}


def one_code_for_each_status(history: Sequence[StatusUpdate]) -> list[dict[str, Any]]:
    """Facts of updates without conflicts: each status has one code."""
    return [
        {"status": it.status, "error_code": it.error_code and CODES[len(it.status) % len(CODES)]}
        for it in history
    ]


# --- I2 -------------------------------------------------------------------------------------------


def test_every_order_and_repetition_of_statuses_ends_in_the_same_status_and_outcome() -> None:
    """Every order of every three statuses, one of them repeated at the end."""
    for order in permutations([*TWILIO_STATUSES, "paused_by_carrier"], 3):
        best = max(order, key=rank)
        message = states_of([an_update(status) for status in order])[-1]

        assert (message.status, message.outcome) == (best, outcome_of(best))
        assert tuple(it.status for it in message.transitions) == order
        for repeated in order:
            assert message.apply(an_update(repeated), TIMINGS) == message


@given(histories, st.data())
def test_any_order_of_codes_without_conflicts_ends_in_the_same_code(
    history: list[StatusUpdate], data: st.DataObject
) -> None:
    facts = one_code_for_each_status(history)
    reordered = data.draw(st.permutations(facts))

    one, other = (states_of([an_update(**it) for it in order])[-1] for order in (facts, reordered))

    assert one.error_code == other.error_code
    assert codes_of(one) == codes_of(other)


@given(histories)
def test_a_message_has_its_highest_status_and_each_distinct_one_in_order_of_arrival(
    history: list[StatusUpdate],
) -> None:
    message = states_of(history)[-1]

    arrived = list(dict.fromkeys(update.status for update in history))
    best = max(arrived, key=rank)
    assert [entry.status for entry in message.transitions] == arrived
    assert message.status == (best if rank(best) else "unknown")
    assert message.outcome == outcome_of(best)


@given(histories, updates)
def test_the_effect_says_what_the_update_did(
    history: list[StatusUpdate], update: StatusUpdate
) -> None:
    before = states_of(history)[-1]

    after = before.apply(update, TIMINGS)
    effect = before.effect_of(update, after)

    assert (after is before) == (effect is Effect.DUPLICATE)
    assert (len(after.transitions) > len(before.transitions)) == (
        effect in {Effect.ADVANCED, Effect.OUT_OF_ORDER, Effect.UNKNOWN}
    )
    assert (after.status_rank > before.status_rank) == (effect is Effect.ADVANCED)
    assert after.apply(update, TIMINGS) is after


@given(histories)
def test_rank_never_falls_and_facts_are_never_lost(history: list[StatusUpdate]) -> None:
    for before, after in pairwise(states_of(history)):
        assert after.status_rank >= before.status_rank
        assert after.created_at == before.created_at
        assert [it.status for it in after.transitions][: len(before.transitions)] == [
            it.status for it in before.transitions
        ]
        for name in ("to", "from_", "request_id", "reference", "send_at"):
            assert getattr(before, name) in {None, getattr(after, name)}
        assert before.context.items() <= after.context.items()


# --- I3 -------------------------------------------------------------------------------------------


@given(histories)
def test_the_first_code_of_a_status_is_never_erased(history: list[StatusUpdate]) -> None:
    first: dict[str, int | None] = {}
    for update, message in zip(history, states_of(history), strict=True):
        first[update.status] = first.get(update.status) or update.error_code

        assert codes_of(message) == first


@given(histories)
def test_a_failed_message_has_the_code_of_its_highest_failure_with_one(
    history: list[StatusUpdate],
) -> None:
    for message in states_of(history):
        failures = [
            (rank(status), code)
            for status, code in codes_of(message).items()
            if code and outcome_of(status) is Outcome.FAILED
        ]
        _, code = max(failures, default=(0, None))

        assert message.error_code == (code if message.outcome is Outcome.FAILED else None)
        assert message.failure_code == code


# --- I4 -------------------------------------------------------------------------------------------

NEXT = {
    (None, NoticeState.DUE),
    (NoticeState.DUE, NoticeState.PUBLISHING),
    (NoticeState.DUE, NoticeState.WITHDRAWN),
    (NoticeState.PUBLISHING, NoticeState.PUBLISHED),
    (NoticeState.PUBLISHING, NoticeState.RECOVERY_DUE),
    (NoticeState.PUBLISHING, NoticeState.RECOVERED),
    (NoticeState.PUBLISHED, NoticeState.RECOVERY_DUE),
    (NoticeState.RECOVERY_DUE, NoticeState.PUBLISHING),
}
PENDING = {NoticeState.DUE, NoticeState.PUBLISHING, NoticeState.RECOVERY_DUE}


@given(st.lists(updates | st.none(), min_size=1, max_size=12), updates)
def test_a_notice_skips_no_state_and_ends_by_what_was_published(
    actions: list[StatusUpdate | None], first: StatusUpdate
) -> None:
    """None stands for the notifier's next step."""
    states = [Message.from_first_update(first, TIMINGS)]
    for number, action in enumerate([*actions, None, None, None, None]):
        known = states[-1]
        at = NOON + timedelta(days=30, seconds=number)
        states.append(known.apply(action, TIMINGS) if action else known.with_next_notice_state(at))

    for before, after in pairwise(states):
        step = (before.notice, after.notice)
        assert step[0] is step[1] or step in NEXT
        if step == (NoticeState.PUBLISHING, NoticeState.RECOVERED):
            assert before.is_recovery_notice
        assert (notice_due_key_of(after) is not None) == (after.notice in PENDING)
        assert (after.notice_id is None) == (after.notice is None)
        assert after.outcome is not Outcome.FAILED or after.notice is not None
        assert (after.notice_at == before.notice_at) or after.notice is not before.notice
        assert (after.notice_at is None) == (after.notice is None)
    passed = {state.notice for state in states}
    published = {NoticeState.PUBLISHED, NoticeState.RECOVERED} & passed
    match states[-1].notice:
        case NoticeState.PUBLISHED:
            assert states[-1].outcome is Outcome.FAILED
        case NoticeState.WITHDRAWN:
            assert not published
        case NoticeState.RECOVERED:
            assert states[-1].outcome is not Outcome.FAILED
        case end:
            assert end is None
            assert all(state.outcome is not Outcome.FAILED for state in states)


# --- records --------------------------------------------------------------------------------------

texts = st.text(max_size=20)


@given(
    st.builds(
        StatusUpdate,
        message_sid=st.text(min_size=1, max_size=40),
        status=st.text(min_size=1, max_size=40),
        at=times,
        source=st.sampled_from(Source),
        error_code=st.none() | st.integers(1, 10**9),
        error_detail=st.none() | texts,
        carrier_time=st.none() | texts,
        to=st.none() | texts,
        from_=st.none() | texts,
        reference=st.none() | texts,
        context=st.dictionaries(texts, texts, max_size=3),
        body=st.none() | texts,
        num_segments=st.none() | texts,
        price=st.none() | texts,
        price_unit=st.none() | texts,
        request_id=st.none() | texts,
        send_at=st.none() | times,
    )
)
def test_an_update_and_its_message_survive_their_records(update: StatusUpdate) -> None:
    message = Message.from_first_update(update, TIMINGS)

    assert StatusUpdate.from_record(json.loads(json.dumps(update.as_record()))) == update
    assert Message.from_record(json.loads(json.dumps(record_of(message)))) == message


@given(histories)
def test_every_state_of_a_message_survives_its_record(history: list[StatusUpdate]) -> None:
    for message in states_of(history):
        assert Message.from_record(record_of(message)) == message
        assert message.message_sid == MESSAGE_SID


@given(st.lists(st.tuples(st.text(max_size=200), st.text(max_size=200)), max_size=40))
def test_a_context_has_at_most_twenty_names_and_a_kilobyte(pairs: list[tuple[str, str]]) -> None:
    context = within_context_limits(pairs)

    size = sum(len(text.encode()) for pair in context.items() for text in pair)
    assert len(context) <= 20
    assert size <= 1024
    assert context.items() <= set(pairs)
    assert within_context_limits(context.items()) == context
